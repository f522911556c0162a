//! Agents of this driver: each attempt of a Claude step has a task in the engine beside its runner.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use plue_flow::{AttemptStatus, Input, fact::Outcome};
use plue_llm::agent::{End, EndReason, Fact};
use plue_plan::{Action, AttemptId, StepId, context::Reader};
use plue_pool::Command;
use plue_runtime::{Task, mask::Secrets};
use plue_store::{LogWriter, Store, usage::claude::NewFacts};
use plue_wire::{
    eval::Bytes,
    runner::{AgentOrder, Claim, ToolResult},
};
use serde_json::Value as Json;
use tokio::sync::{mpsc, watch};

use super::Driver;
use crate::{
    batch::Incoming,
    claude::{
        Claude,
        assignment::{Assignment, assignment},
        delegate::{Lines, Routes},
        mcp::{PinScope, Remote, Remotes},
        people::People,
        perform::{AgentMessage, AgentRun, Before, Order},
        replay::{self, Replay, SharedRecording},
        shown::Shown,
        spending::{Budgets, Limit},
    },
    error::Error,
    perform::{
        call, child,
        scope::{Seen, within_budget},
    },
};

/// Orders in flight to the runner.
const ORDER_QUEUE: usize = 64;
/// Results in flight to one agent: those of one answer, some of them twice.
const RESULT_QUEUE: usize = 4 * plue_llm::agent::MAX_CALLS;

/// The agents of one driver. Dropped, they stop; the next driver begins them again.
pub(super) struct Agents {
    sender: mpsc::Sender<AgentMessage>,
    orders: mpsc::Receiver<AgentMessage>,
    running: HashMap<AttemptId, Running>,
    /// Attempts whose agents have looked for decisions and reported which calls still wait.
    asking: HashSet<AttemptId>,
    /// Attempts with rows in an engine without a key.
    rows: HashSet<AttemptId>,
    /// Of a replay: what answers each step.
    recordings: HashMap<StepId, SharedRecording>,
}

struct Running {
    _task: Task<()>,
    routes: Routes,
    sessions: watch::Sender<u64>,
}

// === impl Agents ===

impl Agents {
    pub(super) fn new() -> Self {
        let (sender, orders) = mpsc::channel(ORDER_QUEUE);
        let (running, recordings) = (HashMap::new(), HashMap::new());
        let (rows, asking) = (HashSet::new(), HashSet::new());
        Self { sender, orders, running, asking, rows, recordings }
    }

    /// The next news of an agent. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<AgentMessage> {
        self.orders.recv().await
    }

    /// Stops what works on the attempt.
    pub(super) fn stop(&mut self, attempt: &AttemptId) {
        self.running.remove(attempt);
        self.asking.remove(attempt);
    }

    /// Whether the agent of an attempt has taken the decisions that were there when it began here.
    pub(super) fn is_asking(&self, attempt: &AttemptId) -> bool {
        self.asking.contains(attempt)
    }

    /// The same before the attempt ends: its log has all its text then.
    pub(super) async fn end(&mut self, attempt: &AttemptId, store: &Store) {
        self.running.remove(attempt);
        store.close_log(attempt).await;
    }

    /// The same for all.
    pub(super) async fn end_all(&mut self, store: &Store) {
        for (attempt, running) in self.running.drain() {
            drop(running);
            store.close_log(&attempt).await;
        }
    }

    /// Hands a result to its agent.
    pub(super) fn result(&self, claim: &Claim, result: ToolResult) {
        let Some(running) = self.running.get(&claim.attempt) else { return };
        if !running.routes.pass(result) {
            tracing::warn!(attempt = %claim.attempt, "an agent does not take its results");
        }
    }
}

// === impl Driver: agents ===

impl Driver {
    /// The settings of Claude steps; none if they need a key and there is none. Replays need none.
    pub(super) fn claude(&self) -> Option<&Claude> {
        let claude = self.shared.options.claude.as_ref();
        claude.filter(|claude| claude.client.is_some() || self.origin.replay.is_some())
    }

    /// Whether the step is a Claude step.
    pub(super) fn is_agent(&self, step: &StepId) -> bool {
        matches!(self.plan.step(step).map(|step| &step.action), Some(Action::Llm(_)))
    }

    /// Notes the row of an attempt that an engine with a key queued, if this one has none: nothing is
    /// assigned from here, but the row has to end with the attempt.
    pub(super) async fn note_row(
        &mut self,
        step: &StepId,
        attempt: &AttemptId,
    ) -> Result<(), Error> {
        if self.is_agent(step) && self.claude().is_none() {
            let rows = self.shared.store.attempts(&self.row.id, Some(step)).await?;
            if rows.iter().any(|row| row.claim.attempt == *attempt) {
                self.agents.rows.insert(attempt.clone());
            }
        }
        Ok(())
    }

    /// Whether only the journal knows the attempt.
    pub(super) fn has_no_row(&self, step: &StepId, attempt: &AttemptId) -> bool {
        let has_row = self.claims.contains_key(attempt) || self.agents.rows.contains(attempt);
        self.is_engine_step(step) && !has_row
    }

    /// Takes news of an agent: orders go to the runner, the others to the run.
    pub(super) async fn agents_news(&mut self, message: AgentMessage) -> Vec<Incoming> {
        let (claim, calls, is_busy) = match message {
            AgentMessage::Order(order) => {
                self.pass_on(order).await;
                return Vec::new();
            }
            AgentMessage::Asks { claim, calls, is_busy } => (claim, calls, is_busy),
        };
        let view = self.run.attempt(&claim.attempt);
        let Some(view) = view.filter(|_| self.claims.get(&claim.attempt) == Some(&claim)) else {
            return Vec::new();
        };
        let mut incoming = Vec::new();
        // Its start may be on the way from the runner; the agent has it, so that it runs.
        if matches!(view.status, AttemptStatus::Queued | AttemptStatus::Assigned) {
            incoming.push(self.started(&claim, None));
        }
        let attempt = claim.attempt;
        self.agents.asking.insert(attempt.clone());
        incoming.push(Incoming::plain(Input::AsksCalls { attempt, calls, is_busy }));
        incoming
    }

    /// Passes an order on to the runner, which has room for it.
    pub(super) async fn pass_on(&self, order: Order) {
        let is_ours = self.claims.get(&order.claim.attempt) == Some(&order.claim);
        if let (true, Some(leased)) = (is_ours, &self.lease) {
            leased.lease.send(Command::Agent(order.claim, Box::new(order.order))).await;
        }
    }

    /// Starts the agent of an attempt that a runner has, or notifies the running one of a new
    /// session.
    pub(super) async fn attend_agent(&mut self, claim: &Claim) -> Result<(), Error> {
        let Some(view) = self.run.attempt(&claim.attempt) else { return Ok(()) };
        let (step, visit, number) = (view.step.clone(), view.visit, view.number);
        if !self.is_agent(&step) || view.status.is_terminal() || self.only_tells {
            return Ok(());
        }
        if let Some(running) = self.agents.running.get(&claim.attempt) {
            running.sessions.send_modify(|session| *session += 1);
            return Ok(());
        }
        if self.claude().is_none() {
            return self.end_without_key(claim).await;
        }
        let before = self.before(claim, &step, (visit, number)).await?;
        self.read_recording(&step).await?;
        let limit = self.shared.options.log_cap_bytes;
        let log = self.shared.store.open_log(claim, limit).await?;
        let Some(agent) = self.agent(claim, &step, (visit, number), log) else { return Ok(()) };
        let (agent, assignment, sessions) = agent;
        let routes = agent.routes.clone();
        let task = self.shared.tasks.owned("agent", agent.run(assignment, before));
        let running = Running { _task: task, routes, sessions };
        self.agents.running.insert(claim.attempt.clone(), running);
        Ok(())
    }

    /// Ends an agent that an engine with a key began. The attendant waits for orders, so that the attempt
    /// would last until its timeout.
    async fn end_without_key(&self, claim: &Claim) -> Result<(), Error> {
        let store = &self.shared.store;
        let facts = store.transcript(&claim.attempt).await?;
        let end = match end_of(&facts) {
            Some(end) => end,
            None => {
                let end = End::refused(EndReason::Key, crate::claude::NO_KEY);
                let fact = serde_json::to_value(Fact::Ended { end: end.clone() });
                let new = NewFacts {
                    run: self.row.id.clone(),
                    attempt: claim.attempt.clone(),
                    first: facts.len() as u64 + 1,
                    facts: fact.into_iter().collect(),
                    settlement: None,
                    at: self.time.now(),
                };
                if !store.append_transcript(new).await? {
                    return Ok(());
                }
                end
            }
        };
        let text = end.error().map(|error| format!("{error}\n")).unwrap_or_default();
        let print = AgentOrder::Print(Bytes(text.into_bytes()));
        let output_json = end.output.to_string();
        let last = AgentOrder::End { output_json, status: end.reason.status() };
        for order in [print, last] {
            self.pass_on(Order { claim: claim.clone(), order }).await;
        }
        Ok(())
    }

    /// The assignment of a step's agent.
    pub(super) fn assignment(&self, step: &StepId, turn: (u32, u32)) -> Result<Assignment, String> {
        let definition = self.plan.step(step).ok_or("no such step")?;
        let (Action::Llm(llm), Some(claude)) = (&definition.action, self.claude()) else {
            return Err(crate::claude::no_key());
        };
        if self.origin.untrusted || self.row.fork.is_some() {
            return Err(crate::claude::untrusted());
        }
        let today = self.time.now().to_zoned(jiff::tz::TimeZone::UTC).date();
        within_budget(|meter| {
            let seen = Seen::of(&self.run, Reader::Step(step));
            let scope = seen.scope(&self.surroundings, turn, meter);
            assignment((&self.plan, definition, llm), &self.origin.read_set, &scope, claude, today)
        })
    }

    /// The MCP servers of an agent that the engine talks to, with the headers of their requests.
    pub(super) fn remotes(
        &self,
        assignment: &Assignment,
        step: &StepId,
        turn: (u32, u32),
    ) -> Result<Remotes, String> {
        let guard = self.guard();
        let with_url = assignment.servers.iter().filter(|used| used.server.url.is_some());
        let mut remotes = Remotes::new();
        for server in with_url.map(|used| &used.server) {
            let headers = within_budget(|meter| {
                let seen = Seen::of(&self.run, Reader::Step(step));
                let scope = seen.scope(&self.surroundings, turn, meter);
                let headers = server.headers.iter().map(|(name, value)| {
                    let text =
                        call::header(value, &scope, self.secrets.as_ref()).map_err(|why| {
                            format!("header {name} of the MCP server `{}`: {why}", server.name)
                        })?;
                    Ok((name.to_ascii_lowercase(), text))
                });
                headers.collect::<Result<_, String>>()
            })?;
            let remote = Remote::new(server, headers, guard.clone(), self.shared.tasks.clone());
            remotes.extend(remote.map(|remote| (server.name.clone(), Arc::new(remote))));
        }
        Ok(remotes)
    }

    fn agent(
        &self,
        claim: &Claim,
        step: &StepId,
        turn: (u32, u32),
        log: LogWriter,
    ) -> Option<(AgentRun, Result<Assignment, String>, watch::Sender<u64>)> {
        let claude = self.claude()?.clone();
        let assignment = self.assignment(step, turn);
        let remotes = assignment.as_ref().map(|it| self.remotes(it, step, turn));
        let (assignment, remotes) = match remotes {
            Ok(Ok(remotes)) => (assignment, remotes),
            Ok(Err(why)) => (Err(why), Remotes::new()),
            Err(_) => (assignment, Remotes::new()),
        };
        let all = self.secrets.all();
        let masks = Secrets::new(all.iter().chain(&claude.masks).map(Vec::as_slice));
        let above = self.origin.parent.as_ref();
        let budgets = Budgets {
            slices: Vec::new(),
            step: assignment.as_ref().map(|assignment| assignment.budget).unwrap_or_default(),
            run: Limit::of(self.plan.budget.as_ref()),
            above: above.map(|above| above.budgets.clone()).unwrap_or_default(),
            tokens_above: above.map(|above| above.token_budgets.clone()).unwrap_or_default(),
            workflows: child::lineage(&self.origin, &self.plan.name),
            repo: self.row.repo.clone(),
            limits: claude.limits,
        };
        let (sender, results) = mpsc::channel(RESULT_QUEUE);
        let (sessions, session) = watch::channel(0);
        let agent = AgentRun {
            shared: self.shared.clone(),
            run: self.row.id.clone(),
            step: step.clone(),
            claim: claim.clone(),
            id: claim.attempt.clone(),
            mask: masks.stream(),
            shown: Shown::behind(log.is_mid_line()),
            log: Arc::new(log),
            masks,
            budgets,
            claude,
            orders: self.agents.sender.clone(),
            results,
            own_results: sender.clone(),
            routes: Routes::of(sender),
            remotes,
            pins: PinScope { repo: self.row.repo.clone(), workflow: self.plan.name.clone() },
            sessions: session,
            stored: 0,
            lines: Lines::default(),
            team: Arc::default(),
            replay: self
                .agents
                .recordings
                .get(step)
                .cloned()
                .map(|recording| Replay { recording, place: turn.into() }),
            people: People { asked: None, lost: None },
        };
        Some((agent, assignment, sessions))
    }

    /// Reads what answers a step of a replay, once.
    async fn read_recording(&mut self, step: &StepId) -> Result<(), Error> {
        if let Some(recorded) = &self.origin.replay
            && !self.agents.recordings.contains_key(step)
        {
            let runs = (recorded, &self.row.id);
            let recording = replay::recording(&self.shared.store, runs, step).await?;
            self.agents.recordings.insert(step.clone(), recording);
        }
        Ok(())
    }

    /// The transcript of the attempt, or of the one before whose runner was lost.
    async fn before(
        &self,
        claim: &Claim,
        step: &StepId,
        (visit, number): (u32, u32),
    ) -> Result<Before, Error> {
        let store = &self.shared.store;
        let facts = store.transcript(&claim.attempt).await?;
        if number < 2 {
            return Ok(Before { facts, is_lost: false, lost: None });
        }
        let rows = store.attempts(&self.row.id, Some(step)).await?;
        let lost = rows.into_iter().find(|row| {
            // A runner that was started again reports the loss itself, as the result.
            let is_lost = row.state == AttemptStatus::Lost
                || matches!(row.outcome, Some(Outcome::Infra { .. }));
            (row.visit, row.number) == (visit, number - 1) && is_lost
        });
        let lost = lost.map(|row| row.claim.attempt);
        let of_lost = match &lost {
            Some(lost) => store.transcript(lost).await?,
            None => Vec::new(),
        };
        let goes_on = !of_lost.is_empty() && end_of(&of_lost).is_none();
        if !facts.is_empty() {
            // Facts are copied as they are, so that a copy begins with them.
            let lost = lost.filter(|_| goes_on && facts.starts_with(&of_lost));
            return Ok(Before { facts, is_lost: false, lost });
        }
        let facts = if goes_on { of_lost } else { Vec::new() };
        Ok(Before { facts, is_lost: goes_on, lost: lost.filter(|_| goes_on) })
    }

    /// The outcome and output that the transcript gives an attempt whose process ended.
    pub(super) async fn agents_end(
        &self,
        claim: &Claim,
        (outcome, output): (Outcome, Json),
    ) -> (Outcome, Json) {
        let step = self.run.attempt(&claim.attempt).map(|view| view.step.clone());
        let is_agents = step.is_some_and(|step| self.is_agent(&step));
        if !is_agents || !matches!(outcome, Outcome::Success | Outcome::Exit { .. }) {
            return (outcome, output);
        }
        let facts = match self.shared.store.transcript(&claim.attempt).await {
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

/// Whether the outcome is that of an agent whose request was not recorded.
pub(super) fn is_divergence(outcome: &Outcome) -> bool {
    let code = format!("{}: ", plue_llm::codes::REPLAY);
    matches!(outcome, Outcome::Failed { message } if message.starts_with(&code))
}

fn end_of(facts: &[Json]) -> Option<End> {
    match serde_json::from_value(facts.last()?.clone()) {
        Ok(Fact::Ended { end }) => Some(end),
        Ok(_) | Err(_) => None,
    }
}
