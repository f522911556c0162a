//! The lines of a log that hold a text, some at a time: a search that is left goes on where it was.

use plue_plan::AttemptId;

use super::{
    LogFound, LogHit, LogPiece, LogPosition, block,
    read::cut,
    search::{MAX_NEEDLE, WINDOW, line_in},
};
use crate::{error::Error, handles::LogSearch};

/// Rows read at a time.
const PAGE: usize = 4;

/// A part of a log, and how far it was looked through.
struct Part {
    bytes: Vec<u8>,
    first_byte: u64,
    first_line: u64,
    /// Bytes that were looked through; some of them are kept to show the line of a hit.
    done: usize,
    /// The rest of this line does not matter: it was found.
    in_line: bool,
}

impl LogSearch<'_> {
    /// The lines that hold a text, each with its first place, from a place on: at most `limit`, and until
    /// so many bytes were looked through, some more than `bytes`. Bytes are compared as they are. A
    /// needle that is empty or longer than 64 KiB is found nowhere.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn lines(
        self,
        attempt: &AttemptId,
        needle: &[u8],
        from: LogPosition,
        (limit, bytes): (usize, u64),
    ) -> Result<LogFound, Error> {
        let mut found = LogFound::default();
        if needle.is_empty() || needle.len() > MAX_NEEDLE {
            return Ok(found);
        }
        let finder = memchr::memmem::Finder::new(needle);
        let mut before = if from.byte == 0 {
            0
        } else {
            self.store.logs().row_before(attempt, from.byte).await?
        };
        let mut part: Option<Part> = None;
        loop {
            let (pieces, last) = self.store.logs().page(attempt, before, PAGE).await?;
            for piece in pieces.into_iter().filter(|piece| piece.stream.is_output()) {
                let Some(piece) = cut(piece, from.byte, u64::MAX) else { continue };
                found.bytes += piece.length();
                let part = part.get_or_insert_with(|| Part::at(&piece, from.in_line));
                part.bytes.extend_from_slice(&piece.bytes);
                part.search(&finder, limit, &mut found.hits);
                if found.hits.len() >= limit {
                    found.next = Some(part.place());
                    found.hits = self.with_lines(attempt, found.hits).await?;
                    return Ok(found);
                }
                part.forget();
            }
            let place = part.as_ref().map(Part::place);
            match last {
                // A search that continues from here must advance.
                Some(last) if found.bytes < bytes || place.is_none_or(|place| place == from) => {
                    before = last;
                }
                Some(_) => {
                    found.next = place;
                    break;
                }
                None => break,
            }
        }
        found.hits = self.with_lines(attempt, found.hits).await?;
        Ok(found)
    }
}

// === impl Part ===

impl Part {
    /// Nothing yet of what begins with a piece.
    fn at(piece: &LogPiece, in_line: bool) -> Self {
        let (first_byte, first_line) = (piece.first_byte, piece.first_line);
        Self { bytes: Vec::new(), first_byte, first_line, done: 0, in_line }
    }

    fn search(
        &mut self,
        finder: &memchr::memmem::Finder<'_>,
        limit: usize,
        hits: &mut Vec<LogHit>,
    ) {
        let mut line = self.first_line + block::newlines(&self.bytes[..self.done]);
        while hits.len() < limit {
            if self.in_line {
                let Some(end) = memchr::memchr(b'\n', &self.bytes[self.done..]) else {
                    self.done = self.bytes.len();
                    return;
                };
                self.done += end + 1;
                self.in_line = false;
                line += 1;
            }
            let Some(at) = finder.find(&self.bytes[self.done..]) else {
                // The start of a hit that ends in the next piece is searched again.
                let overlap = finder.needle().len() - 1;
                self.done = self.done.max(self.bytes.len().saturating_sub(overlap));
                return;
            };
            let at = self.done + at;
            line += block::newlines(&self.bytes[self.done..at]);
            let text = line_in(&self.bytes, self.first_byte, at);
            hits.push(LogHit { line, byte: self.first_byte + at as u64, text });
            self.done = at;
            self.in_line = true;
        }
    }

    /// Position to continue a search that stops here.
    fn place(&self) -> LogPosition {
        LogPosition { byte: self.first_byte + self.done as u64, in_line: self.in_line }
    }

    /// Keeps no more than what shows the line of the next hit.
    fn forget(&mut self) {
        let window = usize::try_from(WINDOW).unwrap_or(usize::MAX);
        let rest = self.bytes.split_off(self.done.saturating_sub(window));
        self.first_line += block::newlines(&self.bytes);
        self.first_byte += self.bytes.len() as u64;
        self.done -= self.bytes.len();
        self.bytes = rest;
    }
}
