//! Runs that nobody advances are advanced here, so many at a time; those that a dead engine left behind
//! as well. Repositories are served in turn, and the runs of each oldest first.
//!
//! Where several engines share the database they take runs from it, and the database sees to it that
//! nobody gets what another one has. On one machine it is the kernel that knows who drives.

use std::time::Duration;

use futures::{FutureExt as _, future::BoxFuture};
use plue_executor::{RunHandle, Taken};
use plue_plan::{Code, RunId};
use plue_runtime::{Phase, TaskSet, task_set::Ended, watchdog::Beat};
use plue_store::{Obstacle, ObstacleKind, RunRow, secret::SecretError};

use crate::{error::Error, pace::Look, server::Server};

/// A run that could not be driven is left alone for so long.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// A secret is sealed with a key that no engine has.
const UNKNOWN_KEY: Code = Code::new("PLUE-C0031");

/// The tasks that drive runs.
pub(crate) type Drivers = TaskSet<RunId, ()>;

impl Server {
    /// Drives runs until the server stops, then waits for those that it drives.
    pub(crate) async fn drive_runs(self) {
        let parts = self.parts();
        let beat = parts.watchdog.watch("drive runs");
        let mut changes = self.store().changes();
        let mut drivers = Drivers::new(&parts.tasks, "driven run");
        loop {
            changes.borrow_and_update();
            // Asked once a round: were it asked again below, a stop between the two would leave
            // nothing to wait for.
            let running = parts.stop.phase() == Phase::Running;
            let look = Look::begin(parts.clock);
            if running {
                beat.stage("claim runs");
                for (run, driving) in self.next_runs(&drivers).await {
                    drivers.spawn(run, driving);
                }
            } else if drivers.is_empty() {
                return;
            }
            beat.idle();
            look.rest().await;
            tokio::select! {
                Some(ended) = drivers.next() => {
                    beat.stage("end runs");
                    self.end_of(ended).await;
                    while let Some(ended) = drivers.try_next() {
                        self.end_of(ended).await;
                    }
                }
                more = self.rest(&mut changes), if running => {
                    let _stops = more;
                }
            }
        }
    }

    /// What is to be driven now.
    async fn next_runs(&self, drivers: &Drivers) -> Vec<(RunId, BoxFuture<'static, ()>)> {
        if self.store().is_shared() {
            let taken = self.taken().await.into_iter();
            return taken
                .map(|one| (one.row.id.clone(), self.clone().drive_taken(one).boxed()))
                .collect();
        }
        let waiting = self.waiting(drivers).await.into_iter();
        waiting.map(|row| (row.id.clone(), self.clone().drive_one(row).boxed())).collect()
    }

    /// Runs that this engine has taken from the database.
    async fn taken(&self) -> Vec<Taken> {
        let (quotas, low_disk) = (self.parts().options.quotas, self.disk().low());
        match self.parts().engine.take(quotas, low_disk).await {
            Ok(taken) => taken,
            Err(error) => {
                tracing::warn!(%error, "runs wait");
                Vec::new()
            }
        }
    }

    /// Runs that nobody on this machine drives and whose turn it is.
    async fn waiting(&self, drivers: &Drivers) -> Vec<RunRow> {
        match self.next_of(drivers).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(%error, "failed to read which runs wait; retrying");
                Vec::new()
            }
        }
    }

    /// Gives back a run whose task failed: a panic does not end the server; the run is driven
    /// again.
    async fn end_of(&self, (run, result): Ended<RunId, ()>) {
        let Err(failure) = result else { return };
        tracing::error!(%run, %failure, "the task of a run failed; the run is driven again");
        if let Err(error) = self.parts().engine.abandon(&run).await {
            tracing::warn!(%run, %error, "failed to give a run back; it waits for the next server");
        }
    }

    async fn drive_one(self, row: RunRow) {
        let parts = self.parts();
        let beat = parts.watchdog.task("driven run", row.id.as_str());
        let driven = self.driven_to_its_end(&row, &beat).await;
        self.drop_untrusted_workspace(&row).await;
        if let Err(error) = driven {
            // It stays where the store says it is, and is not looked at again at once: what kept it
            // from going on will mostly still be so.
            tracing::warn!(run = %row.id, %error, again_in = ?AGAIN_AFTER, "failed to drive a run");
            self.note_obstacle(&row.id, &error).await;
            beat.idle();
            tokio::select! {
                () = parts.stop.reached(Phase::Draining) => {}
                () = parts.clock.sleep(AGAIN_AFTER) => {}
            }
        }
    }

    async fn driven_to_its_end(&self, row: &RunRow, beat: &Beat) -> Result<(), Error> {
        let parts = self.parts();
        beat.stage("place its files");
        self.restore_workspace(row).await?;
        beat.stage("read secrets");
        let secrets = self.secrets_of(row).await?;
        beat.stage("start the driver");
        let handle = parts.engine.drive_unasked(&row.id, secrets, parts.stop.clone()).await?;
        beat.stage("drive");
        handle.wait().await?;
        Ok(())
    }

    async fn drive_taken(self, taken: Taken) {
        let (row, parts) = (taken.row.clone(), self.parts());
        let run = row.id.clone();
        let beat = parts.watchdog.task("driven run", run.as_str());
        let ready = async {
            beat.stage("place its files");
            self.place(&taken).await?;
            beat.stage("read secrets");
            self.secrets_of(&taken.row).await
        };
        let driven = match ready.await {
            Ok(_) if parts.stop.phase() >= Phase::Draining => {
                return parts.engine.give_back(taken, &parts.stop, false).await;
            }
            Ok(secrets) => {
                beat.stage("start the driver");
                let handle = parts.engine.drive_taken(taken, secrets, parts.stop.clone()).await;
                beat.stage("drive");
                match handle.map(RunHandle::wait) {
                    Ok(end) => end.await.map(drop).map_err(Error::from),
                    Err(error) => Err(error.into()),
                }
            }
            Err(error) => {
                parts.engine.give_back(taken, &parts.stop, true).await;
                Err(error)
            }
        };
        match driven {
            Ok(()) => self.drop_untrusted_workspace(&row).await,
            Err(Error::Executor(error @ plue_executor::Error::Superseded { .. })) => {
                tracing::warn!(%run, %error, "left a run to another engine");
            }
            Err(error) => {
                tracing::warn!(%run, %error, "failed to drive a run");
                self.note_obstacle(&run, &error).await;
            }
        }
    }

    /// Records what keeps a run from being driven, for the people who look at it.
    async fn note_obstacle(&self, run: &RunId, error: &Error) {
        let Some(obstacle) = obstacle(error) else { return };
        let now = self.parts().clock.now();
        if let Err(error) = self.store().put_obstacle(run, &obstacle, now).await {
            tracing::warn!(%run, %error, "failed to record why a run waits; the next try records it");
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
        // Over at the next try, or another engine has the run.
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
            "waits for an engine: the last one could not start it, and its log says why".to_owned(),
        ),
    };
    Some(Obstacle { kind, words })
}
