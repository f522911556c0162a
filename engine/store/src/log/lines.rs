//! Consecutive lines of a log, each with its first bytes only: a line of many megabytes costs no more
//! than one of [`LineWindow::cap`] bytes.

use std::ops::Range;

use jiff::Timestamp;
use plue_plan::AttemptId;

use super::{LogPiece, LogRange, LogStream, read::cut};
use crate::{error::Error, handles::Logs};

/// Rows read at a time.
const PAGE: usize = 4;
/// Bytes before the first line that are returned with it.
const LOOK_BACK: u64 = 64 * 1024;

/// The part of a log that a reader wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineWindow {
    /// The lines, from 0.
    pub lines: Range<u64>,
    /// Bytes of each line at most.
    pub cap: usize,
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Its number, from 0.
    pub number: u64,
    /// Offset of its first byte.
    pub first_byte: u64,
    /// Its length in bytes, without the line end.
    pub length: u64,
    /// Time of its first byte, by the runner's clock.
    pub at: Timestamp,
    /// Stream of its first byte.
    pub stream: LogStream,
    /// Its first bytes, without the line end.
    pub bytes: Vec<u8>,
}

/// Consecutive lines of a log, and their surroundings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogLines {
    /// The lines, in order.
    pub lines: Vec<LogLine>,
    /// Gaps and notes between them.
    pub remarks: Vec<LogPiece>,
    /// Up to 64 KiB before the first line; terminal styles that are still on were set there.
    pub before: Vec<u8>,
}

/// Collects lines from pieces.
struct Collector<'w> {
    window: &'w LineWindow,
    found: LogLines,
    /// The line that has not ended yet.
    open: Option<LogLine>,
    /// Number of the next line that begins.
    number: u64,
}

impl Logs<'_> {
    /// Lines of a log. Lines behind the end are left out. Reads the rows of the window, and of longer
    /// lines only those of their first bytes.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn lines_in(
        self,
        attempt: &AttemptId,
        window: &LineWindow,
    ) -> Result<LogLines, Error> {
        let Some(length) = self.length(attempt).await? else {
            return Ok(LogLines::default());
        };
        let mut from = self.line_start(attempt, &length, window.lines.start).await?;
        let mut collector = Collector {
            window,
            found: LogLines { before: self.before(attempt, from).await?, ..LogLines::default() },
            open: None,
            number: window.lines.start,
        };
        let mut before = self.row_before(attempt, from).await?;
        loop {
            let (pieces, last) = self.page(attempt, before, PAGE).await?;
            for piece in pieces {
                let inside = cut(piece, from, length.bytes);
                if inside.is_some_and(|piece| !collector.take(&piece)) {
                    return Ok(collector.found);
                }
            }
            let Some(last) = last else { break };
            before = last;
            if let Some(line) = collector.skipped() {
                from = self.line_start(attempt, &length, line + 1).await?;
                before = before.max(self.row_before(attempt, from).await?);
                collector.end_line(from, length.newlines > line);
            }
        }
        collector.finish();
        Ok(collector.found)
    }

    /// The offset at which a line starts, counted from 0; the end of the log if there is no such line.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn line_offset(self, attempt: &AttemptId, line: u64) -> Result<u64, Error> {
        let Some(length) = self.length(attempt).await? else { return Ok(0) };
        self.line_start(attempt, &length, line).await
    }

    /// The bytes before an offset.
    async fn before(self, attempt: &AttemptId, offset: u64) -> Result<Vec<u8>, Error> {
        if offset == 0 {
            return Ok(Vec::new());
        }
        let range = LogRange::Bytes(offset.saturating_sub(LOOK_BACK)..offset);
        let pieces = self.read(attempt, range).await?;
        let output = pieces.into_iter().filter(|piece| piece.stream.is_output());
        Ok(output.flat_map(|piece| piece.bytes).collect())
    }
}

// === impl Collector ===

impl Collector<'_> {
    /// Takes in the next piece; `false`: the window is full.
    fn take(&mut self, piece: &LogPiece) -> bool {
        if !piece.stream.is_output() {
            self.found.remarks.push(piece.clone());
            return true;
        }
        let mut at = piece.first_byte;
        for part in piece.bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.open.is_none() && self.number >= self.window.lines.end {
                return false;
            }
            let cap = self.window.cap;
            let line = self.open.get_or_insert_with(|| LogLine {
                number: self.number,
                first_byte: at,
                length: 0,
                at: piece.at,
                stream: piece.stream,
                bytes: Vec::new(),
            });
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            line.length += text.len() as u64;
            let room = cap.saturating_sub(line.bytes.len()).min(text.len());
            line.bytes.extend_from_slice(&text[..room]);
            at += part.len() as u64;
            if text.len() < part.len() {
                self.finish();
            }
        }
        self.open.is_some() || self.number < self.window.lines.end
    }

    /// The open line, if the rest of it is not wanted.
    fn skipped(&self) -> Option<u64> {
        let full = |line: &&LogLine| line.bytes.len() >= self.window.cap;
        self.open.as_ref().filter(full).map(|line| line.number)
    }

    /// Ends the open line, whose successor begins at an offset.
    fn end_line(&mut self, next: u64, has_line_end: bool) {
        if let Some(line) = &mut self.open {
            line.length = (next - line.first_byte).saturating_sub(u64::from(has_line_end));
        }
        self.finish();
    }

    fn finish(&mut self) {
        if let Some(line) = self.open.take() {
            self.number = line.number + 1;
            self.found.lines.push(line);
        }
    }
}
