//! The pieces of one open log: their numbers and places, and which of them are stored.
//!
//! A piece is shown with the number and the offsets under which it is stored. Must not know a database.

use std::collections::VecDeque;

use jiff::Timestamp;
use plue_wire::runner::MAX_CHUNK_BYTES;

use crate::{
    attempt::Held,
    log::{LogPiece, LogStream},
};

/// Numbers that are left out when a log is opened: an engine that died may have shown that many pieces
/// which were never stored, and followers who come back ask for what is behind them.
pub(crate) const JUMP: u64 = 1 << 24;
/// Bytes of pieces that are kept for followers, not counting unstored ones.
const KEPT_BYTES: usize = 32 * 1024;
/// Pieces that are shown and not stored; more text waits and becomes one piece.
const MAX_UNSTORED: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Pieces {
    /// The place of the next piece.
    next: Position,
    /// The newest pieces, with every one that is not stored.
    kept: VecDeque<LogPiece>,
    kept_bytes: usize,
    /// No piece up to this number is kept.
    behind: u64,
    /// Pieces up to this number are stored.
    stored: u64,
    unstored: usize,
    /// Text and remarks without a number yet.
    waiting: VecDeque<(LogStream, Vec<u8>)>,
    waiting_bytes: usize,
    /// Numbers and places are unknown: the log is not read yet, or something else is being stored.
    is_held: bool,
    limit: u64,
    dropped: u64,
}

/// Number, offset and line of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Position {
    seq: u64,
    byte: u64,
    line: u64,
}

/// The pieces of an open log behind a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LivePieces {
    /// These; none: there are none yet.
    Shown(Vec<LogPiece>),
    /// The next one is only in the database.
    Older,
    /// The log is not open any more: what there is, is in the database.
    Over,
}

// === impl Pieces ===

impl Pieces {
    /// A log whose length is not known yet.
    pub(crate) fn held(limit: u64) -> Self {
        Self { is_held: true, limit, ..Self::default() }
    }

    /// Goes on behind what is stored.
    pub(crate) fn begin(&mut self, held: &Held) {
        let reach = held.ack_seq.max(held.log_seq);
        self.next = Position { seq: reach + JUMP, byte: held.log_bytes, line: held.log_newlines };
        (self.behind, self.stored) = (reach, reach);
        self.is_held = false;
    }

    /// Adds text behind everything else, as far as the limit of the log allows. `true`: there is
    /// something new to see.
    pub(crate) fn add(&mut self, mut bytes: Vec<u8>, at: Timestamp) -> bool {
        let room = self.limit.saturating_sub(self.next.byte + self.waiting_bytes as u64);
        let fits = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        let over = (bytes.len() - fits) as u64;
        bytes.truncate(fits);
        self.waiting_bytes += bytes.len();
        match self.waiting.back_mut() {
            Some((LogStream::Stdout, last)) => last.append(&mut bytes),
            _ if bytes.is_empty() => {}
            _ => self.waiting.push_back((LogStream::Stdout, bytes)),
        }
        if over > 0 && self.dropped == 0 {
            let limit = self.limit;
            let note =
                format!("the log has reached its limit of {limit} bytes; what follows is dropped");
            self.waiting.push_back((LogStream::Note, note.into_bytes()));
        }
        self.dropped += over;
        self.show(at)
    }

    /// Adds the remark about dropped bytes, if there are any.
    pub(crate) fn finish(&mut self, at: Timestamp) -> bool {
        if self.dropped == 0 {
            return false;
        }
        let gap = format!("{} the log is over its limit", std::mem::take(&mut self.dropped));
        self.waiting.push_back((LogStream::Gap, gap.into_bytes()));
        self.show(at)
    }

    /// Gives what waits its numbers, unless it has to wait on.
    fn show(&mut self, at: Timestamp) -> bool {
        self.unstored < MAX_UNSTORED && self.show_all(at)
    }

    /// The same, however many pieces are not stored.
    pub(crate) fn show_all(&mut self, at: Timestamp) -> bool {
        if self.is_held || self.waiting.is_empty() {
            return false;
        }
        self.waiting_bytes = 0;
        for (stream, bytes) in std::mem::take(&mut self.waiting) {
            if bytes.len() <= MAX_CHUNK_BYTES {
                self.push(stream, bytes, at);
                continue;
            }
            for chunk in bytes.chunks(MAX_CHUNK_BYTES) {
                self.push(stream, chunk.to_vec(), at);
            }
        }
        true
    }

    fn push(&mut self, stream: LogStream, bytes: Vec<u8>, at: Timestamp) {
        let Position { seq, byte, line } = self.next;
        let piece = LogPiece { seq, at, stream, first_byte: byte, first_line: line, bytes };
        self.unstored += 1;
        self.keep(piece);
    }

    fn keep(&mut self, piece: LogPiece) {
        let lines = match piece.stream.is_output() {
            true => memchr::memchr_iter(b'\n', &piece.bytes).count() as u64,
            false => 0,
        };
        let line = piece.first_line + lines;
        // Events of the runner may have lower numbers than text.
        let seq = self.next.seq.max(piece.seq + 1);
        self.next = Position { seq, byte: piece.end(), line };
        self.kept_bytes += piece.bytes.len();
        self.kept.push_back(piece);
        self.trim();
    }

    /// Lets the oldest stored pieces go.
    fn trim(&mut self) {
        while self.kept_bytes > KEPT_BYTES
            && self.kept.front().is_some_and(|piece| piece.seq <= self.stored)
            && let Some(piece) = self.kept.pop_front()
        {
            self.kept_bytes -= piece.bytes.len();
            self.behind = piece.seq;
        }
    }

    /// The pieces that are to be stored.
    pub(crate) fn unstored(&self) -> Vec<LogPiece> {
        let from = self.kept.len().saturating_sub(self.unstored);
        self.kept.range(from..).cloned().collect()
    }

    /// Bytes that have no number yet.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Whether everything is stored.
    pub(crate) fn is_stored(&self) -> bool {
        self.unstored == 0 && self.waiting.is_empty()
    }

    /// Gives out no numbers until [`Pieces::stored`] or [`Pieces::release`].
    pub(crate) fn hold(&mut self) {
        self.is_held = true;
    }

    /// Numbers are given out again. `true`: there is something new to see.
    pub(crate) fn release(&mut self, at: Timestamp) -> bool {
        self.is_held = false;
        self.show(at)
    }

    /// Pieces up to this number are stored, with those that events of the runner became. `true`: there is
    /// something new to see.
    pub(crate) fn stored(&mut self, upto: u64, pieces: Vec<LogPiece>, at: Timestamp) -> bool {
        self.stored = self.stored.max(upto);
        let is_new = !pieces.is_empty();
        for piece in pieces {
            self.stored = piece.seq;
            self.keep(piece);
        }
        self.unstored = self.kept.iter().rev().take_while(|piece| piece.seq > self.stored).count();
        self.trim();
        self.is_held = false;
        self.show(at) || is_new
    }

    /// The pieces behind a number.
    pub(crate) fn behind(&self, seq: u64) -> LivePieces {
        if seq < self.behind {
            return LivePieces::Older;
        }
        let from = self.kept.partition_point(|piece| piece.seq <= seq);
        LivePieces::Shown(self.kept.range(from..).cloned().collect())
    }
}

#[cfg(test)]
mod tests;
