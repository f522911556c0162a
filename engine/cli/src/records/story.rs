//! The records of `plue explain`.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value as Json;

use super::{AttemptRecord, RunRecord, StepRecord};

/// `plue explain`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Explained {
    /// Always 1.
    pub schema_version: u32,
    /// The run.
    pub run: RunRecord,
    /// What happened to the whole run: started, cancelled, reopened, in order.
    pub events: Vec<Moment>,
    /// The steps in the order of the plan, or the one that was asked for.
    pub steps: Vec<Story>,
    /// Commands that help.
    pub next: Vec<String>,
}

/// One thing that happened.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Moment {
    /// RFC 3339.
    pub at: String,
    /// What, in words.
    pub what: String,
}

/// Why a step is what it is.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Story {
    /// Its row.
    #[serde(flatten)]
    pub row: StepRecord,
    /// What it depends on, and how that ended.
    pub depends_on: Vec<Dependency>,
    /// Its conditions, one for each visit that had one evaluated.
    pub conditions: Vec<Condition>,
    /// All attempts, of older visits too.
    pub tries: Vec<AttemptRecord>,
    /// What else happened: retries with their times, lost runners, loops.
    pub events: Vec<Moment>,
    /// The steps that kept it from running, the nearest first, down to the one that failed.
    pub blocked_by: Vec<Dependency>,
    /// The last lines of its last log, if it failed.
    pub last_lines: Vec<String>,
}

/// A step that another one looks at.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Dependency {
    /// Its id.
    pub step: String,
    /// Its state.
    pub status: String,
    /// Why.
    pub reason: Option<String>,
    /// When it ended, RFC 3339.
    pub ended_at: Option<String>,
}

/// A condition and what it read.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Condition {
    /// The visit.
    pub visit: u32,
    /// The expression.
    pub expression: String,
    /// Its value; absent if it cannot be evaluated.
    pub value: Option<bool>,
    /// Why it cannot be evaluated.
    pub error: Option<String>,
    /// The values it read.
    pub reads: Vec<Read>,
}

/// A value that a condition read.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Read {
    /// What: `steps.test.status`.
    pub path: String,
    /// Its value then.
    pub value: Json,
}
