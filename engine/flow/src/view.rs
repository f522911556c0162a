//! Views: the rows that show a run and its steps, derived from the state and from nothing else.

use plue_plan::{AttemptId, StepId};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{
    fact::Reason,
    status::{AttemptStatus, RunStatus, StepStatus},
};

/// Values of the `run` row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunView {
    /// The status after the last fact.
    pub status: RunStatus,
    /// Cause of the status, unless the status explains itself.
    pub reason: Option<String>,
    /// Time of the first start.
    pub started_at: Option<jiff::Timestamp>,
    /// Time of the end; absent while the run is open.
    pub ended_at: Option<jiff::Timestamp>,
}

/// Values of a `step` row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepView {
    /// Id of the step.
    pub step: StepId,
    /// Its state in the current visit.
    pub status: StepStatus,
    /// Cause of the status.
    pub reason: Option<Reason>,
    /// The current visit, from 1.
    pub visit: u32,
    /// Attempts in this visit so far.
    pub attempts: u32,
    /// Time at which its dependencies had ended.
    pub ready_at: Option<jiff::Timestamp>,
    /// Start of the current attempt.
    pub started_at: Option<jiff::Timestamp>,
    /// End of the current visit.
    pub ended_at: Option<jiff::Timestamp>,
    /// Output of the last ended attempt.
    pub output: Json,
}

/// The values of a step that expressions read, borrowed: an output may be a megabyte.
#[derive(Debug, Clone, Copy)]
pub struct StepValuesView<'r> {
    /// Id of the step.
    pub step: &'r StepId,
    /// Its state in the current visit.
    pub status: StepStatus,
    /// Cause of the status.
    pub reason: Option<&'r Reason>,
    /// The current visit, from 1.
    pub visit: u32,
    /// Attempts in this visit so far.
    pub attempts: u32,
    /// Output of the last ended attempt.
    pub output: &'r Json,
}

/// Values of an `attempt` row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptView {
    /// Attempt id: `{run}:{step}:{visit}:{number}`.
    pub attempt: AttemptId,
    /// Step of the attempt.
    pub step: StepId,
    /// The visit it belongs to, from 1.
    pub visit: u32,
    /// Its number within the visit, from 1.
    pub number: u32,
    /// Current status of the attempt.
    pub status: AttemptStatus,
    /// Stop request: `Some(false)` terminates, `Some(true)` kills.
    pub stop: Option<bool>,
}
