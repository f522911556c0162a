//! Rows of artifacts, one per file.

use jiff::Timestamp;
use plue_plan::{AttemptId, RunId, StepId};
use plue_wire::outputs::BlobHash;

use crate::{
    changes::Shards,
    error::Error,
    handles::Artifacts,
    op::Op,
    sql::{Row, Statement, Tx},
};

/// A file that an attempt has left behind on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactRow {
    pub step: StepId,
    /// The step's visit, from 1.
    pub visit: u32,
    /// The attempt's number within the visit, from 1.
    pub number: u32,
    pub attempt: AttemptId,
    /// Relative to the workspace.
    pub path: String,
    pub blob: BlobHash,
    /// Its bytes.
    pub bytes: u64,
    /// Whether it may be executed.
    pub executable: bool,
    pub created_at: Timestamp,
    /// Time of the expiry of its content.
    pub expired_at: Option<Timestamp>,
}

struct Expire {
    created_before: Timestamp,
    now: Timestamp,
}

pub(super) const COLUMNS: &str = "step_id, visit, number, attempt_id, path, hash, size, executable, \
                                  created_at, expired_at";

impl Artifacts<'_> {
    /// The artifacts of a run in the order of steps and paths: those of all attempts.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn list(self, run: &RunId) -> Result<Vec<ArtifactRow>, Error> {
        let text = format!(
            "SELECT {COLUMNS} FROM artifact WHERE run_id = $1 \
             ORDER BY step_id, visit, number, path"
        );
        let rows = self.store.read(Statement::new(text, vec![run.as_str().into()])).await?;
        rows.iter().map(row).collect()
    }

    /// The artifacts of one attempt in the order of their paths.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn of_attempt(
        self,
        run: &RunId,
        attempt: &AttemptId,
    ) -> Result<Vec<ArtifactRow>, Error> {
        let text = format!(
            "SELECT {COLUMNS} FROM artifact WHERE run_id = $1 AND attempt_id = $2 ORDER BY path"
        );
        let args = vec![run.as_str().into(), attempt.as_str().into()];
        let rows = self.store.read(Statement::new(text, args)).await?;
        rows.iter().map(row).collect()
    }

    /// Expires the content of artifacts that were stored before this time. Their rows stay with
    /// their run. Returns their number.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn expire(self, created_before: Timestamp) -> Result<u64, Error> {
        self.store.write(Expire { created_before, now: self.store.clock().now() }).await
    }
}

pub(super) fn row(row: &Row) -> Result<ArtifactRow, Error> {
    Ok(ArtifactRow {
        step: StepId::new(row.text(0)?),
        visit: row.small(1)?,
        number: row.small(2)?,
        attempt: AttemptId::new(row.text(3)?),
        path: row.text(4)?,
        blob: row.parse(5)?,
        bytes: row.count(6)?,
        executable: row.count(7)? != 0,
        created_at: row.time(8)?,
        expired_at: row.opt_time(9)?,
    })
}

impl Op for Expire {
    type Out = u64;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<u64, Error> {
        let text = "SELECT COUNT(*) FROM artifact WHERE expired_at IS NULL AND created_at < $1";
        let args = vec![self.created_before.into()];
        let row = tx.fetch_optional(Statement::new(text, args)).await?;
        let count = row.map_or(Ok(0), |row| row.count(0))?;
        if count > 0 {
            tx.write(Statement::new(
                "UPDATE artifact SET expired_at = $2 WHERE expired_at IS NULL AND created_at < $1",
                vec![self.created_before.into(), self.now.into()],
            ));
        }
        Ok(count)
    }

    fn touched(&self, _: &u64) -> Shards {
        Shards::NONE
    }
}
