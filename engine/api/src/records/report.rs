//! The stored report of a commit, as its pull request's page reads it.
//!
//! The server writes it; unknown fields of a newer one are left out.

use plue_plan::{Diagnostic, Event, RunId, diff::PlanDiff};
use serde::{Deserialize, Serialize};

/// The content of a report.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ReportRecord {
    /// Its plans, in the order of their files.
    pub plans: Vec<ReportEntry>,
    /// Remarks for reviewers, such as gained capabilities.
    #[serde(default)]
    pub notices: Vec<String>,
    /// The pull request of the commit; none for a push, and in reports of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<ReportPull>,
}

/// A pull request as the event of its report had it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReportPull {
    /// Title of the pull request.
    pub title: String,
    /// Name of the person whose event it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Branch of the change, with its repository if that is a fork.
    pub head: String,
    /// Branch that takes the change.
    pub base: String,
    /// Address of its page at the forge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl ReportPull {
    /// The pull request of an event, with the address of its page.
    #[must_use]
    pub fn of(event: &Event, url: Option<String>) -> Option<Self> {
        let pull = event.pull_request.as_ref()?;
        let head = match &pull.head.repository {
            Some(fork) if pull.fork => format!("{fork}:{}", pull.head.git_ref),
            _ => pull.head.git_ref.clone(),
        };
        Some(Self {
            title: pull.title.clone(),
            actor: event.actor.clone(),
            head,
            base: pull.base.git_ref.clone(),
            url,
        })
    }
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
