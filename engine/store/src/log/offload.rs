//! Packed logs of ended attempts in the blob store: one blob for all blocks of an attempt.
//!
//! Each block's row stays, with all columns that ranges, lines and numbers are found by; its bytes
//! are replaced by their location. Bytes leave the database only after the offloaded copy was read
//! back and is the same. Can be stopped and repeated at any time: the same blocks make the same
//! blob.

use plue_plan::AttemptId;
use plue_wire::outputs::BlobHash;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    attempt::Held,
    changes::Shards,
    error::Error,
    handles::PackedLogs,
    op::Op,
    sql::{Arg, Statement, Tx},
};

/// First bytes of a row that has the location of its bytes. No block begins like this: those of
/// zstd begin with 28 B5 2F FD.
const MARK: &[u8] = b"plue shelf 1\n";
/// Blocks that take less room together stay in the database.
const WORTH_BYTES: u64 = 64 * 1024;
/// Blocks read at a time, of about 1 MiB each before they were packed.
const PAGE: usize = 16;
/// Rows changed in one transaction.
const BATCH: usize = 200;
/// Bytes of a blob that are read at once.
const PART: usize = 4 * 1024 * 1024;

/// Location of the bytes of a block.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Place {
    blob: [u8; 32],
    offset: u64,
    length: u32,
    /// The SHA-256 of these bytes alone.
    sum: [u8; 32],
}

struct Move {
    attempt: AttemptId,
    blob: BlobHash,
    /// The rows by number, and what they hold from now on.
    rows: Vec<(u64, Vec<u8>)>,
}

struct Settle(AttemptId);

impl PackedLogs<'_> {
    /// Attempts whose packed log lies in the database, oldest first.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn not_offloaded(self, limit: u32) -> Result<Vec<AttemptId>, Error> {
        let text = "SELECT attempt_id FROM log_shelf WHERE done = 0 ORDER BY attempt_id LIMIT $1";
        let rows = self.store.read(Statement::new(text, vec![limit.into()])).await?;
        rows.iter().map(|row| Ok(AttemptId::new(row.text(0)?))).collect()
    }

    /// Offloads the packed log of an ended attempt, if it is worth it; returns the number of bytes.
    /// Readers may continue.
    ///
    /// # Errors
    /// [`Error::BlobStore`], [`Error::Corrupt`] if the blob store returns other bytes, or [`Error`]
    /// of the database: then the log is still in the database.
    pub async fn offload(self, attempt: &AttemptId) -> Result<u64, Error> {
        let mut writer = self.store.blobs().writer();
        let mut blocks: Vec<(u64, Place)> = Vec::new();
        let mut before = 0;
        loop {
            let rows = self.blocks(attempt, before).await?;
            let Some(last) = rows.last() else { break };
            before = last.0;
            for (seq, bytes) in rows {
                let length = u32::try_from(bytes.len())
                    .map_err(|_| Error::Corrupt("a log block is too large".to_owned()))?;
                let sum = Sha256::digest(&bytes).into();
                blocks.push((seq, Place { blob: [0; 32], offset: writer.size(), length, sum }));
                writer.write(&bytes).await?;
            }
        }
        if writer.size() < WORTH_BYTES {
            self.store.write(Settle(attempt.clone())).await?;
            return Ok(0);
        }
        let (blob, size) = writer.finish().await?;
        self.verify(&blob, size).await?;
        for some in blocks.chunks(BATCH) {
            let rows = some
                .iter()
                .map(|(seq, place)| Ok((*seq, Place { blob: blob.0, ..place.clone() }.written()?)));
            let rows = rows.collect::<Result<_, Error>>()?;
            self.store.write(Move { attempt: attempt.clone(), blob, rows }).await?;
        }
        self.store.write(Settle(attempt.clone())).await?;
        Ok(size)
    }

    /// The next blocks behind a number, with their bytes.
    async fn blocks(self, attempt: &AttemptId, after: u64) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        let text = format!(
            "SELECT seq, data FROM log_chunk WHERE attempt_id = $1 AND seq > $2 \
             AND stream = 'block' ORDER BY seq LIMIT {PAGE}"
        );
        let args = vec![attempt.as_str().into(), Arg::count(after)];
        let rows = self.store.read(Statement::new(text, args)).await?;
        let data = rows.iter().map(|row| Ok((true, row.bytes(1)?)));
        let data = self.fetched(data.collect::<Result<_, Error>>()?).await?;
        rows.iter().zip(data).map(|(row, data)| Ok((row.count(0)?, data))).collect()
    }

    /// Checks that the blob store returns the same bytes.
    async fn verify(self, blob: &BlobHash, size: u64) -> Result<(), Error> {
        let gone = || Error::Corrupt(format!("blob {blob} is not there"));
        let mut reader = self.store.blobs().reader(blob).await?.ok_or_else(gone)?;
        let mut read = 0;
        while let Some(part) = reader.next(PART).await? {
            read += part.len() as u64;
        }
        if read == size { Ok(()) } else { Err(gone()) }
    }

    /// Content of rows (whether it is a block, and its bytes), with offloaded blocks fetched.
    /// Neighbours in the blob store are read together.
    pub(crate) async fn fetched(self, rows: Vec<(bool, Vec<u8>)>) -> Result<Vec<Vec<u8>>, Error> {
        let (mut places, mut data) = (Vec::with_capacity(rows.len()), Vec::new());
        for (is_block, bytes) in rows {
            // Output of a process may begin like a mark, and is no location.
            places.push(if is_block { Place::read(&bytes)? } else { None });
            data.push(bytes);
        }
        let mut at = 0;
        while at < data.len() {
            let Some(first) = &places[at] else {
                at += 1;
                continue;
            };
            let (mut end, mut to) = (first.offset + u64::from(first.length), at + 1);
            while let Some(Some(next)) = places.get(to)
                && (next.blob, next.offset) == (first.blob, end)
                && end + u64::from(next.length) - first.offset <= PART as u64
            {
                end += u64::from(next.length);
                to += 1;
            }
            let blob = BlobHash(first.blob);
            let most = usize::try_from(end - first.offset).unwrap_or(usize::MAX);
            let found =
                self.store.blobs().read(&blob, first.offset, most).await?.unwrap_or_default();
            let mut rest = found.as_slice();
            for (place, bytes) in places[at..to].iter().flatten().zip(&mut data[at..to]) {
                let (own, after) = rest.split_at(rest.len().min(place.length as usize));
                if <[u8; 32]>::from(Sha256::digest(own)) != place.sum {
                    let message = format!("a log block in blob {blob} is damaged or gone");
                    return Err(Error::Corrupt(message));
                }
                (*bytes, rest) = (own.to_vec(), after);
            }
            at = to;
        }
        Ok(data)
    }
}

/// Notes that the packed log of an attempt is in the database.
pub(super) fn packed(attempt: &AttemptId) -> Statement {
    let text = "INSERT INTO log_shelf (attempt_id, done) SELECT $1, 0 WHERE EXISTS \
                (SELECT 1 FROM log_chunk WHERE attempt_id = $1 AND stream = 'block') \
                ON CONFLICT (attempt_id) DO NOTHING";
    Statement::new(text, vec![attempt.as_str().into()])
}

// === impl Place ===

impl Place {
    /// As the row holds it.
    fn written(&self) -> Result<Vec<u8>, Error> {
        let text = postcard::to_stdvec(self).map_err(|error| Error::Corrupt(error.to_string()))?;
        Ok([MARK, &text].concat())
    }

    /// `None`: these are the bytes themselves.
    fn read(bytes: &[u8]) -> Result<Option<Self>, Error> {
        let Some(rest) = bytes.strip_prefix(MARK) else { return Ok(None) };
        let damaged = |_| Error::Corrupt("the place of a log block is damaged".to_owned());
        postcard::from_bytes(rest).map(Some).map_err(damaged)
    }
}

impl Op for Move {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        // The lock keeps two apart, and the run from being deleted meanwhile.
        tx.fetch_each(vec![Held::lock(tx.dialect(), &self.attempt)]).await?;
        for (seq, place) in &self.rows {
            let text = "UPDATE log_chunk SET data = $3 \
                        WHERE attempt_id = $1 AND seq = $2 AND stream = 'block'";
            let args =
                vec![self.attempt.as_str().into(), Arg::count(*seq), Arg::Bytes(place.clone())];
            tx.write(Statement::new(text, args).expect(1));
        }
        let text = "INSERT INTO log_shelf (attempt_id, blob, done) VALUES ($1, $2, 0) \
                    ON CONFLICT (attempt_id) DO UPDATE SET blob = excluded.blob";
        let args = vec![self.attempt.as_str().into(), self.blob.to_string().into()];
        tx.write(Statement::new(text, args));
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::NONE
    }
}

impl Op for Settle {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        let text = "UPDATE log_shelf SET done = 1 WHERE attempt_id = $1";
        tx.write(Statement::new(text, vec![self.0.as_str().into()]));
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::NONE
    }
}
