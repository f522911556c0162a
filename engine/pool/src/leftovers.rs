//! Processes of a runner's directory that nobody owns any more: the runner itself when it does not
//! answer, and steps that a killed runner left behind.
//!
//! Found by what stands in `/proc`, never by a remembered process id: ids are reused, even between a
//! look and a signal, so that a process is held before it is looked at. Must only signal what provably
//! belongs to the directory.

use std::{fs, os::fd::OwnedFd, path::Path};

use plue_runtime::Clock;
use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal},
};

use crate::walls::Cell;

/// Looks until nothing is left; a process that is being killed may start others.
const ROUNDS: u32 = 500;
/// Between two looks.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(2);

/// A process that was found. Unlike its id, what holds it never means another one.
struct Found {
    pid: Pid,
    /// Absent where the kernel or a sandbox does not give it.
    held: Option<OwnedFd>,
}

// === impl Found ===

impl Found {
    /// The process with this id, if it looks as wanted once it is held.
    fn hold(pid: i32, looks: impl Fn(i32) -> bool) -> Option<Self> {
        let id = Pid::from_raw(pid)?;
        let held = match pidfd_open(id, PidfdFlags::empty()) {
            Ok(held) => Some(held),
            Err(Errno::NOSYS | Errno::PERM) => None,
            Err(_) => return None,
        };
        looks(pid).then_some(Self { pid: id, held })
    }

    fn kill(&self) {
        let _gone = match &self.held {
            Some(held) => pidfd_send_signal(held, Signal::KILL),
            None => kill_process(self.pid, Signal::KILL),
        };
    }
}

/// Whether a runner process uses the directory: it holds a lock that ends with it, however it ends.
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
        // The runner first: it would start nothing new, but it would report its steps as killed.
        let mut found = runners(&directory);
        if found.is_empty() {
            found = steps(&directory);
        }
        if found.is_empty() {
            return;
        }
        found.iter().for_each(Found::kill);
        clock.sleep(PAUSE).await;
    }
    tracing::warn!(directory = %directory.display(), "processes that cannot be killed are left");
}

/// Kills the runner of the directory; its steps go on until the next runner finds them.
pub(crate) fn kill_runner(directory: &Path) {
    let Ok(directory) = fs::canonicalize(directory) else {
        return;
    };
    runners(&directory).iter().for_each(Found::kill);
}

/// Runners: `… --state DIRECTORY …`. Of one behind walls these are also the walls, with which
/// everything inside dies.
fn runners(directory: &Path) -> Vec<Found> {
    let states = Cell::states(directory);
    let is_state =
        |word: &[u8]| states.iter().any(|state| state.as_os_str().as_encoded_bytes() == word);
    let is_runner = |arguments: &[u8]| {
        let words: Vec<_> = arguments.split(|byte| *byte == 0).collect();
        words.windows(2).any(|pair| matches!(pair, [b"--state", state] if is_state(state)))
    };
    find("cmdline", is_runner)
}

/// Steps: `PLUE_OUTPUT` lies in the directory.
fn steps(directory: &Path) -> Vec<Found> {
    let mut prefix = b"PLUE_OUTPUT=".to_vec();
    prefix.extend_from_slice(directory.as_os_str().as_encoded_bytes());
    prefix.extend_from_slice(b"/io/");
    find("environ", |variables| {
        variables.split(|byte| *byte == 0).any(|entry| entry.starts_with(&prefix))
    })
}

fn find(file: &str, matches: impl Fn(&[u8]) -> bool) -> Vec<Found> {
    let own = std::process::id().cast_signed();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let looks =
        |pid: i32| fs::read(format!("/proc/{pid}/{file}")).is_ok_and(|bytes| matches(&bytes));
    // Looked at before it is held as well: holding every process of the machine costs more.
    let likely = pids.filter(|pid| *pid != own && looks(*pid));
    likely.filter_map(|pid| Found::hold(pid, looks)).collect()
}
