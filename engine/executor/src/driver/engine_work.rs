//! Steps that no runner executes: beginning to wait, calls and child runs in tasks of their own, and
//! the answers that come from outside.
//!
//! Level-triggered like the rest of the driver: a task that is gone is started again from what the
//! journal says. A call that is made again carries the same idempotency key.

use std::collections::HashMap;

use plue_flow::{AttemptStatus, Awaited, Input, RunStatus, fact::Outcome};
use plue_plan::{
    AttemptId, Event, RunId, StepId,
    context::{Reader, schema_of},
};
use plue_store::{CancelRequest, RunFilter};
use serde_json::{Value as Json, json};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::Driver;
use crate::{
    batch::Incoming,
    error::Error,
    loaded::Origin,
    perform::{
        call::{self, CALLBACK_LIFETIME, Called, TOKEN_HEADER, send::send},
        engine_step::{Performer, performer},
        masks::masked,
        output::{self, Unfit},
        scope::{Seen, within_budget},
        wait,
    },
    reach::Guard,
};

mod children;
mod forge;

/// Answers of tasks in flight to one driver.
const ANSWER_QUEUE: usize = 64;
/// Messages of a topic that are looked at in one go.
const MESSAGES: u32 = 100;

/// Tasks of this driver, and what they tell.
pub(super) struct EngineWork {
    sender: mpsc::Sender<Input>,
    answers: mpsc::Receiver<Input>,
    under_way: HashMap<AttemptId, JoinHandle<()>>,
    /// Stop requests to the tasks that follow child runs.
    stops: HashMap<AttemptId, watch::Sender<Option<CancelRequest>>>,
    /// The last message that an attempt was shown and that did not fit.
    passed: HashMap<AttemptId, u64>,
    /// Answers of people among the inputs that are being settled.
    told: Vec<(AttemptId, String)>,
}

// === impl EngineWork ===

impl EngineWork {
    pub(super) fn new() -> Self {
        let (sender, answers) = mpsc::channel(ANSWER_QUEUE);
        let (under_way, stops) = (HashMap::new(), HashMap::new());
        Self { sender, answers, under_way, stops, passed: HashMap::new(), told: Vec::new() }
    }

    /// What a task tells.
    pub(super) async fn next(&mut self) -> Option<Input> {
        self.answers.recv().await
    }

    /// Lets go of tasks whose answer may have been lost with a transaction.
    pub(super) fn forget_finished(&mut self) {
        self.under_way.retain(|_, task| !task.is_finished());
        self.stops.retain(|attempt, _| self.under_way.contains_key(attempt));
        self.told.clear();
    }

    fn is_at_work(&self, attempt: &AttemptId) -> bool {
        self.under_way.get(attempt).is_some_and(|task| !task.is_finished())
    }
}

/// Nobody hears what a task says once its driver is gone; whoever takes the run up starts it again.
impl Drop for EngineWork {
    fn drop(&mut self) {
        self.under_way.values().for_each(JoinHandle::abort);
    }
}

// === impl Driver: work inside the engine ===

impl Driver {
    pub(super) fn performer_of(&self, step: &StepId) -> Performer {
        let has_claude = self.claude().is_some();
        let step = self.plan.step(step);
        step.map_or(Performer::Nobody, |step| performer(&step.action, has_claude))
    }

    /// What an attempt that was queued does first, in the transaction that queued it.
    pub(super) fn begin_in_engine(
        &self,
        step: &StepId,
        (visit, number): (u32, u32),
        attempt: &AttemptId,
    ) -> Option<Input> {
        let view = self.run.attempt(attempt)?;
        if view.status != AttemptStatus::Queued {
            return None;
        }
        if self.performer_of(step) == Performer::Engine {
            let attempt = attempt.clone();
            return Some(Input::Started { attempt, runner: None, began: None, name: None });
        }
        // Its end is compared with the same time: a clock that is set must not move it.
        let now = self.time.now();
        let step = self.plan.step(step)?;
        let begun = within_budget(|meter| {
            let seen = Seen::of(&self.run, Reader::Step(&step.id));
            let scope = seen.scope(&self.surroundings, (visit, number), meter);
            wait::begin(step, attempt, &scope, now)
        });
        Some(begun.unwrap_or_else(|message| refused(attempt, message)))
    }

    /// Sees to it that a task works on the attempt.
    pub(super) fn work_on(&mut self, step: &StepId, attempt: &AttemptId) {
        let Some(view) = self.run.attempt(attempt) else { return };
        let works = self.performer_of(step) == Performer::Engine
            && view.status == AttemptStatus::Running
            && !self.run.waiting().any(|waiting| waiting.attempt == *attempt);
        if !works || self.work.is_at_work(attempt) {
            return;
        }
        let begun = match self.plan.step(step).map(|step| &step.action) {
            Some(plue_plan::Action::Call(_)) => self.call(step, attempt, (view.visit, view.number)),
            Some(plue_plan::Action::Plugin(_)) => {
                self.change_forge(step, attempt, (view.visit, view.number))
            }
            Some(_) | None => self.child(step, attempt, (view.visit, view.number)),
        };
        match begun {
            Ok(task) => drop(self.work.under_way.insert(attempt.clone(), task)),
            Err(message) => self.unable.push(Incoming::plain(refused(attempt, message))),
        }
    }

    /// Stops what works on the attempt.
    pub(super) async fn stop_in_engine(
        &mut self,
        attempt: &AttemptId,
        kill: bool,
    ) -> Result<(), Error> {
        let Some(view) = self.run.attempt(attempt) else { return Ok(()) };
        let step = view.step.clone();
        if self.performer_of(&step) != Performer::Engine || view.status.is_terminal() {
            return Ok(());
        }
        if let Some(child) = self.run.child(attempt).map(|child| child.run.clone()) {
            let request = CancelRequest { by: format!("run {}", self.row.id), kill };
            // The following task is notified first: it stops a child that is stored from now on.
            if !self.only_tells {
                self.work_on(&step, attempt);
            }
            if let Some(stops) = self.work.stops.get(attempt) {
                stops.send_replace(Some(request.clone()));
            }
            let store = &self.shared.store;
            if store.run(&child).await?.is_some() {
                store.request_cancel(&child, request, self.shared.clock.now()).await?;
            }
            return Ok(());
        }
        if let Some(task) = self.work.under_way.remove(attempt) {
            task.abort();
        }
        let (attempt, outcome, output) = (attempt.clone(), Outcome::Cancelled, Json::Null);
        self.unable.push(Incoming::plain(Input::Ended { attempt, outcome, output }));
        Ok(())
    }

    /// What a task said, held to the schema of its step.
    pub(super) async fn heard(&self, input: Input) -> Vec<Incoming> {
        let input = match masked(self.secrets.as_ref(), input) {
            Input::Ended { attempt, outcome, output } => {
                let outcome = self.judged(&attempt, outcome, &output).await;
                Input::Ended { attempt, outcome, output }
            }
            other => other,
        };
        vec![Incoming::plain(input)]
    }

    fn call(
        &self,
        step: &StepId,
        attempt: &AttemptId,
        (visit, number): (u32, u32),
    ) -> Result<JoinHandle<()>, String> {
        let definition = self.plan.step(step).ok_or("no such step")?;
        let key = format!("{}:{step}:{visit}", self.row.id);
        let mut request = within_budget(|meter| {
            let seen = Seen::of(&self.run, Reader::Step(step));
            let scope = seen.scope(&self.surroundings, (visit, number), meter);
            call::request(definition, key, &scope, self.secrets.as_ref())
        })?;
        let said = definition.options.timeout.is_some();
        let lifetime = if said { request.timeout } else { CALLBACK_LIFETIME };
        let now = self.shared.clock.now();
        let until = now.saturating_add(lifetime).map_err(|error| error.to_string())?;
        let token = request.callback.then(|| self.shared.ids.secret());
        if let Some(token) = &token {
            request.headers.insert(TOKEN_HEADER.to_owned(), token.clone());
        }
        let guard = self.guard();
        let (shared, run) = (self.shared.clone(), self.row.id.clone());
        let (sender, attempt) = (self.work.sender.clone(), attempt.clone());
        let task = async move {
            if let Some(token) = token {
                let hash = crate::answer::token_hash(&token);
                let kept = shared.store.add_callback(&hash, &run, &attempt, until).await;
                if let Err(error) = kept {
                    // Not made: told as a loss, which is tried again by the rules of the flow.
                    let message = error.to_string();
                    let outcome = Outcome::Infra { message };
                    let lost = Input::Ended { attempt, outcome, output: Json::Null };
                    let _nobody_listens = sender.send(lost).await;
                    return;
                }
            }
            let input = match send(request, &guard).await {
                Called::Ended(outcome, output) => Input::Ended { attempt, outcome, output },
                Called::Accepted => {
                    let (what, until) = (Awaited::Callback, Some(until));
                    Input::Waits { attempt, what, until, name: None }
                }
            };
            let _nobody_listens = sender.send(input).await;
        };
        Ok(self.shared.tasks.spawn("call", task))
    }
}

// === impl Driver: answers from outside ===

impl Driver {
    /// Answers that others left in the store.
    pub(super) async fn stored_answers(&mut self) -> Result<Vec<Incoming>, Error> {
        let mut waiting = Vec::new();
        for one in self.run.waiting() {
            waiting.push((one.attempt.clone(), one.what.clone(), one.taken));
        }
        let mut inputs = Vec::new();
        if waiting.iter().any(|(_, what, _)| matches!(what, Awaited::Decision { .. })) {
            for (attempt, decision) in self.shared.store.decisions(&self.row.id).await? {
                self.work.told.push((attempt.clone(), decision.by.clone()));
                inputs.push(Input::Decide { attempt, decision });
            }
        }
        if waiting.iter().any(|(_, what, _)| *what == Awaited::Callback) {
            for (attempt, output) in self.shared.store.callback_answers(&self.row.id).await? {
                inputs.push(self.answer(attempt, None, output).await);
            }
        }
        for (attempt, what, taken) in waiting {
            inputs.extend(match what {
                Awaited::Event { topic, when } => {
                    self.message(&attempt, &topic, when.as_deref(), taken).await?
                }
                Awaited::Workflow { name, outcome } => {
                    self.ended_run(&attempt, name, outcome.as_deref()).await?
                }
                Awaited::Decision { .. } | Awaited::Time | Awaited::Callback | Awaited::Call(_) => {
                    None
                }
            });
        }
        Ok(inputs.into_iter().map(Incoming::plain).collect())
    }

    /// The journal has the answers, or refused them.
    pub(super) async fn forget_answers(&mut self) -> Result<(), Error> {
        let told = std::mem::take(&mut self.work.told);
        if told.is_empty() {
            return Ok(());
        }
        Ok(self.shared.store.forget_decisions(told).await?)
    }

    /// An answer from outside, masked, and then held to the schema of its step.
    async fn answer(&self, attempt: AttemptId, event: Option<u64>, output: Json) -> Input {
        let outcome = Outcome::Success;
        let answer = Input::Answer { attempt, event, outcome, output };
        match masked(self.secrets.as_ref(), answer) {
            Input::Answer { attempt, event, outcome, output } => {
                let outcome = self.judged(&attempt, outcome, &output).await;
                Input::Answer { attempt, event, outcome, output }
            }
            other => other,
        }
    }

    /// The first message that fits. Messages count from the start of the run, so that one that comes
    /// before its step is ready is not missed; each is taken once by a step.
    async fn message(
        &mut self,
        attempt: &AttemptId,
        topic: &str,
        when: Option<&str>,
        taken: u64,
    ) -> Result<Option<Input>, Error> {
        let since = self.run.view().started_at.unwrap_or(self.row.created_at);
        let after = self.work.passed.get(attempt).copied().unwrap_or(0).max(taken);
        let store = &self.shared.store;
        let repo = self.row.repo.as_deref();
        let found = store.messages_for(repo, topic, (after, since), MESSAGES).await?;
        for message in found {
            let event = Some(message.id);
            let attempt = attempt.clone();
            match within_budget(|meter| wait::fits(&message, when, meter)) {
                Ok(true) => {
                    let output = wait::output(message);
                    return Ok(Some(self.answer(attempt, event, output).await));
                }
                Ok(false) => drop(self.work.passed.insert(attempt, message.id)),
                Err(text) => {
                    let (outcome, output) = (Outcome::Refused { message: text }, Json::Null);
                    return Ok(Some(Input::Answer { attempt, event, outcome, output }));
                }
            }
        }
        Ok(None)
    }

    /// The first run of a workflow that ended since this run started, of those that count.
    async fn ended_run(
        &self,
        attempt: &AttemptId,
        name: String,
        wanted: Option<&str>,
    ) -> Result<Option<Input>, Error> {
        let ended = RunStatus::ALL.iter().copied().filter(|status| status.is_terminal());
        let status = ended.filter(|status| wanted.is_none_or(|wanted| wanted == status.as_str()));
        let filter = RunFilter {
            status: status.collect(),
            workflow: Some(name),
            // One of another repository may have the same name.
            repos: self.row.repo.clone().map(|repo| vec![repo]),
            ..RunFilter::default()
        };
        if filter.status.is_empty() {
            let message = format!("no run ends as `{}`", wanted.unwrap_or_default());
            return Ok(Some(refused(attempt, message)));
        }
        let since = self.run.view().started_at.unwrap_or(self.row.created_at);
        let runs = self.shared.store.runs(&filter).await?;
        let found = runs.into_iter().filter(|row| {
            row.id != self.row.id && row.view.ended_at.is_some_and(|ended| ended >= since)
        });
        let mut found: Vec<_> = found.collect();
        found.sort_by_key(|row| row.view.ended_at);
        for row in found {
            if self.counts(&row.id).await? {
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

    /// Whether the end of a run may be what this one waits for. Whoever writes a plan chooses its name,
    /// so a run that another one started does not count, nor does a stranger's, but for runs of the same
    /// pull request. What cannot be read does not count.
    async fn counts(&self, run: &RunId) -> Result<bool, Error> {
        let Some(source) = self.shared.store.run_source(run).await? else {
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
        if !origin.is_strangers(&event) {
            return Ok(true);
        }
        let own = self.origin.is_strangers(&self.event);
        let same = pull_request(&event).is_some_and(|of| pull_request(&self.event) == Some(of));
        Ok(own && same)
    }

    /// A success whose output is not what the step and its context key promise is refused.
    pub(super) async fn judged(
        &self,
        attempt: &AttemptId,
        outcome: Outcome,
        output: &Json,
    ) -> Outcome {
        let step = self.run.attempt(attempt).and_then(|view| self.plan.step(&view.step));
        let (Outcome::Success, Some(step)) = (&outcome, step) else { return outcome };
        let mut checked = Ok(());
        if let Some(schema) = &step.options.outputs {
            checked = output::check(schema, output).await;
        }
        if let (Ok(()), Some(schema)) = (&checked, schema_of(&self.plan, step)) {
            checked = output::check_key(schema, output).await;
        }
        match checked {
            Ok(()) => outcome,
            Err(Unfit::Refused(message)) => Outcome::Refused { message },
            Err(Unfit::Interrupted(message)) => Outcome::Infra { message },
        }
    }

    /// Addresses that requests of this run may reach. What the operator allows beside public ones is not for
    /// runs of others.
    pub(super) fn guard(&self) -> Guard {
        if self.origin.is_strangers(&self.event) {
            Guard::default()
        } else {
            self.shared.options.calls.clone()
        }
    }
}

/// Its repository and its number.
fn pull_request(event: &Event) -> Option<(&str, u64)> {
    Some((event.repository.as_deref()?, event.pull_request.as_ref()?.number))
}

fn refused(attempt: &AttemptId, message: String) -> Input {
    let (outcome, output) = (Outcome::Refused { message }, Json::Null);
    Input::Ended { attempt: attempt.clone(), outcome, output }
}
