//! The loop of one agent: performs the effects of its state machine, and stores each result before the
//! next effect.
//!
//! The loop is a task that holds no connection and no slot while it waits. It is dropped with its driver or
//! when the attempt ends; a restarted loop continues from the transcript.

use std::{sync::Arc, time::Duration};

use plue_flow::AskedCall;
use plue_llm::{
    Agent,
    agent::{Call, Effect, End, EndReason, Fact, Input, Task},
};
use plue_plan::{AttemptId, RunId, StepId};
use plue_runtime::mask::Secrets;
use plue_store::{
    TranscriptId as _,
    usage::claude::{CallSettlement, NewFacts},
};
use plue_wire::runner::{AgentOrder, Claim};
use serde_json::Value as Json;

use super::{
    Claude,
    approvals::Approvals,
    assignment::Assignment,
    log_view::AgentLog,
    mcp::{McpSetup, UNKNOWN},
    replay::Replay,
    spending::Budgets,
    tool_calls::AgentTools,
    workflow_tool,
};
use crate::{
    engine::Shared,
    perform::output::{self, SchemaMismatch},
};

/// Pause before the database is tried again.
pub(super) const STORE_PAUSE: Duration = Duration::from_secs(1);

/// An order for the runner of an attempt.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) claim: Claim,
    pub(crate) order: AgentOrder,
}

/// A message of an agent to its driver.
#[derive(Debug)]
pub(crate) enum AgentMessage {
    /// For the runner of the attempt.
    Order(Order),
    /// Calls that wait for the approval of people; replaces the previous list.
    Asks {
        /// Claim of the attempt.
        claim: Claim,
        /// Calls without a decision.
        calls: Vec<AskedCall>,
        /// Whether other calls are being carried out.
        is_busy: bool,
    },
}

/// The transcript of an agent before this engine performs it.
#[derive(Debug)]
pub(crate) struct PriorTranscript {
    /// Facts, perhaps those of an attempt whose runner was lost.
    pub(crate) facts: Vec<Json>,
    /// The facts are another attempt's: results of its open calls are unknown.
    pub(crate) is_lost: bool,
    /// The attempt whose transcript this one continues, now or from its start.
    pub(crate) lost: Option<AttemptId>,
}

/// The identity of an agent, and what it shares with the others of its attempt.
#[derive(Clone)]
pub(crate) struct AgentScope {
    pub(crate) shared: Arc<Shared>,
    pub(crate) claude: Claude,
    pub(crate) run: RunId,
    pub(crate) step: StepId,
    pub(crate) claim: Claim,
    /// Id of the transcript; that of a subagent differs from its attempt.
    pub(crate) id: AttemptId,
    pub(crate) masks: Secrets,
}

/// One agent that is performed.
pub(crate) struct AgentRun {
    pub(crate) scope: AgentScope,
    pub(crate) tools: AgentTools,
    pub(crate) log: AgentLog,
    pub(crate) budgets: Budgets,
    /// Number of stored facts of the transcript.
    pub(crate) stored: u64,
    /// The recorded answers of a replay, in place of the API's.
    pub(crate) replay: Option<Replay>,
    pub(crate) approvals: Approvals,
}

/// The reason to stop performing an agent here.
#[derive(Debug)]
pub(super) enum Stopped {
    /// Another driver performs the agent, or this one is gone.
    Superseded,
}

// === impl AgentRun ===

impl AgentRun {
    /// Performs the agent to its end, and sends the end to the runner.
    pub(crate) async fn run(
        mut self,
        assignment: Result<Assignment, String>,
        before: PriorTranscript,
    ) {
        let Ok(end) = self.drive(assignment, before).await else { return };
        let output_json = match &end.output {
            Json::String(text) => text.clone(),
            other => other.to_string(),
        };
        let status = end.reason.status();
        // Repeated after each break of the session, which may have lost it.
        loop {
            let end = AgentOrder::End { output_json: output_json.clone(), status };
            if self.tools.order(&self.scope.claim, end).await.is_err()
                || self.tools.sessions.changed().await.is_err()
            {
                return;
            }
        }
    }

    pub(super) async fn drive(
        &mut self,
        assignment: Result<Assignment, String>,
        before: PriorTranscript,
    ) -> Result<End, Stopped> {
        self.approvals.lost.clone_from(&before.lost);
        if let Ok(assignment) = &assignment {
            self.tools.team = assignment.team.clone();
            self.tools.steps = assignment.steps.clone();
            self.tools.workflows = assignment.workflows.clone();
        }
        let mut agent = self.resume(before).await?;
        loop {
            let effect = agent.effect();
            if !matches!(effect, Effect::Call(_)) {
                self.withdraw_requests().await?;
            }
            match effect {
                Effect::Begin => match self.equipped(&assignment).await? {
                    Ok(task) => self.apply(&mut agent, Input::Start(task), None).await?,
                    Err(end) => return self.refuse(*end, &agent).await,
                },
                Effect::Ask(request) => self.ask(&mut agent, *request).await?,
                Effect::Call(calls) => self.call(&mut agent, &calls).await?,
                Effect::Judge(value) => {
                    let judged = self.judge(&agent, &value).await;
                    self.apply(&mut agent, Input::Judged(judged), None).await?;
                }
                Effect::End(end) => return Ok(*end),
            }
        }
    }

    /// The task with the tools that are known only now, or the end of an agent that does not begin.
    async fn equipped(
        &mut self,
        assignment: &Result<Assignment, String>,
    ) -> Result<Result<Box<Task>, Box<End>>, Stopped> {
        let refused = |why: String| Ok(Err(Box::new(End::refused(EndReason::Api, why))));
        let assignment = match assignment {
            Ok(assignment) => assignment,
            Err(why) => return refused(why.clone()),
        };
        let task = match self.mcp_setup().equip(assignment).await? {
            Ok(task) => task,
            Err(end) => return Ok(Err(end)),
        };
        let Some(children) = &self.tools.children else { return Ok(Ok(Box::new(task))) };
        match workflow_tool::equip(task, &assignment.workflows, children).await {
            Ok(task) => Ok(Ok(Box::new(task))),
            Err(why) => refused(why),
        }
    }

    /// Stores the end of an agent that does not begin; returns it masked.
    async fn refuse(&mut self, mut end: End, agent: &Agent) -> Result<End, Stopped> {
        end.message = self.scope.masks.text(&end.message);
        let text = self.log.view.end(&end, agent.totals());
        self.store(vec![Fact::Ended { end: end.clone() }], None, &text).await?;
        Ok(end)
    }

    /// The agent of the transcript. The transcript of a lost attempt is copied, with unknown results of its
    /// open calls.
    async fn resume(&mut self, before: PriorTranscript) -> Result<Agent, Stopped> {
        let facts: Result<Vec<Fact>, _> =
            before.facts.iter().cloned().map(serde_json::from_value).collect();
        let facts = facts.unwrap_or_else(|error| {
            let message = format!("its transcript cannot be read: {error}");
            vec![Fact::Ended { end: End::refused(EndReason::Api, message) }]
        });
        let mut agent = Agent::fold(&facts);
        if before.is_lost {
            self.stored = 0;
            self.store(facts, None, "").await?;
            workflow_tool::cancel_runs(&self.scope, &agent).await;
            self.apply(&mut agent, Input::RunnerLost, None).await?;
        } else {
            self.stored = before.facts.len() as u64;
            let more = agent.catch_up();
            let text = match agent.effect() {
                Effect::Ask(_) if self.stored > 0 && !agent.is_over() => self.log.view.restarted(),
                _ => self.closing_text(&more, &agent),
            };
            self.store(more, None, &text).await?;
            self.give_up_remote_calls(&mut agent).await?;
        }
        Ok(agent)
    }

    async fn judge(&self, agent: &Agent, value: &Json) -> Result<(), String> {
        let Some(schema) = agent.task().and_then(|task| task.output.as_ref()) else {
            return Ok(());
        };
        match output::check_answer(schema, value).await {
            Ok(()) => Ok(()),
            Err(SchemaMismatch::Refused(words) | SchemaMismatch::Interrupted(words)) => Err(words),
        }
    }

    /// Applies an input to the state machine and stores the facts.
    pub(super) async fn apply(
        &mut self,
        agent: &mut Agent,
        input: Input,
        settlement: Option<CallSettlement>,
    ) -> Result<(), Stopped> {
        self.apply_and_log(agent, input, settlement, String::new()).await
    }

    /// The same with a text for the log; both are stored, or neither.
    pub(super) async fn apply_and_log(
        &mut self,
        agent: &mut Agent,
        input: Input,
        settlement: Option<CallSettlement>,
        mut text: String,
    ) -> Result<(), Stopped> {
        let input = self.masked(input);
        match agent.apply(input) {
            Ok(facts) => {
                text.push_str(&self.closing_text(&facts, agent));
                self.store(facts, settlement, &text).await
            }
            Err(rejected) => {
                tracing::debug!(attempt = %self.scope.id, %rejected, "ignored an input");
                Ok(())
            }
        }
    }

    /// Masks results and prompts before the model receives them.
    fn masked(&self, input: Input) -> Input {
        match input {
            Input::Start(mut task) => {
                task.prompt = self.scope.masks.text(&task.prompt);
                task.system = task.system.map(|system| self.scope.masks.text(&system));
                Input::Start(task)
            }
            Input::Result { id, content, is_error } => {
                Input::Result { id, content: self.scope.masks.text(&content), is_error }
            }
            Input::Decided(mut decision) => {
                decision.message = decision.message.map(|message| self.scope.masks.text(&message));
                Input::Decided(decision)
            }
            other => other,
        }
    }

    /// The lines of the log after an answer and after the end.
    fn closing_text(&mut self, facts: &[Fact], agent: &Agent) -> String {
        let is_answer = facts.iter().any(|fact| matches!(fact, Fact::Answered { .. }));
        match facts.last() {
            Some(Fact::Ended { end }) => self.log.view.end(end, agent.totals()),
            _ if is_answer => self.log.view.turn(agent.totals()),
            _ => String::new(),
        }
    }

    /// Stores facts together with their text and all earlier text of the log. Retries until the database
    /// answers.
    async fn store(
        &mut self,
        facts: Vec<Fact>,
        settlement: Option<CallSettlement>,
        text: &str,
    ) -> Result<(), Stopped> {
        if facts.is_empty() && settlement.is_none() {
            self.log.print(text);
            return Ok(());
        }
        let masks = &self.scope.masks;
        let json = facts.into_iter().filter_map(|mut fact| {
            fact.texts(&mut |text| *text = masks.text(text));
            serde_json::to_value(fact).ok()
        });
        let json: Vec<Json> = json.collect();
        let count = json.len() as u64;
        let new = NewFacts {
            run: self.scope.run.clone(),
            attempt: self.scope.id.clone(),
            first: self.stored + 1,
            facts: json,
            settlement,
            at: self.scope.shared.clock.now(),
        };
        // A subagent ends before the agent of its attempt.
        let is_end = self.scope.id == self.scope.claim.attempt
            && new.facts.last().is_some_and(|fact| fact["fact"] == "ended");
        // Text after the last stored fact would be printed twice if it were stored without the next one.
        let turn = self.log.writer.turn().await;
        self.log.print(text);
        self.log.flush();
        if is_end {
            self.log.writer.finish();
        }
        let mut is_lost = false;
        loop {
            match self.log.writer.append_transcript(&turn, new.clone()).await {
                Ok(true) => break,
                // An own commit whose answer was lost.
                Ok(false) if is_lost && self.has_stored(&new).await => {
                    self.log.writer.send_again(&turn);
                    break;
                }
                Ok(false) => return Err(Stopped::Superseded),
                Err(error) => {
                    tracing::warn!(%error, "failed to store a transcript; retrying in 1 s");
                    is_lost = true;
                    self.scope.shared.clock.sleep(STORE_PAUSE).await;
                }
            }
        }
        self.stored += count;
        Ok(())
    }

    /// Whether the transcript ends with these facts.
    async fn has_stored(&self, new: &NewFacts) -> bool {
        let found = loop {
            match self.scope.shared.store.transcripts().of(&new.attempt).await {
                Ok(found) => break found,
                Err(error) => {
                    tracing::warn!(%error, "failed to read a transcript; retrying in 1 s");
                    self.scope.shared.clock.sleep(STORE_PAUSE).await;
                }
            }
        };
        let from = usize::try_from(new.first.saturating_sub(1)).unwrap_or(usize::MAX);
        found.get(from..).is_some_and(|last| last == new.facts.as_slice())
    }

    /// Ends the calls to remote servers that an earlier engine may have made: their results are lost. Calls
    /// that wait for approval were not made.
    async fn give_up_remote_calls(&mut self, agent: &mut Agent) -> Result<(), Stopped> {
        let Effect::Call(calls) = agent.effect() else { return Ok(()) };
        for call in calls {
            if self.tools.remote(&call).is_none() || call.held.is_some() {
                continue;
            }
            let (id, content) = (call.id.clone(), UNKNOWN.to_owned());
            self.apply(agent, Input::Result { id, content, is_error: true }, None).await?;
        }
        Ok(())
    }

    fn mcp_setup(&mut self) -> McpSetup<'_> {
        McpSetup {
            scope: &self.scope,
            tools: &mut self.tools,
            log: &mut self.log,
            replay: self.replay.as_ref(),
        }
    }
}

// === impl AgentScope ===

impl AgentScope {
    /// The id of a call for the runner, which receives the calls of all agents of the attempt.
    pub(super) fn wire_id(&self, call: &Call) -> String {
        let id = call.unique_id();
        match call_prefix(&self.id) {
            prefix if prefix.is_empty() => id,
            prefix => format!("{prefix}:{id}"),
        }
    }
}

/// The prefix of the ids of an agent's calls; empty for the agent of a step.
pub(super) fn call_prefix(id: &AttemptId) -> String {
    let numbers: Vec<String> = id.agents().iter().map(|number| format!("agent{number}")).collect();
    numbers.join(".")
}
