//! The free space of the disk: low space stops runs of forks. The limits of this engine are stored
//! regularly, for the explanation of waiting runs.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use plue_executor::{
    Engine,
    disk::{LowWater, Space},
    retention,
};
use plue_flow::quotas::Quotas;
use plue_runtime::{Phase, clock::Mark, metrics::names};
use plue_store::{Store, capacity::EngineCapacity};

use crate::{error::Error, process::Process, workspaces::Workspaces};

/// Period of the disk check.
const CHECK_PERIOD: Duration = Duration::from_secs(2);
/// Period of storing the limits, if nothing changes.
const STORE_PERIOD: Duration = Duration::from_secs(20);
/// Pause between two attempts to free space.
const RELIEF_PAUSE: Duration = Duration::from_secs(10);
/// Engine id in a database that is not shared.
const ONLY_ENGINE: &str = "local";

/// The free space in words while it is low.
#[derive(Debug, Default)]
pub(crate) struct DiskState(Mutex<Option<String>>);

// === impl DiskState ===

impl DiskState {
    /// The free space in words while runs of forks wait for more.
    pub(crate) fn low(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stores the state; returns whether it changed between low and sufficient.
    fn set(&self, low: Option<String>) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let crossed = state.is_some() != low.is_some();
        *state = low;
        crossed
    }
}

/// Checks the disk. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct DiskWatch {
    pub(super) store: Store,
    pub(super) engine: Engine,
    pub(super) workspaces: Workspaces,
    /// A path on the watched disk.
    pub(super) path: PathBuf,
    pub(super) quotas: Quotas,
    pub(super) low_water: LowWater,
    pub(super) state: Arc<DiskState>,
    pub(super) process: Process,
}

// === impl DiskWatch ===

impl DiskWatch {
    /// Checks the disk and stores the limits until the server stops.
    pub(super) async fn run(&self) {
        let (clock, stop) = (self.process.clock, &self.process.stop);
        let beat = self.process.watchdog.watch("check disk");
        let (mut stored, mut relieved): (Option<Mark>, Option<Mark>) = (None, None);
        let is_due = |mark: Option<Mark>, every| mark.is_none_or(|at| clock.elapsed(at) >= every);
        while stop.phase() < Phase::Draining {
            // The time depends on the disk.
            beat.outside("check disk");
            let crossed = self.check().await;
            if self.state.low().is_some() && is_due(relieved, RELIEF_PAUSE) {
                self.free_space().await;
                relieved = Some(clock.mark());
            }
            if crossed || is_due(stored, STORE_PERIOD) {
                match self.store_limits().await {
                    Ok(()) => stored = Some(clock.mark()),
                    Err(error) => {
                        tracing::warn!(%error, "failed to store the limits of this engine; retrying");
                    }
                }
            }
            beat.idle();
            tokio::select! {
                () = stop.reached(Phase::Draining) => return,
                () = clock.sleep(CHECK_PERIOD) => {}
            }
        }
    }

    /// Measures the disk; returns whether it crossed the mark.
    async fn check(&self) -> bool {
        let (space, low) = self.measure(self.low_water).await;
        if space.is_none() && low.is_none() {
            return false;
        }
        if let Some(space) = space {
            names::DISK_FREE.set(space.free as f64, &[]);
        }
        names::DISK_LOW.set(if low.is_some() { 1.0 } else { 0.0 }, &[]);
        let crossed = self.state.set(low.clone());
        match low {
            Some(state) if crossed => tracing::warn!(state, "disk nearly full; runs of forks wait"),
            None if crossed => tracing::info!("disk free again; runs of forks go on"),
            Some(_) | None => {}
        }
        crossed
    }

    /// The free space, and its description if it is below a mark; both `None` while the server stops. Runs
    /// on a blocking thread, since a disk may be slow.
    async fn measure(&self, mark: LowWater) -> (Option<Space>, Option<String>) {
        let path = self.path.clone();
        let asked = self.process.tasks.spawn_blocking(move || mark.reached(&path));
        asked.await.unwrap_or_default()
    }

    /// Removes contents and workspaces of ended runs of forks. Below half of the mark, running ones are
    /// cancelled too: they may hold deleted files, which cannot be measured.
    async fn free_space(&self) {
        let mark = self.low_water;
        let half = LowWater {
            min_free_bytes: mark.min_free_bytes / 2,
            min_free_percent: mark.min_free_percent / 2,
        };
        if let (Some(_), Some(state)) = self.measure(half).await {
            let by = format!("plue: it is from a fork, and the disk is nearly full: {state}");
            match self.store.cancels().request_for_untrusted(&by).await {
                Ok(count) => {
                    tracing::warn!(count, state, "disk nearly full; runs of forks cancelled")
                }
                Err(error) => tracing::warn!(%error, "failed to cancel runs of forks; retrying"),
            }
        }
        retention::free_disk(&self.store, self.process.clock.now()).await;
        if let Err(error) = self.workspaces.remove_unused().await {
            tracing::warn!(%error, "failed to remove old workspaces; retrying");
        }
    }

    async fn store_limits(&self) -> Result<(), Error> {
        let engine = match self.store.is_shared() {
            true => self.engine.id().await?,
            false => ONLY_ENGINE.to_owned(),
        };
        let places = EngineCapacity {
            engine,
            quotas: self.quotas,
            low_disk: self.state.low(),
            seen_at: self.process.clock.now(),
        };
        Ok(self.store.capacity().put(&places).await?)
    }
}
