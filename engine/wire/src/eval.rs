//! Engine ↔ evaluator: one request in, one reply out.
//!
//! An evaluation is a pure function of (sources, event, inputs, facts known so far). A child that
//! needs a fact which is not in the request ends with [`EvalOutcome::Needs`]; the engine looks the
//! fact up at the commit, adds it and asks again. The facts of the last request *are* the read-set.
//! Nothing here may be trusted by the engine: plans are parsed and validated again outside.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bounded;

/// Version of this protocol; both sides refuse another one.
pub const PROTOCOL: u32 = 3;
/// Bytes of one source file.
pub const MAX_SOURCE_BYTES: usize = 256 * 1024;
/// Bytes of the workflow file and all modules together.
pub const MAX_BUNDLE_BYTES: usize = 1024 * 1024;
/// Bytes of all facts of one evaluation.
pub const MAX_FACT_BYTES: usize = 16 * 1024 * 1024;
/// Facts of one evaluation.
pub const MAX_FACTS: usize = 1_000;
/// Rounds of asking for facts.
pub const MAX_ROUNDS: usize = 64;
/// Bytes of a pattern of `ctx.glob`.
pub const MAX_PATTERN_BYTES: usize = 1_024;
/// Characters with a meaning of their own in a pattern of `ctx.glob`.
pub const MAX_PATTERN_WILDCARDS: usize = 64;
/// Bytes of a request frame.
pub const MAX_REQUEST_BYTES: usize = 32 * 1024 * 1024;
/// Bytes of a reply frame; the plans in it may be at most 16 MiB.
pub const MAX_REPLY_BYTES: usize = 20 * 1024 * 1024;
/// Bytes of text that a workflow file may print.
pub const MAX_PRINT_BYTES: usize = 64 * 1024;
/// CPU seconds of one evaluation.
pub const MAX_CPU_S: u64 = 1;
/// Bytes of address space that one evaluation may add.
pub const MAX_MEMORY_BYTES: u64 = 256 * 1024 * 1024;
/// Wall-clock milliseconds of an evaluation that has had [`FAIR_CPU_MS`]. On an idle machine CPU time
/// runs out long before; on a busy one this leaves time to start an evaluator and to answer within
/// three seconds.
pub const MAX_WALL_MS: u64 = 2_000;
/// CPU milliseconds, several times the need of an ordinary file. An evaluation that has had less by
/// its deadline is starved by the machine.
pub const FAIR_CPU_MS: u64 = 20;
/// Wall-clock milliseconds of an evaluation that is starved by the machine.
pub const MAX_STARVED_MS: u64 = 6_000;

/// Whether a pattern is short and simple enough for the engine to compile and match.
#[must_use]
pub fn is_pattern_allowed(pattern: &str) -> bool {
    let wild = |c: &char| matches!(c, '*' | '?' | '[' | '{' | ',');
    pattern.len() <= MAX_PATTERN_BYTES
        && pattern.chars().filter(wild).count() <= MAX_PATTERN_WILDCARDS
}

/// First frame from an evaluator, once it is ready for requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvalHello {
    /// [`PROTOCOL`] of the evaluator.
    pub protocol: u32,
    /// Its build, as recorded with every plan:
    /// `3.11.2/x86_64/<policy version> (shared /usr/bin/python3.11)`.
    pub build: String,
    /// Every layer of the jail and whether it holds.
    #[serde(deserialize_with = "bounded::list")]
    pub layers: Vec<Layer>,
}

/// One layer of the jail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// `seccomp`, `landlock`, `no_new_privs`, `rlimits`, `uid`, `bounding_set`, `tsc`, `audit_hook`, …
    pub name: String,
    /// Whether it is on and was seen to work.
    pub state: LayerState,
}

/// The state of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LayerState {
    /// On; with the check that proved it.
    On(String),
    /// Not available here, and the operator allowed its absence by name.
    Allowed(String),
    /// Not available here. The evaluator refuses to work.
    Missing(String),
}

/// Asks for the plans of one workflow file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvalRequest {
    /// Echoed in the reply.
    pub id: u64,
    /// Path of the workflow file, a key of `sources`.
    pub entry: String,
    /// Raw bytes of the workflow file and of every `.plue/lib/*.py`, by path.
    pub sources: BTreeMap<String, Bytes>,
    /// The event as JSON (`plue_plan::Event`), or none when the workflow is only listed.
    pub event_json: Option<String>,
    /// Whether the event is left out until the file asks for it with [`Need::Event`].
    pub withholds_event: bool,
    /// The run's inputs as a JSON object.
    pub inputs_json: String,
    /// Facts about the commit that are known so far.
    pub facts: Facts,
    /// Whether to continue after the first problem of the file, so that all of them are found.
    pub survey: bool,
}

/// Bytes that travel as bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(#[serde(with = "serde_bytes")] pub Vec<u8>);

/// The facts about the commit that an evaluation has used: its read-set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Facts {
    /// Answers to `ctx.read` and `ctx.exists`.
    pub files: BTreeMap<String, FileFact>,
    /// Answers to `ctx.glob`: sorted paths by pattern.
    pub globs: BTreeMap<String, Vec<String>>,
    /// Answer to `ctx.changed_files`, sorted.
    pub changed_files: Option<Vec<String>>,
}

/// The facts about one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileFact {
    /// A file with this UTF-8 content.
    Text(String),
    /// A file that is not UTF-8, or too large to read: reading it is an error.
    NotText,
    /// It exists; the content was not asked for.
    Present,
    /// No such file in the commit.
    Absent,
}

/// A fact that an evaluation lacks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Need {
    /// The content of a file.
    Read(String),
    /// Whether a path exists.
    Exists(String),
    /// The paths that match a pattern.
    Glob(String),
    /// The files that the event changed.
    ChangedFiles,
    /// The event, or that there is none.
    Event,
}

/// The answer to one request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvalReply {
    /// Id of the request.
    pub id: u64,
    /// The outcome of the evaluation.
    pub outcome: EvalOutcome,
    /// Text that the file printed, at most [`MAX_PRINT_BYTES`].
    pub printed: String,
    /// Resources that the evaluation used.
    pub usage: Usage,
}

/// The outcome of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum EvalOutcome {
    /// The plans, in the order returned.
    Plans(#[serde(deserialize_with = "bounded::list")] Vec<RawPlan>),
    /// Facts that are missing; ask again with them.
    Needs(#[serde(deserialize_with = "bounded::list")] Vec<Need>),
    /// The file is at fault: JSON of a `Vec<plue_plan::Diagnostic>`, never empty.
    Failed {
        /// JSON of a `Vec<plue_plan::Diagnostic>`, never empty.
        diagnostics_json: String,
    },
    /// The findings of a survey.
    Surveyed {
        /// JSON of a `Vec<plue_plan::Diagnostic>`.
        diagnostics_json: String,
        /// The plans without the faulty parts of the file; never to be run.
        #[serde(deserialize_with = "bounded::list")]
        drafts: Vec<RawPlan>,
    },
    /// The child was ended from outside.
    Killed(Killed),
}

/// A plan as the child built it, untrusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawPlan {
    /// JSON of the IR.
    pub plan_json: String,
    /// JSON of a `plue_plan::validate::SourceMap`.
    pub places_json: String,
}

/// The reason for which a child was killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Killed {
    /// Over the limit of [`MAX_CPU_S`].
    Cpu,
    /// Over the limit of [`MAX_MEMORY_BYTES`].
    Memory,
    /// Over the limit of [`MAX_WALL_MS`].
    Wall,
    /// Tried something the jail forbids: the name of the layer and of the thing, if known.
    Denied(String),
    /// Died otherwise: signal or exit status in words.
    Crashed(String),
    /// Sent a reply that is no reply, or one over [`MAX_REPLY_BYTES`].
    BadReply(String),
}

/// Resources that an evaluation used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// CPU microseconds of the child.
    pub cpu_us: u64,
    /// Wall-clock microseconds from fork to reaped.
    pub wall_us: u64,
    /// Peak resident KiB of the child.
    pub max_rss_kib: u64,
}
