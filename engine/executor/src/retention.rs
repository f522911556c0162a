//! Retention and garbage collection: logs of ended attempts are packed and perhaps offloaded to the blob
//! store, and what is older than its retention is deleted.
//!
//! Several engines may collect at once on one database. Must not delete anything that an unfinished run
//! needs.

use std::time::Duration;

use jiff::Timestamp;
use plue_store::Store;

/// Attempts packed or offloaded in one collection.
const MAX_PACKED: u32 = 1_000;
/// Age at which unreferenced content is deleted. Younger content may be referenced soon, or be reused by the
/// next run of the same workspace.
const UNREFERRED: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Retention of the spending of days and months after their end: 13 months.
const SPEND_KEPT: Duration = Duration::from_secs(13 * 31 * 24 * 60 * 60);

/// Age below which [`free_disk`] spares content: it may be referenced soon.
const SPARED: Duration = Duration::from_secs(60 * 60);

/// Retention periods of ended runs and their outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Ended runs with their logs, deliveries and reports.
    pub runs: Duration,
    /// Ended runs of forks; applies if it is shorter than [`Retention::runs`].
    pub untrusted_runs: Duration,
    /// Age at which artifacts expire.
    pub artifacts: Duration,
    /// Time without use after which caches are evicted.
    pub caches: Duration,
    /// Bytes of all caches together.
    pub cache_quota: u64,
    /// Whether packed logs are offloaded to the blob store.
    pub logs_in_blob_store: bool,
}

/// Collects once. Failures are logged; the next collection retries.
pub async fn collect_garbage(store: &Store, retention: &Retention, now: Timestamp) {
    if let Err(error) = pack(store).await {
        tracing::warn!(%error, "failed to pack logs; retrying at the next collection");
    }
    if retention.logs_in_blob_store
        && let Err(error) = offload(store).await
    {
        tracing::warn!(%error, "failed to offload logs; retrying at the next collection");
    }
    if let Err(error) = sweep(store, retention, now).await {
        tracing::warn!(%error, "failed to delete old content; retrying at the next collection");
    }
    if let Err(error) = store.tidy().await {
        tracing::debug!(%error, "failed to compact the database; retrying at the next collection");
    }
    if let Ok(ended_before) = now.saturating_sub(retention.untrusted_runs) {
        pruned(store.retention().prune_untrusted(ended_before).await);
    }
    if let Ok(ended_before) = now.saturating_sub(retention.runs) {
        pruned(store.retention().prune(ended_before).await);
    }
    if let Ok(ended_before) = now.saturating_sub(SPEND_KEPT)
        && let Err(error) = store.claude().prune_spend(ended_before).await
    {
        tracing::warn!(%error, "failed to delete old sums of spending; retrying");
    }
}

fn pruned(result: Result<u64, plue_store::Error>) {
    match result {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "deleted old runs"),
        Err(error) => tracing::warn!(%error, "failed to delete old runs; retrying"),
    }
}

/// Frees a disk that is nearly full: releases the stored outputs of ended runs of forks, then deletes all
/// unreferenced content older than an hour.
pub async fn free_disk(store: &Store, now: Timestamp) {
    let Ok(before) = now.saturating_sub(SPARED) else { return };
    if let Err(error) = store.caches().release_untrusted(before).await {
        tracing::warn!(%error, "failed to release stored outputs of forks; retrying");
    }
    match store.blob_files().collect(before).await {
        Ok(collected) => tracing::info!(collected.blobs, collected.bytes, "deleted unused content"),
        Err(error) => tracing::warn!(%error, "failed to delete unused content; retrying"),
    }
}

/// Expires old artifacts and caches, then deletes unreferenced content.
async fn sweep(
    store: &Store,
    retention: &Retention,
    now: Timestamp,
) -> Result<(), plue_store::Error> {
    if let Ok(before) = now.saturating_sub(retention.artifacts) {
        store.artifacts().expire(before).await?;
    }
    if let Ok(before) = now.saturating_sub(retention.caches) {
        store.caches().evict(retention.cache_quota, before).await?;
    }
    if let Ok(before) = now.saturating_sub(UNREFERRED) {
        store.blob_files().collect(before).await?;
    }
    Ok(())
}

/// Offloads packed logs. A log that cannot be moved stays in the database; an unusable blob store ends the
/// collection.
async fn offload(store: &Store) -> Result<(), plue_store::Error> {
    let mut failed = Ok(());
    for attempt in store.packed_logs().not_offloaded(MAX_PACKED).await? {
        if let Err(error) = store.packed_logs().offload(&attempt).await {
            tracing::debug!(%attempt, %error, "failed to offload a log; retrying at the next collection");
            let is_unusable = matches!(error, plue_store::Error::BlobStore(_));
            failed = Err(error);
            if is_unusable {
                break;
            }
        }
    }
    failed
}

async fn pack(store: &Store) -> Result<(), plue_store::Error> {
    for attempt in store.packed_logs().unpacked(MAX_PACKED).await? {
        store.packed_logs().pack(&attempt).await?;
    }
    Ok(())
}
