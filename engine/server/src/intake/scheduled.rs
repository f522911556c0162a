//! Submission of the run of a schedule's tick.

use plue_api::pauses;
use plue_plan::{
    Event, RunId,
    event::{EventType, ScheduleTick},
};
use plue_planner::Trust;
use plue_store::{
    DeliveryRow, DeliveryState, RepoRow,
    delivery::{DispatchResult, Settlement},
};
use serde_json::Map;

use super::{
    dispatch_log::{DispatchLog, WorkflowName},
    internal_events::InternalEvents,
};
use crate::{
    error::Error,
    host::schedules::{DueTick, schedule_pause},
    plans::PlanContext,
    submit::PlannedRun,
};

// === impl InternalEvents ===

impl InternalEvents {
    /// Submits the run of a tick; a repeated delivery submits the same one.
    pub(super) async fn dispatch_tick(
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
        let id =
            self.submitter.reserve_id(&cause, &format!("{} {}", tick.file, tick.workflow)).await?;
        let done = |id: &RunId| {
            let mut log = DispatchLog::default();
            log.run(named, id, None);
            Ok(log.settlement(DeliveryState::Done, EventType::Schedule))
        };
        if self.store.runs().get(&id).await?.is_some() {
            return done(&id);
        }
        // The workflow may have been paused after the tick was due.
        let pauses = self.store.pauses().list(Some(std::slice::from_ref(&repo.name))).await?;
        if let Some(pause) = schedule_pause(&pauses, &repo.name, &tick.workflow) {
            return stopped(DispatchResult::Paused, pauses::words(pause));
        }
        let (mirror, commit) = self.mirrors.mirror_with(repo, &tick.sha).await?;
        let event = event_of(repo, &tick);
        let view = self.plans.view(mirror.folder(), &commit, None).await?;
        let (inputs, trust) = (Map::new(), Trust::Own);
        let context = PlanContext { repo: &repo.name, event: Some(&event), inputs, trust };
        let evaluated = self.plans.plan_file(&view, &tick.file, &context).await?;
        let evaluated = evaluated.map_err(Error::Invalid)?;
        let named = evaluated.workflows.iter().find(|one| one.hashed.plan.name == tick.workflow);
        let Some(workflow) = named else {
            return stopped(DispatchResult::Skipped, "the file has no such plan".to_owned());
        };
        let planned = PlannedRun {
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
        };
        self.submitter.submit(planned).await?;
        done(&id)
    }
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
