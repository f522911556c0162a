//! The host of runs: drives them, stores ticks of schedules, watches the disk, and removes expired data.

pub(crate) mod disk;
mod drive;
mod housekeeping;
mod next_runs;
pub(crate) mod schedules;
mod unused_contents;

use std::sync::Arc;

use plue_executor::{disk::LowWater, retention::Retention};
use plue_flow::quotas::Quotas;

use crate::{
    host::{
        disk::{DiskState, DiskWatch},
        drive::RunHost,
        housekeeping::Housekeeping,
        schedules::Schedules,
    },
    process::{Process, SupervisedLoop},
    services::Services,
};

/// Settings of the host.
#[derive(Debug, Clone)]
pub(crate) struct HostOptions {
    pub(crate) quotas: Quotas,
    pub(crate) low_water: LowWater,
    pub(crate) keep: Retention,
}

/// Drives runs and keeps this machine in order. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    process: Process,
    runs: RunHost,
    schedules: Schedules,
    disk: DiskWatch,
    housekeeping: Housekeeping,
}

// === impl Host ===

impl Host {
    pub(crate) fn new(options: HostOptions, services: &Services) -> Self {
        let HostOptions { quotas, low_water, keep } = options;
        let state = Arc::new(DiskState::default());
        let (store, process) = (services.store.clone(), services.process.clone());
        Self {
            runs: RunHost {
                store: store.clone(),
                engine: services.engine.clone(),
                workspaces: services.workspaces.clone(),
                credentials: services.credentials.clone(),
                quotas,
                disk: Arc::clone(&state),
                process: process.clone(),
            },
            schedules: Schedules { store: store.clone(), process: process.clone() },
            disk: DiskWatch {
                store: store.clone(),
                engine: services.engine.clone(),
                workspaces: services.workspaces.clone(),
                path: services.state.path().to_owned(),
                quotas,
                low_water,
                state,
                process: process.clone(),
            },
            housekeeping: Housekeeping {
                store,
                engine: services.engine.clone(),
                workspaces: services.workspaces.clone(),
                state: services.state.clone(),
                keep,
                process: process.clone(),
            },
            process,
        }
    }

    /// Runs until the server stops and its driven runs are released.
    pub(crate) async fn run(&self) {
        let (runs, schedules) = (self.runs.clone(), self.schedules.clone());
        let (disk, housekeeping) = (self.disk.clone(), self.housekeeping.clone());
        let loops = vec![
            SupervisedLoop::new("runs", move || {
                let runs = runs.clone();
                async move { runs.run().await }
            }),
            SupervisedLoop::new("schedules", move || {
                let schedules = schedules.clone();
                async move { schedules.run().await }
            }),
            SupervisedLoop::new("disk", move || {
                let disk = disk.clone();
                async move { disk.run().await }
            }),
            SupervisedLoop::new("housekeeping", move || {
                let housekeeping = housekeeping.clone();
                async move { housekeeping.run().await }
            }),
        ];
        self.process.supervise(loops).await;
    }

    /// Removes leftovers of engines that died on this machine.
    pub(crate) async fn remove_leftovers(&self) {
        self.housekeeping.remove_leftovers().await;
    }
}
