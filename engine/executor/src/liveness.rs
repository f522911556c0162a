//! Which runs are being advanced on this machine: the process that does holds a lock on a file,
//! and the kernel lets go of it when the process dies, however it dies.
//!
//! Must not use process ids: they are reused.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use plue_plan::RunId;
use rustix::fs::{FlockOperation, flock};

use crate::error::Error;

/// Tries at a lock that others only look at.
const LOOKS: u32 = 1_000;

/// The right to advance a run, let go on drop.
#[derive(Debug)]
pub struct RunLock {
    path: PathBuf,
    _locked: File,
}

// === impl RunLock ===

impl RunLock {
    /// Takes the lock of a run.
    ///
    /// # Errors
    /// [`Error::Busy`] if a process that lives has it, [`Error::State`] if there can be no such file.
    pub fn take(directory: &Path, run: &RunId) -> Result<Self, Error> {
        let path = directory.join(run.as_str());
        let failed = |source| Error::State { path: path.clone(), source };
        std::fs::create_dir_all(directory).map_err(failed)?;
        loop {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(failed)?;
            if !lock(&file).map_err(failed)? {
                return Err(Error::Busy { run: run.clone() });
            }
            // The last holder may have removed the file between our opening and locking it.
            let ours = file.metadata().map_err(failed)?.ino();
            if std::fs::metadata(&path).is_ok_and(|there| there.ino() == ours) {
                return Ok(Self { path, _locked: file });
            }
        }
    }
}

/// Tries to lock the file for its holder. A look by [`is_driven`] at the same moment is no holder: it
/// shares its lock and is over within microseconds, so a further try follows after it. A holder does
/// not share, and then the answer is no at once.
fn lock(file: &File) -> io::Result<bool> {
    for _ in 0..LOOKS {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(error) => return Err(error.into()),
        }
        match flock(file, FlockOperation::NonBlockingLockShared) {
            // Only looks were in the way. Shared with them until the next try turns it into ours.
            Ok(()) => std::thread::yield_now(),
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

/// The file goes before its lock; [`RunLock::take`] sees when it got a file that is gone.
impl Drop for RunLock {
    fn drop(&mut self) {
        let _may_be_gone = std::fs::remove_file(&self.path);
    }
}

/// The runs that have a file of a lock, held or not.
pub(crate) fn locks(directory: &Path) -> Vec<RunId> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(RunId::new(entry.file_name().to_str()?))).collect()
}

/// Whether a process that lives advances the run.
#[must_use]
pub fn is_driven(directory: &Path, run: &RunId) -> bool {
    let file = match File::open(directory.join(run.as_str())) {
        Ok(file) => file,
        Err(error) => return error.kind() != io::ErrorKind::NotFound,
    };
    let probe = flock(&file, FlockOperation::NonBlockingLockShared);
    probe == Err(rustix::io::Errno::WOULDBLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_driven_exactly_while_its_lock_is_held() {
        let directory = tempfile::tempdir().unwrap();
        let run = RunId::new("r1");
        assert!(!is_driven(directory.path(), &run));
        let lock = RunLock::take(directory.path(), &run).unwrap();
        assert!(is_driven(directory.path(), &run));
        assert!(matches!(RunLock::take(directory.path(), &run), Err(Error::Busy { .. })));
        drop(lock);
        assert!(!is_driven(directory.path(), &run));
    }

    #[test]
    fn a_look_at_the_same_moment_keeps_nobody_from_taking_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        let run = RunId::new("r1");
        let path = directory.path().join(run.as_str());
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // The file is made by the taker and goes with its lock.
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    if let Ok(file) = File::open(&path) {
                        let _held = flock(&file, FlockOperation::NonBlockingLockShared);
                    }
                }
            });
            let taken = (0..2_000).all(|_| RunLock::take(directory.path(), &run).is_ok());
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(taken);
        });
    }
}
