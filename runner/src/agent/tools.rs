//! The tools of an agent. Their names and schemas for models are in `plue-llm`.

mod fetch;
mod files;
mod git;
mod search;
mod shell;

use std::{path::PathBuf, sync::Arc, time::Duration};

use plue_runtime::{Clock, Tasks, clock::Mark};
use plue_wire::{
    mcp as protocol,
    runner::{MCP_LIST, TOOL_NAMES, ToolCall},
};
use tokio::sync::{Mutex, Semaphore, watch};

use self::git::Git;
use super::{
    AgentContext,
    content::{Content, Reply},
    jail::Jail,
    mcp::{self, Servers},
    process::Bounds,
};

/// Processes of tools at once; as many as there are turns.
const PROCESSES: u32 = 64;
/// Time limit of a call without one.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);

/// The tools of one attempt, with the limits that they share.
pub(super) struct Tools {
    context: AgentContext,
    jail: Arc<Jail>,
    clock: Clock,
    tasks: Tasks,
    stopped: watch::Receiver<bool>,
    processes: Arc<Semaphore>,
    servers: Servers,
    /// Changes of files, one after the other: two edits of one file must not lose one.
    changes: Mutex<()>,
}

/// Folder, clock and limits of processes that outlive a call.
pub(super) struct Surroundings {
    pub(super) folder: PathBuf,
    pub(super) clock: Clock,
    pub(super) tasks: Tasks,
    /// Becomes true when the attempt ends.
    pub(super) stopped: watch::Receiver<bool>,
    /// A permit for each process.
    pub(super) processes: Arc<Semaphore>,
}

/// The result of a call.
#[derive(Debug)]
pub(super) struct Outcome {
    content: Content,
    is_error: bool,
}

/// The time of blocking work, which checks it by itself.
#[derive(Debug, Clone)]
struct Budget {
    clock: Clock,
    since: Mark,
    timeout: Duration,
    stopped: watch::Receiver<bool>,
}

// === impl Outcome ===

impl Outcome {
    fn of(result: Result<Content, String>) -> Self {
        match result {
            Ok(content) => Self { content, is_error: false },
            Err(why) => Self { content: Content::text(why), is_error: true },
        }
    }

    fn or_refused(result: Result<Self, String>) -> Self {
        result.unwrap_or_else(|why| Self::of(Err(why)))
    }

    pub(super) fn reply(self, id: String) -> Reply {
        Reply::new(id, self.content.trimmed(), self.is_error)
    }
}

// === impl Budget ===

impl Budget {
    /// Whether there is no more time.
    fn is_over(&self) -> bool {
        *self.stopped.borrow() || self.clock.elapsed(self.since) >= self.timeout
    }
}

// === impl Tools ===

impl Tools {
    pub(super) fn new(
        context: AgentContext,
        servers: mcp::Order,
        clock: Clock,
        tasks: Tasks,
        stopped: watch::Receiver<bool>,
    ) -> Result<Self, String> {
        let jail = Jail::open(&context.folder)
            .map_err(|error| format!("{}: {error}", context.folder.display()))?;
        Ok(Self {
            context,
            jail: Arc::new(jail),
            clock,
            tasks,
            stopped,
            processes: Arc::new(Semaphore::new(PROCESSES as usize)),
            servers: Servers::new(servers),
            changes: Mutex::new(()),
        })
    }

    /// Executes a call; gives its id back.
    pub(super) async fn execute(&self, call: ToolCall) -> (String, Outcome) {
        let ToolCall { id, name, input_json, timeout_ms } = call;
        let timeout = match timeout_ms {
            0 => DEFAULT_TIMEOUT,
            ms => Duration::from_millis(ms),
        };
        (id, self.outcome(&name, input_json, timeout).await)
    }

    async fn outcome(&self, name: &str, input: String, timeout: Duration) -> Outcome {
        match name {
            "bash" => self.bash(&input, timeout).await,
            "git" => Outcome::or_refused(Git(self).execute(&input, timeout).await),
            "fetch" => Outcome::or_refused(fetch::fetch(self, &input, timeout).await),
            "read" => self.block(timeout, move |jail, _| files::read(jail, &input)).await,
            "glob" => {
                self.block(timeout, move |jail, budget| search::glob(jail, &input, budget)).await
            }
            "grep" => {
                self.block(timeout, move |jail, budget| search::grep(jail, &input, budget)).await
            }
            "write" => {
                let _alone = self.changes.lock().await;
                self.block(timeout, move |jail, _| files::write(jail, &input)).await
            }
            "edit" => {
                let _alone = self.changes.lock().await;
                self.block(timeout, move |jail, _| files::edit(jail, &input)).await
            }
            MCP_LIST => Outcome::of(self.servers.list(&input, timeout, &self.surroundings()).await),
            tool if tool.starts_with(protocol::PREFIX) => self.mcp(tool, &input, timeout).await,
            unknown => {
                let shown: String = unknown.chars().take(100).collect();
                let names = TOOL_NAMES.join(", ");
                Outcome::of(Err(format!("no tool has the name {shown:?}; the tools are {names}")))
            }
        }
    }

    /// Calls a tool of an MCP server.
    async fn mcp(&self, name: &str, input: &str, timeout: Duration) -> Outcome {
        let Some((server, Some(tool))) = protocol::parts(name) else {
            return Outcome::of(Err("the name has no tool of a server".to_owned()));
        };
        let around = self.surroundings();
        match self.servers.call(server, tool, input, timeout, &around).await {
            Ok((content, is_error)) => Outcome { content, is_error },
            Err(why) => Outcome::of(Err(why)),
        }
    }

    fn surroundings(&self) -> Surroundings {
        Surroundings {
            folder: self.jail.root().to_owned(),
            clock: self.clock,
            tasks: self.tasks.clone(),
            stopped: self.stopped.clone(),
            processes: Arc::clone(&self.processes),
        }
    }

    /// Runs blocking work on another thread, for a limited time.
    async fn block(
        &self,
        timeout: Duration,
        work: impl FnOnce(&Jail, &Budget) -> Result<Content, String> + Send + 'static,
    ) -> Outcome {
        let budget = Budget {
            clock: self.clock,
            since: self.clock.mark(),
            timeout,
            stopped: self.stopped.clone(),
        };
        let jail = Arc::clone(&self.jail);
        let work = self.tasks.spawn_blocking(move || work(&jail, &budget));
        let result = tokio::select! {
            result = work => result.unwrap_or_else(|_| Err("the tool failed inside".to_owned())),
            () = self.clock.sleep(timeout) => Err(too_late(timeout)),
        };
        Outcome::of(result)
    }

    fn bounds(&self, timeout: Duration) -> Bounds {
        Bounds { clock: self.clock, timeout, stopped: self.stopped.clone() }
    }

    /// Waits until no process of a tool runs.
    pub(super) async fn ended(&self) {
        let _all = self.processes.acquire_many(PROCESSES).await;
    }
}

fn too_late(timeout: Duration) -> String {
    format!("not done within {} ms", timeout.as_millis())
}
