//! MCP servers of an agent: the definitions of their tools before the first request, and calls to remote
//! servers, which have a URL.
//!
//! Definitions are listed once, judged by `plue_llm::mcp`, and stored in the transcript; a replay takes the
//! recorded ones. Must not offer a tool whose definition was not accepted.

mod http;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use plue_llm::{
    Tool,
    agent::{Call, End, EndReason, Task},
    mcp::{Judgement, Toolset, judge, pin},
};
use plue_plan::action::Mcp;
use plue_runtime::Task as Running;
use plue_store::mcp::{McpKey, McpPin};
use plue_wire::{
    eval::Bytes,
    mcp::{self, Listing, Offered},
    runner::{AgentOrder, MAX_TOOL_RESULT_BYTES, MCP_LIST, ToolCall, ToolResult},
};
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;

pub(crate) use self::http::Remote;
use super::{
    agent_run::{AgentScope, STORE_PAUSE, Stopped},
    assignment::Assignment,
    log_view::AgentLog,
    replay::Replay,
    tool::Selected,
    tool_calls::AgentTools,
};

/// Longest time in which a server starts and lists its tools.
const LIST_WITHIN: Duration = Duration::from_secs(120);
/// Time after [`LIST_WITHIN`] in which the runner's list is still awaited.
const LIST_GRACE: Duration = Duration::from_secs(30);
/// Tries to accept tools while other runs accept them as well.
const MAX_RACES: usize = 10;
/// The result of a call to a remote server that an earlier engine may have made.
pub(super) const UNKNOWN: &str = "The engine that made this call was lost. Whether the call took effect is unknown; it \
is not repeated.";

/// Remote servers by name.
pub(crate) type Remotes = BTreeMap<String, Arc<Remote>>;

/// The scope in which tools of MCP servers are accepted.
#[derive(Debug, Clone)]
pub(crate) struct PinScope {
    pub(crate) repo: Option<String>,
    pub(crate) workflow: String,
}

/// The end of an agent that does not start.
type Refusal = Box<End>;

/// Resolves the tools of an agent's MCP servers before its first request.
pub(super) struct McpSetup<'a> {
    pub(super) scope: &'a AgentScope,
    pub(super) tools: &'a mut AgentTools,
    pub(super) log: &'a mut AgentLog,
    pub(super) replay: Option<&'a Replay>,
}

// === impl McpSetup ===

impl McpSetup<'_> {
    /// The task with the tools of its servers, or the end of an agent that does not start.
    pub(super) async fn equip(
        mut self,
        assignment: &Assignment,
    ) -> Result<Result<Task, Refusal>, Stopped> {
        let mut task = assignment.task.clone();
        for selected in &assignment.servers {
            let name = &selected.server.name;
            if let Some((tools, hash)) = self.recorded_tools(name) {
                task.tools.extend(tools);
                task.mcp.insert(name.clone(), hash);
                continue;
            }
            let tools = match self.definitions(selected).await? {
                Ok(tools) => tools,
                Err(why) => {
                    let remote = self.tools.remotes.get(name);
                    let is_login = remote.is_some_and(|remote| remote.demands_login());
                    let reason = if is_login { EndReason::McpLogin } else { EndReason::Mcp };
                    return Ok(refused(reason, why));
                }
            };
            let offers = tools.values().filter_map(|definition| offer(name, definition));
            task.tools.extend(offers);
            match self.accept(&selected.server, selected.tools.is_none(), tools).await? {
                Ok(hash) => task.mcp.insert(name.clone(), hash),
                Err(end) => return Ok(Err(end)),
            };
        }
        Ok(Ok(task))
    }

    /// The tools of a server in the recording of a replay, with their hash.
    fn recorded_tools(&self, server: &str) -> Option<(Vec<Tool>, String)> {
        let replay = self.replay?;
        let recording = replay.recording.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let task = recording.task(&replay.place)?;
        let hash = task.mcp.get(server)?.clone();
        let of_server = |tool: &&Tool| mcp::parts(&tool.name).is_some_and(|it| it.0 == server);
        Some((task.tools.iter().filter(of_server).cloned().collect(), hash))
    }

    /// The masked definitions of the tools that a step names; the error is for people.
    async fn definitions(
        &mut self,
        selected: &Selected,
    ) -> Result<Result<Offered, String>, Stopped> {
        let name = &selected.server.name;
        let wanted = selected.tools.as_deref();
        if let Some(remote) = self.tools.remotes.get(name).cloned() {
            let listed = tokio::time::timeout(LIST_WITHIN, remote.list(wanted)).await;
            let listed = listed.unwrap_or_else(|_| Err(remote.failed("no answer in time")));
            return Ok(listed.map(|tools| {
                tools.into_iter().map(|(name, tool)| (name, self.scope.masks.value(tool))).collect()
            }));
        }
        let list = self.listed_by_runner(name, wanted).await?;
        Ok(list.and_then(|text| {
            let tools: Json = serde_json::from_str(&text)
                .map_err(|error| format!("MCP server `{name}`: its list is no JSON: {error}"))?;
            // Runners are not trusted to have checked it.
            let mut listing = Listing::new(name, wanted);
            let tools = listing.page(&json!({"tools": self.scope.masks.value(tools)}));
            let tools = tools.and_then(|_| listing.finish());
            tools.map_err(|why| format!("MCP server `{name}`: {why}"))
        }))
    }

    /// The list of a server on the runner, as JSON. The runner answers a repeated order from memory.
    async fn listed_by_runner(
        &mut self,
        server: &str,
        wanted: Option<&[String]>,
    ) -> Result<Result<String, String>, Stopped> {
        let id = format!("mcp-list:{server}");
        let call = ToolCall {
            id: id.clone(),
            name: MCP_LIST.to_owned(),
            input_json: json!({"server": server, "tools": wanted}).to_string(),
            timeout_ms: u64::try_from(LIST_WITHIN.as_millis()).unwrap_or(u64::MAX),
        };
        self.tools.order(&self.scope.claim, AgentOrder::Call(call.clone())).await?;
        let clock = self.scope.shared.clock;
        let deadline = clock.deadline(LIST_WITHIN + LIST_GRACE);
        loop {
            tokio::select! {
                result = self.tools.results.recv() => {
                    let result = result.ok_or(Stopped::Superseded)?;
                    if result.id == id {
                        let text = String::from_utf8_lossy(&result.content.0).into_owned();
                        return Ok(if result.is_error { Err(text) } else { Ok(text) });
                    }
                }
                changed = self.tools.sessions.changed() => {
                    changed.map_err(|_| Stopped::Superseded)?;
                    self.tools.order(&self.scope.claim, AgentOrder::Call(call.clone())).await?;
                }
                () = deadline.reached() => {
                    return Ok(Err(format!("MCP server `{server}`: the runner lists no tools in time")));
                }
            }
        }
    }

    /// Accepts the tools of a server; returns their hash.
    async fn accept(
        &mut self,
        server: &Mcp,
        is_all: bool,
        tools: Offered,
    ) -> Result<Result<String, Refusal>, Stopped> {
        let unusable =
            |why: String| refused(EndReason::Mcp, format!("MCP server `{}`: {why}", server.name));
        let hash = match pin(&tools) {
            Ok(hash) => hash,
            Err(why) => return Ok(unusable(why)),
        };
        let key = McpKey {
            repo: self.tools.pins.repo.clone(),
            workflow: self.tools.pins.workflow.clone(),
            step: self.scope.step.clone(),
            server: server.name.clone(),
        };
        let now = Toolset { is_all, tools };
        for _ in 0..MAX_RACES {
            let before = self.pinned(&key).await;
            let known = before.as_ref().map(|pin| serde_json::from_value(pin.toolset.clone()));
            let known: Option<Toolset> = known.and_then(Result::ok);
            let new = match judge(server.pin.as_deref(), known.as_ref(), &now) {
                Ok(Judgement::Accepted(new)) => new,
                Ok(Judgement::Changed(lines)) => {
                    self.log.note(&lines.join("\n"));
                    return Ok(refused(
                        EndReason::McpChanged,
                        changed(server, (&hash, &lines), before.as_ref()),
                    ));
                }
                Err(why) => return Ok(unusable(why)),
            };
            let is_stored = match new {
                None => true,
                Some(toolset) => {
                    let pin = McpPin {
                        hash: hash.clone(),
                        toolset: serde_json::to_value(toolset).unwrap_or_default(),
                        run: self.scope.run.clone(),
                        at: self.scope.shared.clock.now(),
                    };
                    self.store_pin(&key, before.map(|pin| pin.hash), pin).await
                }
            };
            if is_stored {
                self.log.note(&format!(
                    "[plue: MCP server {}: {} tools, {hash}]",
                    server.name,
                    now.tools.len()
                ));
                return Ok(Ok(hash));
            }
        }
        Ok(unusable("its tools are being accepted by too many runs at once".to_owned()))
    }

    /// The accepted tools. Retries until the database answers.
    async fn pinned(&self, key: &McpKey) -> Option<McpPin> {
        loop {
            match self.scope.shared.store.mcp().pin(key).await {
                Ok(found) => return found,
                Err(error) => {
                    tracing::warn!(%error, "failed to read accepted tools; retrying in 1 s");
                    self.scope.shared.clock.sleep(STORE_PAUSE).await;
                }
            }
        }
    }

    async fn store_pin(&self, key: &McpKey, replaces: Option<String>, pin: McpPin) -> bool {
        loop {
            let stored =
                self.scope.shared.store.mcp().accept(key.clone(), replaces.clone(), pin.clone());
            match stored.await {
                Ok(is_stored) => return is_stored,
                Err(error) => {
                    tracing::warn!(%error, "failed to store accepted tools; retrying in 1 s");
                    self.scope.shared.clock.sleep(STORE_PAUSE).await;
                }
            }
        }
    }
}

/// Makes a call to a remote server; its result is sent to `results`.
pub(super) fn call_remote(
    remote: Arc<Remote>,
    scope: &AgentScope,
    call: &Call,
    results: mpsc::Sender<ToolResult>,
    within: Duration,
) -> Running<()> {
    let (id, input) = (call.id.clone(), call.input.clone());
    let tool = mcp::parts(&call.name).and_then(|(_, tool)| tool).unwrap_or_default().to_owned();
    let (masks, tasks) = (scope.masks.clone(), scope.shared.tasks.clone());
    scope.shared.tasks.owned("mcp call", async move {
        let late = "no answer in time; whether the call took effect is unknown";
        let called = tokio::time::timeout(within, remote.call(&tool, input)).await;
        let called = called.unwrap_or_else(|_| Err(remote.failed(late)));
        // Megabytes at most, so rendered on a blocking thread.
        let rendered = tasks.spawn_blocking(move || {
            let (text, is_error) = match called {
                Ok(result) => {
                    let (text, is_error) = mcp::rendered(&result);
                    (format!("{}{text}", mcp::data_mark(remote.name())), is_error)
                }
                Err(why) => (why, true),
            };
            (cut(masks.text(&text)), is_error)
        });
        let Ok((text, is_error)) = rendered.await else { return };
        let content = Bytes(text.into_bytes());
        let _gone = results.send(ToolResult { id, content, is_error }).await;
    })
}

fn refused<T>(reason: EndReason, why: String) -> Result<T, Refusal> {
    Err(Box::new(End::refused(reason, why)))
}

/// The definition as a tool of a request.
fn offer(server: &str, definition: &Json) -> Option<Tool> {
    let text = |field: &str| definition.get(field).and_then(Json::as_str);
    Some(Tool {
        name: mcp::offered_name(server, text("name")?)?,
        description: text("description").unwrap_or_default().to_owned(),
        input_schema: definition.get("inputSchema")?.as_object()?.clone(),
        strict: false,
    })
}

fn changed(server: &Mcp, (hash, lines): (&str, &[String]), before: Option<&McpPin>) -> String {
    let since = match (&server.pin, before) {
        (Some(pin), _) => format!("pinned as {pin}"),
        (None, Some(before)) => format!("in run {}", before.run),
        (None, None) => "before".to_owned(),
    };
    // One line, as reasons are listed; the log has a line for each difference.
    let lines: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
    format!(
        "the tools of the MCP server `{}` are not those that were accepted ({since}): {}; if that is wanted, \
         write pin=\"{hash}\" at the server in the workflow",
        server.name,
        lines.join(" ")
    )
}

/// Cuts the middle out of a result over the limit.
fn cut(text: String) -> String {
    if text.len() <= MAX_TOOL_RESULT_BYTES {
        return text;
    }
    let half = MAX_TOOL_RESULT_BYTES / 2 - 64;
    let head = text.get(..text.floor_char_boundary(half)).unwrap_or_default();
    let tail = text.get(text.ceil_char_boundary(text.len() - half)..).unwrap_or_default();
    let omitted = text.len() - head.len() - tail.len();
    format!("{head}\n[plue: {omitted} bytes are left out here]\n{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_results_lose_their_middle() {
        let text = format!("start{}end", "ü".repeat(MAX_TOOL_RESULT_BYTES));
        let shown = cut(text);
        assert!(shown.len() <= MAX_TOOL_RESULT_BYTES);
        assert!(
            shown.starts_with("startü") && shown.ends_with("üend") && shown.contains("left out")
        );
        assert_eq!(cut("short".to_owned()), "short");
    }
}
