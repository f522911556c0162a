//! Schedules of registered plans: the ticks that are due get a run each, exactly one whatever the
//! number of engines.

use jiff::Timestamp;
use plue_plan::{
    Event, Trigger,
    event::{EventType, ScheduleTick},
    trigger::Misfire,
};
use plue_planner::Trust;
use plue_registry::{due, schedule::Schedule};
use plue_store::{RegisteredRow, Tick};
use serde_json::Map;

use crate::{error::Error, plans::For, server::Server, submit::Wanted};

impl Server {
    /// Follows schedules until the server stops.
    pub(crate) async fn follow_schedules(&self) {
        let parts = self.parts();
        loop {
            if let Err(error) = self.tick().await {
                tracing::warn!(%error, "schedules wait");
            }
            tokio::select! {
                () = parts.stop.reached(plue_runtime::Phase::Draining) => return,
                () = parts.clock.sleep(parts.options.poll) => {}
            }
        }
    }

    /// Makes the runs of the ticks that are due; how many.
    ///
    /// # Errors
    /// The database or a repository; ticks that were not taken stay due.
    pub async fn tick(&self) -> Result<usize, Error> {
        let mut made = 0;
        for row in self.store().registered(None).await? {
            for trigger in &row.triggers {
                if let Trigger::Schedule { cron, tz, misfire } = trigger {
                    made += self.of_schedule(&row, (cron, tz, *misfire)).await?;
                }
            }
        }
        Ok(made)
    }

    async fn of_schedule(
        &self,
        row: &RegisteredRow,
        (cron, tz, misfire): (&str, &str, Misfire),
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
        let due = match due(&Schedule { cron, tz, misfire }, last, now) {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, workflow = row.workflow, "a schedule cannot be read");
                return Ok(0);
            }
        };
        let mut made = 0;
        for at in due.ticks.iter().copied() {
            // The run first: a tick that is taken and has no run would be lost with this process.
            self.run_of_tick(row, cron, at).await?;
            made += usize::from(self.store().take_tick(tick(at), now).await?);
        }
        if let Some(latest) = due.latest {
            self.store().take_tick(tick(latest), now).await?;
        }
        Ok(made)
    }

    async fn run_of_tick(
        &self,
        row: &RegisteredRow,
        cron: &str,
        at: Timestamp,
    ) -> Result<(), Error> {
        let Some(repo) = self.store().repo(&row.repo).await? else { return Ok(()) };
        let cause = format!("schedule {} {cron} {at}", row.repo);
        let id = self.id_of(&cause, &format!("{} {}", row.file, row.workflow)).await?;
        if self.store().run(&id).await?.is_some() {
            return Ok(());
        }
        let (mirror, commit) = self.mirror_with(&repo, &row.sha).await?;
        let mut event = Event::new(EventType::Schedule);
        event.repository = Some(repo.name.clone());
        event.default_branch = Some(repo.default_branch.clone());
        event.branch = Some(repo.default_branch.clone());
        event.git_ref = Some(format!("refs/heads/{}", repo.default_branch));
        event.sha = Some(row.sha.clone());
        event.schedule = Some(tick_of(cron, at));
        let view = self.view(mirror.folder(), &commit, None).await?;
        let (inputs, trust) = (Map::new(), Trust::Own);
        let whom = For { repo: &repo.name, event: Some(&event), inputs, trust };
        let planned = self.plan_file(&view, &row.file, &whom).await?;
        let evaluated = planned.plans.map_err(Error::Invalid)?;
        let named = evaluated.workflows.iter().find(|one| one.sealed.plan.name == row.workflow);
        let Some(workflow) = named else { return Ok(()) };
        self.submit_run(Wanted {
            id,
            mirror: &mirror,
            commit: &commit,
            file: &row.file,
            evaluated: &evaluated,
            workflow,
            event: event.clone(),
            inputs: Map::new(),
            traceparent: None,
        })
        .await
    }
}

fn tick_of(cron: &str, at: Timestamp) -> ScheduleTick {
    ScheduleTick { cron: cron.to_owned(), scheduled_at: at.to_string() }
}
