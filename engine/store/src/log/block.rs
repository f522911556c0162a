//! Many pieces in one row: a list of what they are, then their bytes, compressed together.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{LogPiece, LogStream};
use crate::{error::Error, store::peer_time};

/// Bytes that a block may hold when it is unpacked; what a reader must hold in memory.
pub(super) const MAX_UNPACKED: usize = 8 * 1024 * 1024;
const LEVEL: i32 = 3;

#[derive(Serialize, Deserialize)]
struct Entry {
    seq: u64,
    at: i64,
    stream: u8,
    length: u32,
}

/// Packs pieces that follow each other.
pub(super) fn pack(pieces: &[LogPiece]) -> Result<Vec<u8>, Error> {
    let failed = |what: String| Error::Corrupt(format!("a log block cannot be packed: {what}"));
    let entries: Vec<Entry> = pieces
        .iter()
        .map(|piece| Entry {
            seq: piece.seq,
            at: Timestamp::as_microsecond(piece.at),
            stream: number(piece.stream),
            length: u32::try_from(piece.bytes.len()).unwrap_or(u32::MAX),
        })
        .collect();
    let mut plain = postcard::to_stdvec(&entries).map_err(|error| failed(error.to_string()))?;
    for piece in pieces {
        plain.extend_from_slice(&piece.bytes);
    }
    zstd::bulk::compress(&plain, LEVEL).map_err(|error| failed(error.to_string()))
}

/// The pieces again; the first stands at `first_byte` and `first_line`.
pub(super) fn unpack(
    data: &[u8],
    mut first_byte: u64,
    mut first_line: u64,
) -> Result<Vec<LogPiece>, Error> {
    let damaged = || Error::Corrupt("a log block is damaged".to_owned());
    let plain = zstd::bulk::decompress(data, MAX_UNPACKED).map_err(|_| damaged())?;
    let (entries, mut rest): (Vec<Entry>, &[u8]) =
        postcard::take_from_bytes(&plain).map_err(|_| damaged())?;
    let mut pieces = Vec::with_capacity(entries.len());
    for entry in entries {
        let length = usize::try_from(entry.length).map_err(|_| damaged())?;
        let (bytes, after) = rest.split_at_checked(length).ok_or_else(damaged)?;
        rest = after;
        let stream = stream(entry.stream).ok_or_else(damaged)?;
        let piece = LogPiece {
            seq: entry.seq,
            at: peer_time(entry.at),
            stream,
            first_byte,
            first_line,
            bytes: bytes.to_vec(),
        };
        first_byte = piece.end();
        if stream.is_output() {
            first_line += newlines(bytes);
        }
        pieces.push(piece);
    }
    Ok(pieces)
}

/// Line ends in some bytes.
pub(super) fn newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

fn number(stream: LogStream) -> u8 {
    match stream {
        LogStream::Stdout => 0,
        LogStream::Stderr => 1,
        LogStream::Gap => 2,
        LogStream::Note => 3,
    }
}

fn stream(number: u8) -> Option<LogStream> {
    LogStream::ALL.get(usize::from(number)).copied()
}
