//! Child runs that calls of agents start: planned, followed to their end, and stopped with their attempt.
//!
//! Must not decide whether a run is started: the agent's transcript has it first.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use plue_flow::{Child, Run, fact::Outcome};
use plue_llm::agent::StartedRun;
use plue_plan::{AttemptId, Plan, RunId};
use plue_runtime::Task;
use plue_store::CancelRequest;
use plue_wire::{eval::Bytes, runner::ToolResult};
use serde_json::{Value as Json, json};
use tokio::sync::{mpsc, watch};

use super::{
    super::context::RunContext,
    child::{ChildRun, NOT_FOR_FORKS, Recorded, parent},
};
use crate::{
    child_slots::SiblingSlots,
    claude::workflow_tool::ChildBudgets,
    error::Error,
    perform::{
        child::{self, Parent},
        scope::AttemptNumber,
    },
};

/// Longest wait for stopped children before their attempt ends; their drivers go on.
const SETTLE_WITHIN: Duration = Duration::from_secs(60);

/// Child runs of the agents of one driver that have not ended.
#[derive(Clone)]
pub(crate) struct OpenChildren {
    list: Arc<Mutex<OpenList>>,
    slots: SiblingSlots,
}

#[derive(Default)]
struct OpenList {
    children: Vec<OpenChild>,
    /// Attempts that were stopped: what they start from now on is stopped too.
    stopped: HashMap<AttemptId, CancelRequest>,
}

struct OpenChild {
    attempt: AttemptId,
    run: RunId,
    stop: watch::Sender<Option<CancelRequest>>,
    task: Task<()>,
}

/// Starts the child runs of one attempt's agent.
#[derive(Clone)]
pub(crate) struct AgentChildren {
    context: Arc<RunContext>,
    open: OpenChildren,
    parent: Parent,
    attempt: AttemptId,
    at: AttemptNumber,
}

/// A child run with the call that waits for it.
pub(crate) struct ChildOfCall {
    /// Id of the call for results.
    pub(crate) id: String,
    pub(crate) child: Child,
    pub(crate) budgets: ChildBudgets,
    /// In a replay: the recorded run of the same call, if it had one.
    pub(crate) recorded: Option<Option<RunId>>,
}

// === impl OpenChildren ===

impl OpenChildren {
    /// `slots`: those of the run's children.
    pub(crate) fn new(slots: SiblingSlots) -> Self {
        Self { list: Arc::default(), slots }
    }

    /// Starts child runs for the agent of an attempt; `None`: the run has no such attempt.
    pub(crate) fn of_agent(
        &self,
        context: &Arc<RunContext>,
        run: &Run,
        attempt: &AttemptId,
    ) -> Option<AgentChildren> {
        let view = run.attempt(attempt)?;
        Some(AgentChildren {
            context: context.clone(),
            open: self.clone(),
            parent: parent(context, run, &view.step),
            attempt: attempt.clone(),
            at: AttemptNumber { visit: view.visit, number: view.number },
        })
    }

    /// Asks the children of an attempt to stop. Stored first, so that any engine that drives one stops it.
    pub(crate) async fn stop(
        &self,
        context: &RunContext,
        attempt: &AttemptId,
        kill: bool,
    ) -> Result<(), Error> {
        let request = CancelRequest { by: format!("run {}", context.row.id), kill };
        let runs: Vec<RunId> = {
            let mut list = self.list();
            list.stopped.insert(attempt.clone(), request.clone());
            let of_attempt = list
                .children
                .iter()
                .filter(|child| child.attempt == *attempt && !child.task.is_over());
            let stopped = of_attempt.map(|child| {
                child.stop.send_replace(Some(request.clone()));
                child.run.clone()
            });
            stopped.collect()
        };
        let shared = &context.shared;
        for run in runs {
            if shared.store.runs().get(&run).await?.is_some() {
                shared.store.cancels().request(&run, request.clone(), shared.clock.now()).await?;
            }
        }
        Ok(())
    }

    /// Stops what an attempt that ends has left open, and waits for it. The children of all attempts: `None`.
    pub(crate) async fn settle(&self, context: &RunContext, attempt: Option<&AttemptId>) {
        let is_of = |child: &OpenChild| attempt.is_none_or(|attempt| child.attempt == *attempt);
        let open: Vec<AttemptId> = {
            let list = self.list();
            let open = list.children.iter().filter(|one| is_of(one) && !one.task.is_over());
            open.map(|one| one.attempt.clone()).collect()
        };
        for attempt in open {
            if let Err(error) = self.stop(context, &attempt, false).await {
                tracing::warn!(%attempt, %error, "failed to stop the child runs of an agent");
            }
        }
        let mut left: Vec<OpenChild> = {
            let mut list = self.list();
            list.children.extract_if(.., |child| is_of(child)).collect()
        };
        let clock = context.shared.clock;
        let deadline = clock.deadline(SETTLE_WITHIN);
        for child in &mut left {
            tokio::select! {
                _ended = child.task.ended() => {}
                () = deadline.reached() => {
                    tracing::warn!(run = %child.run, "a stopped child run of an agent has not ended yet");
                }
            }
        }
    }

    fn list(&self) -> MutexGuard<'_, OpenList> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl AgentChildren ===

impl AgentChildren {
    /// The plan of a workflow, for its description and the inputs that it declares.
    ///
    /// # Errors
    /// A text for the author.
    pub(crate) async fn declared(&self, workflow: &str) -> Result<Plan, String> {
        let source = self.source(workflow, BTreeMap::new())?;
        let workflows = self.context.shared.options.workflows.clone();
        Ok(child::plan_named(source, workflows).await?.plan.plan)
    }

    /// Plans a run of a workflow with these inputs, under an id of its own.
    ///
    /// # Errors
    /// A text for the model.
    pub(crate) async fn plan(
        &self,
        workflow: &str,
        inputs: BTreeMap<String, Json>,
    ) -> Result<StartedRun, String> {
        let source = self.source(workflow, inputs)?;
        let shared = &self.context.shared;
        let workflows = shared.options.workflows.clone();
        let path = self.context.source.clone();
        let (planned, inputs) = child::plan_child(source, workflows, path).await?;
        shared.store.plans().put(&planned.plan).await.map_err(|error| error.to_string())?;
        let (run, plan) = (shared.ids.run(), planned.plan.hash);
        Ok(StartedRun { run, plan, source: planned.source, inputs: Json::Object(inputs) })
    }

    fn source(
        &self,
        workflow: &str,
        inputs: BTreeMap<String, Json>,
    ) -> Result<child::ChildSource, String> {
        let context = &self.context;
        if context.is_from_fork() {
            return Err(NOT_FOR_FORKS.to_owned());
        }
        let (origin, event) = (&context.origin, &context.event);
        child::named_child(workflow, inputs, origin, event, &context.plan.name)
    }

    /// Creates and drives a run, or follows it if it is there; its end is the result of the call.
    pub(crate) fn follow(&self, call: ChildOfCall, results: mpsc::Sender<ToolResult>) {
        let ChildOfCall { id, child, budgets, recorded } = call;
        let mut parent = self.parent.clone();
        parent.budgets.extend(budgets.money);
        parent.token_budgets.extend(budgets.tokens);
        let mut list = self.open.list();
        let (stop, stopped) = watch::channel(list.stopped.get(&self.attempt).cloned());
        let followed = ChildRun::below(&self.context, parent, &self.open.slots, self.at, stopped)
            .recorded_as(recorded.map_or(Recorded::OfStep, Recorded::Known));
        let run = child.run.clone();
        let tasks = &self.context.shared.tasks;
        let task = tasks.owned("child run of an agent", async move {
            let run = child.run.clone();
            let Some((outcome, outputs)) = followed.follow(child).await else { return };
            let (text, is_error) = result(&run, outcome, &outputs);
            let content = Bytes(text.into_bytes());
            // The agent may have ended.
            let _gone = results.send(ToolResult { id, content, is_error }).await;
        });
        list.children.retain(|child| !child.task.is_over());
        list.children.push(OpenChild { attempt: self.attempt.clone(), run, stop, task });
    }
}

/// The end of a run for the model: its outputs, or why it failed. Without its id, so that a replay has the
/// same result.
fn result(run: &RunId, outcome: Outcome, outputs: &Json) -> (String, bool) {
    let unnamed = |text: &str| text.replace(&format!("child run {run}"), "the run");
    match outcome {
        Outcome::Success => (json!({ "status": "success", "outputs": outputs }).to_string(), false),
        Outcome::Failed { message } | Outcome::Infra { message } => (unnamed(&message), true),
        Outcome::TimedOut => ("the run timed out".to_owned(), true),
        Outcome::Cancelled => ("the run was cancelled".to_owned(), true),
        other => (format!("the run ended: {other:?}"), true),
    }
}
