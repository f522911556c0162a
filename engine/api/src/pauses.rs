//! Pauses of workflows and schedules: what can be paused, and how a pause is worded everywhere.
//!
//! Must not decide what a pause keeps from running: the server does.

use jiff::Timestamp;
use plue_plan::{Code, Diagnostic, Trigger};
use plue_store::{
    Error, RegisteredRow, Store,
    repo::pause::{PauseRow, PauseScope},
};

use crate::records::workflow::{PauseRecord, WorkflowRecord};

/// A workflow is paused.
pub const PAUSED: Code = Code::new("PLUE-C0030");
/// Characters of the reason of a pause.
pub const MAX_REASON: usize = 500;

/// A workflow, or its schedules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PauseTarget {
    /// Name of the watched repository.
    pub repo: String,
    /// Name of the plan.
    pub workflow: String,
    /// Everything that starts the workflow, or its schedules only.
    pub scope: PauseScope,
}

/// A pause that is not checked or stored yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPause {
    /// Workflow or schedules to pause.
    pub target: PauseTarget,
    /// Name of the principal that pauses it, shown with the pause.
    pub by: String,
    /// Reason for people, at most [`MAX_REASON`] characters; a blank one is dropped.
    pub reason: Option<String>,
    /// Start of the pause, shown with it.
    pub at: Timestamp,
}

/// Error of [`pause`] and [`resume`].
#[derive(Debug, thiserror::Error)]
pub enum PauseError {
    /// The default branch of the repository has no such workflow.
    #[error("{repo} has no workflow `{workflow}`; its workflows are {known}")]
    UnknownWorkflow {
        /// Name of the repository that was searched.
        repo: String,
        /// The name that was given.
        workflow: String,
        /// The names there are.
        known: String,
    },
    /// The workflow has no schedule.
    #[error("the workflow `{0}` has no schedule")]
    NoSchedule(String),
    /// The reason is too long.
    #[error("a reason has at most {MAX_REASON} characters")]
    LongReason,
    /// It is not paused.
    #[error("{0} is not paused")]
    NotPaused(String),
    /// Error of the database.
    #[error(transparent)]
    Store(#[from] Error),
}

// === impl PauseTarget ===

impl PauseTarget {
    /// The target in words: "the workflow `CI` of acme/app".
    #[must_use]
    pub fn words(&self) -> String {
        let what = match self.scope {
            PauseScope::Workflow => "the workflow",
            PauseScope::Schedule => "the schedule of",
        };
        format!("{what} `{}` of {}", self.workflow, self.repo)
    }
}

/// Pauses a workflow or its schedules; `false`: it was paused already.
///
/// # Errors
/// There is nothing to pause, or the database.
pub async fn pause(store: &Store, new: NewPause) -> Result<bool, PauseError> {
    let NewPause { target, by, reason, at } = new;
    let reason = reason.filter(|reason| !reason.trim().is_empty());
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > MAX_REASON) {
        return Err(PauseError::LongReason);
    }
    let rows = store.repos().registered(Some(std::slice::from_ref(&target.repo))).await?;
    let named: Vec<&RegisteredRow> =
        rows.iter().filter(|row| row.workflow == target.workflow).collect();
    if named.is_empty() {
        let known: Vec<String> = rows.iter().map(|row| format!("`{}`", row.workflow)).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let PauseTarget { repo, workflow, .. } = target;
        return Err(PauseError::UnknownWorkflow { repo, workflow, known });
    }
    let has_schedule = named.iter().flat_map(|row| &row.triggers).any(is_schedule);
    if target.scope == PauseScope::Schedule && !has_schedule {
        return Err(PauseError::NoSchedule(target.workflow));
    }
    let row = PauseRow {
        repo: target.repo,
        workflow: target.workflow,
        scope: target.scope,
        paused_by: by,
        paused_at: at,
        reason,
        resumed_at: None,
    };
    Ok(store.pauses().add(row).await?)
}

/// Ends a pause.
///
/// # Errors
/// It is not paused, or the database.
pub async fn resume(store: &Store, target: &PauseTarget, at: Timestamp) -> Result<(), PauseError> {
    let PauseTarget { repo, workflow, scope } = target;
    match store.pauses().remove(repo, workflow, *scope, at).await? {
        true => Ok(()),
        false => Err(PauseError::NotPaused(target.words())),
    }
}

/// The workflows of these repositories, or of all, as the heads of their default branches have them.
///
/// # Errors
/// The database.
pub async fn workflows(
    store: &Store,
    repos: Option<&[String]>,
) -> Result<Vec<WorkflowRecord>, Error> {
    let (rows, pauses) =
        (store.repos().registered(repos).await?, store.pauses().list(repos).await?);
    let record = |row: RegisteredRow| {
        let paused = in_force(&pauses, &row.repo, &row.workflow, PauseScope::Workflow);
        let schedule = in_force(&pauses, &row.repo, &row.workflow, PauseScope::Schedule);
        WorkflowRecord {
            paused: paused.map(PauseRecord::of),
            schedule_paused: schedule.map(PauseRecord::of),
            repository: row.repo,
            file: row.file,
            workflow: row.workflow,
            commit: row.sha,
            triggers: row.triggers,
        }
    };
    Ok(rows.into_iter().map(record).collect())
}

/// The pause of a workflow or of its schedules that is in force.
#[must_use]
pub fn in_force<'p>(
    pauses: &'p [PauseRow],
    repo: &str,
    workflow: &str,
    scope: PauseScope,
) -> Option<&'p PauseRow> {
    pauses.iter().find(|row| {
        row.is_paused() && row.scope == scope && row.repo == repo && row.workflow == workflow
    })
}

/// A pause in words: "paused by ada since …: broken [PLUE-C0030]".
#[must_use]
pub fn words(row: &PauseRow) -> String {
    let what = match row.scope {
        PauseScope::Workflow => "paused",
        PauseScope::Schedule => "schedule paused",
    };
    let why = row.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    format!("{what} by {} since {}{why} [{PAUSED}]", row.paused_by, row.paused_at)
}

/// The problem of a run that is asked for while its workflow is paused.
#[must_use]
pub fn problem(row: &PauseRow) -> Diagnostic {
    let why = row.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    let message = format!(
        "the workflow `{}` of {} is paused by {} since {}{why}",
        row.workflow, row.repo, row.paused_by, row.paused_at
    );
    let hint = format!("plue workflow resume {:?} --repo {}", row.workflow, row.repo);
    Diagnostic::error(PAUSED, message).hint(hint)
}

fn is_schedule(trigger: &Trigger) -> bool {
    matches!(trigger, Trigger::Schedule { .. })
}
