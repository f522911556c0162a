//! Drives runs up to the quotas, also those of dead engines. Repositories take turns; the runs of each are
//! served oldest first.
//!
//! Engines that share a database claim runs in it. On one machine, file locks of the kernel exclude other
//! processes.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use plue_executor::{Engine, RunHandle, Taken};
use plue_flow::quotas::Quotas;
use plue_plan::{Code, RunId};
use plue_runtime::{Phase, TaskSet, task_set::Ended, watchdog::Beat};
use plue_store::{Obstacle, ObstacleKind, RunRow, Store, secret::SecretError};
use tokio::sync::watch;

use super::disk::DiskState;
use crate::{
    error::Error, pace::Look, process::Process, secrets::Credentials, workspaces::Workspaces,
};

/// Pause before a run that could not be driven is retried.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Pause between two looks for runs while every slot is taken: each end of a run is a look as well.
const FULL_LOOK: Duration = Duration::from_millis(20);

/// Code of a secret whose key no engine has.
const UNKNOWN_KEY: Code = Code::new("PLUE-C0031");

/// The tasks that drive runs.
pub(super) type Drivers = TaskSet<RunId, ()>;

/// Drives runs. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct RunHost {
    pub(super) store: Store,
    pub(super) engine: Engine,
    pub(super) workspaces: Workspaces,
    pub(super) credentials: Credentials,
    pub(super) quotas: Quotas,
    pub(super) disk: Arc<DiskState>,
    pub(super) process: Process,
}

// === impl RunHost ===

impl RunHost {
    /// Drives runs until the server stops, then waits for the driven ones.
    pub(super) async fn run(&self) {
        let process = &self.process;
        let beat = process.watchdog.watch("drive runs");
        let mut changes = self.store.changes();
        let mut drivers = Drivers::new(&process.tasks, "driven run");
        loop {
            changes.borrow_and_update();
            // Read once per round: a stop between two reads would leave nothing to wait for.
            let running = process.stop.phase() == Phase::Running;
            let look = Look::begin(process.clock);
            if running {
                beat.stage("claim runs");
                for (run, driving) in self.next_runs(&drivers).await {
                    drivers.spawn(run, driving);
                }
            } else if drivers.is_empty() {
                return;
            }
            let is_full = drivers.len() >= self.quotas.max_runs;
            beat.idle();
            look.rest().await;
            tokio::select! {
                Some(ended) = drivers.next() => {
                    beat.stage("end runs");
                    self.finish(ended).await;
                    while let Some(ended) = drivers.try_next() {
                        self.finish(ended).await;
                    }
                }
                () = self.next_look(&mut changes, is_full), if running => {}
            }
        }
    }

    /// Waits until a look may find runs. While every slot is taken, changes are mostly those of the
    /// driven runs, and make no room.
    async fn next_look(&self, changes: &mut watch::Receiver<u64>, is_full: bool) {
        let process = &self.process;
        if is_full {
            tokio::select! {
                () = process.stop.reached(Phase::Draining) => {}
                () = process.clock.sleep(FULL_LOOK) => {}
            }
        } else {
            let _stops = process.wait_for_change(changes).await;
        }
    }

    /// The next runs, each with its driving future.
    async fn next_runs(&self, drivers: &Drivers) -> Vec<(RunId, BoxFuture<'static, ()>)> {
        if self.store.is_shared() {
            let taken = self.take().await.into_iter();
            return taken
                .map(|one| (one.row.id.clone(), self.clone().drive_taken(one).boxed()))
                .collect();
        }
        let waiting = self.next_local_runs(drivers).await.into_iter();
        waiting.map(|row| (row.id.clone(), self.clone().drive_one(row).boxed())).collect()
    }

    /// Claims runs in the shared database.
    async fn take(&self) -> Vec<Taken> {
        let (quotas, low_disk) = (self.quotas, self.disk.low());
        match self.engine.take(quotas, low_disk).await {
            Ok(taken) => taken,
            Err(error) => {
                tracing::warn!(%error, "failed to claim runs; retrying");
                Vec::new()
            }
        }
    }

    /// The next undriven runs of this machine.
    async fn next_local_runs(&self, drivers: &Drivers) -> Vec<RunRow> {
        match self.next_local(drivers).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(%error, "failed to read waiting runs; retrying");
                Vec::new()
            }
        }
    }

    /// Releases a run whose task panicked, so that it is driven again.
    async fn finish(&self, (run, result): Ended<RunId, ()>) {
        let Err(failure) = result else { return };
        tracing::error!(%run, %failure, "the task of a run failed; releasing the run");
        if let Err(error) = self.engine.abandon(&run).await {
            tracing::warn!(%run, %error, "failed to release a run; it waits for the next server");
        }
    }

    async fn drive_one(self, row: RunRow) {
        let process = &self.process;
        let beat = process.watchdog.task("driven run", row.id.as_str());
        let driven = self.drive_to_end(&row, &beat).await;
        self.workspaces.remove_untrusted(&row).await;
        if let Err(error) = driven {
            // The cause will mostly persist, so the run is not retried at once.
            tracing::warn!(run = %row.id, %error, retry_in = ?RETRY_AFTER, "failed to drive a run");
            self.record_obstacle(&row.id, &error).await;
            beat.idle();
            tokio::select! {
                () = process.stop.reached(Phase::Draining) => {}
                () = process.clock.sleep(RETRY_AFTER) => {}
            }
        }
    }

    async fn drive_to_end(&self, row: &RunRow, beat: &Beat) -> Result<(), Error> {
        beat.stage("restore files");
        self.workspaces.restore_untrusted(row).await?;
        beat.stage("read secrets");
        let secrets = self.credentials.run_secrets(row).await?;
        beat.stage("start the driver");
        let stop = self.process.stop.clone();
        let handle = self.engine.drive_unasked(&row.id, secrets, stop).await?;
        beat.stage("drive");
        handle.wait().await?;
        Ok(())
    }

    async fn drive_taken(self, taken: Taken) {
        let (row, process) = (taken.row.clone(), &self.process);
        let run = row.id.clone();
        let beat = process.watchdog.task("driven run", run.as_str());
        let ready = async {
            beat.stage("prepare files");
            self.workspaces.prepare(&taken).await?;
            beat.stage("read secrets");
            self.credentials.run_secrets(&taken.row).await
        };
        let driven = match ready.await {
            Ok(_) if process.stop.phase() >= Phase::Draining => {
                return self.engine.give_back(taken, &process.stop, false).await;
            }
            Ok(secrets) => {
                beat.stage("start the driver");
                let handle = self.engine.drive_taken(taken, secrets, process.stop.clone()).await;
                beat.stage("drive");
                match handle.map(RunHandle::wait) {
                    Ok(end) => end.await.map(drop).map_err(Error::from),
                    Err(error) => Err(error.into()),
                }
            }
            Err(error) => {
                self.engine.give_back(taken, &process.stop, true).await;
                Err(error)
            }
        };
        match driven {
            Ok(()) => self.workspaces.remove_untrusted(&row).await,
            Err(Error::Executor(error @ plue_executor::Error::Superseded { .. })) => {
                tracing::warn!(%run, %error, "lost a run to another engine");
            }
            Err(error) => {
                tracing::warn!(%run, %error, "failed to drive a run");
                self.record_obstacle(&run, &error).await;
            }
        }
    }

    /// Records the obstacle of a run for its readers.
    async fn record_obstacle(&self, run: &RunId, error: &Error) {
        let Some(obstacle) = obstacle(error) else { return };
        let now = self.process.clock.now();
        if let Err(error) = self.store.runs().put_obstacle(run, &obstacle, now).await {
            tracing::warn!(%run, %error, "failed to record the obstacle of a run; the next try records it");
        }
    }
}

/// The obstacle that readers of an undriven run see, without details of the machine.
fn obstacle(error: &Error) -> Option<Obstacle> {
    let (kind, words) = match error {
        Error::Secret(SecretError::OtherKey { name, key_id }) => (
            ObstacleKind::Secret,
            format!(
                "waits for the key of secret `{name}`: it is sealed with the key {key_id}, which no \
                 engine that tried has [{UNKNOWN_KEY}]"
            ),
        ),
        Error::Secret(SecretError::Damaged { name }) => (
            ObstacleKind::Secret,
            format!("waits for secret `{name}`, which cannot be opened: set it again"),
        ),
        // Transient, or another engine has the run.
        Error::Store(_) | Error::Executor(_) | Error::Stopped => return None,
        Error::Secret(_)
        | Error::Git(_)
        | Error::Invalid(_)
        | Error::Paused(_)
        | Error::Planner(_)
        | Error::NotFound(_)
        | Error::Unfit(_)
        | Error::Folder { .. }
        | Error::App(_)
        | Error::Elsewhere(_)
        | Error::NotShown(_) => (
            ObstacleKind::Engine,
            "waits for an engine: the last one could not start it; its log has the reason"
                .to_owned(),
        ),
    };
    Some(Obstacle { kind, words })
}
