//! Orphaned processes of a runner's directory: a runner that does not answer, and steps that a
//! killed runner left behind.
//!
//! Found in `/proc`, never by a remembered process id: ids are reused, even between a check and a
//! signal, so a pidfd is opened before the check. Must only signal processes that provably belong
//! to the directory.

use std::{fs, os::fd::OwnedFd, path::Path};

use plue_runtime::Clock;
use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal},
};

use crate::sandbox::SandboxDirs;

/// Scans until no process is left; a process that is being killed may start others.
const ROUNDS: u32 = 500;
/// Interval between two scans.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(2);

/// A process that was found. Unlike its id, its pidfd never refers to another one.
struct ProcessHandle {
    pid: Pid,
    /// Absent where the kernel or a sandbox does not permit pidfds.
    pidfd: Option<OwnedFd>,
}

// === impl ProcessHandle ===

impl ProcessHandle {
    /// The process with this id, if it matches once its pidfd is open.
    fn open(pid: i32, looks: impl Fn(i32) -> bool) -> Option<Self> {
        let id = Pid::from_raw(pid)?;
        let pidfd = match pidfd_open(id, PidfdFlags::empty()) {
            Ok(pidfd) => Some(pidfd),
            Err(Errno::NOSYS | Errno::PERM) => None,
            Err(_) => return None,
        };
        looks(pid).then_some(Self { pid: id, pidfd })
    }

    fn kill(&self) {
        let _gone = match &self.pidfd {
            Some(pidfd) => pidfd_send_signal(pidfd, Signal::KILL),
            None => kill_process(self.pid, Signal::KILL),
        };
    }
}

/// Whether a runner process uses the directory: it has a lock that the kernel releases with the
/// process.
pub(crate) fn runner_lives(directory: &Path) -> bool {
    let Ok(file) = fs::File::open(directory.join("lock")) else {
        return false;
    };
    matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock))
}

/// Kills the runner of the directory and every process of its steps, and waits until they are gone.
pub(crate) async fn end(directory: &Path, clock: &Clock) {
    let Ok(directory) = fs::canonicalize(directory) else {
        return;
    };
    for _ in 0..ROUNDS {
        // The runner first: otherwise it would report its steps as killed.
        let mut found = runners(&directory);
        if found.is_empty() {
            found = steps(&directory);
        }
        if found.is_empty() {
            return;
        }
        found.iter().for_each(ProcessHandle::kill);
        clock.sleep(PAUSE).await;
    }
    tracing::warn!(directory = %directory.display(), "processes that cannot be killed are left");
}

/// Kills the runner of the directory; its steps continue until the next runner finds them.
pub(crate) fn kill_runner(directory: &Path) {
    let Ok(directory) = fs::canonicalize(directory) else {
        return;
    };
    runners(&directory).iter().for_each(ProcessHandle::kill);
}

/// Runners: `… --state DIRECTORY …`. Of a sandboxed runner these include bubblewrap, with which
/// everything inside dies.
fn runners(directory: &Path) -> Vec<ProcessHandle> {
    let states = SandboxDirs::states(directory);
    let is_state =
        |word: &[u8]| states.iter().any(|state| state.as_os_str().as_encoded_bytes() == word);
    let is_runner = |arguments: &[u8]| {
        let words: Vec<_> = arguments.split(|byte| *byte == 0).collect();
        words.windows(2).any(|pair| matches!(pair, [b"--state", state] if is_state(state)))
    };
    find("cmdline", is_runner)
}

/// Steps: `PLUE_OUTPUT` lies in the directory.
fn steps(directory: &Path) -> Vec<ProcessHandle> {
    let mut prefix = b"PLUE_OUTPUT=".to_vec();
    prefix.extend_from_slice(directory.as_os_str().as_encoded_bytes());
    prefix.extend_from_slice(b"/io/");
    find("environ", |variables| {
        variables.split(|byte| *byte == 0).any(|entry| entry.starts_with(&prefix))
    })
}

fn find(file: &str, matches: impl Fn(&[u8]) -> bool) -> Vec<ProcessHandle> {
    let own = std::process::id().cast_signed();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let looks =
        |pid: i32| fs::read(format!("/proc/{pid}/{file}")).is_ok_and(|bytes| matches(&bytes));
    // Checked before the pidfd is opened as well: opening one for every process costs more.
    let likely = pids.filter(|pid| *pid != own && looks(*pid));
    likely.filter_map(|pid| ProcessHandle::open(pid, looks)).collect()
}
