//! The fences that this runner has taken, on disk: a fence is never run twice, not even by the next
//! process with the same state directory.
//!
//! An append-only file, rewritten at start and when it has grown. Must not know attempts.

use std::{
    collections::{HashMap, VecDeque},
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use plue_plan::AttemptId;
use plue_wire::{
    Splitter, encode,
    runner::{Claim, Fence},
};
use serde::{Deserialize, Serialize};

use crate::{Error, files};

/// Attempts whose last fence is remembered after they are done.
const REMEMBERED: usize = 4_096;
/// Bytes of the file from which on it is rewritten.
const REWRITE_BYTES: u64 = 1024 * 1024;
const MAX_RECORD_BYTES: usize = 64 * 1024;
/// Bytes of the file at most.
const MAX_FILE_BYTES: usize = 64 * 1024 * 1024;

#[derive(Debug)]
pub(crate) struct FenceLog {
    path: PathBuf,
    file: File,
    bytes: u64,
    fences: HashMap<AttemptId, Fence>,
    /// Attempts that are done, oldest first.
    done: VecDeque<Claim>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Record {
    Taken(Claim),
    Done(Claim),
}

// === impl FenceLog ===

impl FenceLog {
    /// Opens the file; returns the claims that earlier processes took and did not finish.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<Claim>), Error> {
        let mut splitter = Splitter::new(MAX_RECORD_BYTES);
        match files::read(path, MAX_FILE_BYTES) {
            Ok(bytes) if bytes.len() > MAX_FILE_BYTES => {
                return Err(Error::state(path)(io::Error::other("it is too long")));
            }
            Ok(bytes) => *splitter.buffer() = bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::state(path)(error)),
        }
        let mut fences = HashMap::new();
        let mut open: Vec<Claim> = Vec::new();
        let mut done = VecDeque::new();
        // A record that was cut off by a kill ends the file.
        while let Ok(Some(record)) = splitter.next_frame() {
            match record {
                Record::Taken(claim) => {
                    fences.insert(claim.attempt.clone(), claim.fence);
                    open.push(claim);
                }
                Record::Done(claim) => {
                    fences.entry(claim.attempt.clone()).or_insert(claim.fence);
                    open.retain(|held| *held != claim);
                    done.push_back(claim);
                }
            }
        }
        let (file, bytes) = rewrite(path, &done, &open).map_err(Error::state(path))?;
        let mut claims = Self { path: path.to_owned(), file, bytes, fences, done };
        claims.forget_old();
        Ok((claims, open))
    }

    /// Whether no attempt was ever taken here.
    pub(crate) fn is_unused(&self) -> bool {
        self.fences.is_empty()
    }

    /// The highest fence that was taken for this attempt.
    pub(crate) fn last(&self, attempt: &AttemptId) -> Option<Fence> {
        self.fences.get(attempt).copied()
    }

    /// Stores that the claim is taken. Only then may it be accepted.
    ///
    /// # Errors
    /// The file cannot be written; the claim must be rejected.
    pub(crate) fn take(&mut self, claim: &Claim) -> Result<(), Error> {
        self.write(&Record::Taken(claim.clone()))?;
        self.fences.insert(claim.attempt.clone(), claim.fence);
        Ok(())
    }

    /// Stores that the claim is finished. If that fails, the engine is asked about it after a
    /// restart.
    pub(crate) fn done(&mut self, claim: Claim, open: &[Claim]) {
        let _asked_again = self.write(&Record::Done(claim.clone()));
        self.done.push_back(claim);
        self.forget_old();
        if self.bytes > REWRITE_BYTES
            && let Ok((file, bytes)) = rewrite(&self.path, &self.done, open)
        {
            self.file = file;
            self.bytes = bytes;
        }
    }

    /// Writes the file again, without open claims: a step may have changed it. `false`: it cannot.
    pub(crate) fn renew(&mut self) -> bool {
        let renewed = rewrite(&self.path, &self.done, &[]);
        let renewed = renewed.map(|(file, bytes)| (self.file, self.bytes) = (file, bytes));
        renewed.is_ok()
    }

    fn write(&mut self, record: &Record) -> Result<(), Error> {
        let frame = encode(record, MAX_RECORD_BYTES)?;
        let written = self.file.write_all(&frame);
        written.map_err(Error::state(&self.path))?;
        self.bytes += u64::try_from(frame.len()).unwrap_or(0);
        Ok(())
    }

    fn forget_old(&mut self) {
        while self.done.len() > REMEMBERED {
            let Some(old) = self.done.pop_front() else {
                return;
            };
            if self.fences.get(&old.attempt) == Some(&old.fence) {
                self.fences.remove(&old.attempt);
            }
        }
    }
}

/// Replaces the file by a compact one.
fn rewrite(path: &Path, done: &VecDeque<Claim>, open: &[Claim]) -> io::Result<(File, u64)> {
    let fresh = path.with_extension("new");
    let mut bytes = Vec::new();
    let records = done.iter().cloned().map(Record::Done);
    for record in records.chain(open.iter().cloned().map(Record::Taken)) {
        bytes.extend(encode(&record, MAX_RECORD_BYTES).map_err(io::Error::other)?);
    }
    let mut file = files::create(&fresh, 0o600)?;
    file.write_all(&bytes)?;
    fs::rename(&fresh, path)?;
    Ok((file, u64::try_from(bytes.len()).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(attempt: &str, fence: u64) -> Claim {
        Claim { attempt: AttemptId::new(attempt), fence: Fence(fence) }
    }

    #[test]
    fn claims_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("claims");
        let (mut claims, open) = FenceLog::open(&path).unwrap();
        assert!(open.is_empty());
        claims.take(&claim("a", 1)).unwrap();
        claims.take(&claim("b", 2)).unwrap();
        claims.done(claim("a", 1), &[claim("b", 2)]);
        drop(claims);
        for _ in 0..2 {
            let (claims, open) = FenceLog::open(&path).unwrap();
            assert_eq!(open, [claim("b", 2)]);
            assert_eq!(claims.last(&AttemptId::new("a")), Some(Fence(1)));
        }
    }

    #[test]
    fn a_record_cut_off_by_a_kill_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("claims");
        let (mut claims, _) = FenceLog::open(&path).unwrap();
        claims.take(&claim("a", 1)).unwrap();
        claims.take(&claim("b", 2)).unwrap();
        drop(claims);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let (_, open) = FenceLog::open(&path).unwrap();
        assert_eq!(open, [claim("a", 1)]);
    }

    #[test]
    fn the_file_stays_small() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("claims");
        let (mut claims, _) = FenceLog::open(&path).unwrap();
        for fence in 1..60_000 {
            let claim = claim(&format!("attempt-{fence}"), fence);
            claims.take(&claim).unwrap();
            claims.done(claim, &[]);
        }
        assert!(path.metadata().unwrap().len() <= REWRITE_BYTES + 64);
        assert!(claims.fences.len() <= REMEMBERED);
    }
}
