//! What stops a run from being advanced. None of these is the author's fault; a step's failure is a
//! fact of its run, not an error.

use plue_plan::{PlanHash, RunId};
use plue_store::deaths::MAX_DEATHS;

/// Why a run cannot be advanced now. The run itself is safe in the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such run.
    #[error("there is no run {0}")]
    UnknownRun(RunId),
    /// The plan a run is pinned to is not in the store.
    #[error("the plan {plan} of run {run} is missing from the database")]
    MissingPlan {
        /// Id of the run whose plan is missing.
        run: RunId,
        /// Its plan.
        plan: PlanHash,
    },
    /// The stored plan or journal cannot be read.
    #[error("run {run} cannot be read: {message}")]
    Corrupt {
        /// Id of the run whose plan or journal cannot be read.
        run: RunId,
        /// What is wrong.
        message: String,
    },
    /// Another live process advances the run.
    #[error("run {run} is being advanced by another plue process")]
    Busy {
        /// Id of the run that another process advances.
        run: RunId,
    },
    /// This engine was taken for dead, and another one may drive the run.
    #[error("run {run} is driven by another engine now")]
    Superseded {
        /// Id of the run that another engine may drive.
        run: RunId,
    },
    /// Others advance the run each time before this engine can.
    #[error("run {run} is advanced by others, again and again")]
    Overtaken {
        /// Id of the run that others advance.
        run: RunId,
    },
    /// Engines died with it, again and again.
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
        /// Why.
        message: String,
    },
    /// Files that would have to be put back were changed outside of the run, or their content was
    /// not kept.
    #[error("the files of run {run} cannot be put back: {}", told(outside, lost))]
    Conflict {
        /// Id of the run whose files cannot be put back.
        run: RunId,
        /// Changed outside of the run; some of them.
        outside: Vec<String>,
        /// Content not kept; some of them.
        lost: Vec<String>,
    },
    /// The database did not answer.
    #[error("the database refused a write")]
    Store(#[from] plue_store::Error),
    /// No runner can be had.
    #[error("no runner can be had")]
    Pool(#[from] plue_pool::Error),
    /// A file of the state directory cannot be used.
    #[error("cannot use {path}", path = path.display())]
    State {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

fn told(outside: &[String], lost: &[String]) -> String {
    let mut parts = Vec::new();
    if !outside.is_empty() {
        parts.push(format!("changed outside of the run: {}", outside.join(", ")));
    }
    if !lost.is_empty() {
        parts.push(format!("content was not kept: {}", lost.join(", ")));
    }
    parts.join("; ")
}
