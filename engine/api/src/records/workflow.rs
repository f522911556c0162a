//! Workflows of watched repositories, and pauses.

use jiff::Timestamp;
use plue_plan::Trigger;
use plue_store::repo::pause::PauseRow;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A workflow at the head of its repository's default branch.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct WorkflowRecord {
    /// The repository of the file.
    pub repository: String,
    /// The path of the workflow file.
    pub file: String,
    /// Name of the plan.
    pub workflow: String,
    /// The commit it was read from.
    pub commit: String,
    /// The triggers of the plan.
    pub triggers: Vec<Trigger>,
    /// The pause of the whole workflow; absent: none is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<PauseRecord>,
    /// The pause of its schedules; absent: none is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_paused: Option<PauseRecord>,
}

/// A pause of a workflow or of its schedules.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PauseRecord {
    /// The principal that paused it.
    pub by: String,
    /// RFC 3339.
    pub since: Timestamp,
    /// The reason that was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

// === impl PauseRecord ===

impl PauseRecord {
    /// The record of a row.
    #[must_use]
    pub fn of(row: &PauseRow) -> Self {
        Self { by: row.paused_by.clone(), since: row.paused_at, reason: row.reason.clone() }
    }
}
