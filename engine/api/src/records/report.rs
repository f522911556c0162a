//! The stored report of a commit, as its pull request's page reads it.
//!
//! The server writes it; unknown fields of a newer one are left out.

use plue_plan::{Diagnostic, RunId, diff::PlanDiff};
use serde::{Deserialize, Serialize};

/// The content of a report.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ReportRecord {
    /// Its plans, in the order of their files.
    pub plans: Vec<ReportEntry>,
    /// Remarks for reviewers, such as gained capabilities.
    #[serde(default)]
    pub notices: Vec<String>,
}

/// A plan, or an invalid workflow file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportEntry {
    /// Path of the workflow file.
    pub file: String,
    /// Name of the plan, or of the file.
    pub name: String,
    /// Outcome of the event for it.
    #[serde(rename = "fate")]
    pub outcome: ReportOutcome,
    /// Change against the base.
    pub change: ReportChange,
}

/// Outcome of an event for a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportOutcome {
    /// A run was submitted.
    Run(RunId),
    /// No trigger fired; the reason.
    Skipped(String),
    /// A maintainer must allow the commit; the reason.
    Held(String),
    /// The workflow file or its checkout is invalid.
    Invalid(Vec<Diagnostic>),
}

/// Change of a plan against the base.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportChange {
    /// No change, or no comparison.
    Unchanged,
    /// The plan is new.
    New,
    /// The plan is deleted.
    Removed,
    /// Both have the plan, and it differs.
    Changed(PlanDiff),
}
