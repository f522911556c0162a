//! Explanation of the state of a run and its steps.

use jiff::Timestamp;
use plue_store::AttemptRow;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{RunRecord, StepRecord, milliseconds, status::CauseRecord};

/// A run, explained step by step.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ExplainRecord {
    /// The run as lists show it.
    pub run: RunRecord,
    /// Events of the whole run: started, cancelled, reopened, in order.
    pub events: Vec<Moment>,
    /// The steps in the order of the plan, or the one that was asked for.
    pub steps: Vec<Story>,
    /// Commands that may help next.
    pub next: Vec<String>,
    /// Path of the workflow file.
    pub source: String,
    /// The event that started the run.
    pub event: CauseRecord,
}

/// One thing that happened.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Moment {
    /// RFC 3339.
    pub at: String,
    /// The event, in words.
    pub what: String,
}

/// Explanation of a step's state.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Story {
    /// The step as the run shows it.
    #[serde(flatten)]
    pub row: StepRecord,
    /// The steps that it depends on, each with its end.
    pub depends_on: Vec<Dependency>,
    /// Its conditions, one for each visit that had one evaluated.
    pub conditions: Vec<Condition>,
    /// All attempts, of older visits too.
    pub tries: Vec<TryRecord>,
    /// Other events: retries with their times, lost runners, loops.
    pub events: Vec<Moment>,
    /// The steps that kept it from running, the nearest first, down to the one that failed.
    pub blocked_by: Vec<Dependency>,
    /// The last lines of its last log, if it failed.
    pub last_lines: Vec<String>,
}

/// A step that another one looks at.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Dependency {
    /// Its id in the plan.
    pub step: String,
    /// Its status at this time.
    pub status: String,
    /// The reason of its status.
    pub reason: Option<String>,
    /// Time at which it ended, RFC 3339.
    pub ended_at: Option<String>,
}

/// A condition and what it read.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Condition {
    /// The visit of the step that evaluated it.
    pub visit: u32,
    /// The expression, as the workflow has it.
    pub expression: String,
    /// Its value; absent if it cannot be evaluated.
    pub value: Option<bool>,
    /// The error of its evaluation.
    pub error: Option<String>,
    /// The values it read.
    pub reads: Vec<Read>,
}

/// A value that a condition read.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Read {
    /// The path: `steps.test.status`.
    pub path: String,
    /// Its value at that time.
    pub value: Json,
}

/// One attempt of a step.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TryRecord {
    /// Its id, a ULID.
    pub attempt: String,
    /// The visit it belongs to, from 1.
    pub visit: u32,
    /// Its number within the visit, from 1.
    pub number: u32,
    /// `queued`, `assigned`, `running`, `done`, `lost` or `cancelled`.
    pub status: String,
    /// Its outcome, in words.
    pub outcome: Option<String>,
    /// The runner that executed it.
    pub runner: Option<String>,
    /// RFC 3339.
    pub queued_at: String,
    /// RFC 3339, by the runner's clock.
    pub started_at: Option<String>,
    /// RFC 3339, by the runner's clock.
    pub ended_at: Option<String>,
    /// From start to end, in milliseconds.
    pub duration_ms: Option<i64>,
    /// Bytes of its log.
    pub log_bytes: u64,
}

impl TryRecord {
    /// The record of a row.
    #[must_use]
    pub fn of(row: &AttemptRow) -> Self {
        let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
        Self {
            attempt: row.claim.attempt.to_string(),
            visit: row.visit,
            number: row.number,
            status: row.state.to_string(),
            outcome: row.outcome.as_ref().map(ToString::to_string),
            runner: row.runner.as_ref().map(ToString::to_string),
            queued_at: row.queued_at.to_string(),
            started_at: text(row.started_at),
            ended_at: text(row.ended_at),
            duration_ms: milliseconds(row.started_at, row.ended_at),
            log_bytes: row.log_bytes,
        }
    }
}
