//! The file behind an outbox: appended frames and an index of those still needed.
//!
//! Freed space at the front is given back to the file system. Must not interpret events beyond
//! their claim and number.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufReader, Read as _},
    os::unix::fs::FileExt as _,
    path::PathBuf,
};

use plue_wire::{
    decode, frame,
    runner::{Claim, FromRunner, MAX_FRAME_BYTES},
};

use crate::{Error, files};

/// Freed bytes at the front that are worth a system call.
const PUNCH_BYTES: u64 = 16 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Spill {
    path: PathBuf,
    file: Option<File>,
    index: VecDeque<FrameSpan>,
    end: u64,
    punched: u64,
    failed: bool,
    #[cfg(test)]
    full: bool,
}

#[derive(Debug, Clone, Copy)]
struct FrameSpan {
    offset: u64,
    bytes: usize,
}

/// The events in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SpillContents {
    pub(super) first: u64,
    pub(super) next: u64,
    pub(super) ended: bool,
}

// === impl Spill ===

impl Spill {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            file: None,
            index: VecDeque::new(),
            end: 0,
            punched: 0,
            failed: false,
            #[cfg(test)]
            full: false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn failed(&self) -> bool {
        self.failed
    }

    /// Appends a frame; `false` when the disk refuses.
    pub(super) fn append(&mut self, bytes: &[u8]) -> bool {
        match self.write(bytes) {
            Ok(span) => {
                self.failed = false;
                self.index.push_back(span);
                true
            }
            Err(_) => {
                self.failed = true;
                false
            }
        }
    }

    /// Writes frames that come before those in the index; `false` when the disk refuses.
    pub(super) fn prepend(&mut self, frames: &VecDeque<Vec<u8>>) -> bool {
        let spans: io::Result<Vec<_>> = frames.iter().map(|bytes| self.write(bytes)).collect();
        let Ok(spans) = spans else {
            self.failed = true;
            return false;
        };
        for span in spans.into_iter().rev() {
            self.index.push_front(span);
        }
        true
    }

    /// From now on the disk refuses, or takes again.
    #[cfg(test)]
    pub(super) fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<FrameSpan> {
        #[cfg(test)]
        if self.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(files::create(&self.path, 0o600)?),
        };
        file.write_all_at(bytes, self.end)?;
        let span = FrameSpan { offset: self.end, bytes: bytes.len() };
        self.end += u64::try_from(bytes.len()).unwrap_or(0);
        Ok(span)
    }

    /// Reads the frame at this place of the index.
    pub(super) fn read(&self, at: usize, out: &mut Vec<u8>) -> Result<(), Error> {
        let (Some(span), Some(file)) = (self.index.get(at), &self.file) else {
            return Err(Error::state(&self.path)(io::ErrorKind::NotFound.into()));
        };
        let from = out.len();
        out.resize(from + span.bytes, 0);
        let target = out.get_mut(from..).unwrap_or_default();
        let read = file.read_exact_at(target, span.offset);
        read.map_err(Error::state(&self.path))
    }

    /// Drops the first frame and gives its size.
    pub(super) fn forget_first(&mut self) -> usize {
        let Some(span) = self.index.pop_front() else {
            return 0;
        };
        let Some(file) = &self.file else {
            return span.bytes;
        };
        if self.index.is_empty() {
            // The next write finds out whether the disk accepts data again.
            self.failed = false;
            // Failing to shrink costs disk, nothing else.
            let _kept = file.set_len(0);
            self.end = 0;
            self.punched = 0;
        } else if span.offset >= self.punched + PUNCH_BYTES {
            let flags =
                rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
            let _kept =
                rustix::fs::fallocate(file, flags, self.punched, span.offset - self.punched);
            self.punched = span.offset;
        }
        span.bytes
    }

    /// Reads the index back. Frames after the first damaged or foreign one are ignored: a process
    /// that was killed may have left half a frame at the end.
    pub(super) fn load(&mut self, claim: &Claim) -> Result<SpillContents, Error> {
        let mut found = SpillContents { first: 1, next: 1, ended: false };
        let file = match files::open_to_write(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            Err(error) => return Err(Error::state(&self.path)(error)),
        };
        let mut reader = BufReader::new(&file);
        let mut spans = Vec::new();
        while let Some((seq, ended, bytes)) = next_frame(&mut reader, claim) {
            found.ended |= ended;
            spans.push((seq, FrameSpan { offset: self.end, bytes }));
            self.end += u64::try_from(bytes).unwrap_or(0);
        }
        spans.sort_by_key(|(seq, _)| *seq);
        // Only the last contiguous part counts; an earlier one was acknowledged long ago.
        let mut expected = None;
        for (seq, span) in spans {
            if expected != Some(seq) {
                self.index.clear();
                found.first = seq;
            }
            self.index.push_back(span);
            expected = Some(seq + 1);
            found.next = seq + 1;
        }
        // The rest is half a frame, which must never be read as a complete one.
        let _kept = file.set_len(self.end);
        self.file = Some(file);
        Ok(found)
    }

    pub(super) fn delete(&mut self) {
        if self.file.take().is_some() {
            let _gone = std::fs::remove_file(&self.path);
        }
        self.index.clear();
        self.end = 0;
    }
}

fn next_frame(reader: &mut impl io::Read, claim: &Claim) -> Option<(u64, bool, usize)> {
    let mut prefix = [0; frame::PREFIX_BYTES];
    reader.read_exact(&mut prefix).ok()?;
    let length = frame::length(prefix, MAX_FRAME_BYTES).ok()?;
    let mut body = Vec::new();
    let announced = u64::try_from(length).ok()?;
    reader.take(announced).read_to_end(&mut body).ok()?;
    let (of, seq, ended) = match decode(&body).ok()? {
        FromRunner::Event(event) => (event.claim, event.seq, false),
        FromRunner::Result(result) => (result.claim, result.seq, true),
        FromRunner::Hello(_)
        | FromRunner::Ready
        | FromRunner::Accept(_)
        | FromRunner::Reject(..)
        | FromRunner::Heartbeat(_)
        | FromRunner::Draining(..)
        | FromRunner::Ask(_)
        | FromRunner::Workspace(_)
        | FromRunner::Left(_) => return None,
    };
    (of == *claim).then_some((seq, ended, frame::PREFIX_BYTES + length))
}
