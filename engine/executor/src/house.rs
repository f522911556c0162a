//! Keeping house: logs of what ended are packed and perhaps moved to the shelf, and what is older than the operator keeps is deleted.
//!
//! Several engines may do it at once on one database. Must not delete what a run that has not ended
//! needs.

use std::time::Duration;

use jiff::Timestamp;
use plue_store::Store;

/// Attempts packed in one go.
const MAX_PACKED: u32 = 1_000;
/// Content that nothing refers to is given so long: a reference may be on its way, or the next run of
/// the same workspace may want it.
const UNREFERRED: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Spending of days and months is kept so long behind their end: 13 months.
const SPEND_KEPT: Duration = Duration::from_secs(13 * 31 * 24 * 60 * 60);

/// Age below which [`relieve`] spares content: a reference to it may be on its way.
const LATELY: Duration = Duration::from_secs(60 * 60);

/// What is kept for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Ended runs with their logs, and what was received and told of them.
    pub runs: Duration,
    /// Ended runs of forks, if that is shorter.
    pub untrusted_runs: Duration,
    /// Artifacts.
    pub artifacts: Duration,
    /// Caches that nobody uses.
    pub caches: Duration,
    /// Bytes of all caches together.
    pub cache_quota: u64,
    /// Whether packed logs go to the shelf.
    pub logs_on_shelf: bool,
}

/// Keeps house once. That a part of it fails is a line in the log: the next time does it.
pub async fn keep_house(store: &Store, keep: &Keep, now: Timestamp) {
    if let Err(error) = pack(store).await {
        tracing::warn!(%error, "logs not packed");
    }
    if keep.logs_on_shelf
        && let Err(error) = shelve(store).await
    {
        tracing::warn!(%error, "logs stay in the database for now");
    }
    if let Err(error) = sweep(store, keep, now).await {
        tracing::warn!(%error, "old content not removed");
    }
    if let Err(error) = store.tidy().await {
        tracing::debug!(%error, "the database is left as it is");
    }
    if let Ok(ended_before) = now.saturating_sub(keep.untrusted_runs) {
        pruned(store.prune_untrusted(ended_before).await);
    }
    if let Ok(ended_before) = now.saturating_sub(keep.runs) {
        pruned(store.prune(ended_before).await);
    }
    if let Ok(ended_before) = now.saturating_sub(SPEND_KEPT)
        && let Err(error) = store.prune_spend(ended_before).await
    {
        tracing::warn!(%error, "failed to delete old sums of spending; retrying");
    }
}

fn pruned(result: Result<u64, plue_store::Error>) {
    match result {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "old runs deleted"),
        Err(error) => tracing::warn!(%error, "failed to delete old runs; retrying"),
    }
}

/// Frees a disk that is nearly full: what ended runs of forks have kept goes first, and the content that
/// nothing refers to then, with less patience than usual.
pub async fn relieve(store: &Store, now: Timestamp) {
    let Ok(before) = now.saturating_sub(LATELY) else { return };
    if let Err(error) = store.release_untrusted(before).await {
        tracing::warn!(%error, "failed to release what forks kept; retrying");
    }
    match store.collect_blobs(before).await {
        Ok(collected) => tracing::info!(collected.blobs, collected.bytes, "unused content deleted"),
        Err(error) => tracing::warn!(%error, "failed to delete unused content; retrying"),
    }
}

/// Gives up old artifacts and caches, then the content that nothing refers to any more.
async fn sweep(store: &Store, keep: &Keep, now: Timestamp) -> Result<(), plue_store::Error> {
    if let Ok(before) = now.saturating_sub(keep.artifacts) {
        store.expire_artifacts(before).await?;
    }
    if let Ok(before) = now.saturating_sub(keep.caches) {
        store.evict_caches(keep.cache_quota, before).await?;
    }
    if let Ok(before) = now.saturating_sub(UNREFERRED) {
        store.collect_blobs(before).await?;
    }
    Ok(())
}

/// One that cannot be moved keeps no other from it.
async fn shelve(store: &Store) -> Result<(), plue_store::Error> {
    let mut failed = Ok(());
    for attempt in store.unshelved(MAX_PACKED).await? {
        if let Err(error) = store.shelve_log(&attempt).await {
            tracing::debug!(%attempt, %error, "this log stays in the database for now");
            let is_shelf = matches!(error, plue_store::Error::Shelf(_));
            failed = Err(error);
            if is_shelf {
                break;
            }
        }
    }
    failed
}

async fn pack(store: &Store) -> Result<(), plue_store::Error> {
    for attempt in store.uncompacted(MAX_PACKED).await? {
        store.compact_attempt(&attempt).await?;
    }
    Ok(())
}
