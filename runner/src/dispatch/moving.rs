//! The way of a runner from one run to the next: it removes the rests of a run, and compares itself with what it was
//! before its first run.
//!
//! Must not report success while anything of the run may remain, or while it cannot know.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use plue_runtime::{Clock, clock::Mark};
use plue_wire::runner::RunnerWorkspace;

use super::marks::Marks;
use crate::{files, options::Options};

/// Longest time for the processes and uploads of a run to end.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);
/// Files of the state directory that no run changes.
const OWN_FILES: [&str; 3] = ["boot", "lock", "sock"];
/// Entries of the state directory that are emptied or written again by their owners.
const OWNED: [&str; 2] = ["claims", "io"];
/// Tables of objects that outlive their processes. The first line of each is its head.
const IPC_TABLES: [&str; 3] = ["/proc/sysvipc/shm", "/proc/sysvipc/sem", "/proc/sysvipc/msg"];

/// The moves of a runner between runs.
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// The runner as it was before its first run; `None`: it has never entered a workspace, or could not look.
    first: Option<Marks>,
    /// Folders that steps write to, in addition to the workspace.
    scratch: Vec<PathBuf>,
    has_entered: bool,
    /// The time at which the engine asked the runner to leave its run.
    leaving_since: Option<Mark>,
}

// === impl Moves ===

impl Moves {
    /// The runner enters a workspace; steps run only after the first time.
    pub(super) fn enter(&mut self, place: &RunnerWorkspace, options: &Options) {
        if self.has_entered {
            return;
        }
        self.has_entered = true;
        self.scratch = place.scratch.iter().map(PathBuf::from).collect();
        let mut marked = self.scratch.clone();
        if options.confined.is_some() {
            // Steps may write here, unless the engine is root.
            marked.extend(Path::new(&place.workspace).parent().map(Path::to_owned));
            marked.push(options.state.clone());
            marked.extend(OWN_FILES.map(|name| options.state.join(name)));
        }
        self.first = Marks::take(marked);
    }

    /// The engine asked the runner to leave its run.
    pub(super) fn leave(&mut self, clock: Clock) {
        self.leaving_since = Some(clock.mark());
    }

    /// Whether the runner is leaving its run.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving_since.is_some()
    }

    /// Whether the runner goes on waiting for processes and uploads of the run; the time for that is limited.
    pub(super) fn waits(&mut self, is_busy: bool, clock: Clock) -> bool {
        let Some(since) = self.leaving_since else { return true };
        let waits = is_busy && clock.elapsed(since) < LEAVE_WITHIN;
        if !waits {
            self.leaving_since = None;
        }
        waits
    }

    /// Removes what the run left, and looks whether the runner is as it was before.
    pub(super) fn is_clean(&self, options: &Options) -> bool {
        let is_swept = options.confined.is_none() || self.remove_rests(options);
        is_swept && self.first.as_ref().is_some_and(Marks::still_hold)
    }

    /// Removes the files of a sandboxed runner's run. Those of a runner without a sandbox are the machine's, which
    /// steps share with everything else.
    fn remove_rests(&self, options: &Options) -> bool {
        // The state directory and the workspaces may be mounted below one of the folders.
        let Ok(mounts) = files::mount_points() else { return false };
        is_alone()
            && remove_own(&options.state)
            && self.scratch.iter().all(|folder| files::empty(folder, &mounts))
            && has_no_ipc_objects()
    }
}

/// Whether this is the only process of its namespace. Its children are gone by then; this looks once more.
fn is_alone() -> bool {
    let own = std::process::id().to_string();
    let Ok(entries) = fs::read_dir("/proc") else { return false };
    let mut has_itself = false;
    for entry in entries {
        let Ok(entry) = entry else { return false };
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        has_itself |= name == own;
        if name != own && name.bytes().all(|byte| byte.is_ascii_digit()) {
            return false;
        }
    }
    has_itself
}

/// Removes the rests of a run from the runner's own directory, in which steps may write.
fn remove_own(state: &Path) -> bool {
    let kept: Vec<_> = OWN_FILES.iter().chain(&OWNED).map(|name| state.join(name)).collect();
    files::empty(state, &kept)
}

/// Whether no object of System V outlived the processes of the run.
fn has_no_ipc_objects() -> bool {
    IPC_TABLES.iter().all(|table| match fs::read_to_string(table) {
        Ok(text) => text.lines().count() <= 1,
        // Some kernels have none.
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    })
}
