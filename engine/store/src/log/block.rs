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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(contents: &[(u8, Vec<u8>)]) -> Vec<LogPiece> {
        let (mut first_byte, mut first_line) = (100, 7);
        let mut pieces = Vec::new();
        for (seq, (kind, bytes)) in (5..).zip(contents) {
            let stream = stream(kind % 4).unwrap();
            let at = Timestamp::from_microsecond(i64::from(*kind)).unwrap();
            let bytes = bytes.clone();
            let piece = LogPiece { seq, at, stream, first_byte, first_line, bytes };
            first_byte = piece.end();
            if stream.is_output() {
                first_line += newlines(&piece.bytes);
            }
            pieces.push(piece);
        }
        pieces
    }

    proptest! {
        #[test]
        fn a_block_gives_back_what_was_packed(
            contents in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..300)), 0..40),
        ) {
            let pieces = pieces(&contents);
            let packed = pack(&pieces).unwrap();
            prop_assert_eq!(unpack(&packed, 100, 7).unwrap(), pieces);
        }

        #[test]
        fn a_damaged_block_is_an_error_and_never_a_panic(
            at in any::<prop::sample::Index>(), value in any::<u8>(), cut in any::<prop::sample::Index>(),
        ) {
            let mut packed = pack(&pieces(&[(0, b"hello\n".repeat(50)), (1, vec![0; 9])])).unwrap();
            packed.truncate(cut.index(packed.len()) + 1);
            let at = at.index(packed.len());
            packed[at] ^= value;
            // Either it is noticed, or what comes out is no longer than a block may be.
            if let Ok(pieces) = unpack(&packed, 0, 0) {
                let bytes: usize = pieces.iter().map(|piece| piece.bytes.len()).sum();
                prop_assert!(bytes <= MAX_UNPACKED);
            }
        }
    }

    #[test]
    fn a_block_that_unpacks_to_too_much_is_refused() {
        let bomb = zstd::bulk::compress(&vec![0; MAX_UNPACKED + 1], LEVEL).unwrap();
        assert!(matches!(unpack(&bomb, 0, 0), Err(Error::Corrupt(_))));
    }
}
