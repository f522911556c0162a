//! Errors of driving a run. A step's failure is a fact of its run, not an error.

use plue_plan::{PlanHash, RunId};
use plue_store::deaths::MAX_DEATHS;

/// The reason that a run cannot be driven now; the run is safe in the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store has no run of this id.
    #[error("there is no run {0}")]
    UnknownRun(RunId),
    /// The plan a run is pinned to is not in the store.
    #[error("the plan {plan} of run {run} is missing from the database")]
    MissingPlan {
        /// Id of the run whose plan is missing.
        run: RunId,
        /// Hash of the plan.
        plan: PlanHash,
    },
    /// The stored plan or journal cannot be read.
    #[error("run {run} cannot be read: {message}")]
    Corrupt {
        /// Id of the run whose plan or journal cannot be read.
        run: RunId,
        /// The parse or fold error.
        message: String,
    },
    /// Another live process drives the run.
    #[error("run {run} is being advanced by another plue process")]
    Busy {
        /// Id of the run that another process drives.
        run: RunId,
    },
    /// The driver lease was lost; another engine may drive the run.
    #[error("run {run} is driven by another engine now")]
    Superseded {
        /// Id of the run that another engine may drive.
        run: RunId,
    },
    /// Another driver commits first, again and again.
    #[error("run {run} is advanced by others, again and again")]
    Overtaken {
        /// Id of the run that another driver advances.
        run: RunId,
    },
    /// Engines have crashed while driving the run, [`MAX_DEATHS`] times in a row.
    #[error("run {run} is set aside: {} times in a row an engine died with it", MAX_DEATHS)]
    SetAside {
        /// Id of the run that is set aside.
        run: RunId,
    },
    /// The request does not fit the state of the run.
    #[error("run {run}: {message}")]
    Refused {
        /// Id of the run whose state does not fit the request.
        run: RunId,
        /// The reason, for people.
        message: String,
    },
    /// Files to be restored were changed outside of the run, or their content was not stored.
    #[error("the files of run {run} cannot be put back: {}", conflicts(outside, lost))]
    Conflict {
        /// Id of the run whose files cannot be restored.
        run: RunId,
        /// Some of the paths that were changed outside of the run.
        outside: Vec<String>,
        /// Some of the paths whose content was not stored.
        lost: Vec<String>,
    },
    /// The database refused or lost a statement.
    #[error("the database refused a write")]
    Store(#[from] plue_store::Error),
    /// The pool has no runner.
    #[error("no runner can be had")]
    Pool(#[from] plue_pool::Error),
    /// A file of the state directory cannot be used.
    #[error("cannot use {path}", path = path.display())]
    State {
        /// Path of the file.
        path: std::path::PathBuf,
        /// The error of the system.
        #[source]
        source: std::io::Error,
    },
}

fn conflicts(outside: &[String], lost: &[String]) -> String {
    let mut parts = Vec::new();
    if !outside.is_empty() {
        parts.push(format!("changed outside of the run: {}", outside.join(", ")));
    }
    if !lost.is_empty() {
        parts.push(format!("content was not kept: {}", lost.join(", ")));
    }
    parts.join("; ")
}
