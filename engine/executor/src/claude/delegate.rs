//! Agents that an agent starts: each a task beside the one above, with a transcript, a slice of the
//! budget and lines of the log of its own, on the same runner.
//!
//! The id of its transcript follows from the number of its call, so an engine that goes on with the
//! agent above finds it again. Must not start one outside of a call.

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use plue_llm::{
    Agent,
    agent::{Call, Divergence, End, EndReason, Input},
};
use plue_plan::AttemptId;
use plue_runtime::{TaskFailure, TaskSet};
use plue_store::TranscriptId as _;
use plue_wire::runner::{MAX_TOOL_RESULT_BYTES, ToolResult};
use serde_json::Value as Json;
use tokio::sync::mpsc;

use super::{
    assignment::Assignment,
    mcp::Remotes,
    people::People,
    perform::{AgentRun, Before, STORE_PAUSE, Stopped},
    replay::Replay,
    shown::Shown,
    spending::Slice,
};

/// Agents of one answer that work at the same time.
const PARALLEL: usize = 4;
/// Results in flight to one agent: those of one answer, some of them twice.
const RESULT_QUEUE: usize = 4 * plue_llm::agent::MAX_CALLS;
/// Bytes of a line of the log of an agent below; a longer one is cut in two.
const MAX_LINE: usize = 8 * 1024;

/// The senders of results to the agents of one attempt, by the beginning of the ids of their calls.
#[derive(Debug, Clone, Default)]
pub(crate) struct Routes(Arc<Mutex<HashMap<String, mpsc::Sender<ToolResult>>>>);

/// A route that ends with its agent.
#[derive(Debug)]
pub(crate) struct Route {
    routes: Routes,
    prefix: String,
}

/// Lines of an agent's log; those of agents below have its name in front.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// Empty: text is passed on as it is.
    label: String,
    unfinished: Vec<u8>,
}

/// The agents of one answer.
pub(super) struct Started {
    running: TaskSet<u32, Result<ChildEnd, Stopped>>,
    calls: HashMap<u32, Call>,
    waiting: VecDeque<Call>,
}

/// The end of an agent that a call started.
#[derive(Debug)]
pub(super) enum ChildEnd {
    Ended(Box<End>),
    /// The arguments of the call do not fit; for the model.
    Refused(String),
}

// === impl Routes ===

impl Routes {
    /// Routes of an attempt whose own agent takes its results from this queue.
    pub(crate) fn of(results: mpsc::Sender<ToolResult>) -> Self {
        let routes = Self::default();
        routes.all().insert(String::new(), results);
        routes
    }

    /// Hands a result to its agent. `false`: the agent does not take it.
    pub(crate) fn pass(&self, result: ToolResult) -> bool {
        let routes = self.all();
        let prefix = result.id.split_once(':').map_or("", |(prefix, _)| prefix);
        // Without a route of this beginning, the id is one of the attempt's own agent.
        match routes.get(prefix).or_else(|| routes.get("")) {
            Some(sender) => sender.try_send(result).is_ok(),
            None => false,
        }
    }

    fn add(&self, prefix: String, results: mpsc::Sender<ToolResult>) -> Route {
        self.all().insert(prefix.clone(), results);
        Route { routes: self.clone(), prefix }
    }

    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<String, mpsc::Sender<ToolResult>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Route {
    fn drop(&mut self) {
        self.routes.all().remove(&self.prefix);
    }
}

// === impl Lines ===

impl Lines {
    fn of(label: &str) -> Self {
        Self { label: label.to_owned(), unfinished: Vec::new() }
    }

    /// The text for the log: whole lines with the label; the rest waits.
    pub(super) fn take(&mut self, text: &[u8]) -> Vec<u8> {
        if self.label.is_empty() {
            return text.to_vec();
        }
        let mut lines = Vec::new();
        for piece in text.split_inclusive(|byte| *byte == b'\n') {
            self.unfinished.extend_from_slice(piece);
            if self.unfinished.ends_with(b"\n") || self.unfinished.len() >= MAX_LINE {
                lines.extend_from_slice(format!("[{}] ", self.label).as_bytes());
                lines.append(&mut self.unfinished);
                if !lines.ends_with(b"\n") {
                    lines.push(b'\n');
                }
            }
        }
        lines
    }
}

// === impl Started ===

impl Started {
    pub(super) fn is_over(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// Waits for the next agent that ends. Cancel-safe.
    pub(super) async fn next(
        &mut self,
    ) -> Option<(Call, Result<Result<ChildEnd, Stopped>, TaskFailure>)> {
        let (number, ended) = self.running.next().await?;
        Some((self.calls.remove(&number)?, ended))
    }
}

// === impl AgentRun: agents below ===

impl AgentRun {
    /// Starts agents for these calls, some of them when others have ended.
    pub(super) fn start(&self, calls: Vec<Call>) -> Started {
        let running = TaskSet::new(&self.shared.tasks, "agent");
        let (of_number, waiting) = (HashMap::new(), VecDeque::new());
        let mut started = Started { running, calls: of_number, waiting };
        self.start_more(&mut started, calls);
        started
    }

    /// Starts agents for these calls beside those that run.
    pub(super) fn start_more(&self, started: &mut Started, calls: Vec<Call>) {
        started.waiting.extend(calls);
        self.start_next(started);
    }

    fn start_next(&self, started: &mut Started) {
        while started.running.len() < PARALLEL {
            let Some(call) = started.waiting.pop_front() else { return };
            let Some(number) = call.agent else { continue };
            let (child, route) = self.child(number);
            started.running.spawn(number, child.perform(call.clone(), route));
            started.calls.insert(number, call);
        }
    }

    /// Hands the end of an agent to the one above, and starts the next.
    pub(super) async fn child_ended(
        &mut self,
        agent: &mut Agent,
        started: &mut Started,
        (call, ended): (Call, Result<Result<ChildEnd, Stopped>, TaskFailure>),
    ) -> Result<(), Stopped> {
        self.start_next(started);
        let (content, is_error) = match ended {
            Ok(ended) => match ended? {
                ChildEnd::Ended(end) => {
                    if let Some(divergence) = end.divergence {
                        return self.diverged(agent, &call, divergence).await;
                    }
                    (outcome(&end), end.reason != EndReason::Done)
                }
                ChildEnd::Refused(why) => (format!("Not carried out: {why}."), true),
            },
            // Its transcript has what it did; it is not started again.
            Err(_) => ("The agent broke off; what it did is unknown.".to_owned(), true),
        };
        let text = self.shown.result(&call.name, &content, is_error);
        let input = Input::Result { id: call.id, content, is_error };
        self.tell_and_show(agent, input, None, text).await
    }

    /// A replay differs in an agent below: it ends with its whole step.
    async fn diverged(
        &mut self,
        agent: &mut Agent,
        call: &Call,
        mut divergence: Box<Divergence>,
    ) -> Result<(), Stopped> {
        divergence.what = format!("agent {}: {}", call.agent.unwrap_or_default(), divergence.what);
        self.tell(agent, Input::Diverged(divergence), None).await
    }

    /// An agent below this one, with this number.
    fn child(&self, number: u32) -> (Self, Route) {
        let (sender, results) = mpsc::channel(RESULT_QUEUE);
        let id = self.id.agent(number);
        let route = self.routes.add(prefix(&id), sender.clone());
        let replay = self.replay.as_ref().map(|replay| Replay {
            recording: replay.recording.clone(),
            place: plue_llm::replay::AgentPath { agents: id.agents(), ..replay.place.clone() },
        });
        let child = Self {
            shared: self.shared.clone(),
            claude: self.claude.clone(),
            run: self.run.clone(),
            step: self.step.clone(),
            claim: self.claim.clone(),
            id,
            budgets: self.budgets.clone(),
            mask: self.masks.stream(),
            log: self.log.clone(),
            masks: self.masks.clone(),
            orders: self.orders.clone(),
            results,
            own_results: sender,
            routes: self.routes.clone(),
            // Agents below have no tools of servers.
            remotes: Remotes::new(),
            pins: self.pins.clone(),
            sessions: self.sessions.clone(),
            stored: 0,
            shown: Shown::default(),
            lines: Lines::default(),
            replay,
            // Those of the attempt are asked by its own agent; this one's machine holds no call.
            people: People { asked: Some((Vec::new(), false)), lost: None },
            // That of the agent above, until it has its own.
            team: self.team.clone(),
        };
        (child, route)
    }

    /// Performs an agent below to its end. Boxed: it may start agents itself.
    fn perform(
        mut self,
        call: Call,
        route: Route,
    ) -> Pin<Box<dyn Future<Output = Result<ChildEnd, Stopped>> + Send>> {
        Box::pin(async move {
            let _route = route;
            let team = self.team.clone();
            let assignment = match team.assignment(&call).await {
                Ok(assignment) => assignment,
                Err(why) => return Ok(ChildEnd::Refused(why)),
            };
            let end = self.go_through(assignment).await?;
            Ok(ChildEnd::Ended(Box::new(end)))
        })
    }

    async fn go_through(&mut self, assignment: Assignment) -> Result<End, Stopped> {
        let numbers: Vec<String> = self.id.agents().iter().map(u32::to_string).collect();
        let name = assignment.task.name.as_deref().unwrap_or("agent");
        let label = format!("{name} {}", numbers.join("."));
        self.lines = Lines::of(&label);
        self.budgets.slices.push(Slice { id: self.id.clone(), label, limit: assignment.budget });
        let facts = loop {
            match self.shared.store.transcript(&self.id).await {
                Ok(facts) => break facts,
                Err(error) => {
                    tracing::warn!(%error, "failed to read a transcript; retrying in 1 s");
                    self.shared.clock.sleep(STORE_PAUSE).await;
                }
            }
        };
        self.drive(Ok(assignment), Before { facts, is_lost: false, lost: None }).await
    }

    /// The id of a call for the runner, which sees the calls of all agents of the attempt.
    pub(super) fn wire_id(&self, call: &str) -> String {
        match prefix(&self.id) {
            prefix if prefix.is_empty() => call.to_owned(),
            prefix => format!("{prefix}:{call}"),
        }
    }
}

/// The beginning of the ids of an agent's calls; empty for the agent of a step.
fn prefix(id: &AttemptId) -> String {
    let numbers: Vec<String> = id.agents().iter().map(|number| format!("agent{number}")).collect();
    numbers.join(".")
}

/// The end of an agent as the result of the call that started it.
fn outcome(end: &End) -> String {
    let output = match &end.output {
        Json::String(text) => text.clone(),
        Json::Null => String::new(),
        other => other.to_string(),
    };
    let Some(code) = end.reason.code() else { return cut(output) };
    let mut text = format!("The agent ended without its result. {code}: {}", end.message);
    if end.is_partial() {
        text.push_str(&format!("\n\nPartial result, not checked:\n{output}"));
    }
    cut(text)
}

/// At most the bytes of a tool's result.
fn cut(mut text: String) -> String {
    if text.len() > MAX_TOOL_RESULT_BYTES {
        let end = text.floor_char_boundary(MAX_TOOL_RESULT_BYTES);
        text.truncate(end);
        text.push_str("\n[cut off]");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_agents_below_have_their_name() {
        let mut lines = Lines::of("reviewer 1");
        assert_eq!(lines.take(b"a"), b"");
        assert_eq!(lines.take(b"b\n\nc\nd"), b"[reviewer 1] ab\n[reviewer 1] \n[reviewer 1] c\n");
        assert_eq!(lines.take(b"\n"), b"[reviewer 1] d\n");
        assert_eq!(lines.take(&[b'x'; MAX_LINE]).len(), MAX_LINE + 14);
        assert_eq!(Lines::default().take(b"as it is"), b"as it is");
    }

    #[test]
    fn results_go_to_the_agent_of_their_call() {
        let result = |id: &str| ToolResult {
            id: id.to_owned(),
            content: plue_wire::eval::Bytes(Vec::new()),
            is_error: false,
        };
        let (own, mut of_step) = mpsc::channel(8);
        let (below, mut of_child) = mpsc::channel(8);
        let routes = Routes::of(own);
        let id = AttemptId::new("r:a:1:1").agent(2);
        let route = routes.add(prefix(&id), below);
        for id in ["toolu_A", "agent2:toolu_B", "call:7", "agent3:toolu_C"] {
            assert!(routes.pass(result(id)), "{id}");
        }
        assert_eq!(of_child.try_recv().unwrap().id, "agent2:toolu_B");
        for id in ["toolu_A", "call:7", "agent3:toolu_C"] {
            assert_eq!(of_step.try_recv().unwrap().id, id);
        }
        drop(route);
        assert!(routes.pass(result("agent2:late")));
        assert_eq!(prefix(&id.agent(3)), "agent2.agent3");
        assert_eq!((id.attempt().as_str(), id.agents()), ("r:a:1:1", vec![2]));
    }

    #[test]
    fn failed_agents_say_why_and_give_what_they_have() {
        let end = |reason, output: &str| End {
            output: Json::String(output.to_owned()),
            ..End::refused(reason, "no result after 2 turns")
        };
        assert_eq!(
            outcome(&End { message: String::new(), ..end(EndReason::Done, "Fine.") }),
            "Fine."
        );
        let text = outcome(&end(EndReason::Turns, "Half."));
        assert!(
            text.contains("PLUE-L0002: no result") && text.ends_with("not checked:\nHalf."),
            "{text}"
        );
        let long = outcome(&end(EndReason::Done, &"ü".repeat(MAX_TOOL_RESULT_BYTES)));
        assert!(long.len() < MAX_TOOL_RESULT_BYTES + 20 && long.ends_with("[cut off]"));
    }
}
