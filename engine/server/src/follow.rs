//! Events that no forge tells of: messages on topics, calls of named webhooks, ends of runs. The plans
//! of the default branch's head say which of them start runs; what starts is the plan of that commit,
//! after the end of a run the plan of the commit that the run was about.
//!
//! Must not ask a forge, unless a commit is missing here.

use plue_api::pauses;
use plue_executor::Loaded;
use plue_forge::git::{CommitId, Mirror};
use plue_plan::{Event, RunId, event::EventType};
use plue_planner::Trust;
use plue_registry::{Conclusion, Happening, conclude};
use plue_store::{
    DeliveryRow, DeliveryState, RegisteredRow, RepoRow,
    delivery::{DispatchResult, Settlement},
    repo::pause::{PauseRow, PauseScope},
};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::{
    dispatch::{DispatchLog, WorkflowName},
    error::Error,
    messages::{EVENT, Message, WEBHOOK, data_of, payload_of},
    plans::For,
    server::Server,
    submit::Wanted,
};

/// Ends of runs, in the inbox.
const WORKFLOW: &str = "workflow";
/// Runs that start each other by their ends: so many in a line.
const MAX_CHAIN: usize = 8;

/// What a delivery is about.
struct Heard {
    event: Event,
    /// The commit, if it has one of its own.
    sha: Option<String>,
    /// The plans whose runs led here, if it is the end of a run: ends do not go round.
    line: Vec<String>,
}

/// What the store puts into the inbox when a run ends.
#[derive(Debug, Deserialize)]
struct Ended {
    run: RunId,
    outcome: String,
}

/// Where and for what a plan is made.
struct Place<'a> {
    repo: &'a RepoRow,
    event: &'a Event,
    mirror: &'a Mirror,
    commit: &'a CommitId,
}

/// Result of a registered plan that an event fires which is not from a forge.
enum Started {
    Run(RunId),
    Stopped(DispatchResult, String),
}

/// Reason to look no further at a registered plan.
enum WhyNot {
    /// No trigger of it is for events of this type.
    NoTrigger,
    Stopped(DispatchResult, String),
}

/// The reason that an event does not start a registered plan, as far as the plan's row shows.
fn why_not(heard: &Heard, row: &RegisteredRow, pauses: &[PauseRow]) -> Option<WhyNot> {
    let skipped = |why| Some(WhyNot::Stopped(DispatchResult::Skipped, why));
    match conclude(&row.triggers, &Happening::new(&heard.event)) {
        Conclusion::Skipped { concerned: false, .. } => return Some(WhyNot::NoTrigger),
        Conclusion::Skipped { reason, .. } => return skipped(reason),
        Conclusion::Runs { .. } => {}
    }
    if heard.line.contains(&row.workflow) {
        return skipped("its own run led here: ends of runs do not go round".to_owned());
    }
    let pause = pauses::in_force(pauses, &row.repo, &row.workflow, PauseScope::Workflow)?;
    Some(WhyNot::Stopped(DispatchResult::Paused, pauses::words(pause)))
}

/// Whether a delivery is of this kind.
pub(crate) fn is_heard(forge: &str) -> bool {
    matches!(forge, EVENT | WEBHOOK | WORKFLOW)
}

// === impl Server ===

impl Server {
    /// Starts what an event of ours fires; a line for each registered plan.
    pub(crate) async fn follow(
        &self,
        delivery: &DeliveryRow,
        repo: &RepoRow,
    ) -> Result<Settlement, Error> {
        let ignored = |why: String| Ok(Settlement::new(DeliveryState::Ignored, why));
        let heard = match self.heard(delivery, repo).await? {
            Ok(heard) => heard,
            Err(why) => return ignored(why),
        };
        let rows = self.registered_now(repo).await?;
        let pauses = self.store().pauses(Some(std::slice::from_ref(&repo.name))).await?;
        let mut log = DispatchLog::default();
        for row in &rows {
            let named = WorkflowName { name: &row.workflow, file: &row.file };
            match why_not(&heard, row, &pauses) {
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
            match self.follow_with(delivery, repo, &heard, row).await {
                Ok(Started::Run(id)) => log.run(named, &id, None),
                Ok(Started::Stopped(result, why)) => log.stopped(named, result, why),
                Err(error) if error.is_passing() => return Err(error),
                // One broken file must not hold back the others.
                Err(error) => log.stopped(named, DispatchResult::Invalid, error.to_string()),
            }
        }
        if log.is_empty() {
            return ignored(format!("the branch {} has no plans", repo.default_branch));
        }
        Ok(log.settlement(DeliveryState::Done, heard.event.kind))
    }

    /// What is registered; of a repository of which nothing is, as before its first push, what its
    /// default branch has.
    async fn registered_now(&self, repo: &RepoRow) -> Result<Vec<RegisteredRow>, Error> {
        let rows = self.store().registered(Some(std::slice::from_ref(&repo.name))).await?;
        if !rows.is_empty() {
            return Ok(rows);
        }
        let mirror = self.fetched(repo, &[]).await?;
        let head = format!("refs/heads/{}", repo.default_branch);
        let Some(commit) = mirror.resolve(&head).await? else { return Ok(rows) };
        self.complete(repo, &mirror, &commit).await?;
        let view = self.view(mirror.folder(), &commit, None).await?;
        let files = self.workflow_files(&view).await?;
        self.register(&repo.name, &commit, (&view, &files)).await?;
        Ok(self.store().registered(Some(std::slice::from_ref(&repo.name))).await?)
    }

    /// Starts the run of one plan.
    async fn follow_with(
        &self,
        delivery: &DeliveryRow,
        repo: &RepoRow,
        heard: &Heard,
        row: &RegisteredRow,
    ) -> Result<Started, Error> {
        let cause = format!("{} {} {}", delivery.forge, delivery.hook, delivery.id);
        let id = self.id_of(&cause, &format!("{} {}", row.file, row.workflow)).await?;
        if self.store().run(&id).await?.is_some() {
            return Ok(Started::Run(id));
        }
        let sha = heard.sha.as_deref().unwrap_or(&row.sha);
        let (mirror, commit) = self.mirror_with(repo, sha).await?;
        let mut event = heard.event.clone();
        event.sha = Some(commit.to_string());
        let place = Place { repo, event: &event, mirror: &mirror, commit: &commit };
        self.start(id, row, &place).await
    }

    async fn start(
        &self,
        id: RunId,
        row: &RegisteredRow,
        place: &Place<'_>,
    ) -> Result<Started, Error> {
        let skipped = |why: String| Ok(Started::Stopped(DispatchResult::Skipped, why));
        let Place { repo, event, mirror, commit } = place;
        let is_stranger = event.is_strangers();
        let trust = if is_stranger { Trust::Untrusted } else { Trust::Own };
        let view = self.view(mirror.folder(), commit, event.before.as_deref()).await?;
        let files = self.workflow_files(&view).await?;
        if !files.iter().any(|file| file.path == row.file) {
            return skipped(format!("commit {commit} has no such file"));
        }
        let whom = For { repo: &repo.name, event: Some(event), inputs: Map::new(), trust };
        let planned = self.plan_file(&view, &row.file, &whom).await?;
        let evaluated = planned.plans.map_err(Error::Invalid)?;
        let named = evaluated.workflows.iter().find(|one| one.hashed.plan.name == row.workflow);
        let Some(workflow) = named else {
            return skipped(format!("the file of commit {commit} has no such plan"));
        };
        // The plan as it is for this event, and as it is at this commit.
        let triggers = &workflow.hashed.plan.triggers;
        if let Conclusion::Skipped { reason, .. } = conclude(triggers, &Happening::new(event)) {
            return skipped(reason);
        }
        if is_stranger && self.store().allowed_by(&repo.name, commit.as_str()).await?.is_none() {
            let why = "the change is from a fork".to_owned();
            return Ok(Started::Stopped(DispatchResult::Held, why));
        }
        let wanted = Wanted {
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
        self.submit_run(wanted).await?;
        Ok(Started::Run(id))
    }

    /// Reads a delivery; why nothing can come of it.
    async fn heard(
        &self,
        delivery: &DeliveryRow,
        repo: &RepoRow,
    ) -> Result<Result<Heard, String>, Error> {
        let mut heard = match delivery.forge.as_str() {
            WORKFLOW => match self.ended(delivery).await? {
                Ok(heard) => heard,
                Err(why) => return Ok(Err(why)),
            },
            forge => match told(forge, delivery) {
                Ok(event) => Heard { event, sha: None, line: Vec::new() },
                Err(why) => return Ok(Err(why)),
            },
        };
        let event = &mut heard.event;
        if heard.line.is_empty() {
            event.branch = Some(repo.default_branch.clone());
            event.git_ref = Some(format!("refs/heads/{}", repo.default_branch));
        }
        event.repository = Some(repo.name.clone());
        event.default_branch = Some(repo.default_branch.clone());
        Ok(Ok(heard))
    }

    /// The end of a run, as an event about the commit of the run.
    async fn ended(&self, delivery: &DeliveryRow) -> Result<Result<Heard, String>, Error> {
        let Ok(ended) = serde_json::from_slice::<Ended>(&delivery.body) else {
            return Ok(Err("it tells of no run".to_owned()));
        };
        if self.store().run(&ended.run).await?.is_none() {
            return Ok(Err(format!("run {} is not kept any more", ended.run)));
        }
        let loaded = Loaded::read(self.store(), &ended.run).await?;
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
                // Whose change it is goes along: what a stranger began stays a stranger's.
                pull_request: before.pull_request,
                payload: payload_of(payload).into_iter().collect(),
                ..Event::new(EventType::Workflow)
            };
            Heard { event, sha: Some(sha), line: chain }
        }))
    }
}

/// The plans whose runs led here, the oldest first and the one that ended last; why they must not lead
/// further.
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

/// A message on a topic or the call of a webhook.
fn told(forge: &str, delivery: &DeliveryRow) -> Result<Event, String> {
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
    fn a_line_of_runs_that_start_each_other_ends_and_says_who_they_are() {
        let mut event = Event::new(EventType::Push);
        // What another event says of a chain is a sender's word.
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
