//! Internal events: messages on topics, calls of named webhooks, ends of runs. They match the triggers of the
//! registered plans, those of the default branch's head. The submitted plan is that of the same commit; after
//! the end of a run, that of the run's commit.
//!
//! Must not contact a forge unless a commit is missing in the mirror.

use plue_api::pauses;
use plue_executor::Loaded;
use plue_forge::git::{CommitId, Mirror};
use plue_plan::{Event, RunId, event::EventType};
use plue_planner::Trust;
use plue_registry::{MatchInput, TriggerMatch, match_triggers};
use plue_store::{
    DeliveryRow, DeliveryState, RegisteredRow, RepoRow, Store,
    delivery::{DispatchResult, Settlement},
    repo::pause::{PauseRow, PauseScope},
};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::dispatch_log::{DispatchLog, WorkflowName};
use crate::{
    error::Error,
    messages::{EVENT, Message, WEBHOOK, data_of, payload_of},
    mirrors::Mirrors,
    plans::{PlanContext, Plans},
    services::Services,
    submit::{PlannedRun, Submitter},
};

/// Kind of the deliveries for ends of runs.
const WORKFLOW: &str = "workflow";
/// Runs in a chain that start each other by their ends.
const MAX_CHAIN: usize = 8;

/// An internal event with its commit.
struct InternalEvent {
    event: Event,
    /// The commit of an ended run; `None`: the commit of the registered plan.
    sha: Option<String>,
    /// The plans of the preceding runs, if the event is the end of a run; used against cycles.
    chain: Vec<String>,
}

/// The body of the delivery that the store writes when a run ends.
#[derive(Debug, Deserialize)]
struct Ended {
    run: RunId,
    outcome: String,
}

/// The event and commit that a plan is evaluated for.
struct Target<'a> {
    repo: &'a RepoRow,
    event: &'a Event,
    mirror: &'a Mirror,
    commit: &'a CommitId,
}

/// The result of a registered plan with a firing trigger.
enum DispatchedPlan {
    Run(RunId),
    Stopped(DispatchResult, String),
}

/// The reason that a registered plan is not evaluated.
enum WhyNot {
    /// No trigger is for events of this type.
    NoTrigger,
    Stopped(DispatchResult, String),
}

/// The reason that a registered plan does not run, as far as its row shows.
fn why_not(internal: &InternalEvent, row: &RegisteredRow, pauses: &[PauseRow]) -> Option<WhyNot> {
    let skipped = |why| Some(WhyNot::Stopped(DispatchResult::Skipped, why));
    match match_triggers(&row.triggers, &MatchInput::new(&internal.event)) {
        TriggerMatch::Skipped { concerned: false, .. } => return Some(WhyNot::NoTrigger),
        TriggerMatch::Skipped { reason, .. } => return skipped(reason),
        TriggerMatch::Fires { .. } => {}
    }
    if internal.chain.contains(&row.workflow) {
        return skipped("its own run led here: ends of runs do not go round".to_owned());
    }
    let pause = pauses::in_force(pauses, &row.repo, &row.workflow, PauseScope::Workflow)?;
    Some(WhyNot::Stopped(DispatchResult::Paused, pauses::words(pause)))
}

/// Whether deliveries of this kind are internal events.
pub(super) fn is_internal(forge: &str) -> bool {
    matches!(forge, EVENT | WEBHOOK | WORKFLOW)
}

/// Dispatches internal events. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct InternalEvents {
    pub(super) store: Store,
    pub(super) mirrors: Mirrors,
    pub(super) plans: Plans,
    pub(super) submitter: Submitter,
}

// === impl InternalEvents ===

impl InternalEvents {
    pub(super) fn new(services: &Services) -> Self {
        Self {
            store: services.store.clone(),
            mirrors: services.mirrors.clone(),
            plans: services.plans.clone(),
            submitter: services.submitter.clone(),
        }
    }

    /// Submits the registered plans that an internal event fires.
    pub(super) async fn dispatch(
        &self,
        delivery: &DeliveryRow,
        repo: &RepoRow,
    ) -> Result<Settlement, Error> {
        let ignored = |why: String| Ok(Settlement::new(DeliveryState::Ignored, why));
        let internal = match self.decode(delivery, repo).await? {
            Ok(internal) => internal,
            Err(why) => return ignored(why),
        };
        let rows = self.registered(repo).await?;
        let pauses = self.store.pauses().list(Some(std::slice::from_ref(&repo.name))).await?;
        let mut log = DispatchLog::default();
        for row in &rows {
            let named = WorkflowName { name: &row.workflow, file: &row.file };
            match why_not(&internal, row, &pauses) {
                None => {}
                Some(WhyNot::NoTrigger) => {
                    log.without_trigger(&row.workflow);
                    continue;
                }
                Some(WhyNot::Stopped(result, why)) => {
                    log.stopped(named, result, why);
                    continue;
                }
            }
            match self.dispatch_plan(delivery, repo, &internal, row).await {
                Ok(DispatchedPlan::Run(id)) => log.run(named, &id, None),
                Ok(DispatchedPlan::Stopped(result, why)) => log.stopped(named, result, why),
                Err(error) if error.is_transient() => return Err(error),
                // A broken file must not affect the others.
                Err(error) => log.stopped(named, DispatchResult::Invalid, error.to_string()),
            }
        }
        if log.is_empty() {
            return ignored(format!("the branch {} has no plans", repo.default_branch));
        }
        Ok(log.settlement(DeliveryState::Done, internal.event.kind))
    }

    /// The registered plans. Before the first push of a repository, the head of its default branch is
    /// registered first.
    async fn registered(&self, repo: &RepoRow) -> Result<Vec<RegisteredRow>, Error> {
        let rows = self.store.repos().registered(Some(std::slice::from_ref(&repo.name))).await?;
        if !rows.is_empty() {
            return Ok(rows);
        }
        let mirror = self.mirrors.fetched(repo, &[]).await?;
        let head = format!("refs/heads/{}", repo.default_branch);
        let Some(commit) = mirror.resolve(&head).await? else { return Ok(rows) };
        self.mirrors.complete(repo, &mirror, &commit).await?;
        let view = self.plans.view(mirror.folder(), &commit, None).await?;
        let files = self.plans.workflow_files(&view).await?;
        self.plans.register(&repo.name, &commit, (&view, &files)).await?;
        Ok(self.store.repos().registered(Some(std::slice::from_ref(&repo.name))).await?)
    }

    /// Submits the run of one plan; a repeated delivery submits the same one.
    async fn dispatch_plan(
        &self,
        delivery: &DeliveryRow,
        repo: &RepoRow,
        internal: &InternalEvent,
        row: &RegisteredRow,
    ) -> Result<DispatchedPlan, Error> {
        let cause = format!("{} {} {}", delivery.forge, delivery.hook, delivery.id);
        let id =
            self.submitter.reserve_id(&cause, &format!("{} {}", row.file, row.workflow)).await?;
        if self.store.runs().get(&id).await?.is_some() {
            return Ok(DispatchedPlan::Run(id));
        }
        let sha = internal.sha.as_deref().unwrap_or(&row.sha);
        let (mirror, commit) = self.mirrors.mirror_with(repo, sha).await?;
        let mut event = internal.event.clone();
        event.sha = Some(commit.to_string());
        let target = Target { repo, event: &event, mirror: &mirror, commit: &commit };
        self.submit(id, row, &target).await
    }

    async fn submit(
        &self,
        id: RunId,
        row: &RegisteredRow,
        target: &Target<'_>,
    ) -> Result<DispatchedPlan, Error> {
        let skipped = |why: String| Ok(DispatchedPlan::Stopped(DispatchResult::Skipped, why));
        let Target { repo, event, mirror, commit } = target;
        let is_untrusted = event.is_untrusted();
        let trust = if is_untrusted { Trust::Untrusted } else { Trust::Own };
        let view = self.plans.view(mirror.folder(), commit, event.before.as_deref()).await?;
        let files = self.plans.workflow_files(&view).await?;
        if !files.iter().any(|file| file.path == row.file) {
            return skipped(format!("commit {commit} has no such file"));
        }
        let context =
            PlanContext { repo: &repo.name, event: Some(event), inputs: Map::new(), trust };
        let evaluated = self.plans.plan_file(&view, &row.file, &context).await?;
        let evaluated = evaluated.map_err(Error::Invalid)?;
        let named = evaluated.workflows.iter().find(|one| one.hashed.plan.name == row.workflow);
        let Some(workflow) = named else {
            return skipped(format!("the file of commit {commit} has no such plan"));
        };
        // The triggers may differ for this event and at this commit.
        let triggers = &workflow.hashed.plan.triggers;
        if let TriggerMatch::Skipped { reason, .. } =
            match_triggers(triggers, &MatchInput::new(event))
        {
            return skipped(reason);
        }
        if is_untrusted
            && self.store.untrusted().allowed_by(&repo.name, commit.as_str()).await?.is_none()
        {
            let why = "the change is from a fork".to_owned();
            return Ok(DispatchedPlan::Stopped(DispatchResult::Held, why));
        }
        let planned = PlannedRun {
            id: id.clone(),
            repo,
            mirror,
            commit,
            file: &row.file,
            evaluated: &evaluated,
            workflow,
            event: (*event).clone(),
            inputs: Map::new(),
            traceparent: None,
        };
        self.submitter.submit(planned).await?;
        Ok(DispatchedPlan::Run(id))
    }

    /// Decodes a delivery; `Ok(Err(_))`: the reason to ignore it.
    async fn decode(
        &self,
        delivery: &DeliveryRow,
        repo: &RepoRow,
    ) -> Result<Result<InternalEvent, String>, Error> {
        let mut decoded = match delivery.forge.as_str() {
            WORKFLOW => match self.end_of_run(delivery).await? {
                Ok(decoded) => decoded,
                Err(why) => return Ok(Err(why)),
            },
            forge => match sent_event(forge, delivery) {
                Ok(event) => InternalEvent { event, sha: None, chain: Vec::new() },
                Err(why) => return Ok(Err(why)),
            },
        };
        let event = &mut decoded.event;
        if decoded.chain.is_empty() {
            event.branch = Some(repo.default_branch.clone());
            event.git_ref = Some(format!("refs/heads/{}", repo.default_branch));
        }
        event.repository = Some(repo.name.clone());
        event.default_branch = Some(repo.default_branch.clone());
        Ok(Ok(decoded))
    }

    /// The end of a run, as an event about the commit of the run.
    async fn end_of_run(
        &self,
        delivery: &DeliveryRow,
    ) -> Result<Result<InternalEvent, String>, Error> {
        let Ok(ended) = serde_json::from_slice::<Ended>(&delivery.body) else {
            return Ok(Err("it names no run".to_owned()));
        };
        if self.store.runs().get(&ended.run).await?.is_none() {
            return Ok(Err(format!("run {} is not kept any more", ended.run)));
        }
        let loaded = Loaded::read(&self.store, &ended.run).await?;
        if loaded.origin.parent.is_some() {
            return Ok(Err("a child run is part of its parent, and starts nothing".to_owned()));
        }
        let Some(sha) = loaded.row.sha.clone() else {
            return Ok(Err(format!("run {} is about no commit", ended.run)));
        };
        let Ok(before) = serde_json::from_value::<Event>(loaded.source.event) else {
            return Ok(Err(format!("the event of run {} cannot be read", ended.run)));
        };
        let workflow = loaded.row.workflow;
        Ok(chain_of(&before, &workflow).map(|chain| {
            let payload = json!({
                "workflow": workflow, "run": ended.run, "outcome": ended.outcome, "sha": sha,
                "branch": before.branch, "event": before.kind, "chain": &chain,
            });
            let event = Event {
                action: Some(ended.outcome),
                git_ref: before.git_ref,
                branch: before.branch,
                tag: before.tag,
                actor: before.actor,
                // The pull request carries the trust: a chain that an outsider starts stays untrusted.
                pull_request: before.pull_request,
                payload: payload_of(payload).into_iter().collect(),
                ..Event::new(EventType::Workflow)
            };
            InternalEvent { event, sha: Some(sha), chain }
        }))
    }
}

/// Appends an ended run's plan to the chain of its event.
///
/// # Errors
/// The chain is too long; a message for people.
fn chain_of(before: &Event, ended: &str) -> Result<Vec<String>, String> {
    let mut chain: Vec<String> = match (before.kind, before.payload.get("chain")) {
        (EventType::Workflow, Some(chain)) => {
            serde_json::from_value(chain.clone()).unwrap_or_default()
        }
        (_, _) => Vec::new(),
    };
    chain.push(ended.to_owned());
    if chain.len() >= MAX_CHAIN {
        return Err(format!(
            "ends of runs start runs, {MAX_CHAIN} in a line at most: {}",
            chain.join(" → ")
        ));
    }
    Ok(chain)
}

/// The event of a message or of a named webhook's call.
fn sent_event(forge: &str, delivery: &DeliveryRow) -> Result<Event, String> {
    if forge == WEBHOOK {
        let name = delivery.headers.get("name").and_then(Json::as_str);
        let mut event = Event::new(EventType::Webhook);
        event.action = Some(name.ok_or("it has no name")?.to_owned());
        event.payload = payload_of(data_of(&delivery.body)).into_iter().collect();
        return Ok(event);
    }
    let message: Message =
        serde_json::from_slice(&delivery.body).map_err(|error| error.to_string())?;
    let mut event = Event::new(EventType::Event);
    event.actor = Some(message.by);
    event.payload = payload_of(message.data).into_iter().collect();
    event.payload.insert("topic".to_owned(), Json::String(message.topic));
    Ok(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_of_runs_are_bounded_and_named() {
        let mut event = Event::new(EventType::Push);
        // A chain in the payload of another event is not trusted.
        event.payload.insert("chain".to_owned(), json!(vec!["x"; 20]));
        for length in 1..MAX_CHAIN {
            let chain = chain_of(&event, &format!("w{length}")).unwrap();
            assert_eq!(chain.len(), length);
            event = Event::new(EventType::Workflow);
            event.payload.insert("chain".to_owned(), json!(chain));
        }
        let why = chain_of(&event, "last").unwrap_err();
        assert!(why.contains("8 in a line") && why.ends_with("w6 → w7 → last"), "{why}");
    }
}
