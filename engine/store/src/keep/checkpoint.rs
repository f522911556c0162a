//! Rows of checkpoints: what the steps of a run changed in their workspace, in order.

use std::str::FromStr;

use jiff::Timestamp;
use plue_plan::{RunId, StepId};
use plue_wire::outputs::BlobHash;

use crate::{
    changes::Shards,
    error::Error,
    handles::Checkpoints,
    op::Op,
    sql::{Arg, Row, Statement, Tx},
};

/// Cause of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointKind {
    Step,
    /// One that was left out.
    Skipped,
    /// `plue retry` has put files back.
    Restored,
}

/// A row of `checkpoint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointRow {
    /// Its number in the run, from 1.
    pub seq: u64,
    pub kind: CheckpointKind,
    /// Steps of which a process ran since the one before.
    pub steps: Vec<StepId>,
    /// Blob that lists the changes.
    pub changes: Option<BlobHash>,
    pub files: u64,
    /// Bytes of content in it.
    pub bytes: u64,
    pub note: Option<String>,
    pub at: Timestamp,
}

pub(super) const INSERT: &str = "INSERT INTO checkpoint (run_id, seq, kind, attempt_id, steps, \
    changes, files, bytes, note, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

struct Restored {
    run: RunId,
    changes: BlobHash,
    files: u64,
    at: Timestamp,
}

impl Checkpoints<'_> {
    /// The checkpoints of a run, oldest first.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn list(self, run: &RunId) -> Result<Vec<CheckpointRow>, Error> {
        let text = "SELECT seq, kind, steps, changes, files, bytes, note, at FROM checkpoint \
                    WHERE run_id = $1 ORDER BY seq";
        let rows = self.store.read(Statement::new(text, vec![run.as_str().into()])).await?;
        rows.iter().map(row).collect()
    }

    /// Writes down that files were put back.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn put_restored(
        self,
        run: &RunId,
        changes: BlobHash,
        files: u64,
    ) -> Result<(), Error> {
        let at = self.store.clock().now();
        self.store.write(Restored { run: run.clone(), changes, files, at }).await
    }
}

fn row(row: &Row) -> Result<CheckpointRow, Error> {
    let changes = row.opt_text(3)?.map(|text| text.parse().map_err(Error::Corrupt)).transpose()?;
    Ok(CheckpointRow {
        seq: row.count(0)?,
        kind: row.parse(1)?,
        steps: row.json(2)?,
        changes,
        files: row.count(4)?,
        bytes: row.count(5)?,
        note: row.opt_text(6)?,
        at: row.time(7)?,
    })
}

impl Op for Restored {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        let text = "SELECT COALESCE(MAX(seq), 0) FROM checkpoint WHERE run_id = $1";
        let args = vec![self.run.as_str().into()];
        let last = tx.fetch_optional(Statement::new(text, args)).await?;
        let last = last.map_or(Ok(0), |row| row.int(0))?;
        tx.write(Statement::new(
            INSERT,
            vec![
                self.run.as_str().into(),
                (last + 1).into(),
                "restored".into(),
                Arg::Text(None),
                "[]".into(),
                self.changes.to_string().into(),
                Arg::count(self.files),
                0_i64.into(),
                Arg::Text(None),
                self.at.into(),
            ],
        ));
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::NONE
    }
}

// === impl CheckpointKind ===

impl CheckpointKind {
    /// Every kind with its stored text.
    const ALL: [(Self, &'static str); 3] =
        [(Self::Step, "step"), (Self::Skipped, "skipped"), (Self::Restored, "restored")];
}

impl FromStr for CheckpointKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().find(|(_, name)| *name == text);
        found.map(|(kind, _)| *kind).ok_or_else(|| format!("{text:?} is no kind of checkpoint"))
    }
}
