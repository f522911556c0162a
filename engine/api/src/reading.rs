//! A run read as a whole: its row, its plan, and its journal folded by `plue-flow`.
//!
//! Must not advance it.

use std::sync::Arc;

use plue_flow::Run;
use plue_plan::{Plan, RunId};
use plue_store::{RunRow, RunSource};

use crate::{problem::Problem, server::Api};

/// A run with its plan and its folded journal.
pub(crate) struct Whole {
    pub(crate) row: RunRow,
    pub(crate) source: RunSource,
    pub(crate) plan: Arc<Plan>,
    pub(crate) run: Run,
}

/// Reads a run that is known to be there.
///
/// # Errors
/// It is gone, or it cannot be read, which is a defect.
pub(crate) async fn whole(api: &Api, id: &RunId) -> Result<Whole, Problem> {
    let gone = || Problem::not_found("run", id.as_str());
    let stored = api.store().runs().load(id).await?.ok_or_else(gone)?;
    let bytes = api.store().plans().get(&stored.run.plan).await?.ok_or_else(gone)?;
    let broken = |error: &dyn std::fmt::Display| {
        tracing::error!(run = %id, %error, "a run cannot be read");
        let status = axum::http::StatusCode::INTERNAL_SERVER_ERROR;
        Problem::new(status, "the run cannot be read")
    };
    let plan = Arc::new(Plan::from_json(&bytes).map_err(|error| broken(&error))?);
    let folded = Run::fold(id.clone(), Arc::clone(&plan), stored.journal);
    let run = folded.map_err(|error| broken(&error))?;
    Ok(Whole { row: stored.run, source: stored.source, plan, run })
}
