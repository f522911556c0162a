//! Packing the log of an ended attempt: fewer and smaller rows, the same answers.

use plue_plan::AttemptId;

use super::{BLOCK, LogPiece, block};
use crate::{
    attempt::Held,
    changes::Shards,
    error::Error,
    handles::PackedLogs,
    op::Op,
    sql::{Arg, Statement, Tx},
};

/// Bytes of log in one block; with remarks, a block stays far below [`block::MAX_UNPACKED`].
const BLOCK_BYTES: u64 = 1024 * 1024;
/// Pieces in one block.
const BLOCK_PIECES: usize = 16 * 1024;
/// A smaller log of few rows stays as it is.
const WORTH_BYTES: u64 = 4 * 1024;
const WORTH_EVENTS: u64 = 16;
/// Rows read at a time.
const PAGE: usize = 64;

struct Replace {
    attempt: AttemptId,
    first_seq: u64,
    seq: u64,
    rows: u64,
    values: Vec<Arg>,
}

struct Finish(AttemptId);

impl PackedLogs<'_> {
    /// Attempts that ended with a log that is worth packing and is not packed yet, oldest first.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn unpacked(self, limit: u32) -> Result<Vec<AttemptId>, Error> {
        let text = "SELECT id FROM attempt WHERE to_pack = 1 ORDER BY id LIMIT $1";
        let rows = self.store.read(Statement::new(text, vec![limit.into()])).await?;
        rows.iter().map(|row| Ok(AttemptId::new(row.text(0)?))).collect()
    }

    /// Packs the log of an ended attempt; does nothing for one that runs. Readers may go on meanwhile.
    /// Can be stopped and repeated at any time.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn pack(self, attempt: &AttemptId) -> Result<(), Error> {
        let ended = self.store.logs().stat(attempt).await?.is_some_and(|stat| stat.ended);
        if !ended {
            return Ok(());
        }
        let (mut group, mut size): (Vec<LogPiece>, u64) = (Vec::new(), 0);
        let mut before = self.packed_until(attempt).await?;
        loop {
            let (pieces, last) = self.store.logs().page(attempt, before, PAGE).await?;
            for piece in pieces {
                let more = piece.bytes.len() as u64;
                let full = size + more > BLOCK_BYTES || group.len() >= BLOCK_PIECES;
                if !group.is_empty() && full {
                    self.replace_with_block(attempt, &std::mem::take(&mut group)).await?;
                    size = 0;
                }
                size += more;
                group.push(piece);
            }
            match last {
                Some(last) => before = last,
                None => break,
            }
        }
        self.replace_with_block(attempt, &group).await?;
        self.store.write(Finish(attempt.clone())).await
    }

    /// The last event of the blocks that an earlier, interrupted call has made.
    async fn packed_until(self, attempt: &AttemptId) -> Result<u64, Error> {
        let text = "SELECT COALESCE(MAX(seq), 0) FROM log_chunk \
                    WHERE attempt_id = $1 AND stream = 'block'";
        let row = self.store.read_one(Statement::new(text, vec![attempt.as_str().into()])).await?;
        row.map_or(Ok(0), |row| row.count(0))
    }

    async fn replace_with_block(
        self,
        attempt: &AttemptId,
        pieces: &[LogPiece],
    ) -> Result<(), Error> {
        let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else {
            return Ok(());
        };
        let bytes: u64 = pieces.iter().map(LogPiece::length).sum();
        if !is_worth_packing(bytes, pieces.len() as u64) {
            return Ok(());
        }
        let output = pieces.iter().filter(|piece| piece.stream.is_output());
        let newlines: u64 = output.map(|piece| block::newlines(&piece.bytes)).sum();
        let values = vec![
            Arg::from(attempt.as_str()),
            Arg::count(first.seq),
            Arg::count(last.seq),
            first.at.into(),
            BLOCK.into(),
            Arg::count(first.first_byte),
            Arg::count(bytes),
            Arg::count(first.first_line),
            Arg::count(newlines),
            block::pack(pieces)?.into(),
        ];
        self.store
            .write(Replace {
                attempt: attempt.clone(),
                first_seq: first.seq,
                seq: last.seq,
                rows: pieces.len() as u64,
                values,
            })
            .await
    }
}

/// Whether a log of so many bytes and events takes less room packed.
pub(crate) fn is_worth_packing(bytes: u64, events: u64) -> bool {
    bytes >= WORTH_BYTES || events >= WORTH_EVENTS
}

impl Op for Replace {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        let range =
            vec![self.attempt.as_str().into(), Arg::count(self.first_seq), Arg::count(self.seq)];
        // The lock serializes two packers; the count shows the second one that it is late.
        let count = Statement::new(
            "SELECT count(*) FROM log_chunk WHERE attempt_id = $1 AND first_seq >= $2 \
             AND seq <= $3 AND stream <> 'block'",
            range.clone(),
        );
        let answers = tx.fetch_each(vec![Held::lock(tx.dialect(), &self.attempt), count]).await?;
        let found = answers.get(1).and_then(|rows| rows.first());
        if found.map_or(Ok(0), |row| row.count(0))? != self.rows {
            return Ok(());
        }
        tx.write(Statement::new(
            "DELETE FROM log_chunk WHERE attempt_id = $1 AND first_seq >= $2 AND seq <= $3",
            range,
        ));
        // The block has the key of the last row that goes.
        tx.flush().await?;
        tx.write_all(crate::events::insert_chunks(vec![self.values.clone()]));
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::NONE
    }
}

impl Op for Finish {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        tx.write(Statement::new(
            "UPDATE attempt SET to_pack = 0 WHERE id = $1",
            vec![self.0.as_str().into()],
        ));
        tx.write(super::offload::packed(&self.0));
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::NONE
    }
}
