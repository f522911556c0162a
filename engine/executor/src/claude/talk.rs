//! Requests to the model and tool calls to the runner.

use std::time::Duration;

use jiff::tz::TimeZone;
use plue_llm::{
    Agent, Request, Usage,
    agent::{Call, Input},
    error::Error,
};
use plue_runtime::Task as Running;
use plue_store::usage::claude::CallSettlement;
use plue_wire::runner::{AgentOrder, ToolCall, ToolResult};
use serde_json::Value as Json;

use super::{
    measured,
    people::LOOK,
    perform::{AgentRun, Stopped},
    spending::Paid,
};

/// The longest execution of one tool call.
const TOOL_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// A result that is not there so long after the timeouts of all calls will not come.
const TOOL_GRACE: Duration = Duration::from_secs(60);
/// Pause before an answer that broke off is asked for again.
const BREAK_PAUSE: Duration = Duration::from_secs(1);

/// An answer, or why there is none.
enum Asked {
    Answered(Box<plue_llm::Answer>),
    /// Broke off after these tokens.
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
            return self.replayed(agent, &replay, &request).await;
        }
        let day = self.shared.clock.now().to_zoned(TimeZone::UTC).date();
        let prices = self.claude.prices.clone();
        let Some(price) = prices.find(&request.model, day) else {
            let code = plue_llm::codes::NO_PRICE;
            let why = format!("{code}: the model `{}` has no known price", request.model);
            return self.tell(agent, Input::Unpaid(why), None).await;
        };
        let call = loop {
            match self.reserve(&mut request, price).await {
                Ok(Paid::Yes(call)) => break call,
                Ok(Paid::No(why)) => return self.tell(agent, why, None).await,
                Err(error) => {
                    tracing::warn!(%error, "failed to reserve money for a call; retrying in 1 s");
                    self.shared.clock.sleep(BREAK_PAUSE).await;
                }
            }
        };
        match self.stream(&request).await? {
            Asked::Answered(answer) => {
                let cost = price.cost(&answer.usage);
                let settlement = settled(call, cost.map(|cost| cost.0), &answer.usage);
                let usage = answer.usage;
                self.tell(agent, Input::Answered(answer, cost), Some(settlement)).await?;
                measured::call("answered", &usage, cost);
                Ok(())
            }
            Asked::Broke(usage, message) => {
                let text = self.shown.note(&format!("[plue: the answer broke off: {message}]"));
                // The output's length is unknown: the reservation stays.
                let settlement = settled(call, None, &usage);
                let broke = Input::Broke { usage, message };
                self.tell_and_show(agent, broke, Some(settlement), text).await?;
                measured::call("broke", &usage, None);
                self.shared.clock.sleep(BREAK_PAUSE).await;
                Ok(())
            }
            Asked::Refused(error) => {
                // A request that was refused costs nothing.
                let cost = matches!(error, Error::Api(_) | Error::Settings(_)).then_some(0);
                let settlement = settled(call, cost, &Usage::default());
                let refused = match &error {
                    Error::Api(api) if api.is_of_model() => Input::Unavailable(error.to_string()),
                    _ => Input::Unanswered(error.to_string()),
                };
                self.tell(agent, refused, Some(settlement)).await?;
                measured::call("refused", &Usage::default(), None);
                Ok(())
            }
        }
    }

    async fn stream(&mut self, request: &Request) -> Result<Asked, Stopped> {
        let Some(client) = self.claude.client.clone() else {
            return Ok(Asked::Refused(Error::Settings(super::NO_KEY.to_owned())));
        };
        let mut stream = match client.stream(request).await {
            Ok(stream) => stream,
            Err(error) => return Ok(Asked::Refused(error)),
        };
        loop {
            match stream.next().await {
                Ok(Some(delta)) => {
                    let text = self.shown.piece(&delta);
                    self.print(&text);
                    self.log.room().await;
                }
                Ok(None) => break,
                Err(error) => return Ok(broke(error, stream.usage())),
            }
        }
        let usage = stream.usage();
        Ok(match stream.finish() {
            Ok(answer) => Asked::Answered(Box::new(answer)),
            Err(error) => broke(error, usage),
        })
    }
}

// === impl AgentRun: tools ===

impl AgentRun {
    /// Has the calls carried out by the runner, or by agents below, all at the same time; those that are
    /// held as soon as people approve them.
    pub(super) async fn call(&mut self, agent: &mut Agent, calls: &[Call]) -> Result<(), Stopped> {
        let is_held = |call: &Call| call.held.is_some();
        let (mut held, mut ready): (Vec<Call>, Vec<Call>) =
            calls.iter().cloned().partition(is_held);
        let clock = self.shared.clock;
        ready.extend(self.hold(agent, &mut held).await?);
        // Decisions that were made while no engine was there, before anything is asked again.
        ready.extend(self.look_for_decisions(agent, &mut held).await?);
        let (starting, mut open) = apart(ready);
        let mut started = self.start(starting);
        self.send_calls(&open).await?;
        // Dropped with this call, so that nothing goes on behind it.
        let mut remote = self.call_remotes(&open);
        let (mut begun, mut most) = (clock.mark(), longest(open.len()));
        while !(open.is_empty() && held.is_empty() && started.is_over() || agent.is_over()) {
            let (runs, waits) = (!open.is_empty(), !held.is_empty());
            self.ask_people(&held, runs || !started.is_over()).await?;
            tokio::select! {
                Some(ended) = started.next(), if !started.is_over() => {
                    self.child_ended(agent, &mut started, ended).await?;
                }
                result = self.results.recv() => {
                    let result = result.ok_or(Stopped::Superseded)?;
                    let Some(at) = open.iter().position(|call| self.wire_id(&call.id) == result.id)
                    else {
                        continue;
                    };
                    let call = open.remove(at);
                    self.take(agent, &call, result).await?;
                }
                changed = self.sessions.changed() => {
                    changed.map_err(|_| Stopped::Superseded)?;
                    // The runner answers what it has done already from memory.
                    self.send_calls(&open).await?;
                }
                () = clock.sleep(LOOK), if waits => {
                    let approved = self.look_for_decisions(agent, &mut held).await?;
                    let (starting, approved) = apart(approved);
                    self.start_more(&mut started, starting);
                    if !approved.is_empty() {
                        self.send_calls(&approved).await?;
                        remote.extend(self.call_remotes(&approved));
                        open.extend(approved);
                        (begun, most) = (clock.mark(), longest(open.len()));
                    }
                }
                () = clock.sleep(most.saturating_sub(clock.elapsed(begun))), if runs => {
                    for call in open.drain(..) {
                        let content = "The call gave no result in time; whether it took effect is unknown.";
                        let (id, content) = (call.id.clone(), content.to_owned());
                        let input = Input::Result { id, content, is_error: true };
                        self.tell(agent, input, None).await?;
                    }
                }
            }
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
        let text = self.shown.result(&call.name, &content, result.is_error);
        let (id, is_error) = (call.id.clone(), result.is_error);
        let input = Input::Result { id, content, is_error };
        self.tell_and_show(agent, input, None, text).await
    }

    /// Makes the calls of servers that the engine talks to.
    fn call_remotes(&self, calls: &[Call]) -> Vec<Running<()>> {
        let remote = |call| Some(self.call_remote(self.remote(call)?.clone(), call, TOOL_TIMEOUT));
        calls.iter().filter_map(remote).collect()
    }

    /// Sends calls to the runner, but those that the engine makes itself.
    async fn send_calls(&self, calls: &[Call]) -> Result<(), Stopped> {
        for call in calls.iter().filter(|call| self.remote(call).is_none()) {
            let call = ToolCall {
                id: self.wire_id(&call.id),
                name: call.name.clone(),
                input_json: Json::Object(call.input.clone()).to_string(),
                timeout_ms: u64::try_from(TOOL_TIMEOUT.as_millis()).unwrap_or(u64::MAX),
            };
            self.order(AgentOrder::Call(call)).await?;
        }
        Ok(())
    }
}

/// The calls that start agents, and the others.
fn apart(calls: Vec<Call>) -> (Vec<Call>, Vec<Call>) {
    calls.into_iter().partition(|call| call.agent.is_some())
}

/// The time in which results of so many calls come.
fn longest(calls: usize) -> Duration {
    TOOL_TIMEOUT * u32::try_from(calls).unwrap_or(u32::MAX) + TOOL_GRACE
}

fn settled(call: String, cost: Option<u64>, usage: &Usage) -> CallSettlement {
    CallSettlement { call, cost, usage: serde_json::to_value(usage).unwrap_or_default() }
}

fn broke(error: Error, usage: Usage) -> Asked {
    if error.is_transient() {
        Asked::Broke(usage, error.to_string())
    } else {
        Asked::Refused(error)
    }
}
