//! Agents: the attendant that executes a model's tool calls in the workspace.
//!
//! The process of an attempt whose program is `Agent` is this program with another first argument.
//! Its standard input is a socket to the runner: it receives orders of the engine and sends
//! replies. Tools are its children and never inherit that socket; their environment is that of the
//! attempt. Must not know the engine, hold a key, or interpret a result.

use std::{
    ffi::{OsStr, OsString},
    io::{self, Write as _},
    os::fd::AsFd as _,
    path::PathBuf,
    process::ExitCode,
};

use plue_wire::runner::{Exit, FETCH_HOSTS_VARIABLE, McpServer};
use tokio::net::UnixStream;

mod attendant;
mod content;
mod domain;
mod input;
mod jail;
mod ledger;
mod mcp;
mod process;
mod tools;

pub(crate) use self::content::{MAX_REPLY_FRAME_BYTES, Reply};

/// The first argument of an attendant.
pub const COMMAND: &str = "agent";

/// The folders, files and hosts that an attendant takes from its environment.
#[derive(Debug, Clone)]
struct AgentContext {
    /// The folder that tools work in.
    folder: PathBuf,
    /// The workspace: that folder, or one that it lies in.
    workspace: PathBuf,
    /// The path in `$PLUE_OUTPUT`.
    output: PathBuf,
    /// Hosts that `fetch` may reach, in lower case.
    hosts: Vec<String>,
}

/// The command of an attendant of this program.
pub(crate) fn command() -> Result<(PathBuf, Vec<OsString>), Exit> {
    let own = std::env::current_exe()
        .map_err(|error| Exit::Infra(format!("plue-runner does not find itself: {error}")))?;
    Ok((own, vec![COMMAND.into()]))
}

/// The same of an attendant with MCP servers, which takes [`servers_frame`] before all orders.
pub(crate) fn command_with_servers() -> Result<(PathBuf, Vec<OsString>), Exit> {
    let (own, mut arguments) = command()?;
    arguments.push(mcp::ARGUMENT.into());
    Ok((own, arguments))
}

/// The servers of an attempt for its attendant; `hidden` are the variables that they do not see.
pub(crate) fn servers_frame(servers: &[McpServer], hidden: &[String]) -> Result<Vec<u8>, Exit> {
    mcp::frame(servers, hidden)
}

/// Runs an attendant until its attempt ends; returns its exit code. `arguments`: those behind [`COMMAND`].
pub fn main(
    environment: impl Iterator<Item = (OsString, OsString)>,
    mut arguments: impl Iterator<Item = OsString>,
) -> ExitCode {
    // Before any thread: a domain is one of the calling thread and what it starts.
    if let Err(error) = domain::enter() {
        let _closed = writeln!(io::stderr(), "plue-runner agent: no domain of its own: {error}");
        return ExitCode::FAILURE;
    }
    let has_servers = arguments.next().is_some_and(|argument| argument == mcp::ARGUMENT);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(attendant::PARALLEL + 8)
        .build();
    let ended = runtime
        .map_err(|error| format!("the event loop does not start: {error}"))
        .and_then(|runtime| {
            let context = AgentContext::of(environment)?;
            let ended = runtime.block_on(async {
                let (socket, servers) = socket(has_servers).map_err(|error| {
                    format!("standard input is no socket of a runner ({error}); only plue-runner starts `plue-runner agent`")
                })?;
                attendant::attend(socket, context, servers).await
            });
            // A tool that reads a file has been signalled to end, and is not waited for.
            runtime.shutdown_background();
            ended
        });
    match ended {
        Ok(status) => ExitCode::from(status),
        Err(why) => {
            let _closed = writeln!(io::stderr(), "plue-runner agent: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The socket to the runner, and the servers that come first over it.
fn socket(has_servers: bool) -> io::Result<(UnixStream, mcp::Order)> {
    let own = io::stdin().as_fd().try_clone_to_owned()?;
    let mut socket = std::os::unix::net::UnixStream::from(own);
    socket.local_addr()?;
    let servers = if has_servers { mcp::Order::read(&mut socket)? } else { mcp::Order::default() };
    socket.set_nonblocking(true)?;
    Ok((UnixStream::from_std(socket)?, servers))
}

// === impl AgentContext ===

impl AgentContext {
    fn of(environment: impl Iterator<Item = (OsString, OsString)>) -> Result<Self, String> {
        let found: Vec<_> = environment.collect();
        let value = |wanted: &str| {
            let entry = found.iter().find(|(name, _)| name == OsStr::new(wanted));
            entry.map(|(_, value)| value.clone())
        };
        let path =
            |name: &str| value(name).map(PathBuf::from).ok_or_else(|| format!("{name} is not set"));
        let folder = std::env::current_dir().and_then(std::fs::canonicalize);
        let folder = folder.map_err(|error| format!("there is no working directory: {error}"))?;
        let hosts = value(FETCH_HOSTS_VARIABLE).unwrap_or_default();
        let hosts = hosts.to_string_lossy();
        let hosts = hosts.split(',').map(str::trim).filter(|host| !host.is_empty());
        Ok(Self {
            folder,
            workspace: path("PLUE_WORKSPACE")?,
            output: path("PLUE_OUTPUT")?,
            hosts: hosts.map(str::to_ascii_lowercase).collect(),
        })
    }
}
