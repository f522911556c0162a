//! The logs of attempts.
//!
//! The bytes of both streams form one text in the order of the events; byte offsets and line numbers
//! (both from 0) count in that text. A line ends behind its `\n`; what follows the last one is a line
//! too. Remarks (gaps, notes) stand between bytes and take no room. Nothing is decoded: what a process
//! printed comes back byte for byte.

mod block;
mod find;
mod lines;
mod matches;
mod offload;
mod pack;
mod read;
mod search;

use std::{ops::Range, str::FromStr};

use jiff::Timestamp;

pub use lines::{LineWindow, LogLine, LogLines};
pub use matches::{LogMatches, LogPattern, MatchBounds, PatternForm};
pub(crate) use pack::is_worth_packing;

/// Source of a piece of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogStream {
    /// The process's standard output.
    Stdout,
    /// The process's standard error.
    Stderr,
    /// Not bytes of the log: some are missing here. The piece's bytes are their number, a space, and
    /// the reason.
    Gap,
    /// Not bytes of the log: a remark of the runner about its own work.
    Note,
}

/// A part of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogRange {
    /// These bytes.
    Bytes(Range<u64>),
    /// These lines.
    Lines(Range<u64>),
    /// The last lines.
    Tail(u64),
    /// Whole pieces behind this event number (0: from the start), at least one, then until so many
    /// bytes: `After(last.seq, max)` follows a log.
    After(u64, u64),
}

/// Consecutive bytes of one stream, or a remark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPiece {
    /// The event's number in the attempt's sequence.
    pub seq: u64,
    /// Time by the runner's clock.
    pub at: Timestamp,
    pub stream: LogStream,
    /// Offset of the first byte.
    pub first_byte: u64,
    /// Line of the first byte.
    pub first_line: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Length of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogStat {
    /// Bytes.
    pub bytes: u64,
    /// Lines, an unfinished last one included.
    pub lines: u64,
    /// Whether nothing more will come.
    pub ended: bool,
}

/// A place where a text was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogHit {
    pub line: u64,
    /// Offset of the first byte of the text.
    pub byte: u64,
    /// The line's bytes around the text, at most 1 KiB.
    pub text: Vec<u8>,
}

/// Position at which a search of a log continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogPosition {
    pub byte: u64,
    /// The line of this byte was found; the search goes on behind it.
    pub in_line: bool,
}

/// Result of a search in a part of a log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogFound {
    /// The lines, each with the first place of the text in it.
    pub hits: Vec<LogHit>,
    /// Position to continue from; none: the log has been searched to its end.
    pub next: Option<LogPosition>,
    /// Bytes that were looked through.
    pub bytes: u64,
}

/// The stream of rows that hold many pieces.
pub(crate) const BLOCK: &str = "block";

// === impl LogStream ===

impl LogStream {
    pub const ALL: &'static [Self] = &[Self::Stdout, Self::Stderr, Self::Gap, Self::Note];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Gap => "gap",
            Self::Note => "note",
        }
    }

    /// Whether the bytes were printed by the process.
    #[must_use]
    pub const fn is_output(self) -> bool {
        match self {
            Self::Stdout | Self::Stderr => true,
            Self::Gap | Self::Note => false,
        }
    }
}

impl FromStr for LogStream {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().copied().find(|stream| stream.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is not a log stream"))
    }
}

// === impl LogPiece ===

impl LogPiece {
    /// Bytes that it takes in the log.
    #[must_use]
    pub fn length(&self) -> u64 {
        if self.stream.is_output() { self.bytes.len() as u64 } else { 0 }
    }

    /// Offset behind its last byte.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.first_byte + self.length()
    }

    /// Number of missing bytes of a [`LogStream::Gap`].
    #[must_use]
    pub fn missing(&self) -> Option<u64> {
        if self.stream != LogStream::Gap {
            return None;
        }
        let text = std::str::from_utf8(&self.bytes).ok()?;
        text.split(' ').next()?.parse().ok()
    }
}
