//! Run locks: the process that drives a run on this machine holds a lock, which the kernel releases when
//! the process dies.
//!
//! All runs share one file; the lock of a run is a byte range of it, derived from the run's id. A file for
//! each run would cost the disk more than the rest of a short run, and survive a crash. Must not use
//! process ids: they are reused.

use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
};

use nix::{
    fcntl::{FcntlArg, fcntl},
    libc,
};
use plue_plan::RunId;
use sha2::{Digest as _, Sha256};

use crate::error::Error;

/// The lock of a run; released on drop.
#[derive(Debug)]
pub struct RunLock {
    /// The lock belongs to this open file description.
    _locked: File,
}

// === impl RunLock ===

impl RunLock {
    /// Takes the lock of a run, in the lock file of a state directory.
    ///
    /// # Errors
    /// [`Error::Busy`] if another process holds it, [`Error::State`] if the file cannot be used.
    pub fn take(locks: &Path, run: &RunId) -> Result<Self, Error> {
        let failed = |source| Error::State { path: locks.to_owned(), source };
        let file = open(locks).map_err(failed)?;
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&byte_range(run))) {
            Ok(_) => Ok(Self { _locked: file }),
            Err(nix::Error::EAGAIN | nix::Error::EACCES) => Err(Error::Busy { run: run.clone() }),
            Err(error) => Err(failed(error.into())),
        }
    }
}

/// Whether a live process drives the run. If the lock file is unreadable, assumes that the lock is held
/// (fail closed).
#[must_use]
pub fn is_driven(locks: &Path, run: &RunId) -> bool {
    let file = match File::open(locks) {
        Ok(file) => file,
        Err(error) => return error.kind() != io::ErrorKind::NotFound,
    };
    let mut range = byte_range(run);
    // A query takes no lock.
    let asked = fcntl(&file, FcntlArg::F_OFD_GETLK(&mut range));
    asked.is_err() || i32::from(range.l_type) != libc::F_UNLCK
}

fn open(locks: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    match options.open(locks) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(folder) = locks.parent() {
                std::fs::create_dir_all(folder)?;
            }
            options.open(locks)
        }
        // Versions before November 2026 had a directory with a file for each run.
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
            std::fs::remove_dir_all(locks)?;
            options.open(locks)
        }
        opened => opened,
    }
}

/// The byte of a run, beyond the end of the empty file.
fn byte_range(run: &RunId) -> libc::flock {
    let digest = Sha256::digest(run.as_str().as_bytes());
    let first = digest.first_chunk().copied().unwrap_or_default();
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: i64::from_le_bytes(first) & (i64::MAX - 1),
        l_len: 1,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_driven_while_their_lock_is_held() {
        let directory = tempfile::tempdir().unwrap();
        let locks = directory.path().join("state/locks");
        let (run, other) = (RunId::new("r1"), RunId::new("r2"));
        assert!(!is_driven(&locks, &run));
        let lock = RunLock::take(&locks, &run).unwrap();
        assert!(is_driven(&locks, &run));
        assert!(matches!(RunLock::take(&locks, &run), Err(Error::Busy { .. })));
        assert!(!is_driven(&locks, &other));
        let second = RunLock::take(&locks, &other).unwrap();
        drop(lock);
        assert!(!is_driven(&locks, &run));
        assert!(is_driven(&locks, &other));
        drop(second);
        assert_eq!(std::fs::metadata(&locks).unwrap().len(), 0);
    }

    #[test]
    fn queries_never_block_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        let locks = directory.path().join("locks");
        let run = RunId::new("r1");
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let _either = is_driven(&locks, &run);
                }
            });
            let taken = (0..2_000).all(|_| RunLock::take(&locks, &run).is_ok());
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(taken);
        });
    }

    #[test]
    fn lock_directories_of_earlier_versions_are_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let locks = directory.path().join("locks");
        std::fs::create_dir(&locks).unwrap();
        std::fs::write(locks.join("r0"), "").unwrap();
        assert!(RunLock::take(&locks, &RunId::new("r1")).is_ok());
        assert!(locks.is_file());
    }
}
