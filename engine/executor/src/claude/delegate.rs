//! Subagents: agents that an agent starts, each in a task with a transcript, a slice of the budget and
//! labelled lines of the log, on the same runner.
//!
//! The id of a transcript is derived from the number of its call, so that an engine that resumes the parent
//! finds it again. Must not start a subagent outside of a call.

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use plue_llm::agent::{Call, Divergence, End, EndReason};
use plue_runtime::{TaskSet, Tasks};
use plue_store::TranscriptId as _;
use plue_wire::runner::{MAX_TOOL_RESULT_BYTES, ToolResult};
use serde_json::Value as Json;
use tokio::sync::mpsc;

use super::{
    agent_run::{AgentRun, AgentScope, PriorTranscript, STORE_PAUSE, Stopped, call_prefix},
    assignment::Assignment,
    mcp::Remotes,
    replay::Replay,
    spending::Slice,
    step_tool::StepTools,
    tool_calls::AgentTools,
    workflow_tool::WorkflowTools,
};

/// Concurrent subagents of one answer.
const PARALLEL: usize = 4;
/// Results in flight to one agent: those of one answer, some of them twice.
const RESULT_QUEUE: usize = 4 * plue_llm::agent::MAX_CALLS;
/// Bytes of a line of a subagent's log; longer lines are split.
const MAX_LINE: usize = 8 * 1024;

/// The senders of results to the agents of one attempt, by the prefix of their call ids.
#[derive(Debug, Clone, Default)]
pub(crate) struct Routes(Arc<Mutex<HashMap<String, mpsc::Sender<ToolResult>>>>);

/// A route, removed on drop.
#[derive(Debug)]
pub(crate) struct Route {
    routes: Routes,
    prefix: String,
}

/// Lines of an agent's log; those of subagents are labelled.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// Empty: text is passed on unchanged.
    label: String,
    unfinished: Vec<u8>,
}

/// The subagents that one answer starts.
pub(super) struct Subagents {
    running: TaskSet<u32, Result<SubagentEnd, Stopped>>,
    calls: HashMap<u32, Call>,
    waiting: VecDeque<Call>,
}

/// A subagent that has ended, with the call that started it.
pub(super) struct EndedSubagent {
    pub(super) call: Call,
    pub(super) result: Result<SubagentResult, Stopped>,
}

/// The result of the call that started a subagent.
pub(super) enum SubagentResult {
    Content {
        content: String,
        is_error: bool,
    },
    /// A replay differs from its recording in the subagent.
    Diverged(Box<Divergence>),
}

/// The end of a subagent.
#[derive(Debug)]
enum SubagentEnd {
    Ended(Box<End>),
    /// The arguments of the call are invalid; for the model.
    Refused(String),
}

// === impl Routes ===

impl Routes {
    /// Routes with the queue of the attempt's own agent.
    pub(crate) fn of(results: mpsc::Sender<ToolResult>) -> Self {
        let routes = Self::default();
        routes.all().insert(String::new(), results);
        routes
    }

    /// Hands a result to its agent. `false`: its queue is full or closed.
    pub(crate) fn pass(&self, result: ToolResult) -> bool {
        let routes = self.all();
        let prefix = result.id.split_once(':').map_or("", |(prefix, _)| prefix);
        // Call ids of the attempt's own agent have no registered prefix.
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
    pub(super) fn of(label: &str) -> Self {
        Self { label: label.to_owned(), unfinished: Vec::new() }
    }

    /// Whole lines with the label; an unfinished line is withheld.
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

// === impl Subagents ===

impl Subagents {
    pub(super) fn new(tasks: &Tasks) -> Self {
        let running = TaskSet::new(tasks, "agent");
        Self { running, calls: HashMap::new(), waiting: VecDeque::new() }
    }

    pub(super) fn is_over(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// Starts subagents of `parent` for these calls, at most [`PARALLEL`] at a time.
    pub(super) async fn start(&mut self, parent: &AgentRun, calls: Vec<Call>) {
        self.waiting.extend(calls);
        self.start_next(parent).await;
    }

    /// Starts waiting subagents as far as there is room.
    pub(super) async fn start_next(&mut self, parent: &AgentRun) {
        while self.running.len() < PARALLEL {
            let Some(call) = self.waiting.pop_front() else { return };
            let Some(number) = call.agent else { continue };
            let (agent, route) = subagent(parent, number).await;
            self.running.spawn(number, perform(agent, call.clone(), route));
            self.calls.insert(number, call);
        }
    }

    /// Waits for the next subagent that ends. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<EndedSubagent> {
        let (number, ended) = self.running.next().await?;
        let call = self.calls.remove(&number)?;
        let result = match ended {
            Ok(ended) => ended.map(|end| result_of(&call, end)),
            // Its transcript has what it did; it is not started again.
            Err(_) => {
                let content = "The agent broke off; what it did is unknown.".to_owned();
                Ok(SubagentResult::Content { content, is_error: true })
            }
        };
        Some(EndedSubagent { call, result })
    }
}

fn result_of(call: &Call, end: SubagentEnd) -> SubagentResult {
    let (content, is_error) = match end {
        SubagentEnd::Ended(mut end) => {
            if let Some(mut divergence) = end.divergence.take() {
                let number = call.agent.unwrap_or_default();
                divergence.what = format!("agent {number}: {}", divergence.what);
                return SubagentResult::Diverged(divergence);
            }
            (outcome(&end), end.reason != EndReason::Done)
        }
        SubagentEnd::Refused(why) => (format!("Not carried out: {why}."), true),
    };
    SubagentResult::Content { content, is_error }
}

/// The subagent of a number, below `parent`.
async fn subagent(parent: &AgentRun, number: u32) -> (AgentRun, Route) {
    let (sender, results) = mpsc::channel(RESULT_QUEUE);
    let id = parent.scope.id.agent(number);
    let route = parent.tools.routes.add(call_prefix(&id), sender.clone());
    let replay = parent.replay.as_ref().map(|replay| Replay {
        recording: replay.recording.clone(),
        place: plue_llm::replay::AgentPath { agents: id.agents(), ..replay.place.clone() },
    });
    let tools = AgentTools {
        orders: parent.tools.orders.clone(),
        results,
        own_results: sender,
        routes: parent.tools.routes.clone(),
        // Subagents have no tools of MCP servers.
        remotes: Remotes::new(),
        pins: parent.tools.pins.clone(),
        sessions: parent.tools.sessions.clone(),
        // The parent's, until the assignment sets its own.
        team: parent.tools.team.clone(),
        // Subagents run no steps of the plan and start no workflows.
        steps: StepTools::default(),
        workflows: WorkflowTools::default(),
        children: None,
    };
    let approvals = parent.approvals.below(&id).await;
    let agent = AgentRun {
        scope: AgentScope { id, ..parent.scope.clone() },
        tools,
        log: parent.log.subagent(&parent.scope.masks),
        budgets: parent.budgets.clone(),
        stored: 0,
        replay,
        approvals,
    };
    (agent, route)
}

/// Performs a subagent to its end. Boxed: it may start subagents itself.
fn perform(
    mut agent: AgentRun,
    call: Call,
    route: Route,
) -> Pin<Box<dyn Future<Output = Result<SubagentEnd, Stopped>> + Send>> {
    Box::pin(async move {
        let _route = route;
        let team = agent.tools.team.clone();
        let assignment = match team.assignment(&call).await {
            Ok(assignment) => assignment,
            Err(why) => return Ok(SubagentEnd::Refused(why)),
        };
        let before = prepare(&mut agent, &assignment).await;
        let end = agent.drive(Ok(assignment), before).await?;
        Ok(SubagentEnd::Ended(Box::new(end)))
    })
}

/// Sets label and budget of a subagent, and reads its transcript.
async fn prepare(agent: &mut AgentRun, assignment: &Assignment) -> PriorTranscript {
    let scope = &agent.scope;
    let numbers: Vec<String> = scope.id.agents().iter().map(u32::to_string).collect();
    let name = assignment.task.name.as_deref().unwrap_or("agent");
    let label = format!("{name} {}", numbers.join("."));
    agent.log.set_label(&label);
    agent.budgets.slices.push(Slice { id: scope.id.clone(), label, limit: assignment.budget });
    let facts = loop {
        match scope.shared.store.transcripts().of(&scope.id).await {
            Ok(facts) => break facts,
            Err(error) => {
                tracing::warn!(%error, "failed to read a transcript; retrying in 1 s");
                scope.shared.clock.sleep(STORE_PAUSE).await;
            }
        }
    };
    PriorTranscript { facts, is_lost: false, lost: None }
}

/// The end of a subagent as the content of its call's result.
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

/// Cuts a text to the size of a tool result.
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
    use plue_plan::AttemptId;

    use super::*;

    #[test]
    fn lines_of_subagents_are_labelled() {
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
        let route = routes.add(call_prefix(&id), below);
        for id in ["toolu_A", "agent2:toolu_B", "call:7", "agent3:toolu_C"] {
            assert!(routes.pass(result(id)), "{id}");
        }
        assert_eq!(of_child.try_recv().unwrap().id, "agent2:toolu_B");
        for id in ["toolu_A", "call:7", "agent3:toolu_C"] {
            assert_eq!(of_step.try_recv().unwrap().id, id);
        }
        drop(route);
        assert!(routes.pass(result("agent2:late")));
        assert_eq!(call_prefix(&id.agent(3)), "agent2.agent3");
        assert_eq!((id.attempt().as_str(), id.agents()), ("r:a:1:1", vec![2]));
    }

    #[test]
    fn failed_subagents_return_reason_and_partial_result() {
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
