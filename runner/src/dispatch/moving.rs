//! The rests of a run that a runner removes before it serves the next one.
//!
//! Must not report success while a file or an object of the run may remain.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{files, options::Options};

/// Longest time for the processes of a run to end.
pub(super) const LEAVE_WITHIN: Duration = Duration::from_secs(1);
/// Entries of the state directory that are not of a run.
const OWN_FILES: [&str; 5] = ["boot", "claims", "io", "lock", "sock"];
/// Tables of objects that outlive their processes. The first line of each is its head.
const IPC_TABLES: [&str; 3] = ["/proc/sysvipc/shm", "/proc/sysvipc/sem", "/proc/sysvipc/msg"];

/// Removes the files of a sandboxed runner's run from its own directory and from these folders. Those of
/// a runner without a sandbox are the machine's, which steps share with everything else.
pub(super) fn remove_rests(options: &Options, folders: &[String]) -> bool {
    if options.confined.is_none() {
        return true;
    }
    let own: Vec<PathBuf> = OWN_FILES.map(|name| options.state.join(name)).to_vec();
    // The state directory and the workspaces may be mounted below one of the folders.
    let Ok(mounts) = files::mount_points() else { return false };
    files::empty(&options.state, &own)
        && folders.iter().all(|folder| files::empty(Path::new(folder), &mounts))
        && has_no_ipc_objects()
}

/// Whether no object of System V outlived the processes of the run.
fn has_no_ipc_objects() -> bool {
    IPC_TABLES.iter().all(|table| match fs::read_to_string(table) {
        Ok(text) => text.lines().count() <= 1,
        // Some kernels have none.
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    })
}
