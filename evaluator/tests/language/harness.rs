//! A small zygote for tests: one interpreter per hash seed, one child per file, limits by rlimit.
//!
//! No jail: that is the process half's, with tests of its own.
#![expect(unsafe_code, reason = "fork and pipes have no safe interface")]

use std::{
    fs::File,
    io::{Read as _, Write as _},
    num::NonZeroU32,
    os::fd::{FromRawFd as _, RawFd},
    path::{Path, PathBuf},
    ptr,
};

use plue_evaluator::{interpreter, language, options::HashSeed};
use plue_wire::eval::{Bytes, EvalOutcome, EvalRequest, Facts};
use pyo3::prelude::*;

/// Address space that a child may add.
const MEMORY: u64 = 256 * 1024 * 1024;

/// Result of one request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Observed {
    /// None: the child died.
    pub(crate) outcome: Option<EvalOutcome>,
    pub(crate) printed: String,
}

/// A request for one file with nothing around it.
pub(crate) fn request(path: &str, source: &[u8]) -> EvalRequest {
    EvalRequest {
        id: 0,
        entry: path.to_owned(),
        sources: [(path.to_owned(), Bytes(source.to_vec()))].into(),
        event_json: None,
        withholds_event: false,
        inputs_json: "{}".to_owned(),
        facts: Facts::default(),
        survey: false,
    }
}

/// Every `*.plue.py` of a folder, sorted.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".plue.py"))
        .collect();
    files.sort();
    files
}

/// Evaluates requests, each in a child of one fresh zygote.
pub(crate) fn evaluate_all(requests: &[EvalRequest], seed: u32) -> Vec<Observed> {
    let bytes = in_child(|| {
        start_interpreter(seed);
        let mut all = Vec::new();
        for request in requests {
            let reply = in_child(|| {
                limit();
                let reply = Python::attach(|py| language::evaluate(py, request));
                serde_json::to_vec(&reply).unwrap()
            });
            all.push(serde_json::from_slice::<(EvalOutcome, String)>(&reply).ok());
        }
        serde_json::to_vec(&all).unwrap()
    });
    let all: Vec<Option<(EvalOutcome, String)>> =
        serde_json::from_slice(&bytes).expect("the zygote died");
    all.into_iter()
        .map(|reply| match reply {
            Some((outcome, printed)) => Observed { outcome: Some(outcome), printed },
            None => Observed { outcome: None, printed: String::new() },
        })
        .collect()
}

/// Evaluates a request in this process.
pub(crate) fn evaluate(request: EvalRequest) -> Observed {
    evaluate_all(&[request], 0).remove(0)
}

fn start_interpreter(seed: u32) {
    let seed = NonZeroU32::new(seed).map_or(HashSeed::A, HashSeed::Number);
    interpreter::start(seed).unwrap();
    Python::attach(|py| {
        language::prepare(py).unwrap();
        interpreter::lock(py, seed).unwrap();
    });
}

fn limit() {
    let set = |resource, soft: u64| {
        let limit = libc::rlimit { rlim_cur: soft, rlim_max: soft + 1 };
        // SAFETY: the pointer is to a local value.
        unsafe { libc::setrlimit(resource, &raw const limit) };
    };
    // SAFETY: no pointers; the signal ends a child that hangs.
    unsafe { libc::alarm(5) };
    set(libc::RLIMIT_CPU, 1);
    set(libc::RLIMIT_CORE, 0);
    let pages: u64 = std::fs::read_to_string("/proc/self/statm")
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    set(libc::RLIMIT_AS, pages * 4096 + MEMORY);
}

/// Runs work in a forked child and gives what it returned; empty when it died.
fn in_child(work: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    let mut ends: [RawFd; 2] = [0; 2];
    // SAFETY: the pointer is to two descriptors.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    // SAFETY: the child only uses what a single thread may use after fork.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    // SAFETY: both descriptors are ours and open.
    let (mut reader, mut writer) =
        unsafe { (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1])) };
    if child == 0 {
        drop(reader);
        let bytes =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_default();
        let written = writer.write_all(&bytes).is_ok();
        // SAFETY: leaves at once, without the test harness's or Python's ends.
        unsafe { libc::_exit(i32::from(!written)) }
    }
    drop(writer);
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    let mut status = 0;
    // SAFETY: our own child.
    unsafe { libc::waitpid(child, ptr::from_mut(&mut status), 0) };
    if libc::WIFEXITED(status) { bytes } else { Vec::new() }
}
