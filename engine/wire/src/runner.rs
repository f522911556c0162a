//! Engine ↔ runner, protocol v9 (`docs/reference/runner-protocol.md`): the runner dials out, the engine
//! assigns attempts under a fence, the runner streams events under one contiguous sequence per
//! attempt and the engine acknowledges them after commit.
//!
//! Enum variants are appended, never reordered: postcard numbers them.

use plue_plan::{AttemptId, RunId, RunnerId, StepId, artifacts::ArtifactRules};
use serde::{Deserialize, Serialize};

use crate::{
    eval::Bytes,
    outputs::{Answer, BlobHash, OutputSpec, Question},
};

/// Version of this protocol.
pub const PROTOCOL: u32 = 9;
/// The first version with [`ToRunner::Outputs`] and questions. A runner of version 1 stores no
/// outputs.
pub const OUTPUTS_PROTOCOL: u32 = 2;
/// The first version with [`Program::WithServices`].
pub const SERVICES_PROTOCOL: u32 = 3;
/// The first version with [`ToRunner::Mask`].
pub const MASKS_PROTOCOL: u32 = 4;
/// The first version with [`ToRunner::Rules`].
pub const RULES_PROTOCOL: u32 = 5;
/// The first version with [`Program::Agent`].
pub const AGENT_PROTOCOL: u32 = 6;
/// The first version with [`Program::McpAgent`].
pub const MCP_PROTOCOL: u32 = 7;
/// The first version with [`ToRunner::Workspace`] and [`ToRunner::Redirect`]: that of every runner of
/// another machine.
pub const REMOTE_PROTOCOL: u32 = 8;
/// The first version with [`ToRunner::Leave`] and [`ToRunner::Enter`].
pub const MOVES_PROTOCOL: u32 = 9;
/// The oldest version that an engine serves.
pub const OLDEST_PROTOCOL: u32 = 1;
/// Bytes of one frame in either direction.
pub const MAX_FRAME_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of log in one event.
pub const MAX_CHUNK_BYTES: usize = 64 * 1024;
/// Bytes of one tool result; a longer one is cut in the middle.
pub const MAX_TOOL_RESULT_BYTES: usize = 256 * 1024;
/// The tools that an attendant executes.
pub const TOOL_NAMES: [&str; 8] = ["bash", "read", "write", "edit", "glob", "grep", "git", "fetch"];
/// The call that lists the tools of a server of [`Program::McpAgent`]: `server`, and `tools` unless all are
/// wanted. Models cannot call it. The result is an array of [`crate::mcp::Offered`]'s definitions.
pub const MCP_LIST: &str = "mcp_list";
/// The variable of an agent's attempt with the hosts that `fetch` may reach, separated by commas, each with
/// `:port` unless it is 80 or 443. Tools do not see it.
pub const FETCH_HOSTS_VARIABLE: &str = "PLUE_AGENT_FETCH_HOSTS";
/// Bytes of unacknowledged events per attempt before the runner stops reading the process's pipes.
pub const INITIAL_CREDIT_BYTES: u64 = 1024 * 1024;
/// Interval of heartbeats in milliseconds.
pub const HEARTBEAT_MS: u64 = 5_000;

/// The fencing token of an assignment: each assignment has a higher one, and a sender with a lower
/// one is stale.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Fence(pub u64);

/// One assignment: which attempt, under which fence.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// Id of the attempt.
    pub attempt: AttemptId,
    /// Fencing token of the assignment.
    pub fence: Fence,
}

/// A message of the runner to the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FromRunner {
    /// First frame of every connection.
    Hello(Hello),
    /// Self-checks passed; attempts may come.
    Ready,
    /// The assignment is stored and will start.
    Accept(Claim),
    /// The assignment cannot be taken.
    Reject(Claim, String),
    /// Something happened in an attempt.
    Event(AttemptEvent),
    /// The attempt ended; itself the last event of its sequence.
    Result(AttemptResult),
    /// Sign of life, with vitals.
    Heartbeat(RunnerVitals),
    /// The runner must stop soon (SIGTERM, preemption): why, and in how many milliseconds.
    Draining(String, u64),
    /// A question to the content service. Since version 2.
    Ask(Question),
    /// Answer to [`ToRunner::Workspace`], in every session that asks. Since version 8.
    Workspace(WorkspaceReport),
    /// Answer to [`ToRunner::Leave`]: whether nothing of the run is left. Since version 9.
    Left(bool),
}

/// A message of the engine to the runner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToRunner {
    /// The engine accepts [`FromRunner::Hello`].
    Welcome(Welcome),
    /// An attempt to run.
    Assign(Box<Assign>),
    /// Events up to this sequence number are committed; the runner may forget them.
    Ack(Claim, u64),
    /// The attempt may have this many further bytes in flight.
    Credit(Claim, u64),
    /// The engine's verdict on a result.
    ResultAck(Claim, ResultVerdict),
    /// Ends an attempt before its result.
    Cancel(Claim, CancelMode),
    /// Sign of life of the engine.
    Heartbeat,
    /// Finish: now, or when no attempt is left.
    Shutdown(ShutdownWhen),
    /// The connection ends; the code decides whether the runner reconnects.
    Close(CloseCode, String),
    /// The outputs to store of an attempt that is assigned next. Since version 2.
    Outputs(Claim, Box<OutputSpec>),
    /// Answer to the oldest unanswered question. Since version 2.
    Answer(Answer),
    /// Secrets of the run: masked in every attempt from now on, and set in none. Since version 4.
    Mask(Vec<Bytes>),
    /// The consequences of missing and lost artifacts for an attempt whose [`ToRunner::Outputs`] was
    /// sent. Since version 5.
    Rules(Claim, ArtifactRules),
    /// An order to the attendant of an attempt whose program is [`Program::Agent`]. Since version 6.
    Agent(Claim, Box<AgentOrder>),
    /// The run that the runner works for from now on, with its files. Since version 8.
    Workspace(WorkspaceSpec),
    /// Another engine serves this runner now: connect again. The reason is for people. Since version 8.
    Redirect(String),
    /// The run is over: end its processes, forget its secrets and files, and empty the folders of
    /// [`RunnerWorkspace::scratch`]. Since version 9.
    Leave,
    /// The workspace of the attempts that follow. Since version 9.
    Enter(RunnerWorkspace),
}

/// The files in which the steps of a run work, for a runner that does not share a disk with the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceSpec {
    /// The run whose files they are.
    pub run: RunId,
    /// The tar archive of the files, compressed with Zstandard, that [`Question::Get`] fetches; `None`: the
    /// runner has the files of this run already.
    pub archive: Option<WorkspaceArchive>,
}

/// An archive of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceArchive {
    /// Hash of the compressed archive.
    pub blob: BlobHash,
    /// Bytes of the compressed archive.
    pub bytes: u64,
}

/// The outcome of [`ToRunner::Workspace`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceReport {
    /// The run of the order.
    pub run: RunId,
    /// The reason that the files are not there, for people; `None`: they are.
    pub error: Option<String>,
}

/// The workspace of a run on a runner, as the runner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerWorkspace {
    /// Path of the workspace.
    pub workspace: String,
    /// Path of the file of its index.
    pub index: String,
    /// Folders of a sandboxed runner that steps write to, in addition to the workspace.
    pub scratch: Vec<String>,
}

/// An order to the attendant of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AgentOrder {
    /// Run a tool. The same id again is answered with the first result, never executed twice.
    Call(ToolCall),
    /// Text for the attempt's log, as standard output; at most [`MAX_CHUNK_BYTES`].
    Print(Bytes),
    /// Ends the attempt with this output and exit status.
    End {
        /// Its output as JSON, at most 1 MiB; anything else counts as text.
        output_json: String,
        /// Exit status of the attendant.
        status: u8,
    },
}

/// A tool call of a model, executed on the runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Unique within the attempt.
    pub id: String,
    /// Name of the tool to execute.
    pub name: String,
    /// Its arguments as the model wrote them: not known to be JSON, nor to fit the tool's schema.
    pub input_json: String,
    /// Longest execution in milliseconds, without the time that the call waits for its turn.
    pub timeout_ms: u64,
}

/// The result of a [`ToolCall`], masked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolResult {
    /// Id of the call.
    pub id: String,
    /// Text for the model, at most [`MAX_TOOL_RESULT_BYTES`]; not always UTF-8.
    pub content: Bytes,
    /// Whether the call failed.
    pub is_error: bool,
}

/// Identity of the runner, and the attempts it still owns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`] of the runner.
    pub protocol: u32,
    /// Id of the runner's row in the store.
    pub runner: RunnerId,
    /// Names the state directory, not the process: a runner that lost its directory has another
    /// one.
    pub boot: String,
    /// Proves that this process was started for that row.
    pub token: String,
    /// Facts for matching: `os`, `arch`, `cpus`, `memory_mib`, `python`, …
    pub facts: Vec<(String, String)>,
    /// Attempts with events or results that were not acknowledged.
    pub resume: Vec<Resume>,
}

/// An attempt that the runner still owns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The attempt and its fence.
    pub claim: Claim,
    /// Whether its process was started.
    pub started: bool,
    /// The lowest sequence number still in the runner's buffer.
    pub first_seq: u64,
    /// The highest sequence number produced.
    pub last_seq: u64,
    /// Whether the attempt has ended (its result is in the buffer).
    pub ended: bool,
}

/// The engine's side of a connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// Counts the sessions of this runner; an engine with a lower one is stale.
    pub epoch: u64,
    /// A verdict on each attempt of [`Hello::resume`].
    pub resume: Vec<ResumeVerdict>,
}

/// The engine's verdict on an attempt that a runner still owns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeVerdict {
    /// The attempt and its fence.
    pub claim: Claim,
    /// The order for the attempt.
    pub verdict: Verdict,
    /// The highest sequence number committed.
    pub acked: u64,
}

/// The order for an attempt after a reconnect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Continue; send everything after `acked` again.
    Continue,
    /// The fence is stale: kill, delete, forget.
    Abandon,
    /// Cancel it, then report as usual.
    Cancel,
}

/// Everything a runner needs for one attempt. Nothing else of the plan reaches it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assign {
    /// Attempt and fence of the message.
    pub claim: Claim,
    /// Id of the run.
    pub run: RunId,
    /// Id of the step in the plan.
    pub step: StepId,
    /// The program to execute.
    pub program: Program,
    /// Environment without the variables of the runner (`PLUE_OUTPUT`, `PLUE_WORKSPACE`).
    pub env: Vec<(String, String)>,
    /// Secrets: set in the environment of this attempt only, masked in its log.
    pub secrets: Vec<(String, Bytes)>,
    /// Working directory relative to the workspace.
    pub cwd: Option<String>,
    /// The event as JSON, for `PLUE_EVENT_PATH`.
    pub event_json: String,
    /// Longest run in milliseconds.
    pub timeout_ms: u64,
    /// Milliseconds between TERM and KILL.
    pub grace_ms: u64,
    /// Bytes of log that are stored; the rest is dropped behind a marker.
    pub log_cap_bytes: u64,
}

/// The program of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Program {
    /// A command text for a shell.
    Shell {
        /// `bash` (run as `bash -euo pipefail`) or `sh` (run as `sh -eu`).
        shell: String,
        /// The command text, at most as long as the plan allows.
        run: String,
    },
    /// Python source, and a function in it to call.
    PythonCode {
        /// The source code in Python.
        code: String,
        /// Called after the source with `args`, if named.
        call: Option<String>,
        /// Arguments, `sys.argv[1:]`.
        args: Vec<String>,
    },
    /// A Python file of the workspace.
    PythonScript {
        /// Its path, relative to the working directory.
        script: String,
        /// Arguments, `sys.argv[1:]`.
        args: Vec<String>,
    },
    /// A program that runs while services are up. Since version 3.
    WithServices {
        /// The program; not another one of these.
        #[serde(deserialize_with = "alone")]
        program: Box<Program>,
        /// Started before it in this order, and stopped after it.
        services: Vec<Service>,
    },
    /// An agent's attendant: executes tools by [`ToRunner::Agent`] until [`AgentOrder::End`]. Since
    /// version 6.
    Agent,
    /// [`Program::Agent`] with MCP servers: `mcp__SERVER__TOOL` and [`MCP_LIST`] are calls as well. Since
    /// version 7.
    McpAgent {
        /// Started when they are first needed, ended with the attendant.
        servers: Vec<McpServer>,
    },
}

/// Reads a program without services: a peer must not choose the nesting depth of a message.
fn alone<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Box<Program>, D::Error> {
    /// The other programs, in their order.
    #[derive(Deserialize)]
    enum Alone {
        Shell {
            shell: String,
            run: String,
        },
        PythonCode {
            code: String,
            call: Option<String>,
            args: Vec<String>,
        },
        PythonScript {
            script: String,
            args: Vec<String>,
        },
        /// [`Program::WithServices`], which has its number here and is refused.
        WithServices,
        Agent,
        McpAgent {
            servers: Vec<McpServer>,
        },
    }
    Ok(Box::new(match Alone::deserialize(deserializer)? {
        Alone::Shell { shell, run } => Program::Shell { shell, run },
        Alone::PythonCode { code, call, args } => Program::PythonCode { code, call, args },
        Alone::PythonScript { script, args } => Program::PythonScript { script, args },
        Alone::WithServices => {
            return Err(serde::de::Error::custom("services of services are not known"));
        }
        Alone::Agent => Program::Agent,
        Alone::McpAgent { servers } => Program::McpAgent { servers },
    }))
}

/// A sidecar process of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// The command, for `bash`.
    pub run: String,
    /// The TCP port that is open when the service is ready.
    pub port: u16,
    /// Its environment, over that of the step without the step's secrets.
    pub env: Vec<(String, String)>,
    /// Secrets of its environment; masked in the log.
    pub secrets: Vec<(String, Bytes)>,
}

/// An MCP server, a child process of an agent's attendant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct McpServer {
    /// Its name in the step.
    pub name: String,
    /// The program, then its arguments.
    pub command: Vec<String>,
    /// Its environment, over that of the step without the step's secrets.
    pub env: Vec<(String, String)>,
    /// Secrets of its environment; masked in the log and in results.
    pub secrets: Vec<(String, Bytes)>,
}

/// Something happened in an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptEvent {
    /// The attempt and its fence.
    pub claim: Claim,
    /// 1, 2, 3, … without gaps.
    pub seq: u64,
    /// Microseconds since 1970 by the runner's clock; for display only.
    pub at_us: i64,
    /// The kind of event, with its data.
    pub kind: EventKind,
}

/// The kind of an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum EventKind {
    /// The process was started.
    Started {
        /// Its process id on the runner.
        pid: u32,
    },
    /// Bytes of its standard output, at most [`MAX_CHUNK_BYTES`].
    Stdout(Bytes),
    /// Bytes of its standard error, at most [`MAX_CHUNK_BYTES`].
    Stderr(Bytes),
    /// Bytes of log that are missing here, with the reason (cap reached, buffer lost).
    Gap {
        /// Missing bytes; 0 if unknown.
        bytes: u64,
        /// The reason, for people.
        reason: String,
    },
    /// A line of the runner for people (never the step's own output).
    Note(String),
    /// A tool call of an agent has ended. Since version 6.
    Tool(ToolResult),
}

/// The end of an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptResult {
    /// The attempt and its fence.
    pub claim: Claim,
    /// The last number of its sequence.
    pub seq: u64,
    /// Microseconds since 1970 by the runner's clock; for display only.
    pub at_us: i64,
    /// Exit of the attempt.
    pub exit: Exit,
    /// The step's output as JSON (an object from `$PLUE_OUTPUT`, else a string), at most 1 MiB.
    pub output_json: String,
    /// Wall-clock microseconds of the process.
    pub wall_us: u64,
    /// CPU microseconds of the process and its children.
    pub cpu_us: u64,
    /// Peak resident size in KiB.
    pub max_rss_kib: u64,
    /// Processes that outlived the step and were killed.
    pub leaked: u32,
}

/// The exit of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// Exited with this status.
    Code(i32),
    /// Killed by this signal.
    Signal(i32),
    /// Stopped by the runner because its time was over.
    TimedOut,
    /// Stopped by the runner on the engine's order.
    Cancelled,
    /// Refused through a fault of the step (no such directory, bad output file …); the reason.
    Refused(String),
    /// Not started or lost through no fault of the step (no memory, no process id …); the reason.
    Infra(String),
}

/// The engine's verdict on a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResultVerdict {
    /// It is the attempt's outcome.
    Recorded,
    /// It was recorded before.
    Duplicate,
    /// The attempt has a newer fence: kill, delete, forget.
    Fenced,
    /// Events from this number on are missing: send them, then the result again.
    Need(u64),
}

/// The way to end an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CancelMode {
    /// TERM to the process group, KILL after the grace.
    Term,
    /// KILL without a grace.
    Kill,
}

/// The time at which a runner stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShutdownWhen {
    /// No attempt is left.
    Idle,
    /// At once; attempts are killed.
    Now,
}

/// The reason for the end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CloseCode {
    /// Wrong token. Do not reconnect.
    Auth,
    /// A newer session of the same runner exists.
    Superseded,
    /// No such runner. Exit.
    Unknown,
    /// Versions do not fit.
    Version,
    /// Too busy; reconnect later.
    Overload,
}

// === impl CloseCode ===

impl CloseCode {
    /// The status code with which a WebSocket closes.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Auth => 4401,
            Self::Superseded => 4409,
            Self::Unknown => 4410,
            Self::Version => 4426,
            Self::Overload => 4429,
        }
    }
}

/// Vitals of a runner in its heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunnerVitals {
    /// Attempts that are running.
    pub running: Vec<Claim>,
    /// Resident KiB of the runner itself.
    pub rss_kib: u64,
}
