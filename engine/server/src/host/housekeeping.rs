//! Periodic removal of leftovers of dead engines and of expired data.

use std::time::{Duration, SystemTime};

use plue_executor::{
    Engine,
    retention::{Retention, collect_garbage},
};
use plue_runtime::{Phase, clock::Mark};
use plue_store::Store;

use super::unused_contents;
use crate::{process::Process, state_dir::StateDir, workspaces::Workspaces};

/// Period of the search for leftovers of dead engines.
const LEFTOVERS_PERIOD: Duration = Duration::from_secs(5);
/// Period of the removal of expired data.
const RETENTION_PERIOD: Duration = Duration::from_secs(60 * 60);

/// Removes leftovers and expired data. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Housekeeping {
    pub(super) store: Store,
    pub(super) engine: Engine,
    pub(super) workspaces: Workspaces,
    pub(super) state: StateDir,
    pub(super) keep: Retention,
    pub(super) process: Process,
}

// === impl Housekeeping ===

impl Housekeeping {
    /// Runs until the server stops.
    pub(super) async fn run(&self) {
        let Process { clock, watchdog, stop, .. } = &self.process;
        let beat = watchdog.watch("housekeeping");
        let mut last: Option<Mark> = None;
        loop {
            beat.idle();
            tokio::select! {
                () = stop.reached(Phase::Draining) => return,
                () = clock.sleep(LEFTOVERS_PERIOD) => {}
            }
            // The time depends on the number of files to delete.
            beat.outside("remove leftovers");
            self.remove_leftovers().await;
            if last.is_none_or(|mark| clock.elapsed(mark) >= RETENTION_PERIOD) {
                self.remove_expired().await;
                last = Some(clock.mark());
            }
        }
    }

    /// Removes leftovers of engines that died on this machine.
    pub(super) async fn remove_leftovers(&self) {
        if let Err(error) = self.engine.tidy().await {
            tracing::warn!(%error, "failed to remove leftovers of dead engines; retrying");
        }
    }

    async fn remove_expired(&self) {
        let now = self.process.clock.now();
        collect_garbage(&self.store, &self.keep, now).await;
        if let Err(error) = self.workspaces.remove_unused().await {
            tracing::warn!(%error, "failed to remove old workspaces; retrying");
        }
        let now = SystemTime::from(now);
        if let Err(error) = unused_contents::remove(&self.state, &self.process.tasks, now).await {
            tracing::warn!(%error, "failed to remove unused submodules and LFS contents; retrying");
        }
    }
}
