//! The conversation of an agent: requests to the model, and the tool calls of its answers.

use std::time::Duration;

use jiff::tz::TimeZone;
use plue_llm::{
    Agent, Request, Usage,
    agent::{Call, Input},
    error::Error,
};
use plue_runtime::Task;
use plue_store::{TranscriptId as _, usage::claude::CallSettlement};
use plue_wire::runner::ToolResult;

use super::{
    agent_run::{AgentRun, Stopped},
    approvals::POLL,
    delegate::{SubagentResult, Subagents},
    metrics,
    spending::Reservation,
    tool_calls::TOOL_TIMEOUT,
    workflow_tool::follow_runs,
};

/// Time after the timeouts of all calls in which results are still awaited.
const TOOL_GRACE: Duration = Duration::from_secs(60);
/// Pause before a broken-off answer is requested again.
const BREAK_PAUSE: Duration = Duration::from_secs(1);

/// The outcome of a request.
enum RequestOutcome {
    Answered(Box<plue_llm::Answer>),
    /// The answer broke off after these tokens.
    Broke(Usage, String),
    Refused(Error),
}

// === impl AgentRun: requests ===

impl AgentRun {
    /// Sends the request and stores the answer with its cost.
    pub(super) async fn ask(
        &mut self,
        agent: &mut Agent,
        mut request: Request,
    ) -> Result<(), Stopped> {
        if let Some(replay) = self.replay.clone() {
            let (input, text) = replay.answer(agent, &request, &mut self.log.view);
            return self.apply_and_log(agent, input, None, text).await;
        }
        let day = self.scope.shared.clock.now().to_zoned(TimeZone::UTC).date();
        let prices = self.scope.claude.prices.clone();
        let Some(price) = prices.find(&request.model, day) else {
            let code = plue_llm::codes::NO_PRICE;
            let why = format!("{code}: the model `{}` has no known price", request.model);
            return self.apply(agent, Input::Unpaid(why), None).await;
        };
        let call = loop {
            match self.budgets.reserve(&self.scope, &mut request, price).await {
                Ok(Reservation::Made(call)) => break call,
                Ok(Reservation::Refused(why)) => return self.apply(agent, why, None).await,
                Err(error) => {
                    tracing::warn!(%error, "failed to reserve money for a call; retrying in 1 s");
                    self.scope.shared.clock.sleep(BREAK_PAUSE).await;
                }
            }
        };
        match self.stream(&request).await? {
            RequestOutcome::Answered(answer) => {
                let cost = price.cost(&answer.usage);
                let settlement = settled(call, cost.map(|cost| cost.0), &answer.usage);
                let usage = answer.usage;
                self.apply(agent, Input::Answered(answer, cost), Some(settlement)).await?;
                metrics::call("answered", &usage, cost);
                Ok(())
            }
            RequestOutcome::Broke(usage, message) => {
                let text = self.log.view.note(&format!("[plue: the answer broke off: {message}]"));
                // The output's length is unknown, so the reservation stays.
                let settlement = settled(call, None, &usage);
                let broke = Input::Broke { usage, message };
                self.apply_and_log(agent, broke, Some(settlement), text).await?;
                metrics::call("broke", &usage, None);
                self.scope.shared.clock.sleep(BREAK_PAUSE).await;
                Ok(())
            }
            RequestOutcome::Refused(error) => {
                // A refused request costs nothing.
                let cost = matches!(error, Error::Api(_) | Error::Settings(_)).then_some(0);
                let settlement = settled(call, cost, &Usage::default());
                let refused = match &error {
                    Error::Api(api) if api.is_of_model() => Input::Unavailable(error.to_string()),
                    _ => Input::Unanswered(error.to_string()),
                };
                self.apply(agent, refused, Some(settlement)).await?;
                metrics::call("refused", &Usage::default(), None);
                Ok(())
            }
        }
    }

    async fn stream(&mut self, request: &Request) -> Result<RequestOutcome, Stopped> {
        let Some(client) = self.scope.claude.client.clone() else {
            return Ok(RequestOutcome::Refused(Error::Settings(super::NO_KEY.to_owned())));
        };
        let mut stream = match client.stream(request).await {
            Ok(stream) => stream,
            Err(error) => return Ok(RequestOutcome::Refused(error)),
        };
        loop {
            match stream.next().await {
                Ok(Some(delta)) => {
                    let text = self.log.view.piece(&delta);
                    self.log.print(&text);
                    self.log.writer.room().await;
                }
                Ok(None) => break,
                Err(error) => return Ok(broke(error, stream.usage())),
            }
        }
        let usage = stream.usage();
        Ok(match stream.finish() {
            Ok(answer) => RequestOutcome::Answered(Box::new(answer)),
            Err(error) => broke(error, usage),
        })
    }
}

// === impl AgentRun: tools ===

impl AgentRun {
    /// Carries out calls concurrently, by the runner, remote servers and subagents; calls that need approval
    /// once people approve them.
    pub(super) async fn call(&mut self, agent: &mut Agent, calls: &[Call]) -> Result<(), Stopped> {
        let is_unschedulable = |call: &Call| call.held.is_some();
        let (mut held, mut ready): (Vec<Call>, Vec<Call>) =
            calls.iter().cloned().partition(is_unschedulable);
        let clock = self.scope.shared.clock;
        ready.extend(self.hold(agent, &mut held).await?);
        // Decisions that were stored while no engine performed the agent.
        ready.extend(self.look_for_decisions(agent, &mut held).await?);
        let (starting, mut open) = split_subagents(ready);
        let mut subagents = Subagents::new(&self.scope.shared.tasks);
        subagents.start(self, starting).await;
        // Dropped with this future, so that no call outlives it.
        let mut remote = self.begin(agent, &open).await?;
        let (mut since, mut most) = (clock.mark(), longest(open.len()));
        while !(open.is_empty() && held.is_empty() && subagents.is_over() || agent.is_over()) {
            let (runs, waits) = (!open.is_empty(), !held.is_empty());
            let has_limit = open.iter().any(|call| !self.tools.is_run(call));
            self.ask_people(&held, runs).await?;
            tokio::select! {
                Some(ended) = subagents.next(), if !subagents.is_over() => {
                    subagents.start_next(self).await;
                    self.subagent_ended(agent, ended.call, ended.result?).await?;
                }
                result = self.tools.results.recv() => {
                    let result = result.ok_or(Stopped::Superseded)?;
                    let Some(at) = open.iter().position(|call| self.scope.wire_id(call) == result.id)
                    else {
                        continue;
                    };
                    let call = open.remove(at);
                    self.take(agent, &call, result).await?;
                }
                changed = self.tools.sessions.changed() => {
                    changed.map_err(|_| Stopped::Superseded)?;
                    // The runner answers repeated calls from memory.
                    self.tools.send_calls(&self.scope, &open).await?;
                }
                () = clock.sleep(POLL), if waits => {
                    let approved = self.look_for_decisions(agent, &mut held).await?;
                    let (starting, approved) = split_subagents(approved);
                    subagents.start(self, starting).await;
                    if !approved.is_empty() {
                        remote.extend(self.begin(agent, &approved).await?);
                        open.extend(approved);
                        (since, most) = (clock.mark(), longest(open.len()));
                    }
                }
                () = clock.sleep(most.saturating_sub(clock.elapsed(since))), if has_limit => {
                    self.give_up(agent, &mut open).await?;
                }
            }
        }
        Ok(())
    }

    /// Begins calls: on the runner, at remote servers, as runs of workflows.
    async fn begin(&mut self, agent: &mut Agent, calls: &[Call]) -> Result<Vec<Task<()>>, Stopped> {
        self.tools.send_calls(&self.scope, calls).await?;
        let remote = self.tools.call_remotes(&self.scope, calls);
        follow_runs(self, agent, calls).await?;
        Ok(remote)
    }

    /// Gives up calls that are past their time. Runs of workflows have timeouts of their own.
    async fn give_up(&mut self, agent: &mut Agent, open: &mut Vec<Call>) -> Result<(), Stopped> {
        let is_run = |call: &Call| self.tools.is_run(call);
        let (runs, late): (Vec<Call>, Vec<Call>) = open.drain(..).partition(is_run);
        *open = runs;
        for call in late {
            let content = "The call gave no result in time; whether it took effect is unknown.";
            let (id, content) = (call.id, content.to_owned());
            self.apply(agent, Input::Result { id, content, is_error: true }, None).await?;
        }
        Ok(())
    }

    async fn take(
        &mut self,
        agent: &mut Agent,
        call: &Call,
        result: ToolResult,
    ) -> Result<(), Stopped> {
        let content = String::from_utf8_lossy(&result.content.0).into_owned();
        let text = self.log.view.result(&call.name, &content, result.is_error);
        let (id, is_error) = (call.id.clone(), result.is_error);
        let input = Input::Result { id, content, is_error };
        self.apply_and_log(agent, input, None, text).await
    }

    /// Applies the result of a subagent. A replay that differs in a subagent ends with its whole step.
    async fn subagent_ended(
        &mut self,
        agent: &mut Agent,
        call: Call,
        result: SubagentResult,
    ) -> Result<(), Stopped> {
        if let Some(number) = call.agent {
            self.approvals.forget(&self.scope.id.agent(number)).await;
        }
        let (content, is_error) = match result {
            SubagentResult::Content { content, is_error } => (content, is_error),
            SubagentResult::Diverged(divergence) => {
                return self.apply(agent, Input::Diverged(divergence), None).await;
            }
        };
        let text = self.log.view.result(&call.name, &content, is_error);
        let input = Input::Result { id: call.id, content, is_error };
        self.apply_and_log(agent, input, None, text).await
    }
}

/// The calls that start subagents, and the others.
fn split_subagents(calls: Vec<Call>) -> (Vec<Call>, Vec<Call>) {
    calls.into_iter().partition(|call| call.agent.is_some())
}

/// The longest time until the results of this many calls.
fn longest(calls: usize) -> Duration {
    TOOL_TIMEOUT * u32::try_from(calls).unwrap_or(u32::MAX) + TOOL_GRACE
}

fn settled(call: String, cost: Option<u64>, usage: &Usage) -> CallSettlement {
    CallSettlement { call, cost, usage: serde_json::to_value(usage).unwrap_or_default() }
}

fn broke(error: Error, usage: Usage) -> RequestOutcome {
    if error.is_transient() {
        RequestOutcome::Broke(usage, error.to_string())
    } else {
        RequestOutcome::Refused(error)
    }
}
