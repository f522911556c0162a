//! The unacknowledged events of one attempt: a window in memory, the rest in a file, one cursor.
//!
//! Sequence numbers are assigned here and nowhere else. The file has the frames of the wire, so
//! that a later process can read it back. Must not know connections or processes.

mod spill;

use std::{collections::VecDeque, path::PathBuf};

use plue_wire::{
    encode,
    runner::{
        AttemptEvent, AttemptResult, Claim, EventKind, FromRunner, INITIAL_CREDIT_BYTES,
        MAX_FRAME_BYTES, Resume,
    },
};

use self::spill::Spill;
use crate::Error;

/// Bytes of unacknowledged events of one attempt in memory; more goes to its file.
const MEMORY_BYTES: usize = 1024 * 1024;
/// Least cost of an event in bytes, so that many small ones are bounded too.
pub(crate) const MIN_EVENT_COST: usize = 64;

#[derive(Debug)]
pub(crate) struct Outbox {
    claim: Claim,
    /// Frames of the oldest events.
    memory: VecDeque<Vec<u8>>,
    memory_bytes: usize,
    /// The number of the oldest event in the outbox.
    first: u64,
    /// The number that the next event gets.
    next: u64,
    /// The number of the next event to send.
    cursor: u64,
    /// Bytes that may be sent and unacknowledged at once.
    credit: u64,
    in_flight: u64,
    /// Frames of newer events, on disk.
    spill: Spill,
    /// Frames of the newest events, while the disk refuses them.
    overflow: VecDeque<Vec<u8>>,
    ended: bool,
}

// === impl Outbox ===

impl Outbox {
    /// An empty one; the file is made when it is needed.
    pub(crate) fn new(claim: Claim, file: PathBuf) -> Self {
        Self {
            claim,
            memory: VecDeque::new(),
            memory_bytes: 0,
            first: 1,
            next: 1,
            cursor: 1,
            credit: INITIAL_CREDIT_BYTES,
            in_flight: 0,
            spill: Spill::new(file),
            overflow: VecDeque::new(),
            ended: false,
        }
    }

    /// The events of an earlier process in the file; empty when there is no file.
    ///
    /// # Errors
    /// The file exists and cannot be read.
    pub(crate) fn load(claim: Claim, file: PathBuf) -> Result<Self, Error> {
        let mut outbox = Self::new(claim, file);
        let found = outbox.spill.load(&outbox.claim)?;
        outbox.first = found.first;
        outbox.cursor = found.first;
        outbox.next = found.next;
        outbox.ended = found.ended;
        Ok(outbox)
    }

    /// Appends an event; returns the bytes it takes until it is acknowledged.
    ///
    /// # Errors
    /// The event is larger than a frame.
    pub(crate) fn push(&mut self, at_us: i64, kind: EventKind) -> Result<usize, Error> {
        let event = AttemptEvent { claim: self.claim.clone(), seq: self.next, at_us, kind };
        self.append(&FromRunner::Event(event))
    }

    /// Appends the result under the next number. Nothing may follow.
    ///
    /// # Errors
    /// The result is larger than a frame.
    pub(crate) fn end(&mut self, mut result: AttemptResult) -> Result<(), Error> {
        result.seq = self.next;
        self.append(&FromRunner::Result(result))?;
        self.ended = true;
        Ok(())
    }

    fn append(&mut self, message: &FromRunner) -> Result<usize, Error> {
        let frame = encode(message, MAX_FRAME_BYTES)?;
        let bytes = frame.len();
        self.drain_overflow();
        let is_last = self.spill.is_empty() && self.overflow.is_empty();
        if is_last && self.memory_bytes + frame.len() <= MEMORY_BYTES {
            self.memory_bytes += frame.len();
            self.memory.push_back(frame);
        } else if !self.overflow.is_empty() || !self.spill.append(&frame) {
            // Events stay in memory while the disk refuses them: a byte that was read is never
            // lost. The owner sees `disk_failed` and stops reading.
            self.overflow.push_back(frame);
        }
        self.next += 1;
        Ok(bytes)
    }

    /// Writes frames to the disk that it refused before.
    fn drain_overflow(&mut self) {
        while let Some(frame) = self.overflow.front() {
            if !self.spill.append(frame) {
                return;
            }
            self.overflow.pop_front();
        }
    }

    /// Whether the file could not be written.
    pub(crate) fn disk_failed(&self) -> bool {
        !self.overflow.is_empty() || self.spill.failed()
    }

    /// Moves everything to the file, so that it survives this process.
    pub(crate) fn persist(&mut self) {
        if !self.memory.is_empty() && self.spill.prepend(&self.memory) {
            self.memory.clear();
            self.memory_bytes = 0;
        }
        self.drain_overflow();
    }

    /// The next frame to send, if there is one and the credit allows it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn next_frame(&mut self, out: &mut Vec<u8>) -> Result<bool, Error> {
        if self.cursor >= self.next || self.in_flight >= self.credit {
            return Ok(false);
        }
        let before = out.len();
        self.read(self.cursor, out)?;
        self.in_flight += u64::try_from(out.len() - before).unwrap_or(0);
        self.cursor += 1;
        Ok(true)
    }

    fn read(&self, seq: u64, out: &mut Vec<u8>) -> Result<(), Error> {
        let at = usize::try_from(seq - self.first).unwrap_or(usize::MAX);
        if let Some(frame) = self.memory.get(at) {
            out.extend_from_slice(frame);
            return Ok(());
        }
        let at = at - self.memory.len();
        match at.checked_sub(self.spill.len()).and_then(|at| self.overflow.get(at)) {
            Some(frame) => out.extend_from_slice(frame),
            None => self.spill.read(at, out)?,
        }
        Ok(())
    }

    /// Drops committed events up to this number; returns the bytes freed. The result itself stays
    /// until its own verdict.
    pub(crate) fn ack(&mut self, seq: u64) -> usize {
        let last = if self.ended { self.next - 1 } else { self.next };
        let mut freed = 0;
        while self.first <= seq && self.first < last {
            let bytes = match self.memory.pop_front() {
                Some(frame) => {
                    self.memory_bytes -= frame.len();
                    frame.len()
                }
                None if self.spill.is_empty() => {
                    self.overflow.pop_front().map_or(0, |frame| frame.len())
                }
                None => self.spill.forget_first(),
            };
            if self.first < self.cursor {
                let sent = u64::try_from(bytes).unwrap_or(u64::MAX);
                self.in_flight = self.in_flight.saturating_sub(sent);
            }
            freed += bytes;
            self.first += 1;
        }
        self.cursor = self.cursor.max(self.first);
        freed
    }

    /// Sends everything from this number on again. Numbers before the oldest event become gap
    /// markers: without them the log would look complete.
    ///
    /// # Errors
    /// A marker cannot be written.
    pub(crate) fn rewind(&mut self, seq: u64, at_us: i64) -> Result<(), Error> {
        while seq.max(1) < self.first {
            let marker = FromRunner::Event(AttemptEvent {
                claim: self.claim.clone(),
                seq: self.first - 1,
                at_us,
                kind: EventKind::Gap {
                    bytes: 0,
                    reason: "events are no longer held by the runner".to_owned(),
                },
            });
            let frame = encode(&marker, MAX_FRAME_BYTES)?;
            self.memory_bytes += frame.len();
            self.memory.push_front(frame);
            self.first -= 1;
        }
        self.cursor = seq.max(self.first).min(self.next);
        self.in_flight = 0;
        Ok(())
    }

    /// The engine has more events of this attempt than this process: continue after them.
    pub(crate) fn skip_to(&mut self, acked: u64) {
        if acked >= self.next {
            self.ack(acked);
            self.first = acked + 1;
            self.next = acked + 1;
            self.cursor = acked + 1;
        }
    }

    /// Sends the result again.
    pub(crate) fn resend_result(&mut self) {
        if self.ended && self.cursor == self.next {
            self.cursor = self.next - 1;
        }
    }

    /// Allows this many further bytes in flight.
    pub(crate) fn add_credit(&mut self, bytes: u64) {
        self.credit = self.credit.saturating_add(bytes);
    }

    /// Whether every event was acknowledged.
    pub(crate) fn is_empty(&self) -> bool {
        self.first == self.next
    }

    /// Whether the result is in here.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Whether an event is in memory only.
    pub(crate) fn is_volatile(&self) -> bool {
        !self.memory.is_empty() || !self.overflow.is_empty()
    }

    /// The attempt's entry in a greeting.
    pub(crate) fn resume(&self, started: bool) -> Resume {
        Resume {
            claim: self.claim.clone(),
            started,
            first_seq: self.first,
            last_seq: self.next - 1,
            ended: self.ended,
        }
    }

    /// Deletes the file of the outbox.
    pub(crate) fn forget(&mut self) {
        self.spill.delete();
    }
}

#[cfg(test)]
mod tests;
