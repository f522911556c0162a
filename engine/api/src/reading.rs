//! A run read as a whole: its row, its plan, and its journal folded by `plue-flow`.
//!
//! Must not advance it.

use std::sync::Arc;

use plue_plan::RunId;
use plue_store::run::FoldedRun;

use crate::{problem::Problem, server::Api};

/// Reads a run that is known to be there.
///
/// # Errors
/// It is gone, or it cannot be read, which is a defect.
pub(crate) async fn whole(api: &Api, id: &RunId) -> Result<FoldedRun, Problem> {
    let gone = || Problem::not_found("run", id.as_str());
    let stored = api.store().runs().load(id).await?.ok_or_else(gone)?;
    let plan = api.store().plans().parsed(&stored.run.plan).await;
    let broken = |error: plue_store::Error| match error {
        plue_store::Error::Corrupt(what) => {
            tracing::error!(run = %id, %what, "a run cannot be read");
            let status = axum::http::StatusCode::INTERNAL_SERVER_ERROR;
            Problem::new(status, "the run cannot be read")
        }
        other => Problem::from(other),
    };
    let plan = plan.map_err(broken)?.ok_or_else(gone)?;
    stored.fold(Arc::new(plan)).map_err(broken)
}
