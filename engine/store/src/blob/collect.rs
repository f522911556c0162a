//! The sweep: what nothing refers to goes, some time after it was used last.

use std::collections::HashSet;

use jiff::Timestamp;
use plue_wire::outputs::{BlobHash, Changes, MAX_CHANGES_BYTES};

use super::BLOB_BATCH;
use crate::{
    changes::Shards,
    error::Error,
    handles::BlobFiles,
    op::Op,
    sql::{Arg, Statement, Tx, placeholders},
};

/// Grace period of files without a row: their row may be on its way.
const ORPHAN_SECONDS: u64 = 24 * 3_600;

/// Content that a collection has removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that no row named.
    pub orphans: u64,
}

struct Remove(Vec<String>, Timestamp);

impl BlobFiles<'_> {
    /// Removes unreferenced blobs that were not used since this time. `used_before` must be so old
    /// that every caller that has put a blob has referred to it by now. Removes nothing in a bucket
    /// of another database.
    ///
    /// # Errors
    /// [`Error::BlobStore`], or [`Error`] of the database; what was removed until then stays
    /// removed.
    pub async fn collect(self, used_before: Timestamp) -> Result<Collected, Error> {
        if !self.may_sweep().await? {
            return Ok(Collected::default());
        }
        let mut collected = self.remove_old(used_before).await?;
        // A file without a row may be all that is old: a process was killed before it wrote the row.
        collected.orphans = self.remove_orphans().await?;
        Ok(collected)
    }

    async fn remove_old(self, used_before: Timestamp) -> Result<Collected, Error> {
        let mut collected = Collected::default();
        let old = "SELECT hash FROM blob WHERE used_at < $1 LIMIT 1";
        if self.store.read_one(Statement::new(old, vec![used_before.into()])).await?.is_none() {
            // No blob is old enough: skip the search for references.
            return Ok(collected);
        }
        let kept = self.referred().await?;
        let mut after = String::new();
        loop {
            let text = "SELECT hash FROM blob WHERE used_at < $1 AND hash > $2 \
                        ORDER BY hash LIMIT 500";
            let args = vec![used_before.into(), after.as_str().into()];
            let rows = self.store.read(Statement::new(text, args)).await?;
            let Some(last) = rows.last() else { break };
            after = last.text(0)?;
            let mut gone = Vec::new();
            for row in &rows {
                let name = row.text(0)?;
                if !name.parse().is_ok_and(|hash: BlobHash| kept.contains(&hash)) {
                    gone.push(name);
                }
            }
            if gone.is_empty() {
                continue;
            }
            // The row first: content without a row is found by the next sweep.
            for (size, file) in self.store.write(Remove(gone, used_before)).await? {
                collected.blobs += 1;
                collected.bytes += size;
                if let Some(file) = file {
                    self.store.blob_store()?.remove(&file).await.map_err(Error::BlobStore)?;
                }
            }
        }
        Ok(collected)
    }

    /// Everything that rows refer to, directly or through a list of changes.
    async fn referred(self) -> Result<HashSet<BlobHash>, Error> {
        let mut found = HashSet::new();
        for text in [
            "SELECT DISTINCT hash FROM artifact WHERE expired_at IS NULL",
            "SELECT DISTINCT archive FROM cache_entry WHERE archive IS NOT NULL",
            "SELECT DISTINCT blob FROM log_shelf WHERE blob IS NOT NULL",
            "SELECT DISTINCT blob FROM run_workspace WHERE blob IS NOT NULL",
        ] {
            for row in self.store.read(Statement::new(text, Vec::new())).await? {
                found.extend(row.text(0)?.parse::<BlobHash>().ok());
            }
        }
        let text = "SELECT manifest FROM imported_run WHERE manifest <> ''";
        for row in self.store.read(Statement::new(text, Vec::new())).await? {
            let manifest: serde_json::Value = row.json(0)?;
            let sources = manifest.get("sources").and_then(serde_json::Value::as_object);
            let hashes = sources.into_iter().flat_map(|sources| sources.values());
            found.extend(hashes.filter_map(|hash| hash.as_str()?.parse::<BlobHash>().ok()));
        }
        let text = "SELECT DISTINCT changes FROM checkpoint WHERE changes IS NOT NULL";
        for row in self.store.read(Statement::new(text, Vec::new())).await? {
            let Ok(hash) = row.text(0)?.parse::<BlobHash>() else { continue };
            found.insert(hash);
            let bytes = self.store.blobs().whole(&hash, MAX_CHANGES_BYTES).await?;
            if let Some(changes) = bytes.and_then(|bytes| Changes::decode(&bytes).ok()) {
                found.extend(changes.blobs());
            }
        }
        Ok(found)
    }

    async fn remove_orphans(self) -> Result<u64, Error> {
        let Ok(blob_store) = self.store.blob_store() else { return Ok(0) };
        let files = blob_store.older_than(ORPHAN_SECONDS).await.map_err(Error::BlobStore)?;
        let mut removed = 0;
        for some in files.chunks(BLOB_BATCH) {
            let names: Vec<Arg> = some.iter().map(|name| name.as_str().into()).collect();
            let list = placeholders(1, names.len());
            let text = format!("SELECT file FROM blob WHERE file IN ({list})");
            let rows = self.store.read(Statement::new(text, names)).await?;
            let named = rows.iter().map(|row| row.text(0)).collect::<Result<HashSet<_>, _>>()?;
            for orphan in some.iter().filter(|name| !named.contains(*name)) {
                blob_store.remove(orphan).await.map_err(Error::BlobStore)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

impl Op for Remove {
    type Out = Vec<(u64, Option<String>)>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Out, Error> {
        let mut args: Vec<Arg> = self.0.iter().map(|name| name.as_str().into()).collect();
        let list = placeholders(1, args.len());
        args.push(self.1.into());
        // Looked at again under the lock: one may have been used since.
        let lock = crate::fence::lock(tx.dialect());
        let which = format!("hash IN ({list}) AND used_at < ${}", args.len());
        let text = format!("SELECT size, file FROM blob WHERE {which} ORDER BY hash{lock}");
        let rows = tx.fetch(Statement::new(text, args.clone())).await?;
        tx.write(Statement::new(format!("DELETE FROM blob WHERE {which}"), args));
        rows.iter().map(|row| Ok((row.count(0)?, row.opt_text(1)?))).collect()
    }

    fn touched(&self, _: &Self::Out) -> Shards {
        Shards::NONE
    }
}
