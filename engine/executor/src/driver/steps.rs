//! Steps that no runner executes: waits, calls, child runs and changes on forges, each in a task of its
//! own, and the answers from outside.
//!
//! Level-triggered: a missing task is started again from the journal. A repeated call carries the same
//! idempotency key. Must not change the state of the run: it is passed in, and what follows is returned.

use std::{collections::HashMap, sync::Arc};

use plue_flow::{AttemptStatus, Input, Run, StepStatus, StepView, fact::Outcome};
use plue_plan::{Action, AttemptId, StepId};
use plue_store::CancelRequest;
use serde_json::Value as Json;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::context::RunContext;
use crate::{
    batch::Incoming,
    child_slots::SiblingSlots,
    error::Error,
    perform::{engine_step::Performer, masks::masked, scope::AttemptNumber, wait},
};
use child::ChildRun;

mod answers;
mod call;
pub(crate) mod call_child;
mod child;
mod forge;

/// Inputs of tasks in flight to one driver.
const RESULT_QUEUE: usize = 64;

pub(crate) struct EngineSteps {
    context: Arc<RunContext>,
    sender: mpsc::Sender<Input>,
    results: mpsc::Receiver<Input>,
    tasks: HashMap<AttemptId, JoinHandle<()>>,
    /// Stop requests to the tasks that follow child runs.
    child_stops: HashMap<AttemptId, watch::Sender<Option<CancelRequest>>>,
    /// The last message of its topic that did not match, by attempt.
    skipped: HashMap<AttemptId, u64>,
    /// Attempt and author of the stored decisions among the inputs of the current batch.
    decided: Vec<(AttemptId, String)>,
    /// Refusals, delayed until every other queued step has started.
    refused: Vec<(StepId, Input)>,
    /// Ends of attempts without a task, for the next pass.
    failed: Vec<Incoming>,
    /// The slots of the run's children.
    slots: SiblingSlots,
}

// === impl EngineSteps ===

impl EngineSteps {
    pub(crate) fn new(context: Arc<RunContext>, slots: SiblingSlots) -> Self {
        let (sender, results) = mpsc::channel(RESULT_QUEUE);
        Self {
            context,
            sender,
            results,
            tasks: HashMap::new(),
            child_stops: HashMap::new(),
            skipped: HashMap::new(),
            decided: Vec::new(),
            refused: Vec::new(),
            failed: Vec::new(),
            slots,
        }
    }

    /// The next input of a task. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Input> {
        self.results.recv().await
    }

    /// Drops what can be derived from the store again, and tasks whose input may have been lost with a
    /// transaction.
    pub(crate) fn forget(&mut self) {
        self.refused.clear();
        self.failed.clear();
        self.tasks.retain(|_, task| !task.is_finished());
        self.child_stops.retain(|attempt, _| self.tasks.contains_key(attempt));
        self.decided.clear();
    }

    pub(crate) fn has_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    pub(crate) fn take_failed(&mut self) -> Vec<Incoming> {
        std::mem::take(&mut self.failed)
    }

    /// Refuses an attempt once every step that was queued with it has started: a step that cannot run must
    /// not keep others from starting.
    pub(crate) fn refuse_later(&mut self, step: &StepId, end: Input) {
        self.refused.push((step.clone(), end));
    }

    /// Takes the refusals that are due.
    pub(crate) fn take_refused(&mut self, run: &Run) -> Vec<Incoming> {
        let unschedulable: Vec<StepId> = run.unschedulable().map(|(step, ..)| step).collect();
        let is_starting = |view: &StepView| {
            view.status == StepStatus::Queued
                && !unschedulable.contains(&view.step)
                && !self.refused.iter().any(|(step, _)| *step == view.step)
        };
        if self.refused.is_empty() || run.step_views().any(|view| is_starting(&view)) {
            return Vec::new();
        }
        self.refused.drain(..).map(|(_, input)| Incoming::plain(input)).collect()
    }

    /// The first input of a queued attempt, for the transaction that queued it.
    pub(crate) fn begin(
        &self,
        run: &Run,
        step: &StepId,
        at: AttemptNumber,
        attempt: &AttemptId,
    ) -> Option<Input> {
        let context = &self.context;
        let view = run.attempt(attempt)?;
        if view.status != AttemptStatus::Queued {
            return None;
        }
        if context.performer(step) == Performer::Engine {
            let attempt = attempt.clone();
            return Some(Input::Started { attempt, runner: None, began: None, name: None });
        }
        // The deadline is compared with the same clock: setting the machine's must not move it.
        let now = context.time.now();
        let definition = context.step(step)?;
        let waits =
            context.evaluate(run, step, at, |scope| wait::begin(definition, attempt, scope, now));
        Some(waits.unwrap_or_else(|message| refused(attempt, message)))
    }

    /// Starts the task of a running attempt, unless it has one.
    pub(crate) fn start(&mut self, run: &Run, step: &StepId, attempt: &AttemptId) {
        let Some(view) = run.attempt(attempt) else { return };
        let needs_task = self.context.performer(step) == Performer::Engine
            && view.status == AttemptStatus::Running
            && !run.waiting().any(|waiting| waiting.attempt == *attempt);
        if !needs_task || self.has_task(attempt) {
            return;
        }
        let at = AttemptNumber { visit: view.visit, number: view.number };
        match self.task(run, step, at, attempt) {
            Ok(task) => drop(self.tasks.insert(attempt.clone(), task)),
            Err(message) => self.failed.push(Incoming::plain(refused(attempt, message))),
        }
    }

    fn has_task(&self, attempt: &AttemptId) -> bool {
        self.tasks.get(attempt).is_some_and(|task| !task.is_finished())
    }

    fn task(
        &mut self,
        run: &Run,
        step: &StepId,
        at: AttemptNumber,
        attempt: &AttemptId,
    ) -> Result<JoinHandle<()>, String> {
        let context = &self.context;
        let (tasks, sender) = (context.shared.tasks.clone(), self.sender.clone());
        let attempt = attempt.clone();
        match context.step(step).map(|step| &step.action) {
            Some(Action::Call(_)) => {
                let input = call::call(context, run, step, at, attempt)?;
                Ok(tasks.spawn("call", report(input, sender)))
            }
            Some(Action::Plugin(_)) => {
                let input = forge::change(context, run, step, at, attempt)?;
                Ok(tasks.spawn("change a forge", report(input, sender)))
            }
            Some(_) | None => match run.child(&attempt).cloned() {
                Some(child) => {
                    let (stop, stopped) = watch::channel(None);
                    let followed = ChildRun::new(context, run, &self.slots, step, at, stopped);
                    self.child_stops.insert(attempt.clone(), stop);
                    let followed = async move {
                        if let Some((outcome, output)) = followed.follow(child).await {
                            let ended = Input::Ended { attempt, outcome, output };
                            let _closed = sender.send(ended).await;
                        }
                    };
                    Ok(tasks.spawn("child run", followed))
                }
                None => {
                    let input = child::plan(context, run, step, at, attempt)?;
                    Ok(tasks.spawn("child plan", report(input, sender)))
                }
            },
        }
    }

    /// Stops the task of an attempt, or the child run that it follows.
    pub(crate) async fn stop(
        &mut self,
        run: &Run,
        attempt: &AttemptId,
        kill: bool,
    ) -> Result<(), Error> {
        let Some(view) = run.attempt(attempt) else { return Ok(()) };
        let step = view.step.clone();
        if self.context.performer(&step) != Performer::Engine || view.status.is_terminal() {
            return Ok(());
        }
        if let Some(child) = run.child(attempt).map(|child| child.run.clone()) {
            let request = CancelRequest { by: format!("run {}", self.context.row.id), kill };
            // The following task is notified first: it stops a child that is stored from now on.
            if !self.context.mode.commit_only {
                self.start(run, &step, attempt);
            }
            if let Some(stop) = self.child_stops.get(attempt) {
                stop.send_replace(Some(request.clone()));
            }
            let shared = &self.context.shared;
            if shared.store.runs().get(&child).await?.is_some() {
                shared.store.cancels().request(&child, request, shared.clock.now()).await?;
            }
            return Ok(());
        }
        if let Some(task) = self.tasks.remove(attempt) {
            task.abort();
        }
        let (attempt, outcome, output) = (attempt.clone(), Outcome::Cancelled, Json::Null);
        self.failed.push(Incoming::plain(Input::Ended { attempt, outcome, output }));
        Ok(())
    }

    /// The input of a task, masked and checked against the schemas of its step.
    pub(crate) async fn checked(&self, run: &Run, input: Input) -> Vec<Incoming> {
        let input = match masked(self.context.secrets.as_ref(), input) {
            Input::Ended { attempt, outcome, output } => {
                let outcome = self.context.checked_outcome(run, &attempt, outcome, &output).await;
                Input::Ended { attempt, outcome, output }
            }
            other => other,
        };
        vec![Incoming::plain(input)]
    }
}

/// Tasks are aborted with their driver; the next driver restarts them.
impl Drop for EngineSteps {
    fn drop(&mut self) {
        self.tasks.values().for_each(JoinHandle::abort);
    }
}

async fn report(input: impl Future<Output = Input>, sender: mpsc::Sender<Input>) {
    let input = input.await;
    let _closed = sender.send(input).await;
}

fn refused(attempt: &AttemptId, message: String) -> Input {
    let (outcome, output) = (Outcome::Refused { message }, Json::Null);
    Input::Ended { attempt: attempt.clone(), outcome, output }
}
