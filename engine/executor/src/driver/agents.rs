//! The agents of a driver: each attempt of a Claude step has a task in the engine and an attendant process
//! on its runner.
//!
//! Must not change the state of the run or send to the runner: orders are returned.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use plue_flow::{AttemptStatus, Run, fact::Outcome};
use plue_llm::agent::{End, EndReason, Fact};
use plue_plan::{AttemptId, StepId};
use plue_runtime::{Task, mask::Secrets};
use plue_store::{LogWriter, usage::claude::NewFacts};
use plue_wire::{
    eval::Bytes,
    runner::{AgentOrder, Claim, ToolResult},
};
use serde_json::Value as Json;
use tokio::sync::{mpsc, watch};

use super::{context::RunContext, steps::call_child::OpenChildren};
use crate::{
    child_slots::SiblingSlots,
    claude::{
        agent_run::{AgentMessage, AgentRun, AgentScope, Order, PriorTranscript},
        approvals::{Approvals, Requests},
        assignment::Assignment,
        delegate::Routes,
        log_view::AgentLog,
        mcp::{PinScope, Remotes},
        replay::{self, Replay, SharedRecording},
        spending::{Budgets, Limit},
        step_tool::StepTools,
        tool_calls::AgentTools,
        workflow_tool::WorkflowTools,
    },
    error::Error,
    perform::{child, scope::AttemptNumber},
};

/// Orders in flight to the runner.
const ORDER_QUEUE: usize = 64;
/// Results in flight to one agent: those of one answer, some of them twice.
const RESULT_QUEUE: usize = 4 * plue_llm::agent::MAX_CALLS;

/// Agents stop when this is dropped; the next driver restarts them.
pub(crate) struct Agents {
    context: Arc<RunContext>,
    sender: mpsc::Sender<AgentMessage>,
    messages: mpsc::Receiver<AgentMessage>,
    running: HashMap<AttemptId, RunningAgent>,
    /// Attempts whose agents have read the stored decisions and reported which calls still wait.
    asking: HashSet<AttemptId>,
    /// Attempts that have rows although this engine has no key.
    rows: HashSet<AttemptId>,
    /// Child runs that calls of agents have started.
    children: OpenChildren,
    /// The recordings of a replay.
    recordings: HashMap<StepId, SharedRecording>,
}

struct RunningAgent {
    _task: Task<()>,
    routes: Routes,
    sessions: watch::Sender<u64>,
}

/// An agent that is about to start.
struct NewAgent {
    agent: AgentRun,
    assignment: Result<Assignment, String>,
    sessions: watch::Sender<u64>,
}

// === impl Agents ===

impl Agents {
    pub(crate) fn new(context: Arc<RunContext>, slots: SiblingSlots) -> Self {
        let (sender, messages) = mpsc::channel(ORDER_QUEUE);
        Self {
            context,
            sender,
            messages,
            running: HashMap::new(),
            asking: HashSet::new(),
            rows: HashSet::new(),
            children: OpenChildren::new(slots),
            recordings: HashMap::new(),
        }
    }

    /// The next message of an agent. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<AgentMessage> {
        self.messages.recv().await
    }

    pub(crate) fn stop(&mut self, attempt: &AttemptId) {
        self.running.remove(attempt);
        self.asking.remove(attempt);
    }

    pub(crate) fn begins_asking(&mut self, attempt: AttemptId) {
        self.asking.insert(attempt);
    }

    /// Whether the agent of an attempt has read the decisions that were stored before it started here.
    pub(crate) fn is_asking(&self, attempt: &AttemptId) -> bool {
        self.asking.contains(attempt)
    }

    /// Stops an agent whose attempt ends, with all of its text in the log.
    pub(crate) async fn end(&mut self, attempt: &AttemptId) {
        self.running.remove(attempt);
        self.children.settle(&self.context, Some(attempt)).await;
        self.context.shared.store.open_logs().close(attempt).await;
    }

    /// Stops all agents, with all of their text in their logs.
    pub(crate) async fn end_all(&mut self) {
        for (attempt, running) in self.running.drain() {
            drop(running);
            self.context.shared.store.open_logs().close(&attempt).await;
        }
    }

    /// Asks the child runs that an attempt has started to stop.
    pub(crate) async fn stop_children(&self, attempt: &AttemptId, kill: bool) -> Result<(), Error> {
        self.children.stop(&self.context, attempt, kill).await
    }

    /// Waits for the end of child runs whose attempts are over.
    pub(crate) async fn settle_children(&self) {
        self.children.settle(&self.context, None).await;
    }

    /// Hands a tool result to its agent.
    pub(crate) fn pass_result(&self, claim: &Claim, result: ToolResult) {
        let Some(running) = self.running.get(&claim.attempt) else { return };
        if !running.routes.pass(result) {
            tracing::warn!(attempt = %claim.attempt, "failed to hand a tool result to its agent");
        }
    }

    pub(crate) fn rows(&self) -> &HashSet<AttemptId> {
        &self.rows
    }

    /// Looks for the row of an attempt that an engine with a key queued, if this engine has none: it
    /// assigns nothing, but the row has to end with the attempt.
    pub(crate) async fn find_row(
        &mut self,
        step: &StepId,
        attempt: &AttemptId,
    ) -> Result<(), Error> {
        let context = &self.context;
        if context.is_agent(step) && context.claude().is_none() {
            let rows = context.shared.store.attempts().list(&context.row.id, Some(step)).await?;
            if rows.iter().any(|row| row.claim.attempt == *attempt) {
                self.rows.insert(attempt.clone());
            }
        }
        Ok(())
    }

    /// Starts the agent of an attempt that a runner has, or notifies the running one of a new session.
    /// Returns orders for the runner.
    pub(crate) async fn attach(&mut self, run: &Run, claim: &Claim) -> Result<Vec<Order>, Error> {
        let context = self.context.clone();
        let Some(view) = run.attempt(&claim.attempt) else { return Ok(Vec::new()) };
        let (step, is_over) = (view.step.clone(), view.status.is_terminal());
        let at = AttemptNumber { visit: view.visit, number: view.number };
        if !context.is_agent(&step) || is_over || context.mode.commit_only {
            return Ok(Vec::new());
        }
        if let Some(running) = self.running.get(&claim.attempt) {
            running.sessions.send_modify(|session| *session += 1);
            return Ok(Vec::new());
        }
        if context.claude().is_none() {
            return self.end_without_key(claim).await;
        }
        let before = self.prior_transcript(claim, &step, at).await?;
        self.read_recording(&step).await?;
        let limit = context.shared.options.attempts.log_cap_bytes;
        let log = context.shared.store.open_logs().open(claim, limit).await?;
        let Some(new) = self.new_agent(run, claim, &step, at, log) else { return Ok(Vec::new()) };
        let NewAgent { agent, assignment, sessions } = new;
        let routes = agent.tools.routes.clone();
        let task = context.shared.tasks.owned("agent", agent.run(assignment, before));
        let running = RunningAgent { _task: task, routes, sessions };
        self.running.insert(claim.attempt.clone(), running);
        Ok(Vec::new())
    }

    /// Ends an agent that an engine with a key started; its attendant would wait for orders until the
    /// timeout.
    async fn end_without_key(&self, claim: &Claim) -> Result<Vec<Order>, Error> {
        let context = &self.context;
        let store = &context.shared.store;
        let facts = store.transcripts().of(&claim.attempt).await?;
        let end = match end_of(&facts) {
            Some(end) => end,
            None => {
                let end = End::refused(EndReason::Key, crate::claude::NO_KEY);
                let fact = serde_json::to_value(Fact::Ended { end: end.clone() });
                let new = NewFacts {
                    run: context.row.id.clone(),
                    attempt: claim.attempt.clone(),
                    first: facts.len() as u64 + 1,
                    facts: fact.into_iter().collect(),
                    settlement: None,
                    at: context.time.now(),
                };
                if !store.transcripts().append(new).await? {
                    return Ok(Vec::new());
                }
                end
            }
        };
        let text = end.error().map(|error| format!("{error}\n")).unwrap_or_default();
        let print = AgentOrder::Print(Bytes(text.into_bytes()));
        let output_json = end.output.to_string();
        let last = AgentOrder::End { output_json, status: end.reason.status() };
        Ok([print, last].map(|order| Order { claim: claim.clone(), order }).into())
    }

    fn new_agent(
        &self,
        run: &Run,
        claim: &Claim,
        step: &StepId,
        at: AttemptNumber,
        log: LogWriter,
    ) -> Option<NewAgent> {
        let context = &self.context;
        let claude = context.claude()?.clone();
        let assignment = context.agent_assignment(run, step, at);
        let remotes = assignment.as_ref().map(|it| context.remote_servers(run, it, step, at));
        let (assignment, remotes) = match remotes {
            Ok(Ok(remotes)) => (assignment, remotes),
            Ok(Err(why)) => (Err(why), Remotes::new()),
            Err(_) => (assignment, Remotes::new()),
        };
        let budgets = self.budgets(assignment.as_ref().ok(), &claude);
        let all = context.secrets.all();
        let masks = Secrets::new(all.iter().chain(&claude.masks).map(Vec::as_slice));
        let (sender, results) = mpsc::channel(RESULT_QUEUE);
        let (sessions, session) = watch::channel(0);
        let repo = context.row.repo.clone();
        let children = self.children.of_agent(context, run, &claim.attempt);
        let tools = AgentTools {
            orders: self.sender.clone(),
            results,
            own_results: sender.clone(),
            routes: Routes::of(sender),
            remotes,
            pins: PinScope { repo, workflow: context.plan.name.clone() },
            sessions: session,
            team: Arc::default(),
            steps: StepTools::default(),
            workflows: WorkflowTools::default(),
            children,
        };
        let recording = self.recordings.get(step).cloned();
        let attempt = (at.visit, at.number);
        let agent = AgentRun {
            scope: AgentScope {
                shared: context.shared.clone(),
                claude,
                run: context.row.id.clone(),
                step: step.clone(),
                claim: claim.clone(),
                id: claim.attempt.clone(),
                masks: masks.clone(),
            },
            tools,
            log: AgentLog::new(log, &masks),
            budgets,
            stored: 0,
            replay: recording.map(|recording| Replay { recording, place: attempt.into() }),
            approvals: Approvals::new(Requests::default()),
        };
        Some(NewAgent { agent, assignment, sessions })
    }

    /// The budgets that calls of an agent draw from.
    fn budgets(&self, assignment: Option<&Assignment>, claude: &crate::claude::Claude) -> Budgets {
        let context = &self.context;
        let above = context.origin.parent.as_ref();
        Budgets {
            slices: Vec::new(),
            step: assignment.map(|assignment| assignment.budget).unwrap_or_default(),
            run: Limit::of(context.plan.budget.as_ref()),
            above: above.map(|above| above.budgets.clone()).unwrap_or_default(),
            tokens_above: above.map(|above| above.token_budgets.clone()).unwrap_or_default(),
            workflows: child::lineage(&context.origin, &context.plan.name),
            repo: context.row.repo.clone(),
            limits: claude.limits,
        }
    }

    /// Reads the recording of a step in a replay, once.
    async fn read_recording(&mut self, step: &StepId) -> Result<(), Error> {
        let context = &self.context;
        if let Some(recorded) = &context.origin.replay
            && !self.recordings.contains_key(step)
        {
            let runs = (recorded, &context.row.id);
            let recording = replay::recording(&context.shared.store, runs, step).await?;
            self.recordings.insert(step.clone(), recording);
        }
        Ok(())
    }

    /// The transcript of the attempt, or of the one before whose runner was lost.
    async fn prior_transcript(
        &self,
        claim: &Claim,
        step: &StepId,
        at: AttemptNumber,
    ) -> Result<PriorTranscript, Error> {
        let store = &self.context.shared.store;
        let facts = store.transcripts().of(&claim.attempt).await?;
        if at.number < 2 {
            return Ok(PriorTranscript { facts, is_lost: false, lost: None });
        }
        let rows = store.attempts().list(&self.context.row.id, Some(step)).await?;
        let lost = rows.into_iter().find(|row| {
            // A runner that was started again reports the loss itself, as the result.
            let is_lost = row.state == AttemptStatus::Lost
                || matches!(row.outcome, Some(Outcome::Infra { .. }));
            (row.visit, row.number) == (at.visit, at.number - 1) && is_lost
        });
        let lost = lost.map(|row| row.claim.attempt);
        let of_lost = match &lost {
            Some(lost) => store.transcripts().of(lost).await?,
            None => Vec::new(),
        };
        let continues = !of_lost.is_empty() && end_of(&of_lost).is_none();
        if !facts.is_empty() {
            // Facts are copied unchanged, so that a copy begins with them.
            let lost = lost.filter(|_| continues && facts.starts_with(&of_lost));
            return Ok(PriorTranscript { facts, is_lost: false, lost });
        }
        let facts = if continues { of_lost } else { Vec::new() };
        Ok(PriorTranscript { facts, is_lost: continues, lost: lost.filter(|_| continues) })
    }

    /// The outcome and output of an ended attempt; those of an agent come from its transcript.
    pub(crate) async fn outcome(
        &self,
        run: &Run,
        claim: &Claim,
        outcome: Outcome,
        output: Json,
    ) -> (Outcome, Json) {
        let step = run.attempt(&claim.attempt).map(|view| view.step.clone());
        let is_agents = step.is_some_and(|step| self.context.is_agent(&step));
        if !is_agents || !matches!(outcome, Outcome::Success | Outcome::Exit { .. }) {
            return (outcome, output);
        }
        let facts = match self.context.shared.store.transcripts().of(&claim.attempt).await {
            Ok(facts) => facts,
            Err(error) => return (Outcome::Infra { message: error.to_string() }, Json::Null),
        };
        match end_of(&facts) {
            Some(end) if end.reason == EndReason::Done && outcome == Outcome::Success => {
                (outcome, end.output)
            }
            Some(end) => match end.error() {
                Some(message) => (Outcome::Failed { message }, Json::Null),
                None => (outcome, output),
            },
            None if outcome == Outcome::Success => {
                let message = "the agent's process ended before the agent did".to_owned();
                (Outcome::Infra { message }, Json::Null)
            }
            None => (outcome, output),
        }
    }
}

/// Whether a replay ended because a request was not recorded.
pub(crate) fn is_divergence(outcome: &Outcome) -> bool {
    let code = format!("{}: ", plue_llm::codes::REPLAY);
    matches!(outcome, Outcome::Failed { message } if message.starts_with(&code))
}

fn end_of(facts: &[Json]) -> Option<End> {
    match serde_json::from_value(facts.last()?.clone()) {
        Ok(Fact::Ended { end }) => Some(end),
        Ok(_) | Err(_) => None,
    }
}
