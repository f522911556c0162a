//! Views: the rows that show a run and its steps, derived from the state and from nothing else.

use plue_plan::{AttemptId, StepId};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{
    fact::Reason,
    status::{AttemptStatus, RunStatus, StepStatus},
};

/// What the `run` row says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunView {
    /// Its state.
    pub status: RunStatus,
    /// Why, if there is something to say.
    pub reason: Option<String>,
    /// When it started.
    pub started_at: Option<jiff::Timestamp>,
    /// When it ended.
    pub ended_at: Option<jiff::Timestamp>,
}

/// What a `step` row says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepView {
    /// The step.
    pub step: StepId,
    /// Its state in the current visit.
    pub status: StepStatus,
    /// Why.
    pub reason: Option<Reason>,
    /// The current visit, from 1.
    pub visit: u32,
    /// Attempts in this visit so far.
    pub attempts: u32,
    /// When its dependencies had ended.
    pub ready_at: Option<jiff::Timestamp>,
    /// When its current attempt started.
    pub started_at: Option<jiff::Timestamp>,
    /// When it ended.
    pub ended_at: Option<jiff::Timestamp>,
    /// Its output.
    pub output: Json,
}

/// What an `attempt` row says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptView {
    /// Its id: `{run}:{step}:{visit}:{number}`.
    pub attempt: AttemptId,
    /// Its step.
    pub step: StepId,
    /// The visit it belongs to, from 1.
    pub visit: u32,
    /// Its number within the visit, from 1.
    pub number: u32,
    /// Its state.
    pub status: AttemptStatus,
    /// Whether it was asked to stop; `true`: to be killed.
    pub stop: Option<bool>,
}
