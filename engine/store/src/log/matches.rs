//! Counting the lines of a log that match a pattern, and where the first ones are.
//!
//! Patterns are of linear time. Rows are unpacked and searched on threads for computations; a dropped
//! future stops within one of them. Must not hold more of a log than [`PAGE`] rows.

use std::time::Duration;

use plue_plan::{
    AttemptId,
    budget::{Budget, Meter, Stopped},
};
use plue_runtime::foreign::{self, Limits};
use regex::bytes::{Regex, RegexBuilder};

use super::{
    LogHit, LogPosition, block,
    read::{RawRow, cut},
    search::WINDOW,
};
use crate::{error::Error, handles::LogSearch};

/// Rows searched in one computation.
const PAGE: usize = 8;
/// Bytes of a line that are searched as one text; a longer line is searched in parts.
const MAX_LINE: usize = 1024 * 1024;
/// Bytes of a pattern.
const MAX_PATTERN: usize = 4 * 1024;
/// Bytes of a compiled pattern and of its caches.
const MAX_COMPILED: usize = 2 * 1024 * 1024;

const SEARCHING: Limits = Limits {
    name: "log search",
    budget: Budget { bytes: u64::MAX, items: u64::MAX, steps: u64::MAX },
    cpu: Duration::from_secs(10),
    wall: Duration::from_secs(30),
};

/// A compiled pattern for lines. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LogPattern(Regex);

/// Form of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PatternForm {
    /// Whether it is a regular expression; else a text.
    pub is_regex: bool,
    /// Whether letters of both cases are the same.
    pub ignores_case: bool,
}

/// Bounds of one search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MatchBounds {
    /// Lines that are returned with their text.
    pub texts: usize,
    /// Lines that are returned by their number.
    pub lines: usize,
    /// Bytes to search; a page of rows more at most.
    pub bytes: u64,
}

/// Matches in a part of a log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogMatches {
    /// Lines that match.
    pub count: u64,
    /// Numbers of the first of them, from 0.
    pub lines: Vec<u64>,
    /// The first of them with the text around the match.
    pub hits: Vec<LogHit>,
    /// The place at which the search continues; none: the log was searched to its end.
    pub next: Option<LogPosition>,
    /// Bytes that were searched.
    pub bytes: u64,
}

/// A search between two pages of rows.
struct Scan {
    pattern: LogPattern,
    bounds: MatchBounds,
    found: LogMatches,
    /// Bytes that are not searched yet: the start of a line.
    rest: Vec<u8>,
    first_byte: u64,
    line: u64,
    /// The line of [`Scan::rest`] matched already.
    in_line: bool,
    from: u64,
    is_placed: bool,
}

impl LogSearch<'_> {
    /// Counts the lines that match a pattern, from a place on.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn matches(
        self,
        attempt: &AttemptId,
        pattern: &LogPattern,
        from: LogPosition,
        bounds: MatchBounds,
    ) -> Result<LogMatches, Error> {
        let mut scan = Scan::new(pattern.clone(), from, bounds);
        let mut before = if from.byte == 0 {
            0
        } else {
            self.store.logs().row_before(attempt, from.byte).await?
        };
        loop {
            let (rows, last) = self.store.logs().raw_page(attempt, before, PAGE, u64::MAX).await?;
            let is_last = last.is_none();
            let work = move |meter: &Meter| Ok(scan.take(rows, is_last, meter));
            let done = foreign::compute(SEARCHING, work).await;
            scan = done.map_err(|error| Error::Stopped(error.to_string()))??;
            match last {
                Some(last) if scan.found.bytes < bounds.bytes || scan.place() == from => {
                    before = last;
                }
                Some(_) => {
                    scan.found.next = Some(scan.place());
                    return Ok(scan.found);
                }
                None => return Ok(scan.found),
            }
        }
    }
}

// === impl LogPattern ===

impl LogPattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// It is empty, too long, no regular expression, or too large when compiled.
    pub fn new(text: &str, form: PatternForm) -> Result<Self, String> {
        if text.is_empty() || text.len() > MAX_PATTERN {
            return Err(format!("a pattern has 1 to {MAX_PATTERN} bytes"));
        }
        let escaped = if form.is_regex { text.to_owned() } else { regex::escape(text) };
        let compiled = RegexBuilder::new(&escaped)
            .case_insensitive(form.ignores_case)
            .multi_line(true)
            .size_limit(MAX_COMPILED)
            .dfa_size_limit(MAX_COMPILED)
            .build();
        compiled.map(Self).map_err(|error| error.to_string())
    }
}

// === impl Scan ===

impl Scan {
    fn new(pattern: LogPattern, from: LogPosition, bounds: MatchBounds) -> Self {
        Self {
            pattern,
            bounds,
            found: LogMatches::default(),
            rest: Vec::new(),
            first_byte: from.byte,
            line: 0,
            in_line: from.in_line,
            from: from.byte,
            is_placed: false,
        }
    }

    fn place(&self) -> LogPosition {
        LogPosition { byte: self.first_byte, in_line: self.in_line }
    }

    /// Searches the next rows.
    fn take(mut self, rows: Vec<RawRow>, is_last: bool, meter: &Meter) -> Result<Self, Error> {
        let stopped = |stopped: Stopped| Error::Stopped(stopped.to_string());
        for row in rows {
            meter.look().map_err(stopped)?;
            for piece in row.unpack()?.into_iter().filter(|piece| piece.stream.is_output()) {
                let Some(piece) = cut(piece, self.from, u64::MAX) else { continue };
                if !self.is_placed {
                    (self.first_byte, self.line) = (piece.first_byte, piece.first_line);
                    self.is_placed = true;
                }
                self.found.bytes += piece.length();
                self.rest.extend_from_slice(&piece.bytes);
            }
            self.search_lines();
        }
        if is_last {
            let end = self.rest.len();
            self.search(end);
        }
        Ok(self)
    }

    /// Searches the lines that are complete, and what is too long to wait for its end.
    fn search_lines(&mut self) {
        match memchr::memrchr(b'\n', &self.rest) {
            Some(end) => self.search(end + 1),
            None if self.rest.len() > MAX_LINE => self.search(self.rest.len()),
            None => {}
        }
    }

    /// Searches up to an offset in [`Scan::rest`] and drops that part.
    fn search(&mut self, end: usize) {
        let rest = self.rest.split_off(end);
        let text = std::mem::replace(&mut self.rest, rest);
        let mut at = 0;
        if self.in_line {
            at = memchr::memchr(b'\n', &text).map_or(text.len(), |end| end + 1);
            self.in_line = at == text.len() && text.last() != Some(&b'\n');
        }
        let (mut counted, mut line) = (0, self.line);
        while at < text.len()
            && let Some(found) = self.pattern.0.find_at(&text, at)
            && found.start() < text.len()
        {
            let end = memchr::memchr(b'\n', &text[found.start()..]);
            let line_end = end.map_or(text.len(), |end| found.start() + end);
            let start = memchr::memrchr(b'\n', &text[..found.start()]).map_or(0, |at| at + 1);
            at = line_end + 1;
            // A match across a line end is one only if the line matches by itself.
            if found.end() > line_end && !self.pattern.0.is_match(&text[start..line_end]) {
                continue;
            }
            line += block::newlines(&text[counted..found.start()]);
            counted = found.start();
            self.found.count += 1;
            if self.found.lines.len() < self.bounds.lines {
                self.found.lines.push(line);
            }
            if self.found.hits.len() < self.bounds.texts {
                let byte = self.first_byte + found.start() as u64;
                let text = around(&text[start..line_end], found.start() - start);
                self.found.hits.push(LogHit { line, byte, text });
            }
            self.in_line = end.is_none();
        }
        self.line += block::newlines(&text);
        self.first_byte += text.len() as u64;
    }
}

/// The part of a line that is shown with a match.
fn around(line: &[u8], at: usize) -> Vec<u8> {
    let window = usize::try_from(WINDOW).unwrap_or(usize::MAX);
    line[at.saturating_sub(window)..line.len().min(at + window)].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str, is_regex: bool) -> Result<LogPattern, String> {
        LogPattern::new(text, PatternForm { is_regex, ignores_case: false })
    }

    #[test]
    fn patterns_are_bounded() {
        assert!(pattern("", false).is_err());
        assert!(pattern(&"a".repeat(MAX_PATTERN + 1), false).is_err());
        assert!(pattern("(", true).is_err() && pattern("(", false).is_ok());
        assert!(pattern("(a{1000}){1000}", true).unwrap_err().contains("size limit"));
    }

    #[test]
    fn matches_across_line_ends_do_not_count() {
        let bounds = MatchBounds { texts: 9, lines: 9, bytes: 0 };
        let mut scan =
            Scan::new(pattern(r"b\s+c|x$", true).unwrap(), LogPosition::default(), bounds);
        scan.rest = b"b\nc\nb c\nx\nxb".to_vec();
        scan.search_lines();
        assert_eq!(scan.found.lines, [2, 3]);
        assert_eq!(scan.place(), LogPosition { byte: 10, in_line: false });
        assert_eq!(scan.rest, b"xb");
    }

    #[test]
    fn long_lines_count_once() {
        let bounds = MatchBounds { texts: 9, lines: 9, bytes: 0 };
        let mut scan = Scan::new(pattern("x", false).unwrap(), LogPosition::default(), bounds);
        for part in [vec![b'x'; MAX_LINE + 1], vec![b'x'; MAX_LINE + 1], b"x\nx\ny".to_vec()] {
            scan.rest.extend(part);
            scan.search_lines();
        }
        assert_eq!((scan.found.count, scan.found.lines), (2, vec![0, 1]));
        assert_eq!(scan.found.hits[0].text.len(), 512);
    }
}
