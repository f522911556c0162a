//! Results of pure steps, by key.

use plue_plan::{AttemptId, RunId, StepId};
use plue_wire::outputs::BlobHash;
use serde_json::Value as Json;

use super::artifact::{self, ArtifactRow};
use crate::{error::Error, handles::Caches, sql::Statement};

/// An attempt whose result can be taken again.
#[derive(Debug, Clone, PartialEq)]
pub struct PureFound {
    pub run: RunId,
    pub step: StepId,
    pub attempt: AttemptId,
    pub output: Json,
    pub artifacts: Vec<ArtifactRow>,
}

impl Caches<'_> {
    /// The attempt that gave the result of a key, in the first scope that knows it: one that has ended
    /// well, whose output and files are all still there.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn find_pure(
        self,
        scopes: &[String],
        key: &BlobHash,
    ) -> Result<Option<PureFound>, Error> {
        for scope in scopes {
            let text = "SELECT a.id, a.run_id, a.step_id, a.visit FROM pure_result p \
                        JOIN attempt a ON a.id = p.attempt_id \
                        WHERE p.scope = $1 AND p.key = $2 AND a.state = 'done'";
            let args = vec![scope.as_str().into(), key.to_string().into()];
            let Some(row) = self.store.read_one(Statement::new(text, args)).await? else {
                continue;
            };
            let attempt = AttemptId::new(row.text(0)?);
            let (run, step) = (RunId::new(row.text(1)?), StepId::new(row.text(2)?));
            let Some(output) = self.output_of(&run, &attempt).await? else { continue };
            let columns = artifact::COLUMNS;
            let text =
                format!("SELECT {columns} FROM artifact WHERE attempt_id = $1 ORDER BY path");
            let rows = self.store.read(Statement::new(text, vec![attempt.as_str().into()])).await?;
            let artifacts = rows.iter().map(artifact::row).collect::<Result<Vec<_>, _>>()?;
            let blobs: Vec<_> = artifacts.iter().map(|file| file.blob).collect();
            let is_whole = artifacts.iter().all(|file| file.expired_at.is_none())
                && self.store.blobs().missing(&blobs).await?.is_empty();
            if is_whole {
                return Ok(Some(PureFound { run, step, attempt, output, artifacts }));
            }
        }
        Ok(None)
    }

    /// The output of an attempt that succeeded, from the journal: the step's row shows only the last.
    async fn output_of(self, run: &RunId, attempt: &AttemptId) -> Result<Option<Json>, Error> {
        let text = "SELECT fact FROM journal WHERE run_id = $1 ORDER BY seq";
        for row in self.store.read(Statement::new(text, vec![run.as_str().into()])).await? {
            if let plue_flow::Fact::AttemptEnded {
                attempt: ended,
                outcome: plue_flow::fact::Outcome::Success,
                output,
                ..
            } = row.json(0)?
                && ended == *attempt
            {
                return Ok(Some(output));
            }
        }
        Ok(None)
    }
}
