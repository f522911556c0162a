//! The tools of an agent: calls to its runner and to remote MCP servers, and the routes of their results.

use std::{sync::Arc, time::Duration};

use plue_llm::agent::Call;
use plue_runtime::Task;
use plue_wire::{
    mcp,
    runner::{AgentOrder, Claim, ToolCall, ToolResult},
};
use serde_json::Value as Json;
use tokio::sync::{mpsc, watch};

use super::{
    agent_run::{AgentMessage, AgentScope, Order, Stopped},
    delegate::Routes,
    mcp::{PinScope, Remote, Remotes, call_remote},
    step_tool::{RUNNER_TOOL, StepTools},
    team::Team,
    workflow_tool::WorkflowTools,
};
use crate::driver::AgentChildren;

/// The longest execution of one tool call.
pub(super) const TOOL_TIMEOUT: Duration = Duration::from_secs(10 * 60);

pub(crate) struct AgentTools {
    pub(crate) orders: mpsc::Sender<AgentMessage>,
    pub(crate) results: mpsc::Receiver<ToolResult>,
    /// Results of calls that the engine makes itself.
    pub(crate) own_results: mpsc::Sender<ToolResult>,
    pub(crate) routes: Routes,
    /// MCP servers that the engine connects to.
    pub(crate) remotes: Remotes,
    /// The repository and workflow for which tools of MCP servers are accepted.
    pub(crate) pins: PinScope,
    /// Changes with each session of the runner.
    pub(crate) sessions: watch::Receiver<u64>,
    /// Agents that this one may start.
    pub(crate) team: Arc<Team>,
    /// Steps of the plan that it may run.
    pub(crate) steps: StepTools,
    /// Workflows that it may start.
    pub(crate) workflows: WorkflowTools,
    /// `None`: it starts no runs.
    pub(crate) children: Option<AgentChildren>,
}

// === impl AgentTools ===

impl AgentTools {
    /// Sends an order to the runner of the attempt.
    pub(super) async fn order(&self, claim: &Claim, order: AgentOrder) -> Result<(), Stopped> {
        let message = AgentMessage::Order(Order { claim: claim.clone(), order });
        self.orders.send(message).await.map_err(|_| Stopped::Superseded)
    }

    /// Whether a call starts a run of a workflow.
    pub(super) fn is_run(&self, call: &Call) -> bool {
        self.workflows.workflow(call).is_some()
    }

    /// Sends calls to the runner, except those that the engine makes.
    pub(super) async fn send_calls(
        &self,
        scope: &AgentScope,
        calls: &[Call],
    ) -> Result<(), Stopped> {
        for call in calls.iter().filter(|call| self.remote(call).is_none() && !self.is_run(call)) {
            let (name, input) = match self.steps.input(call) {
                Some(input) => (RUNNER_TOOL.to_owned(), input),
                None => (call.name.clone(), Json::Object(call.input.clone())),
            };
            let call = ToolCall {
                id: scope.wire_id(call),
                name,
                input_json: input.to_string(),
                timeout_ms: u64::try_from(TOOL_TIMEOUT.as_millis()).unwrap_or(u64::MAX),
            };
            self.order(&scope.claim, AgentOrder::Call(call)).await?;
        }
        Ok(())
    }

    /// Makes the calls to remote servers; they are aborted when their tasks are dropped.
    pub(super) fn call_remotes(&self, scope: &AgentScope, calls: &[Call]) -> Vec<Task<()>> {
        let remote = |call| {
            let remote = self.remote(call)?.clone();
            Some(call_remote(remote, scope, call, self.own_results.clone(), TOOL_TIMEOUT))
        };
        calls.iter().filter_map(remote).collect()
    }

    /// The remote server of a call.
    pub(super) fn remote(&self, call: &Call) -> Option<&Arc<Remote>> {
        let (server, _) = mcp::parts(&call.name)?;
        self.remotes.get(server)
    }
}
