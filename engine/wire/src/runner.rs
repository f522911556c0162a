//! Engine ↔ runner, protocol v7 (`docs/reference/runner-protocol.md`): the runner dials out, the engine
//! assigns attempts under a fence, the runner streams events under one contiguous sequence per
//! attempt and the engine acknowledges them after commit.
//!
//! Enum variants are appended, never reordered: postcard numbers them.

use plue_plan::{AttemptId, RunId, RunnerId, StepId, artifacts::ArtifactRules};
use serde::{Deserialize, Serialize};

use crate::{
    eval::Bytes,
    keep::{Answer, Care, Question},
};

/// Version of this protocol.
pub const PROTOCOL: u32 = 7;
/// The first version with [`ToRunner::Care`] and questions. A runner of version 1 keeps nothing.
pub const KEEPING_PROTOCOL: u32 = 2;
/// The first version with [`Program::Beside`].
pub const SERVICES_PROTOCOL: u32 = 3;
/// The first version with [`ToRunner::Mask`].
pub const MASKS_PROTOCOL: u32 = 4;
/// The first version with [`ToRunner::Rules`].
pub const RULES_PROTOCOL: u32 = 5;
/// The first version with [`Program::Agent`].
pub const AGENT_PROTOCOL: u32 = 6;
/// The first version with [`Program::McpAgent`].
pub const MCP_PROTOCOL: u32 = 7;
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
/// Milliseconds between heartbeats.
pub const HEARTBEAT_MS: u64 = 5_000;

/// A fence: every assignment gets a new, higher one, and whoever shows a lower one is stale.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Fence(pub u64);

/// One assignment: which attempt, under which fence.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// The attempt.
    pub attempt: AttemptId,
    /// Its fence.
    pub fence: Fence,
}

/// Runner → engine.
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
    /// Still here.
    Heartbeat(RunnerVitals),
    /// The runner must stop soon (SIGTERM, preemption): why, and in how many milliseconds.
    Draining(String, u64),
    /// Content and records that are to be kept. Since version 2.
    Ask(Question),
}

/// Engine → runner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToRunner {
    /// Answer to [`FromRunner::Hello`].
    Welcome(Welcome),
    /// Run this.
    Assign(Box<Assign>),
    /// Events up to this sequence number are committed; the runner may forget them.
    Ack(Claim, u64),
    /// The attempt may have this many further bytes in flight.
    Credit(Claim, u64),
    /// What became of a result.
    ResultAck(Claim, ResultVerdict),
    /// End the attempt.
    Cancel(Claim, CancelMode),
    /// Still here.
    Heartbeat,
    /// Finish: now, or when no attempt is left.
    Shutdown(ShutdownWhen),
    /// The connection ends; the code tells whether to come back.
    Close(CloseCode, String),
    /// What is to be kept of an attempt that is assigned next. Since version 2.
    Care(Claim, Box<Care>),
    /// To the oldest question that has no answer yet. Since version 2.
    Answer(Answer),
    /// Secrets of the run: masked in every attempt from now on, and set in none. Since version 4.
    Mask(Vec<Bytes>),
    /// The consequences of missing and lost artifacts for an attempt whose [`ToRunner::Care`] was
    /// sent. Since version 5.
    Rules(Claim, ArtifactRules),
    /// An order to the attendant of an attempt whose program is [`Program::Agent`]. Since version 6.
    Agent(Claim, Box<AgentOrder>),
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
        /// Its output as JSON, at most 1 MiB; whatever is not JSON counts as text.
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
    /// That of the call.
    pub id: String,
    /// Text for the model, at most [`MAX_TOOL_RESULT_BYTES`]; not always UTF-8.
    pub content: Bytes,
    /// Whether the call failed.
    pub is_error: bool,
}

/// Who the runner is and what it still holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`] of the runner.
    pub protocol: u32,
    /// Its row.
    pub runner: RunnerId,
    /// Made anew by every process start; tells a restart in place from a reconnect.
    pub boot: String,
    /// Proves that this process was started for that row.
    pub token: String,
    /// Facts for matching: `os`, `arch`, `cpus`, `memory_mib`, `python`, …
    pub facts: Vec<(String, String)>,
    /// Attempts with events or results that were not acknowledged.
    pub resume: Vec<Resume>,
}

/// An attempt that the runner still holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// Which.
    pub claim: Claim,
    /// Whether its process was started.
    pub started: bool,
    /// The lowest sequence number still in the runner's buffer.
    pub first_seq: u64,
    /// The highest produced.
    pub last_seq: u64,
    /// Whether the attempt has ended (its result is in the buffer).
    pub ended: bool,
}

/// The engine's side of a connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// Counts the sessions of this runner; an engine with a lower one is stale.
    pub epoch: u64,
    /// What to do with each attempt of [`Hello::resume`].
    pub resume: Vec<ResumeVerdict>,
}

/// What the engine wants of an attempt that a runner still holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeVerdict {
    /// Which.
    pub claim: Claim,
    /// What.
    pub verdict: Verdict,
    /// The highest sequence number committed.
    pub acked: u64,
}

/// See [`ResumeVerdict`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Go on; send everything after `acked` again.
    Continue,
    /// The fence is stale: kill, wipe, forget.
    Abandon,
    /// Cancel it, then report as usual.
    Cancel,
}

/// Everything a runner needs for one attempt. Nothing else of the plan reaches it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assign {
    /// Which attempt under which fence.
    pub claim: Claim,
    /// Its run.
    pub run: RunId,
    /// Its step.
    pub step: StepId,
    /// What to execute.
    pub program: Program,
    /// Environment, complete but for what the runner knows itself (`PLUE_OUTPUT`, `PLUE_WORKSPACE`).
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
    /// Bytes of log kept; what is over it is dropped behind a marker.
    pub log_cap_bytes: u64,
}

/// What to execute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Program {
    /// A shell command.
    Shell {
        /// `bash` (run as `bash -euo pipefail`) or `sh` (run as `sh -eu`).
        shell: String,
        /// The command text.
        run: String,
    },
    /// Python source, and a function in it to call.
    PythonCode {
        /// The source.
        code: String,
        /// Called after the source with `args`, if named.
        call: Option<String>,
        /// `sys.argv[1:]`.
        args: Vec<String>,
    },
    /// A Python file of the workspace.
    PythonScript {
        /// Its path, relative to the working directory.
        script: String,
        /// `sys.argv[1:]`.
        args: Vec<String>,
    },
    /// A program that runs while services are up. Since version 3.
    Beside {
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

/// Reads a program without services: a peer must not say how deep a message is nested.
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
        /// [`Program::Beside`], which has its number here and is refused.
        Beside,
        Agent,
        McpAgent {
            servers: Vec<McpServer>,
        },
    }
    Ok(Box::new(match Alone::deserialize(deserializer)? {
        Alone::Shell { shell, run } => Program::Shell { shell, run },
        Alone::PythonCode { code, call, args } => Program::PythonCode { code, call, args },
        Alone::PythonScript { script, args } => Program::PythonScript { script, args },
        Alone::Beside => {
            return Err(serde::de::Error::custom("services beside services are not known"));
        }
        Alone::Agent => Program::Agent,
        Alone::McpAgent { servers } => Program::McpAgent { servers },
    }))
}

/// A process beside the one of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// The command, for `bash`.
    pub run: String,
    /// The TCP port of the machine that is open when it is ready.
    pub port: u16,
    /// Its environment, over that of the step without the step's secrets.
    pub env: Vec<(String, String)>,
    /// Secrets of its environment; masked in the log.
    pub secrets: Vec<(String, Bytes)>,
}

/// An MCP server that is a process beside an agent's attendant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct McpServer {
    /// Its name in the step.
    pub name: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Its environment, over that of the step without the step's secrets.
    pub env: Vec<(String, String)>,
    /// Secrets of its environment; masked in the log and in results.
    pub secrets: Vec<(String, Bytes)>,
}

/// Something happened in an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptEvent {
    /// In which.
    pub claim: Claim,
    /// 1, 2, 3, … without gaps.
    pub seq: u64,
    /// Microseconds since 1970 by the runner's clock; for display only.
    pub at_us: i64,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum EventKind {
    /// The process runs.
    Started {
        /// Its process id on the runner.
        pid: u32,
    },
    /// Bytes of its standard output, at most [`MAX_CHUNK_BYTES`].
    Stdout(Bytes),
    /// Bytes of its standard error, at most [`MAX_CHUNK_BYTES`].
    Stderr(Bytes),
    /// Bytes of log that are missing here, and why (cap reached, buffer lost).
    Gap {
        /// How many.
        bytes: u64,
        /// Why.
        reason: String,
    },
    /// A line for people about what the runner does (never the step's own output).
    Note(String),
    /// A tool call of an agent has ended. Since version 6.
    Tool(ToolResult),
}

/// The end of an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptResult {
    /// Of which.
    pub claim: Claim,
    /// The last number of its sequence.
    pub seq: u64,
    /// When, by the runner's clock, microseconds since 1970.
    pub at_us: i64,
    /// How it ended.
    pub exit: Exit,
    /// The step's output as JSON (an object from `$PLUE_OUTPUT`, else a string), at most 1 MiB.
    pub output_json: String,
    /// Wall-clock microseconds of the process.
    pub wall_us: u64,
    /// CPU microseconds of the process and its children.
    pub cpu_us: u64,
    /// Peak resident KiB.
    pub max_rss_kib: u64,
    /// Processes that outlived the step and were killed.
    pub leaked: u32,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// With this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Stopped by the runner because its time was over.
    TimedOut,
    /// Stopped by the runner because the engine said so.
    Cancelled,
    /// Not started: why. The fault of the step (no such directory, bad output file …).
    Refused(String),
    /// Not started or lost through no fault of the step (no memory, no process id …).
    Infra(String),
}

/// What became of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResultVerdict {
    /// It is the attempt's outcome.
    Recorded,
    /// It was recorded before.
    Duplicate,
    /// Somebody else has the attempt: kill, wipe, forget.
    Fenced,
    /// Events from this number on are missing: send them, then the result again.
    Need(u64),
}

/// How to end an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CancelMode {
    /// TERM to the process group, KILL after the grace.
    Term,
    /// KILL at once.
    Kill,
}

/// When a runner stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShutdownWhen {
    /// When no attempt is left.
    Idle,
    /// Now; attempts are killed.
    Now,
}

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CloseCode {
    /// Wrong token. Do not come back.
    Auth,
    /// A newer session of the same runner exists.
    Superseded,
    /// No such runner. Exit.
    Unknown,
    /// Versions do not fit.
    Version,
    /// Too busy; come back later.
    Overload,
}

/// Signs of life.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunnerVitals {
    /// Attempts that run.
    pub running: Vec<Claim>,
    /// Resident KiB of the runner itself.
    pub rss_kib: u64,
}
