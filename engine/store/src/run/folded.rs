//! A run read as a whole: its row, its plan, and its journal folded by `plue-flow`.
//!
//! Must not advance a run.

use std::sync::Arc;

use plue_flow::Run;
use plue_plan::{Plan, PlanHash};

use crate::{
    error::Error,
    handles::Plans,
    run::{RunRow, RunSource, StoredRun},
};

/// A run with its plan and its folded journal.
#[derive(Debug)]
pub struct FoldedRun {
    pub row: RunRow,
    pub source: RunSource,
    pub plan: Arc<Plan>,
    /// The state after all facts of the journal.
    pub run: Run,
}

// === impl Plans: parsing ===

impl Plans<'_> {
    /// A plan; [`None`] if there is none with this hash.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if its bytes are no plan, or [`Error`] of the database.
    pub async fn parsed(self, hash: &PlanHash) -> Result<Option<Plan>, Error> {
        let bytes = self.get(hash).await?;
        let plan = bytes.map(|bytes| Plan::from_json(&bytes)).transpose();
        plan.map_err(|problem| Error::Corrupt(format!("plan {hash}: {}", problem.message)))
    }
}

// === impl StoredRun ===

impl StoredRun {
    /// Folds the journal over the plan of the run.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the journal is not one of this plan.
    pub fn fold(self, plan: Arc<Plan>) -> Result<FoldedRun, Error> {
        let run = Run::fold(self.run.id.clone(), Arc::clone(&plan), self.journal)
            .map_err(|error| Error::Corrupt(format!("run {}: {error}", self.run.id)))?;
        Ok(FoldedRun { row: self.run, source: self.source, plan, run })
    }
}
