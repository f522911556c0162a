//! Reading a log: pages of rows, unpacked into pieces, cut to what was asked for.

use plue_flow::AttemptStatus;
use plue_plan::AttemptId;

use super::{BLOCK, LogPiece, LogRange, LogStat, LogStream, block};
use crate::{
    error::Error,
    handles::Logs,
    sql::{Arg, Row, Statement},
};

/// Rows of one query.
const PAGE: usize = 32;
/// Bytes of log between the first row of a query and the start of its last one.
const PAGE_BYTES: u64 = 2 * 1024 * 1024;

/// Length of a log, from its attempt's row.
pub(super) struct Length {
    pub(super) bytes: u64,
    pub(super) newlines: u64,
    ended: bool,
}

/// A row as it is stored: a piece, or a block of many.
pub(super) struct RawRow {
    is_block: bool,
    /// The piece, or the packed bytes of a block with its place.
    piece: LogPiece,
    /// Events up to this number are left out.
    after: u64,
}

impl Logs<'_> {
    /// A part of a log, in order. A range that reaches over the end gives what is there.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn read(self, attempt: &AttemptId, range: LogRange) -> Result<Vec<LogPiece>, Error> {
        if let LogRange::After(seq, max) = range {
            return self.after(attempt, seq, max).await;
        }
        let Some(length) = self.length(attempt).await? else {
            return Ok(Vec::new());
        };
        let (from, to) = match range {
            LogRange::Bytes(bytes) => (bytes.start, bytes.end),
            LogRange::Lines(lines) => (
                self.line_start(attempt, &length, lines.start).await?,
                self.line_start(attempt, &length, lines.end.max(lines.start)).await?,
            ),
            LogRange::Tail(lines) => {
                let total = self.lines(attempt, &length).await?;
                let first = total.saturating_sub(lines);
                (self.line_start(attempt, &length, first).await?, length.bytes)
            }
            LogRange::After(..) => (0, 0),
        };
        self.between(attempt, from, to.min(length.bytes), &length).await
    }

    /// Length of a log; `None` if there is no such attempt.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn stat(self, attempt: &AttemptId) -> Result<Option<LogStat>, Error> {
        let Some(length) = self.length(attempt).await? else {
            return Ok(None);
        };
        let lines = self.lines(attempt, &length).await?;
        Ok(Some(LogStat { bytes: length.bytes, lines, ended: length.ended }))
    }

    pub(super) async fn length(self, attempt: &AttemptId) -> Result<Option<Length>, Error> {
        let text = "SELECT log_bytes, log_newlines, state FROM attempt WHERE id = $1";
        let row = self.store.read_one(Statement::new(text, vec![attempt.as_str().into()])).await?;
        row.map(|row| {
            let state: AttemptStatus = row.parse(2)?;
            let (bytes, newlines) = (row.count(0)?, row.count(1)?);
            Ok(Length { bytes, newlines, ended: state.is_terminal() })
        })
        .transpose()
    }

    async fn lines(self, attempt: &AttemptId, length: &Length) -> Result<u64, Error> {
        let last = self.line_start(attempt, length, length.newlines).await?;
        Ok(length.newlines + u64::from(last < length.bytes))
    }

    /// The offset at which a line starts; the end of the log if there is no such line.
    pub(super) async fn line_start(
        self,
        attempt: &AttemptId,
        length: &Length,
        line: u64,
    ) -> Result<u64, Error> {
        if line == 0 {
            return Ok(0);
        }
        if line > length.newlines {
            return Ok(length.bytes);
        }
        // The last row that starts before the line's predecessor has ended holds its line end.
        let text = "SELECT first_seq FROM log_chunk WHERE attempt_id = $1 AND first_line < $2 \
                    ORDER BY first_line DESC, seq DESC LIMIT 1";
        let args = vec![attempt.as_str().into(), Arg::count(line)];
        let Some(row) = self.store.read_one(Statement::new(text, args)).await? else {
            return Ok(0);
        };
        let mut before = row.count(0)?.saturating_sub(1);
        loop {
            let (pieces, last) = self.page(attempt, before, 1).await?;
            for piece in pieces.iter().filter(|piece| piece.stream.is_output()) {
                let skip = line.saturating_sub(piece.first_line + 1);
                let skip = usize::try_from(skip).unwrap_or(usize::MAX);
                if let Some(at) = memchr::memchr_iter(b'\n', &piece.bytes).nth(skip) {
                    return Ok(piece.first_byte + at as u64 + 1);
                }
            }
            match last {
                Some(last) => before = last,
                None => return Ok(length.bytes),
            }
        }
    }

    async fn between(
        self,
        attempt: &AttemptId,
        from: u64,
        to: u64,
        length: &Length,
    ) -> Result<Vec<LogPiece>, Error> {
        let mut before = self.row_before(attempt, from).await?;
        let (mut found, mut at) = (Vec::new(), from);
        loop {
            let bytes = to.saturating_sub(at).min(PAGE_BYTES);
            let (rows, last) = self.raw_page(attempt, before, PAGE, bytes).await?;
            // Unpacked one by one: the range may end within the first row.
            for row in rows {
                for piece in row.unpack()? {
                    let behind = piece.first_byte > to
                        || (piece.first_byte == to && (to != length.bytes || piece.length() > 0));
                    if behind {
                        return Ok(found);
                    }
                    at = at.max(piece.end());
                    found.extend(cut(piece, from, to));
                }
            }
            match last {
                Some(last) => before = last,
                None => return Ok(found),
            }
        }
    }

    /// An event number before the row that holds this offset.
    pub(super) async fn row_before(self, attempt: &AttemptId, offset: u64) -> Result<u64, Error> {
        let text = "SELECT first_seq FROM log_chunk WHERE attempt_id = $1 AND first_byte < $2 \
                    ORDER BY first_byte DESC, seq DESC LIMIT 1";
        let args = vec![attempt.as_str().into(), Arg::count(offset)];
        let row = self.store.read_one(Statement::new(text, args)).await?;
        Ok(row.map_or(Ok(0), |row| row.count(0))?.saturating_sub(1))
    }

    async fn after(self, attempt: &AttemptId, seq: u64, max: u64) -> Result<Vec<LogPiece>, Error> {
        let mut before = seq;
        let mut bytes = 0;
        let mut found: Vec<LogPiece> = Vec::new();
        loop {
            let room = max.saturating_sub(bytes).min(PAGE_BYTES);
            let (rows, last) = self.raw_page(attempt, before, PAGE, room).await?;
            // Unpacked one by one: the first row may be enough.
            for row in rows {
                for piece in row.unpack()? {
                    bytes += piece.bytes.len() as u64;
                    if bytes > max && !found.is_empty() {
                        return Ok(found);
                    }
                    found.push(piece);
                }
            }
            match last {
                Some(last) if bytes < max => before = last,
                _ => return Ok(found),
            }
        }
    }

    /// The pieces of the next `rows` rows behind an event number, and the number of the last one, if
    /// there may be more.
    pub(super) async fn page(
        self,
        attempt: &AttemptId,
        after: u64,
        rows: usize,
    ) -> Result<(Vec<LogPiece>, Option<u64>), Error> {
        let (raw, last) = self.raw_page(attempt, after, rows, u64::MAX).await?;
        let mut pieces = Vec::with_capacity(raw.len());
        for row in raw {
            pieces.extend(row.unpack()?);
        }
        Ok((pieces, last))
    }

    /// The same rows, still packed, at least one; of the others only those that start within so many
    /// bytes of the first one.
    pub(super) async fn raw_page(
        self,
        attempt: &AttemptId,
        after: u64,
        rows: usize,
        bytes: u64,
    ) -> Result<(Vec<RawRow>, Option<u64>), Error> {
        let text = format!(
            "SELECT seq, at, stream, first_byte, first_line, data, bytes FROM log_chunk \
             WHERE attempt_id = $1 AND seq > $2 AND first_byte - \
             (SELECT first_byte FROM log_chunk WHERE attempt_id = $1 AND seq > $2 ORDER BY seq LIMIT 1) \
             <= $3 ORDER BY seq LIMIT {rows}"
        );
        let args = vec![attempt.as_str().into(), Arg::count(after), Arg::count(bytes)];
        let found = self.store.read(Statement::new(text, args)).await?;
        let data = found.iter().map(|row| Ok((row.text(2)? == BLOCK, row.bytes(5)?)));
        let data = self.store.packed_logs().fetched(data.collect::<Result<_, Error>>()?).await?;
        let raw = found.iter().zip(data).map(|(row, bytes)| RawRow::read(row, bytes, after));
        let last = match (found.first(), found.last()) {
            (Some(first), Some(last)) => {
                let reach = (last.count(3)? + last.count(6)?).saturating_sub(first.count(3)?);
                (found.len() == rows || reach > bytes).then(|| last.count(0)).transpose()?
            }
            _ => None,
        };
        Ok((raw.collect::<Result<_, Error>>()?, last))
    }
}

// === impl RawRow ===

impl RawRow {
    fn read(row: &Row, bytes: Vec<u8>, after: u64) -> Result<Self, Error> {
        let stream = row.text(2)?;
        let stream = match stream == BLOCK {
            true => None,
            false => Some(stream.parse().map_err(Error::Corrupt)?),
        };
        let (first_byte, first_line) = (row.count(3)?, row.count(4)?);
        let piece = LogPiece {
            seq: row.count(0)?,
            at: row.time(1)?,
            stream: stream.unwrap_or(LogStream::Note),
            first_byte,
            first_line,
            bytes,
        };
        Ok(Self { is_block: stream.is_none(), piece, after })
    }

    /// The pieces of the row; a block may begin with events that the reader has had.
    pub(super) fn unpack(self) -> Result<Vec<LogPiece>, Error> {
        if !self.is_block {
            return Ok(vec![self.piece]);
        }
        let LogPiece { bytes, first_byte, first_line, .. } = self.piece;
        let mut pieces = block::unpack(&bytes, first_byte, first_line)?;
        pieces.retain(|piece| piece.seq > self.after);
        Ok(pieces)
    }
}

/// The part of a piece inside the range.
pub(super) fn cut(mut piece: LogPiece, from: u64, to: u64) -> Option<LogPiece> {
    if !piece.stream.is_output() {
        return (piece.first_byte >= from).then_some(piece);
    }
    let (start, end) = (piece.first_byte.max(from), piece.end().min(to));
    if start >= end {
        return None;
    }
    let index = |offset: u64| usize::try_from(offset - piece.first_byte).unwrap_or(usize::MAX);
    let (start_at, end_at) = (index(start), index(end));
    piece.bytes.truncate(end_at);
    if start_at > 0 {
        let rest = piece.bytes.split_off(start_at);
        piece.first_line += block::newlines(&piece.bytes);
        piece.bytes = rest;
    }
    piece.first_byte = start;
    Some(piece)
}
