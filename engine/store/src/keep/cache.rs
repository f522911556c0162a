//! Entries of caches: found by key or prefix, evicted when they are too many.

use jiff::Timestamp;
use plue_plan::{RunId, StepId};
use plue_wire::keep::BlobHash;

use crate::{
    changes::Shards,
    error::Error,
    op::Op,
    sql::{Arg, Row, Statement, Tx, placeholders},
    store::Store,
};

/// A row of `cache_entry`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheRow {
    /// Who may read it.
    pub scope: String,
    /// Its key.
    pub key: String,
    /// The archive; absent after it was evicted.
    pub archive: Option<BlobHash>,
    /// Bytes of the archive.
    pub bytes: u64,
    /// The run that filled it.
    pub run: RunId,
    /// The step that filled it.
    pub step: StepId,
    /// When it was filled.
    pub created_at: Timestamp,
    /// When it was used last.
    pub used_at: Timestamp,
    /// When it was evicted and why.
    pub evicted: Option<(Timestamp, String)>,
}

/// What a search in caches gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheFound {
    /// The key itself.
    Exact(CacheRow),
    /// The newest entry whose key begins with this prefix.
    Prefix(String, CacheRow),
    /// Nothing; the key was there once, until it was evicted.
    Evicted(CacheRow),
    /// Nothing.
    Nothing,
}

struct Use(String, String, Timestamp);

struct Evict {
    quota: u64,
    unused_before: Timestamp,
    now: Timestamp,
}

const COLUMNS: &str = "scope, key, archive, size, run_id, step_id, created_at, used_at, evicted_at, \
                       evicted_for";
/// Entries evicted in one transaction.
const BATCH: usize = 500;
/// Evicted entries are remembered for so long, in seconds.
const REMEMBERED_SECONDS: i64 = 30 * 24 * 3_600;

impl Store {
    /// The best entry: the exact key in the first scope that has it, then each prefix in turn, newest
    /// first. What is found counts as used.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn find_cache(
        &self,
        scopes: &[String],
        key: &str,
        restore: &[String],
    ) -> Result<CacheFound, Error> {
        let mut evicted = None;
        for scope in scopes {
            let text = format!("SELECT {COLUMNS} FROM cache_entry WHERE scope = $1 AND key = $2");
            let args = vec![scope.as_str().into(), key.into()];
            let Some(found) = self.read_one(Statement::new(text, args)).await? else { continue };
            let found = entry(&found)?;
            if found.archive.is_some() {
                self.used(&found).await?;
                return Ok(CacheFound::Exact(found));
            }
            evicted = evicted.or(Some(found));
        }
        for prefix in restore {
            for scope in scopes {
                if let Some(found) = self.newest(scope, prefix).await? {
                    self.used(&found).await?;
                    return Ok(CacheFound::Prefix(prefix.clone(), found));
                }
            }
        }
        Ok(evicted.map_or(CacheFound::Nothing, CacheFound::Evicted))
    }

    /// Not with LIKE, whose wildcards a key may contain.
    async fn newest(&self, scope: &str, prefix: &str) -> Result<Option<CacheRow>, Error> {
        let text = format!(
            "SELECT {COLUMNS} FROM cache_entry WHERE scope = $1 AND archive IS NOT NULL \
             AND substr(key, 1, CAST($3 AS INTEGER)) = $2 \
             ORDER BY created_at DESC, key DESC LIMIT 1"
        );
        let length = i64::try_from(prefix.chars().count()).unwrap_or(i64::MAX);
        let args = vec![scope.into(), prefix.into(), length.into()];
        let row = self.read_one(Statement::new(text, args)).await?;
        row.map(|row| entry(&row)).transpose()
    }

    async fn used(&self, found: &CacheRow) -> Result<(), Error> {
        let now = self.clock().now();
        self.write(Use(found.scope.clone(), found.key.clone(), now)).await
    }

    /// Evicts what was not used since a time, and then, longest unused first, what is over the quota
    /// in bytes. Tells how many entries.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn evict_caches(&self, quota: u64, unused_before: Timestamp) -> Result<u64, Error> {
        let mut total = 0;
        loop {
            let now = self.clock().now();
            let evicted = self.write(Evict { quota, unused_before, now }).await?;
            total += evicted;
            if evicted == 0 {
                return Ok(total);
            }
        }
    }

    /// All entries, the evicted ones too, by scope and key.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn cache_entries(&self) -> Result<Vec<CacheRow>, Error> {
        let text = format!("SELECT {COLUMNS} FROM cache_entry ORDER BY scope, key");
        self.read(Statement::new(text, Vec::new())).await?.iter().map(entry).collect()
    }
}

fn entry(row: &Row) -> Result<CacheRow, Error> {
    let archive = row.opt_text(2)?.map(|text| text.parse().map_err(Error::Corrupt)).transpose()?;
    let reason = row.opt_text(9)?.unwrap_or_default();
    Ok(CacheRow {
        scope: row.text(0)?,
        key: row.text(1)?,
        archive,
        bytes: row.count(3)?,
        run: RunId::new(row.text(4)?),
        step: StepId::new(row.text(5)?),
        created_at: row.time(6)?,
        used_at: row.time(7)?,
        evicted: row.opt_time(8)?.map(|at| (at, reason)),
    })
}

impl Op for Use {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        tx.write(Statement::new(
            "UPDATE cache_entry SET used_at = $3 WHERE scope = $1 AND key = $2 AND used_at < $3",
            vec![self.0.as_str().into(), self.1.as_str().into(), self.2.into()],
        ));
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::NONE
    }
}

impl Op for Evict {
    type Out = u64;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<u64, Error> {
        let text = "SELECT scope, key, size, used_at FROM cache_entry WHERE archive IS NOT NULL \
                    ORDER BY used_at DESC, scope, key";
        let rows = tx.fetch(Statement::new(text, Vec::new())).await?;
        let (mut kept, mut gone) = (0_u64, Vec::new());
        for row in &rows {
            let (size, used) = (row.count(2)?, row.time(3)?);
            let reason = if used < self.unused_before {
                "it was not used for long enough"
            } else if kept.saturating_add(size) > self.quota {
                "the quota of all caches was used up and others were used more recently"
            } else {
                kept += size;
                continue;
            };
            gone.push((row.text(0)?, row.text(1)?, reason));
        }
        for (scope, key, reason) in gone.iter().take(BATCH) {
            tx.write(Statement::new(
                "UPDATE cache_entry SET archive = NULL, evicted_at = $3, evicted_for = $4 \
                 WHERE scope = $1 AND key = $2",
                vec![
                    scope.as_str().into(),
                    key.as_str().into(),
                    self.now.into(),
                    Arg::from(*reason),
                ],
            ));
        }
        if gone.is_empty() {
            let old = self.now.as_microsecond() - REMEMBERED_SECONDS * 1_000_000;
            let text = format!("DELETE FROM cache_entry WHERE evicted_at < {}", placeholders(1, 1));
            tx.write(Statement::new(text, vec![old.into()]));
        }
        Ok(gone.len().min(BATCH) as u64)
    }

    fn touched(&self, _: &u64) -> Shards {
        Shards::NONE
    }
}
