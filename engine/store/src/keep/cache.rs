//! Entries of caches: found by key or prefix, evicted when they are too many.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use jiff::Timestamp;
use plue_plan::{RunId, StepId};
use plue_wire::outputs::BlobHash;

use crate::{
    capacity::UNTRUSTED_SCOPE,
    changes::Shards,
    error::Error,
    handles::Caches,
    op::Op,
    sql::{Arg, Row, Statement, Tx, placeholders},
};

/// A row of `cache_entry`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheRow {
    pub scope: String,
    pub key: String,
    /// The archive; absent after it was evicted.
    pub archive: Option<BlobHash>,
    /// Bytes of the archive.
    pub bytes: u64,
    /// The run that filled it.
    pub run: RunId,
    /// The step that filled it.
    pub step: StepId,
    pub created_at: Timestamp,
    /// Time of its last use.
    pub used_at: Timestamp,
    /// Time and reason of its eviction.
    pub evicted: Option<(Timestamp, String)>,
}

/// Result of a search in caches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheFound {
    Exact(CacheRow),
    /// The newest entry whose key begins with this prefix.
    Prefix(String, CacheRow),
    /// Nothing; the key was there once, until it was evicted.
    Evicted(CacheRow),
    Nothing,
}

struct Use(String, String, Timestamp);

/// Entries by scope, each scope's longest unused first.
#[derive(Debug, Default)]
struct Scopes {
    bytes: u64,
    scopes: BTreeMap<String, (u64, VecDeque<(String, u64)>)>,
}

struct Release(Timestamp, Timestamp);

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

impl Caches<'_> {
    /// The best entry: the exact key in the first scope that has it, then each prefix in turn, newest
    /// first. What is found counts as used.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn find(
        self,
        scopes: &[String],
        key: &str,
        restore: &[String],
    ) -> Result<CacheFound, Error> {
        let mut evicted = None;
        for scope in scopes {
            let text = format!("SELECT {COLUMNS} FROM cache_entry WHERE scope = $1 AND key = $2");
            let args = vec![scope.as_str().into(), key.into()];
            let Some(found) = self.store.read_one(Statement::new(text, args)).await? else {
                continue;
            };
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
    async fn newest(self, scope: &str, prefix: &str) -> Result<Option<CacheRow>, Error> {
        let text = format!(
            "SELECT {COLUMNS} FROM cache_entry WHERE scope = $1 AND archive IS NOT NULL \
             AND substr(key, 1, CAST($3 AS INTEGER)) = $2 \
             ORDER BY created_at DESC, key DESC LIMIT 1"
        );
        let length = i64::try_from(prefix.chars().count()).unwrap_or(i64::MAX);
        let args = vec![scope.into(), prefix.into(), length.into()];
        let row = self.store.read_one(Statement::new(text, args)).await?;
        row.map(|row| entry(&row)).transpose()
    }

    async fn used(self, found: &CacheRow) -> Result<(), Error> {
        let now = self.store.clock().now();
        self.store.write(Use(found.scope.clone(), found.key.clone(), now)).await
    }

    /// Evicts entries that were not used since a time, then those over the quota in bytes: the
    /// least recently used one of the largest scope, and of scopes of forks before any other.
    /// Returns the number of entries, those that were used meanwhile included.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn evict(self, quota: u64, unused_before: Timestamp) -> Result<u64, Error> {
        let mut total = 0;
        loop {
            let now = self.store.clock().now();
            let evicted = self.store.write(Evict { quota, unused_before, now }).await?;
            total += evicted;
            if evicted == 0 {
                return Ok(total);
            }
        }
    }

    /// Gives up what runs of forks that ended before a time have kept: artifacts, checkpoints, and all
    /// caches of forks. The runs and their logs stay.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn release_untrusted(self, ended_before: Timestamp) -> Result<(), Error> {
        self.store.write(Release(ended_before, self.store.clock().now())).await
    }

    /// All entries, the evicted ones too, by scope and key.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn list(self) -> Result<Vec<CacheRow>, Error> {
        let text = format!("SELECT {COLUMNS} FROM cache_entry ORDER BY scope, key");
        self.store.read(Statement::new(text, Vec::new())).await?.iter().map(entry).collect()
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

// === impl Scopes ===

impl Scopes {
    /// Adds an entry that was used after all that were added before.
    fn add(&mut self, scope: String, key: String, size: u64) {
        let (bytes, entries) = self.scopes.entry(scope).or_default();
        *bytes = bytes.saturating_add(size);
        entries.push_back((key, size));
        self.bytes = self.bytes.saturating_add(size);
    }

    /// Entries to evict until the rest is within the quota, as scope and key.
    fn over(mut self, quota: u64) -> Vec<(String, String)> {
        let is_untrusted = |scope: &str| scope.starts_with(UNTRUSTED_SCOPE);
        let ranked = self
            .scopes
            .iter()
            .map(|(scope, (bytes, _))| (is_untrusted(scope), *bytes, scope.clone()));
        let mut ranked: BTreeSet<(bool, u64, String)> = ranked.collect();
        let mut gone = Vec::new();
        while self.bytes > quota
            && let Some((untrusted, _, scope)) = ranked.pop_last()
        {
            let Some((bytes, entries)) = self.scopes.get_mut(&scope) else { continue };
            let Some((key, size)) = entries.pop_front() else { continue };
            *bytes -= size;
            self.bytes -= size;
            gone.push((scope.clone(), key));
            ranked.insert((untrusted, *bytes, scope));
        }
        gone
    }
}

impl Op for Release {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        let ended = "run_id IN (SELECT id FROM run WHERE fork IS NOT NULL AND ended_at < $1)";
        let text =
            format!("UPDATE artifact SET expired_at = $2 WHERE expired_at IS NULL AND {ended}");
        tx.write(Statement::new(text, vec![self.0.into(), self.1.into()]));
        // No files are made again from what is not whole.
        let text = format!("UPDATE checkpoint SET kind = 'skipped', changes = NULL WHERE {ended}");
        tx.write(Statement::new(text, vec![self.0.into()]));
        let text = "UPDATE cache_entry SET archive = NULL, evicted_at = $1, evicted_for = $2 \
                    WHERE archive IS NOT NULL AND substr(scope, 1, CAST($4 AS INTEGER)) = $3";
        tx.write(Statement::new(
            text,
            vec![
                self.1.into(),
                "the disk was nearly full".into(),
                UNTRUSTED_SCOPE.into(),
                (UNTRUSTED_SCOPE.len() as i64).into(),
            ],
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
                    ORDER BY used_at, scope, key";
        let rows = tx.fetch(Statement::new(text, Vec::new())).await?;
        let (mut scopes, mut gone) = (Scopes::default(), Vec::new());
        let mut used = HashMap::new();
        for row in &rows {
            let (scope, key, used_at) = (row.text(0)?, row.text(1)?, row.time(3)?);
            used.insert((scope.clone(), key.clone()), used_at);
            if used_at < self.unused_before {
                gone.push((scope, key, "it was not used for long enough"));
            } else {
                scopes.add(scope, key, row.count(2)?);
            }
        }
        let over = scopes.over(self.quota).into_iter();
        gone.extend(over.map(|(scope, key)| {
            (scope, key, "the quota of all caches was used up, and its scope had most of those that go first")
        }));
        for (scope, key, reason) in gone.iter().take(BATCH) {
            // An entry that was used since the read stays.
            tx.write(Statement::new(
                "UPDATE cache_entry SET archive = NULL, evicted_at = $3, evicted_for = $4 \
                 WHERE scope = $1 AND key = $2 AND archive IS NOT NULL AND used_at <= $5",
                vec![
                    scope.as_str().into(),
                    key.as_str().into(),
                    self.now.into(),
                    Arg::from(*reason),
                    used.get(&(scope.clone(), key.clone())).copied().into(),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries as `scope key size`, the longest unused first.
    fn over(entries: &[(&str, &str, u64)], quota: u64) -> Vec<String> {
        let mut scopes = Scopes::default();
        for (scope, key, size) in entries {
            scopes.add((*scope).to_owned(), (*key).to_owned(), *size);
        }
        scopes.over(quota).into_iter().map(|(_, key)| key).collect()
    }

    #[test]
    fn forks_are_evicted_before_trusted_scopes() {
        let old_own = ("trusted a", "own", 5);
        let flood = [
            old_own,
            ("stranger a 1", "s1", 10),
            ("stranger a 1", "s2", 10),
            ("stranger b 2", "t1", 15),
        ];
        assert_eq!(over(&flood, 40), [""; 0]);
        assert_eq!(over(&flood, 39), ["s1"], "the largest scope, its longest unused entry");
        assert_eq!(over(&flood, 16), ["s1", "t1"]);
        assert_eq!(over(&flood, 5), ["s1", "t1", "s2"], "nothing of a fork evicts what is trusted");
        assert_eq!(over(&flood, 4), ["s1", "t1", "s2", "own"]);
    }

    #[test]
    fn large_repositories_do_not_evict_small_ones() {
        let entries = [("trusted a", "small", 5), ("trusted b", "b1", 20), ("trusted b", "b2", 20)];
        assert_eq!(over(&entries, 30), ["b1"]);
        assert_eq!(over(&entries, 0), ["b1", "b2", "small"]);
    }
}
