//! Rows of blobs: small content itself, and the names of offloaded content.

use jiff::{SignedDuration, Timestamp};
use plue_wire::outputs::BlobHash;
use sha2::{Digest as _, Sha256};

use super::{BLOB_BATCH, INLINE_BYTES};
use crate::{
    changes::Shards,
    error::Error,
    handles::Blobs,
    op::Op,
    sql::{Arg, Statement, Tx, insert_rows, placeholders},
};

/// A use is written down again only after this long: much less than any sweep is patient, which sees the
/// use before.
const TOUCH_AFTER: SignedDuration = SignedDuration::from_mins(5);

/// Facts about a blob without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobStat {
    /// Its bytes.
    pub size: u64,
    /// Its name in the blob store; absent: it is in the database.
    pub(crate) file: Option<String>,
}

/// A row to be inserted.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) hash: BlobHash,
    pub(crate) size: u64,
    pub(crate) data: Option<Vec<u8>>,
    pub(crate) file: Option<String>,
}

struct Insert(Vec<Row>, Timestamp);

struct Touch(Vec<BlobHash>, Timestamp);

impl Blobs<'_> {
    /// Missing blobs among these. Those that exist count as used now, so that no collection removes
    /// them before they are referred to.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn missing(self, blobs: &[BlobHash]) -> Result<Vec<BlobHash>, Error> {
        let mut missing = Vec::new();
        for some in blobs.chunks(BLOB_BATCH) {
            missing.extend(self.store.write(Touch(some.to_vec(), self.store.clock().now())).await?);
        }
        Ok(missing)
    }

    /// Stores whole contents in few transactions. Returns their hashes.
    ///
    /// # Errors
    /// [`Error::BlobStore`], or [`Error`] of the database.
    pub async fn put_all(self, contents: Vec<Vec<u8>>) -> Result<Vec<BlobHash>, Error> {
        let (mut rows, mut hashes) = (Vec::new(), Vec::new());
        for data in contents {
            if data.len() > INLINE_BYTES {
                hashes.push(self.put(&data).await?);
                continue;
            }
            let hash = BlobHash(Sha256::digest(&data).into());
            hashes.push(hash);
            rows.push(Row { hash, size: data.len() as u64, data: Some(data), file: None });
        }
        self.insert(rows).await?;
        Ok(hashes)
    }

    /// Size and location of a blob.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn stat(self, blob: &BlobHash) -> Result<Option<BlobStat>, Error> {
        let text = "SELECT size, file FROM blob WHERE hash = $1";
        let row = self.store.read_one(Statement::new(text, vec![blob.to_string().into()])).await?;
        row.map(|row| Ok(BlobStat { size: row.count(0)?, file: row.opt_text(1)? })).transpose()
    }

    /// At most `most` bytes of a blob from `offset` on; none behind its end. `None`: there is no such
    /// blob.
    ///
    /// # Errors
    /// [`Error::BlobStore`], or [`Error`] of the database.
    pub async fn read(
        self,
        blob: &BlobHash,
        offset: u64,
        most: usize,
    ) -> Result<Option<Vec<u8>>, Error> {
        let Some(stat) = self.stat(blob).await? else { return Ok(None) };
        let there = usize::try_from(stat.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let most = most.min(there);
        if most == 0 {
            return Ok(Some(Vec::new()));
        }
        if let Some(file) = stat.file {
            return self
                .store
                .blob_store()?
                .read(&file, offset, most)
                .await
                .map(Some)
                .map_err(Error::BlobStore);
        }
        let text = "SELECT data FROM blob WHERE hash = $1 AND data IS NOT NULL";
        let row = self.store.read_one(Statement::new(text, vec![blob.to_string().into()])).await?;
        let Some(row) = row else { return Ok(None) };
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = row.bytes(0)?.into_iter().skip(from).take(most).collect();
        Ok(Some(bytes))
    }

    /// A whole blob, if it has at most so many bytes.
    ///
    /// # Errors
    /// It is larger or damaged ([`Error::Corrupt`]); [`Error::BlobStore`]; [`Error`] of the
    /// database.
    pub async fn whole(self, blob: &BlobHash, most: usize) -> Result<Option<Vec<u8>>, Error> {
        let Some(bytes) = self.read(blob, 0, most.saturating_add(1)).await? else {
            return Ok(None);
        };
        let found = BlobHash(Sha256::digest(&bytes).into());
        if bytes.len() > most || found != *blob {
            return Err(Error::Corrupt(format!("blob {blob} is too large or damaged")));
        }
        Ok(Some(bytes))
    }

    /// Gives the number of rows that were not there before.
    pub(crate) async fn insert(self, rows: Vec<Row>) -> Result<u64, Error> {
        let mut new = 0;
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let some: Vec<Row> = rows.by_ref().take(BLOB_BATCH).collect();
            new += self.store.write(Insert(some, self.store.clock().now())).await?;
        }
        Ok(new)
    }
}

impl Op for Insert {
    type Out = u64;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<u64, Error> {
        let names: Vec<Arg> = self.0.iter().map(|row| row.hash.to_string().into()).collect();
        let text =
            format!("SELECT hash FROM blob WHERE hash IN ({})", placeholders(1, names.len()));
        let there = tx.fetch(Statement::new(text, names)).await?;
        let mut seen = there.iter().map(|row| row.text(0)).collect::<Result<Vec<_>, Error>>()?;
        let (mut small, mut large) = (Vec::new(), Vec::new());
        for row in &self.0 {
            let name = row.hash.to_string();
            if seen.contains(&name) {
                continue;
            }
            seen.push(name.clone());
            let mut values = vec![name.into(), Arg::count(row.size), self.1.into()];
            match &row.data {
                Some(data) => {
                    values.push(Arg::Bytes(data.clone()));
                    small.push(values);
                }
                None => {
                    values.push(row.file.clone().into());
                    large.push(values);
                }
            }
        }
        let new = (small.len() + large.len()) as u64;
        let tail = "ON CONFLICT (hash) DO NOTHING";
        let head = "INSERT INTO blob (hash, size, used_at, data) VALUES";
        let mut inserts = insert_rows(head, 4, small, tail);
        let head = "INSERT INTO blob (hash, size, used_at, file) VALUES";
        inserts.extend(insert_rows(head, 4, large, tail));
        // Fewer rows: another writer put one in between. The next look finds it.
        tx.write_all(
            inserts
                .into_iter()
                .map(|insert| {
                    let rows = insert.args.len() as u64 / 4;
                    insert.expect(rows)
                })
                .collect(),
        );
        Ok(new)
    }

    fn touched(&self, _: &u64) -> Shards {
        Shards::NONE
    }
}

impl Op for Touch {
    type Out = Vec<BlobHash>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Vec<BlobHash>, Error> {
        let names: Vec<Arg> = self.0.iter().map(|blob| blob.to_string().into()).collect();
        let list = placeholders(1, names.len());
        let lock = crate::fence::lock(tx.dialect());
        let text = format!("SELECT hash FROM blob WHERE hash IN ({list}) ORDER BY hash{lock}");
        let rows = tx.fetch(Statement::new(text, names.clone())).await?;
        let there = rows.iter().map(|row| row.text(0)).collect::<Result<Vec<_>, Error>>()?;
        if !there.is_empty() {
            let stale = self.1.saturating_sub(TOUCH_AFTER).unwrap_or(self.1);
            let mut args = names;
            args.extend([self.1.into(), stale.into()]);
            let count = self.0.len();
            let text = format!(
                "UPDATE blob SET used_at = ${} WHERE hash IN ({list}) AND used_at < ${}",
                count + 1,
                count + 2
            );
            tx.write(Statement::new(text, args));
        }
        let there: std::collections::HashSet<String> = there.into_iter().collect();
        Ok(self.0.iter().filter(|blob| !there.contains(&blob.to_string())).copied().collect())
    }

    fn touched(&self, _: &Vec<BlobHash>) -> Shards {
        Shards::NONE
    }
}
