//! Answers from outside that are stored until a driver applies them: decisions of people, callbacks,
//! messages on topics, ends of other workflows.

use plue_flow::{Awaited, Input, Run, RunStatus, fact::Outcome};
use plue_plan::{AttemptId, Event, RunId};
use plue_store::RunFilter;
use serde_json::{Value as Json, json};

use super::{EngineSteps, refused};
use crate::{
    batch::Incoming,
    error::Error,
    loaded::Origin,
    perform::{masks::masked, scope::within_budget, wait},
};

/// Messages of a topic that are read at once.
const MESSAGES: u32 = 100;

/// The messages that an attempt waits for.
struct Messages<'a> {
    topic: &'a str,
    when: Option<&'a str>,
    /// The newest message that the step has taken.
    taken: u64,
}

// === impl EngineSteps: answers from outside ===

impl EngineSteps {
    /// The stored answers to waiting attempts.
    pub(crate) async fn stored_answers(&mut self, run: &Run) -> Result<Vec<Incoming>, Error> {
        let context = self.context.clone();
        let store = &context.shared.store;
        let mut waiting = Vec::new();
        for one in run.waiting() {
            waiting.push((one.attempt.clone(), one.what.clone(), one.taken));
        }
        let mut inputs = Vec::new();
        if waiting.iter().any(|(_, what, _)| matches!(what, Awaited::Decision { .. })) {
            for (attempt, decision) in store.decisions().list(&context.row.id).await? {
                self.decided.push((attempt.clone(), decision.by.clone()));
                inputs.push(Input::Decide { attempt, decision });
            }
        }
        if waiting.iter().any(|(_, what, _)| *what == Awaited::Callback) {
            for (attempt, output) in store.callbacks().answers(&context.row.id).await? {
                inputs.push(self.answer(run, attempt, None, output).await);
            }
        }
        for (attempt, what, taken) in waiting {
            inputs.extend(match what {
                Awaited::Event { topic, when } => {
                    let source = Messages { topic: &topic, when: when.as_deref(), taken };
                    self.message(run, &attempt, source).await?
                }
                Awaited::Workflow { name, outcome } => {
                    self.ended_run(run, &attempt, name, outcome.as_deref()).await?
                }
                Awaited::Decision { .. } | Awaited::Time | Awaited::Callback | Awaited::Call(_) => {
                    None
                }
            });
        }
        Ok(inputs.into_iter().map(Incoming::plain).collect())
    }

    /// Deletes the stored decisions of the last batch: the journal has them, or rejected them.
    pub(crate) async fn forget_decisions(&mut self) -> Result<(), Error> {
        let decided = std::mem::take(&mut self.decided);
        if decided.is_empty() {
            return Ok(());
        }
        Ok(self.context.shared.store.decisions().forget(decided).await?)
    }

    /// An answer, masked and then checked against the schemas of its step.
    async fn answer(
        &self,
        run: &Run,
        attempt: AttemptId,
        event: Option<u64>,
        output: Json,
    ) -> Input {
        let outcome = Outcome::Success;
        let answer = Input::Answer { attempt, event, outcome, output };
        match masked(self.context.secrets.as_ref(), answer) {
            Input::Answer { attempt, event, outcome, output } => {
                let outcome = self.context.checked_outcome(run, &attempt, outcome, &output).await;
                Input::Answer { attempt, event, outcome, output }
            }
            other => other,
        }
    }

    /// The first message that matches. Messages since the start of the run count, so that one that comes
    /// before its step is ready is not missed; a step takes each at most once.
    async fn message(
        &mut self,
        run: &Run,
        attempt: &AttemptId,
        messages: Messages<'_>,
    ) -> Result<Option<Input>, Error> {
        let Messages { topic, when, taken } = messages;
        let context = self.context.clone();
        let since = run.view().started_at.unwrap_or(context.row.created_at);
        let after = self.skipped.get(attempt).copied().unwrap_or(0).max(taken);
        let repo = context.row.repo.as_deref();
        let store = &context.shared.store;
        let messages = store.topics().messages_for(repo, topic, (after, since), MESSAGES).await?;
        for message in messages {
            let event = Some(message.id);
            let attempt = attempt.clone();
            match within_budget(|meter| wait::matches(&message, when, meter)) {
                Ok(true) => {
                    let output = wait::output(message);
                    return Ok(Some(self.answer(run, attempt, event, output).await));
                }
                Ok(false) => drop(self.skipped.insert(attempt, message.id)),
                Err(text) => {
                    let (outcome, output) = (Outcome::Refused { message: text }, Json::Null);
                    return Ok(Some(Input::Answer { attempt, event, outcome, output }));
                }
            }
        }
        Ok(None)
    }

    /// The first run of a workflow that has ended with `outcome` since this run started.
    async fn ended_run(
        &self,
        run: &Run,
        attempt: &AttemptId,
        name: String,
        outcome: Option<&str>,
    ) -> Result<Option<Input>, Error> {
        let context = &self.context;
        let ended = RunStatus::ALL.iter().copied().filter(|status| status.is_terminal());
        let status = ended.filter(|status| outcome.is_none_or(|name| name == status.as_str()));
        let filter = RunFilter {
            status: status.collect(),
            workflow: Some(name),
            // A workflow of another repository may have the same name.
            repos: context.row.repo.clone().map(|repo| vec![repo]),
            ..RunFilter::default()
        };
        if filter.status.is_empty() {
            let message = format!("no run ends as `{}`", outcome.unwrap_or_default());
            return Ok(Some(refused(attempt, message)));
        }
        let since = run.view().started_at.unwrap_or(context.row.created_at);
        let runs = context.shared.store.runs().list(&filter).await?;
        let candidates = runs.into_iter().filter(|row| {
            row.id != context.row.id && row.view.ended_at.is_some_and(|ended| ended >= since)
        });
        let mut candidates: Vec<_> = candidates.collect();
        candidates.sort_by_key(|row| row.view.ended_at);
        for row in candidates {
            if self.is_trusted(&row.id).await? {
                return Ok(Some(Input::Answer {
                    attempt: attempt.clone(),
                    event: None,
                    outcome: Outcome::Success,
                    output: json!({"run": row.id, "status": row.view.status}),
                }));
            }
        }
        Ok(None)
    }

    /// Whether the end of a run may end a wait of this one. The author of a plan chooses its name, so
    /// child runs do not count, and runs of forks only for runs of the same pull request. A run that
    /// cannot be read does not count (fail closed).
    async fn is_trusted(&self, other: &RunId) -> Result<bool, Error> {
        let context = &self.context;
        let Some(source) = context.shared.store.outputs().source_of_run(other).await? else {
            return Ok(false);
        };
        let origin = serde_json::from_value::<Origin>(source.origin);
        let event = serde_json::from_value::<Event>(source.event);
        let (Ok(origin), Ok(event)) = (origin, event) else {
            return Ok(false);
        };
        if origin.parent.is_some() {
            return Ok(false);
        }
        if !origin.is_from_fork(&event) {
            return Ok(true);
        }
        let same = pull_request(&event).is_some_and(|of| pull_request(&context.event) == Some(of));
        Ok(context.is_from_fork() && same)
    }
}

/// The repository and the number of an event's pull request.
fn pull_request(event: &Event) -> Option<(&str, u64)> {
    Some((event.repository.as_deref()?, event.pull_request.as_ref()?.number))
}
