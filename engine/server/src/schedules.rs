//! Schedules of registered plans: a tick that is due becomes a delivery, exactly one whatever the number
//! of engines, and is worked on in the turn of its repository.
//!
//! Must not touch a repository while ticks are looked for: one that hangs would hold back the others.

use jiff::Timestamp;
use plue_api::pauses;
use plue_plan::{
    Event, Trigger,
    event::{EventType, ScheduleTick},
    trigger::Misfire,
};
use plue_planner::Trust;
use plue_registry::{due, schedule::Schedule};
use plue_store::{
    DeliveryRow, DeliveryState, RegisteredRow, RepoRow, Tick,
    delivery::{DispatchResult, Settlement},
    repo::pause::{PauseRow, PauseScope},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

use crate::{
    dispatch::{DispatchLog, WorkflowName},
    error::Error,
    plans::For,
    server::Server,
    submit::Wanted,
};

/// Ticks of schedules, in the inbox.
pub(crate) const SCHEDULE: &str = "schedule";

/// The body of a tick's delivery.
#[derive(Debug, Serialize, Deserialize)]
struct DueTick {
    file: String,
    workflow: String,
    sha: String,
    cron: String,
    at: Timestamp,
}

impl Server {
    /// Follows schedules until the server stops.
    pub(crate) async fn follow_schedules(&self) {
        let parts = self.parts();
        let beat = parts.watchdog.watch("follow schedules");
        loop {
            beat.stage("look for ticks that are due");
            if let Err(error) = self.tick().await {
                tracing::warn!(%error, "failed to follow schedules; retrying");
            }
            beat.idle();
            tokio::select! {
                () = parts.stop.reached(plue_runtime::Phase::Draining) => return,
                () = parts.clock.sleep(parts.options.poll) => {}
            }
        }
    }

    /// Puts the ticks that are due into the inbox; how many.
    ///
    /// # Errors
    /// The database; ticks that were not taken stay due.
    pub async fn tick(&self) -> Result<usize, Error> {
        let mut made = 0;
        let pauses = self.store().pauses(None).await?;
        for row in self.store().registered(None).await? {
            if is_paused(&pauses, &row.repo, &row.workflow).is_some() {
                continue;
            }
            let floor = resumed_at(&pauses, &row);
            for trigger in &row.triggers {
                if let Trigger::Schedule { cron, tz, misfire } = trigger {
                    made += self.of_schedule(&row, (cron, tz, *misfire), floor).await?;
                }
            }
        }
        Ok(made)
    }

    /// Fails if the workflow is paused.
    pub(crate) async fn refuse_paused(&self, repo: &str, workflow: &str) -> Result<(), Error> {
        let pauses = self.store().pauses(Some(&[repo.to_owned()])).await?;
        match pauses::in_force(&pauses, repo, workflow, PauseScope::Workflow) {
            Some(pause) => Err(Error::Paused(Box::new(pauses::problem(pause)))),
            None => Ok(()),
        }
    }

    /// Ticks that were due before `floor` are not made up for.
    async fn of_schedule(
        &self,
        row: &RegisteredRow,
        (cron, tz, misfire): (&str, &str, Misfire),
        floor: Option<Timestamp>,
    ) -> Result<usize, Error> {
        let now = self.parts().clock.now();
        let tick = |due_at| Tick {
            repo: row.repo.clone(),
            file: row.file.clone(),
            workflow: row.workflow.clone(),
            cron: cron.to_owned(),
            tz: tz.to_owned(),
            due_at,
        };
        let Some(last) = self.store().last_tick(&tick(now)).await? else {
            // Seen for the first time: due from now on.
            self.store().take_tick(tick(now), now).await?;
            return Ok(0);
        };
        let last = floor.map_or(last, |floor| last.max(floor));
        let due = match due(&Schedule { cron, tz, misfire }, last, now) {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, workflow = row.workflow, "a schedule cannot be read");
                return Ok(0);
            }
        };
        let mut made = 0;
        for at in due.ticks.iter().copied() {
            // The delivery first: a tick that is taken and has none would be lost with this process.
            self.put_tick(row, (cron, tz), at).await?;
            made += usize::from(self.store().take_tick(tick(at), now).await?);
        }
        if let Some(latest) = due.latest {
            self.store().take_tick(tick(latest), now).await?;
        }
        Ok(made)
    }

    /// Puts a tick into the inbox, once however often it is found.
    async fn put_tick(
        &self,
        row: &RegisteredRow,
        (cron, tz): (&str, &str),
        at: Timestamp,
    ) -> Result<(), Error> {
        let Some(repo) = self.store().repo(&row.repo).await? else { return Ok(()) };
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
            received_at: self.parts().clock.now(),
            state: DeliveryState::New,
            note: None,
        };
        self.store().receive(delivery).await?;
        Ok(())
    }

    /// Makes the run of a tick.
    pub(crate) async fn run_of_tick(
        &self,
        delivery: &DeliveryRow,
        repo: &RepoRow,
    ) -> Result<Settlement, Error> {
        let tick: DueTick = match serde_json::from_slice(&delivery.body) {
            Ok(tick) => tick,
            Err(error) => return Err(Error::Unfit(error.to_string())),
        };
        let named = WorkflowName { name: &tick.workflow, file: &tick.file };
        let stopped = |result, why: String| {
            let mut log = DispatchLog::default();
            log.stopped(named, result, why);
            Ok(log.settlement(DeliveryState::Ignored, EventType::Schedule))
        };
        let cause = format!("schedule {} {} {}", repo.name, tick.cron, tick.at);
        let id = self.id_of(&cause, &format!("{} {}", tick.file, tick.workflow)).await?;
        let done = |id: &plue_plan::RunId| {
            let mut log = DispatchLog::default();
            log.run(named, id, None);
            Ok(log.settlement(DeliveryState::Done, EventType::Schedule))
        };
        if self.store().run(&id).await?.is_some() {
            return done(&id);
        }
        // The tick was due before the pause.
        let pauses = self.store().pauses(Some(std::slice::from_ref(&repo.name))).await?;
        if let Some(pause) = is_paused(&pauses, &repo.name, &tick.workflow) {
            return stopped(DispatchResult::Paused, pauses::words(pause));
        }
        let (mirror, commit) = self.mirror_with(repo, &tick.sha).await?;
        let event = event_of(repo, &tick);
        let view = self.view(mirror.folder(), &commit, None).await?;
        let (inputs, trust) = (Map::new(), Trust::Own);
        let whom = For { repo: &repo.name, event: Some(&event), inputs, trust };
        let planned = self.plan_file(&view, &tick.file, &whom).await?;
        let evaluated = planned.plans.map_err(Error::Invalid)?;
        let named = evaluated.workflows.iter().find(|one| one.hashed.plan.name == tick.workflow);
        let Some(workflow) = named else {
            return stopped(DispatchResult::Skipped, "the file has no such plan".to_owned());
        };
        self.submit_run(Wanted {
            id: id.clone(),
            repo,
            mirror: &mirror,
            commit: &commit,
            file: &tick.file,
            evaluated: &evaluated,
            workflow,
            event: event.clone(),
            inputs: Map::new(),
            traceparent: None,
        })
        .await?;
        done(&id)
    }
}

/// The pause that keeps the schedules of a workflow from running, if one is in force.
fn is_paused<'p>(pauses: &'p [PauseRow], repo: &str, workflow: &str) -> Option<&'p PauseRow> {
    let scopes = PauseScope::ALL.iter();
    scopes.filter_map(|scope| pauses::in_force(pauses, repo, workflow, *scope)).next()
}

/// The time at which the schedules of a workflow were resumed last.
fn resumed_at(pauses: &[PauseRow], row: &RegisteredRow) -> Option<Timestamp> {
    let of_row = pauses.iter().filter(|one| one.repo == row.repo && one.workflow == row.workflow);
    of_row.filter_map(|one| one.resumed_at).max()
}

fn event_of(repo: &RepoRow, tick: &DueTick) -> Event {
    let mut event = Event::new(EventType::Schedule);
    event.repository = Some(repo.name.clone());
    event.default_branch = Some(repo.default_branch.clone());
    event.branch = Some(repo.default_branch.clone());
    event.git_ref = Some(format!("refs/heads/{}", repo.default_branch));
    event.sha = Some(tick.sha.clone());
    let at = tick.at.to_string();
    event.schedule = Some(ScheduleTick { cron: tick.cron.clone(), scheduled_at: at });
    event
}
