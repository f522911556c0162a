//! The loop of one agent: performs the effects of its machine, and stores each result before it
//! goes on.
//!
//! The loop is a task that holds no connection and no place while it waits. It is dropped with its
//! driver or when the attempt ends; a restarted loop continues from the transcript.

use std::{sync::Arc, time::Duration};

use plue_flow::AskedCall;
use plue_llm::{
    Agent,
    agent::{Effect, End, EndReason, Fact, Input},
};
use plue_plan::{AttemptId, RunId, StepId};
use plue_runtime::mask::{MaskStream, Secrets};
use plue_store::{
    LogWriter,
    usage::claude::{CallSettlement, NewFacts},
};
use plue_wire::runner::{AgentOrder, Claim, ToolResult};
use serde_json::Value as Json;
use tokio::sync::{mpsc, watch};

use super::{
    Claude,
    assignment::Assignment,
    delegate::{Lines, Routes},
    mcp::{PinScope, Remotes},
    people::People,
    replay::Replay,
    shown::Shown,
    spending::Budgets,
    team::Team,
};
use crate::{
    engine::Shared,
    perform::output::{self, Unfit},
};

/// Between two tries to store something.
pub(super) const STORE_PAUSE: Duration = Duration::from_secs(1);

/// An order for the runner of an attempt.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) claim: Claim,
    pub(crate) order: AgentOrder,
}

/// News of an agent for its driver.
#[derive(Debug)]
pub(crate) enum AgentMessage {
    /// An order for its runner.
    Order(Order),
    /// Calls that people are to decide about, in place of those before.
    Asks {
        /// The attempt.
        claim: Claim,
        /// Calls without a decision.
        calls: Vec<AskedCall>,
        /// Whether other calls are under way.
        is_busy: bool,
    },
}

/// State of an agent before this engine performs it.
#[derive(Debug)]
pub(crate) struct Before {
    /// Its transcript, perhaps that of an attempt whose runner was lost.
    pub(crate) facts: Vec<Json>,
    /// The transcript is another attempt's: results of its open calls are unknown.
    pub(crate) is_lost: bool,
    /// The attempt whose transcript this one goes on with, now or from its beginning.
    pub(crate) lost: Option<AttemptId>,
}

/// One agent that is performed.
pub(crate) struct AgentRun {
    pub(crate) shared: Arc<Shared>,
    pub(crate) claude: Claude,
    pub(crate) run: RunId,
    pub(crate) step: StepId,
    pub(crate) claim: Claim,
    /// Id of the transcript: of an agent that another one started, not that of the attempt.
    pub(crate) id: AttemptId,
    pub(crate) budgets: Budgets,
    pub(crate) masks: Secrets,
    pub(crate) orders: mpsc::Sender<AgentMessage>,
    pub(crate) results: mpsc::Receiver<ToolResult>,
    /// Results of calls that the engine makes itself go the same way.
    pub(crate) own_results: mpsc::Sender<ToolResult>,
    pub(crate) routes: Routes,
    /// MCP servers that the engine talks to itself.
    pub(crate) remotes: Remotes,
    /// The repository and workflow for which tools of MCP servers are accepted.
    pub(crate) pins: PinScope,
    /// Changes with each session of the runner.
    pub(crate) sessions: watch::Receiver<u64>,
    /// Facts of this attempt in the store.
    pub(crate) stored: u64,
    pub(crate) shown: Shown,
    /// Masks of the log.
    pub(crate) mask: MaskStream,
    /// Of the attempt: all of its agents add to it.
    pub(crate) log: Arc<LogWriter>,
    pub(crate) lines: Lines,
    /// Of a replay: the answers, instead of the API's.
    pub(crate) replay: Option<Replay>,
    pub(crate) people: People,
    /// Agents that it may start.
    pub(crate) team: Arc<Team>,
}

/// The reason to stop performing an agent here.
#[derive(Debug)]
pub(super) enum Stopped {
    /// Another driver performs the agent, or this one is gone.
    Superseded,
}

// === impl AgentRun ===

impl AgentRun {
    /// Performs the agent to its end, and sends that end to the runner.
    pub(crate) async fn run(mut self, assignment: Result<Assignment, String>, before: Before) {
        let Ok(end) = self.drive(assignment, before).await else { return };
        let output_json = match &end.output {
            Json::String(text) => text.clone(),
            other => other.to_string(),
        };
        let status = end.reason.status();
        // Again after each break of the session: what was under way then is lost.
        loop {
            let end = AgentOrder::End { output_json: output_json.clone(), status };
            if self.order(end).await.is_err() || self.sessions.changed().await.is_err() {
                return;
            }
        }
    }

    pub(super) async fn drive(
        &mut self,
        assignment: Result<Assignment, String>,
        before: Before,
    ) -> Result<End, Stopped> {
        self.people.lost.clone_from(&before.lost);
        if let Ok(assignment) = &assignment {
            self.team = assignment.team.clone();
        }
        let mut agent = self.take_up(before).await?;
        loop {
            let effect = agent.effect();
            if !matches!(effect, Effect::Call(_)) {
                self.ask_people(&[], false).await?;
            }
            match effect {
                Effect::Begin => match &assignment {
                    Ok(assignment) => match self.equip(assignment).await? {
                        Ok(task) => {
                            self.tell(&mut agent, Input::Start(Box::new(task)), None).await?;
                        }
                        Err(end) => return self.refuse(*end, &agent).await,
                    },
                    Err(why) => {
                        let end = End::refused(EndReason::Api, why.clone());
                        return self.refuse(end, &agent).await;
                    }
                },
                Effect::Ask(request) => self.ask(&mut agent, *request).await?,
                Effect::Call(calls) => self.call(&mut agent, &calls).await?,
                Effect::Judge(value) => {
                    let judged = self.judge(&agent, &value).await;
                    self.tell(&mut agent, Input::Judged(judged), None).await?;
                }
                Effect::End(end) => return Ok(*end),
            }
        }
    }

    /// Stores the end of an agent that does not begin; returns it masked.
    async fn refuse(&mut self, mut end: End, agent: &Agent) -> Result<End, Stopped> {
        end.message = self.masks.text(&end.message);
        let text = self.shown.end(&end, agent.totals());
        self.store(vec![Fact::Ended { end: end.clone() }], None, &text).await?;
        Ok(end)
    }

    /// The agent of the transcript so far. That of a lost runner is copied, with its open calls as
    /// unknown.
    async fn take_up(&mut self, before: Before) -> Result<Agent, Stopped> {
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
            self.tell(&mut agent, Input::RunnerLost, None).await?;
        } else {
            self.stored = before.facts.len() as u64;
            let more = agent.catch_up();
            let text = match agent.effect() {
                Effect::Ask(_) if self.stored > 0 && !agent.is_over() => self.shown.restarted(),
                _ => self.text_behind(&more, &agent),
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
            Err(Unfit::Refused(words) | Unfit::Interrupted(words)) => Err(words),
        }
    }

    /// Hands an input to the machine and stores what follows from it.
    pub(super) async fn tell(
        &mut self,
        agent: &mut Agent,
        input: Input,
        settlement: Option<CallSettlement>,
    ) -> Result<(), Stopped> {
        self.tell_and_show(agent, input, settlement, String::new()).await
    }

    /// The same, and the text that the log has for it: both are stored, or neither.
    pub(super) async fn tell_and_show(
        &mut self,
        agent: &mut Agent,
        input: Input,
        settlement: Option<CallSettlement>,
        mut text: String,
    ) -> Result<(), Stopped> {
        let input = self.masked(input);
        match agent.apply(input) {
            Ok(facts) => {
                text.push_str(&self.text_behind(&facts, agent));
                self.store(facts, settlement, &text).await
            }
            Err(rejected) => {
                tracing::debug!(attempt = %self.id, %rejected, "input without use");
                Ok(())
            }
        }
    }

    /// Results and prompts are masked before the model sees them.
    fn masked(&self, input: Input) -> Input {
        match input {
            Input::Start(mut task) => {
                task.prompt = self.masks.text(&task.prompt);
                task.system = task.system.map(|system| self.masks.text(&system));
                Input::Start(task)
            }
            Input::Result { id, content, is_error } => {
                Input::Result { id, content: self.masks.text(&content), is_error }
            }
            Input::Decided(mut decision) => {
                decision.message = decision.message.map(|message| self.masks.text(&message));
                Input::Decided(decision)
            }
            other => other,
        }
    }

    /// The lines of the log behind an answer and behind the end.
    fn text_behind(&mut self, facts: &[Fact], agent: &Agent) -> String {
        let is_answer = facts.iter().any(|fact| matches!(fact, Fact::Answered { .. }));
        match facts.last() {
            Some(Fact::Ended { end }) => self.shown.end(end, agent.totals()),
            _ if is_answer => self.shown.turn(agent.totals()),
            _ => String::new(),
        }
    }

    /// Stores facts with the text that the log has for them, and all text before it, however long the
    /// database is away.
    async fn store(
        &mut self,
        facts: Vec<Fact>,
        settlement: Option<CallSettlement>,
        text: &str,
    ) -> Result<(), Stopped> {
        if facts.is_empty() && settlement.is_none() {
            self.print(text);
            return Ok(());
        }
        let masks = &self.masks;
        let json = facts.into_iter().filter_map(|mut fact| {
            fact.texts(&mut |text| *text = masks.text(text));
            serde_json::to_value(fact).ok()
        });
        let json: Vec<Json> = json.collect();
        let count = json.len() as u64;
        let new = NewFacts {
            run: self.run.clone(),
            attempt: self.id.clone(),
            first: self.stored + 1,
            facts: json,
            settlement,
            at: self.shared.clock.now(),
        };
        // Agents below end while the others of the attempt go on.
        let is_end = self.id == self.claim.attempt
            && new.facts.last().is_some_and(|fact| fact["fact"] == "ended");
        // Text behind the last fact that is stored without the next one would be printed twice.
        let turn = self.log.turn().await;
        self.print(text);
        self.flush();
        if is_end {
            self.log.finish();
        }
        let mut is_lost = false;
        loop {
            match self.log.append_transcript(&turn, new.clone()).await {
                Ok(true) => break,
                // The commit whose answer was lost.
                Ok(false) if is_lost && self.has_stored(&new).await => {
                    self.log.send_again(&turn);
                    break;
                }
                Ok(false) => return Err(Stopped::Superseded),
                Err(error) => {
                    tracing::warn!(%error, "failed to store a transcript; retrying in 1 s");
                    is_lost = true;
                    self.shared.clock.sleep(STORE_PAUSE).await;
                }
            }
        }
        self.stored += count;
        Ok(())
    }

    /// Whether these facts are the last of the transcript.
    async fn has_stored(&self, new: &NewFacts) -> bool {
        let found = loop {
            match self.shared.store.transcript(&new.attempt).await {
                Ok(found) => break found,
                Err(error) => {
                    tracing::warn!(%error, "failed to read a transcript; retrying in 1 s");
                    self.shared.clock.sleep(STORE_PAUSE).await;
                }
            }
        };
        let from = usize::try_from(new.first.saturating_sub(1)).unwrap_or(usize::MAX);
        found.get(from..).is_some_and(|last| last == new.facts.as_slice())
    }

    /// Adds text to the log; followers see it at once.
    pub(super) fn print(&mut self, text: &str) {
        let masked = self.mask.push(text.as_bytes().to_vec());
        self.add(&masked);
    }

    /// Prints what may have been the beginning of a secret and was none.
    pub(super) fn flush(&mut self) {
        let rest = self.mask.finish();
        self.add(&rest);
    }

    fn add(&mut self, masked: &[u8]) {
        let text = self.lines.take(masked);
        self.log.add(text);
    }

    pub(super) async fn order(&self, order: AgentOrder) -> Result<(), Stopped> {
        let claim = self.claim.clone();
        let message = AgentMessage::Order(Order { claim, order });
        self.orders.send(message).await.map_err(|_| Stopped::Superseded)
    }
}
