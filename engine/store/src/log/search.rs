//! Finding a text in a log, also where it crosses from one piece to the next.

use plue_plan::AttemptId;

use super::{LogHit, LogPiece, LogRange, block};
use crate::{error::Error, handles::LogSearch};

/// Hits of one search at most.
const MAX_HITS: usize = 10_000;
/// Bytes of a hit's line that are shown before and behind the start of the text.
pub(super) const WINDOW: u64 = 512;
/// Bytes of a text to search for.
pub(super) const MAX_NEEDLE: usize = 64 * 1024;
/// Rows read at a time.
const PAGE: usize = 16;

/// The end of the last read, for texts that cross a border.
#[derive(Default)]
struct Carry {
    bytes: Vec<u8>,
    first_byte: u64,
    first_line: u64,
}

impl LogSearch<'_> {
    /// Hits of a text in a log, first hits first, overlapping ones left out; at most `limit` and at
    /// most 10,000. Bytes are compared as they are. A needle that is empty or longer than 64 KiB is
    /// found nowhere.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn hits(
        self,
        attempt: &AttemptId,
        needle: &[u8],
        limit: usize,
    ) -> Result<Vec<LogHit>, Error> {
        let limit = limit.min(MAX_HITS);
        if needle.is_empty() || needle.len() > MAX_NEEDLE || limit == 0 {
            return Ok(Vec::new());
        }
        let finder = memchr::memmem::Finder::new(needle);
        let mut hits: Vec<LogHit> = Vec::new();
        let mut carry = Carry::default();
        let mut before = 0;
        loop {
            let (pieces, last) = self.store.logs().page(attempt, before, PAGE).await?;
            for piece in pieces.into_iter().filter(|piece| piece.stream.is_output()) {
                let room = limit - hits.len();
                hits.extend(carry.search(piece, &finder, room));
                if hits.len() >= limit {
                    return self.with_lines(attempt, hits).await;
                }
            }
            match last {
                Some(last) => before = last,
                None => return self.with_lines(attempt, hits).await,
            }
        }
    }

    /// Fills in the lines that could not be seen whole.
    pub(super) async fn with_lines(
        self,
        attempt: &AttemptId,
        mut hits: Vec<LogHit>,
    ) -> Result<Vec<LogHit>, Error> {
        for hit in hits.iter_mut().filter(|hit| hit.text.is_empty()) {
            let from = hit.byte.saturating_sub(WINDOW);
            let range = LogRange::Bytes(from..hit.byte.saturating_add(WINDOW));
            let pieces = self.store.logs().read(attempt, range).await?;
            let output = pieces.iter().filter(|piece| piece.stream.is_output());
            let around: Vec<u8> = output.flat_map(|piece| &piece.bytes).copied().collect();
            let at = usize::try_from(hit.byte - from).unwrap_or(0).min(around.len());
            hit.text = line_around(&around, at);
        }
        Ok(hits)
    }
}

impl Carry {
    fn search(
        &mut self,
        piece: LogPiece,
        finder: &memchr::memmem::Finder<'_>,
        limit: usize,
    ) -> Vec<LogHit> {
        if self.bytes.is_empty() {
            self.first_byte = piece.first_byte;
            self.first_line = piece.first_line;
            self.bytes = piece.bytes;
        } else {
            self.bytes.extend_from_slice(&piece.bytes);
        }
        let needle = finder.needle().len();
        let mut hits = Vec::new();
        let mut line = self.first_line;
        let (mut counted, mut behind) = (0, 0);
        for at in finder.find_iter(&self.bytes).take(limit) {
            line += block::newlines(&self.bytes[counted..at]);
            counted = at;
            behind = at + needle;
            let text = line_in(&self.bytes, self.first_byte, at);
            hits.push(LogHit { line, byte: self.first_byte + at as u64, text });
        }
        // Kept: what could be the start of a hit that ends in the next piece.
        let keep_from = behind.max((self.bytes.len() + 1).saturating_sub(needle));
        let rest = self.bytes.split_off(keep_from.min(self.bytes.len()));
        self.first_line += block::newlines(&self.bytes);
        self.first_byte += self.bytes.len() as u64;
        self.bytes = rest;
        hits
    }
}

/// The line around a hit, if all of it is here; else empty, to be read later.
pub(super) fn line_in(bytes: &[u8], first_byte: u64, at: usize) -> Vec<u8> {
    let window = usize::try_from(WINDOW).unwrap_or(usize::MAX);
    let from = at.saturating_sub(window);
    let to = (at + window).min(bytes.len());
    let starts = (from == 0 && first_byte == 0) || at >= window || bytes[from..at].contains(&b'\n');
    let ends = to == at + window || bytes[at..to].contains(&b'\n');
    if starts && ends { line_around(&bytes[from..to], at - from) } else { Vec::new() }
}

/// The line that holds position `at`, without its end.
fn line_around(bytes: &[u8], at: usize) -> Vec<u8> {
    let start = memchr::memrchr(b'\n', &bytes[..at]).map_or(0, |newline| newline + 1);
    let end = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |newline| at + newline);
    bytes[start..end].to_vec()
}
