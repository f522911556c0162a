//! The loop of one agent: performs the effects of its machine, and stores each result before it
//! goes on.
//!
//! The loop is a task that holds no connection and no place while it waits. It is dropped with its
//! driver or when the attempt ends; a restarted loop continues from the transcript.

use std::{sync::Arc, time::Duration};

use plue_llm::{
    Agent,
    agent::{Effect, End, EndReason, Fact, Input},
};
use plue_plan::{RunId, StepId};
use plue_runtime::mask::{MaskStream, Secrets};
use plue_store::usage::claude::{CallSettlement, NewFacts};
use plue_wire::{
    eval::Bytes,
    runner::{AgentOrder, Claim, MAX_CHUNK_BYTES, ToolResult},
};
use serde_json::Value as Json;
use tokio::sync::{mpsc, watch};

use super::{
    Claude, assignment::Assignment, parts::Parts, replay::Replay, shown::Shown, spending::Budgets,
};
use crate::{
    engine::Shared,
    perform::output::{self, Unfit},
};

/// Between two tries to store something.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// An order for the runner of an attempt.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) claim: Claim,
    pub(crate) order: AgentOrder,
}

/// State of an agent before this engine performs it.
#[derive(Debug)]
pub(crate) struct Before {
    /// Its transcript, perhaps that of an attempt whose runner was lost.
    pub(crate) facts: Vec<Json>,
    /// The transcript is another attempt's: results of its open calls are unknown.
    pub(crate) is_lost: bool,
}

/// One agent that is performed.
pub(crate) struct AgentRun {
    pub(crate) shared: Arc<Shared>,
    pub(crate) claude: Claude,
    pub(crate) run: RunId,
    pub(crate) step: StepId,
    pub(crate) claim: Claim,
    pub(crate) budgets: Budgets,
    pub(crate) masks: Secrets,
    pub(crate) orders: mpsc::Sender<Order>,
    pub(crate) results: mpsc::Receiver<ToolResult>,
    /// Changes with each session of the runner.
    pub(crate) sessions: watch::Receiver<u64>,
    /// Facts of this attempt in the store.
    pub(crate) stored: u64,
    pub(crate) shown: Shown,
    /// Of the log: the key is not known to the runner, so it is masked here.
    pub(crate) log: MaskStream,
    /// Masked text that was not sent yet.
    pub(crate) parts: Parts,
    /// Of a replay: the answers, instead of the API's.
    pub(crate) replay: Option<Replay>,
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
        let Ok((end, agent)) = self.drive(assignment, before).await else { return };
        let text = self.shown.end(&end, agent.totals());
        if self.print(&text).await.is_err() || self.flush().await.is_err() {
            return;
        }
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

    async fn drive(
        &mut self,
        assignment: Result<Assignment, String>,
        before: Before,
    ) -> Result<(End, Agent), Stopped> {
        let mut agent = self.take_up(before).await?;
        loop {
            match agent.effect() {
                Effect::Begin => match &assignment {
                    Ok(assignment) => {
                        let task = Box::new(assignment.task.clone());
                        self.tell(&mut agent, Input::Start(task), None).await?;
                    }
                    Err(why) => {
                        let end = End::refused(EndReason::Api, why.clone());
                        self.store(vec![Fact::Ended { end: end.clone() }], None).await?;
                        return Ok((end, agent));
                    }
                },
                Effect::Ask(request) => self.ask(&mut agent, *request).await?,
                Effect::Call(calls) => self.call(&mut agent, &calls).await?,
                Effect::Judge(value) => {
                    let judged = self.judge(&agent, &value).await;
                    self.tell(&mut agent, Input::Judged(judged), None).await?;
                }
                Effect::End(end) => return Ok((*end, agent)),
            }
        }
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
            self.store(facts, None).await?;
            self.tell(&mut agent, Input::RunnerLost, None).await?;
        } else {
            self.stored = before.facts.len() as u64;
            let more = agent.catch_up();
            self.store(more, None).await?;
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
        let input = self.masked(input);
        match agent.apply(input) {
            Ok(facts) => self.store(facts, settlement).await,
            Err(rejected) => {
                tracing::debug!(attempt = %self.claim.attempt, %rejected, "input without use");
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
            other => other,
        }
    }

    /// Stores facts, however long the database is away.
    async fn store(
        &mut self,
        facts: Vec<Fact>,
        settlement: Option<CallSettlement>,
    ) -> Result<(), Stopped> {
        if facts.is_empty() && settlement.is_none() {
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
            attempt: self.claim.attempt.clone(),
            first: self.stored + 1,
            facts: json,
            settlement,
            at: self.shared.clock.now(),
        };
        loop {
            match self.shared.store.append_transcript(new.clone()).await {
                Ok(true) => break,
                Ok(false) => return Err(Stopped::Superseded),
                Err(error) => {
                    tracing::warn!(%error, "failed to store a transcript; retrying in 1 s");
                    self.shared.clock.sleep(STORE_PAUSE).await;
                }
            }
        }
        self.stored += count;
        Ok(())
    }

    pub(super) async fn print(&mut self, text: &str) -> Result<(), Stopped> {
        let masked = self.log.push(text.as_bytes().to_vec());
        self.write(&masked).await
    }

    /// Prints a part of a stream, at once or with the parts behind it.
    pub(super) async fn print_part(&mut self, text: &str) -> Result<(), Stopped> {
        let masked = self.log.push(text.as_bytes().to_vec());
        let is_behind = self.orders.capacity() < self.orders.max_capacity() / 2;
        let due = self.parts.push(&masked, is_behind);
        self.send(&due).await
    }

    /// Prints what may have been the beginning of a secret and was none.
    pub(super) async fn flush(&mut self) -> Result<(), Stopped> {
        let rest = self.log.finish();
        self.write(&rest).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Stopped> {
        let all = [&self.parts.take(), bytes].concat();
        self.send(&all).await
    }

    async fn send(&self, bytes: &[u8]) -> Result<(), Stopped> {
        for piece in bytes.chunks(MAX_CHUNK_BYTES) {
            self.order(AgentOrder::Print(Bytes(piece.to_vec()))).await?;
        }
        Ok(())
    }

    pub(super) async fn order(&self, order: AgentOrder) -> Result<(), Stopped> {
        let claim = self.claim.clone();
        self.orders.send(Order { claim, order }).await.map_err(|_| Stopped::Superseded)
    }
}
