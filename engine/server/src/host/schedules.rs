//! Schedules of registered plans. A due tick becomes exactly one delivery, whatever the number of engines,
//! and is dispatched by the intake in the queue of its repository.
//!
//! Must not access a repository: one that hangs would delay the ticks of the others.

use jiff::Timestamp;
use plue_api::pauses;
use plue_plan::{Trigger, trigger::Misfire};
use plue_registry::{due, schedule::Schedule};
use plue_store::{
    DeliveryRow, DeliveryState, RegisteredRow, Store, Tick,
    repo::pause::{PauseRow, PauseScope},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{error::Error, process::Process};

/// Kind of the deliveries for ticks.
pub(crate) const SCHEDULE: &str = "schedule";

/// The body of a tick's delivery.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DueTick {
    pub(crate) file: String,
    pub(crate) workflow: String,
    pub(crate) sha: String,
    pub(crate) cron: String,
    pub(crate) at: Timestamp,
}

/// Turns due ticks into deliveries. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Schedules {
    pub(super) store: Store,
    pub(super) process: Process,
}

// === impl Schedules ===

impl Schedules {
    /// Stores due ticks until the server stops.
    pub(super) async fn run(&self) {
        let process = &self.process;
        let beat = process.watchdog.watch("follow schedules");
        loop {
            beat.stage("look for ticks that are due");
            if let Err(error) = self.store_due_ticks().await {
                tracing::warn!(%error, "failed to store due ticks of schedules; retrying");
            }
            beat.idle();
            tokio::select! {
                () = process.stop.reached(plue_runtime::Phase::Draining) => return,
                () = process.clock.sleep(process.poll) => {}
            }
        }
    }

    /// Stores the due ticks as deliveries; returns their number.
    ///
    /// # Errors
    /// The database; the remaining ticks stay due.
    async fn store_due_ticks(&self) -> Result<usize, Error> {
        let mut made = 0;
        let pauses = self.store.pauses().list(None).await?;
        for row in self.store.repos().registered(None).await? {
            if schedule_pause(&pauses, &row.repo, &row.workflow).is_some() {
                continue;
            }
            let floor = resumed_at(&pauses, &row);
            for trigger in &row.triggers {
                if let Trigger::Schedule { cron, tz, misfire } = trigger {
                    made += self.store_ticks_of(&row, (cron, tz, *misfire), floor).await?;
                }
            }
        }
        Ok(made)
    }

    /// Stores the due ticks of one schedule; ticks before `floor` are dropped.
    async fn store_ticks_of(
        &self,
        row: &RegisteredRow,
        (cron, tz, misfire): (&str, &str, Misfire),
        floor: Option<Timestamp>,
    ) -> Result<usize, Error> {
        let now = self.process.clock.now();
        let tick = |due_at| Tick {
            repo: row.repo.clone(),
            file: row.file.clone(),
            workflow: row.workflow.clone(),
            cron: cron.to_owned(),
            tz: tz.to_owned(),
            due_at,
        };
        let Some(last) = self.store.repos().last_tick(&tick(now)).await? else {
            // A new schedule is due from now on.
            self.store.repos().take_tick(tick(now), now).await?;
            return Ok(0);
        };
        let last = floor.map_or(last, |floor| last.max(floor));
        let due = match due(&Schedule { cron, tz, misfire }, last, now) {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, workflow = row.workflow, "failed to parse a schedule; its workflow does not run");
                return Ok(0);
            }
        };
        let mut made = 0;
        for at in due.ticks.iter().copied() {
            // The delivery comes first, so that a crash cannot lose the tick.
            self.store_tick(row, (cron, tz), at).await?;
            made += usize::from(self.store.repos().take_tick(tick(at), now).await?);
        }
        if let Some(latest) = due.latest {
            self.store.repos().take_tick(tick(latest), now).await?;
        }
        Ok(made)
    }

    /// Stores the delivery of a tick; its id makes that idempotent.
    async fn store_tick(
        &self,
        row: &RegisteredRow,
        (cron, tz): (&str, &str),
        at: Timestamp,
    ) -> Result<(), Error> {
        let Some(repo) = self.store.repos().get(&row.repo).await? else { return Ok(()) };
        let due = DueTick {
            file: row.file.clone(),
            workflow: row.workflow.clone(),
            sha: row.sha.clone(),
            cron: cron.to_owned(),
            at,
        };
        let body = serde_json::to_vec(&due).map_err(|error| Error::Unfit(error.to_string()))?;
        let delivery = DeliveryRow {
            forge: SCHEDULE.to_owned(),
            hook: repo.hook,
            id: format!("{} {} {cron} {tz} {at}", row.file, row.workflow),
            headers: json!({}),
            body,
            received_at: self.process.clock.now(),
            state: DeliveryState::New,
            note: None,
        };
        self.store.deliveries().receive(delivery).await?;
        Ok(())
    }
}

/// The pause of a workflow's schedules, if one is in force.
pub(crate) fn schedule_pause<'p>(
    pauses: &'p [PauseRow],
    repo: &str,
    workflow: &str,
) -> Option<&'p PauseRow> {
    let scopes = PauseScope::ALL.iter();
    scopes.filter_map(|scope| pauses::in_force(pauses, repo, workflow, *scope)).next()
}

/// The last time that the schedules of a workflow were resumed.
fn resumed_at(pauses: &[PauseRow], row: &RegisteredRow) -> Option<Timestamp> {
    let of_row = pauses.iter().filter(|one| one.repo == row.repo && one.workflow == row.workflow);
    of_row.filter_map(|one| one.resumed_at).max()
}
