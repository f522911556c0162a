//! Recording: one transaction that checks the claim and writes.

use jiff::Timestamp;
use plue_plan::{AttemptId, RunId, StepId};
use plue_wire::{
    outputs::{ArtifactFile, CheckpointRecord, Record},
    runner::Claim,
};

use crate::{
    attempt::Held,
    changes::Shards,
    error::Error,
    handles::Outputs,
    op::Op,
    run::RunSource,
    sql::{Arg, Row, Statement, Tx, insert_rows},
};

/// A runner's record, with what only the engine knows.
#[derive(Debug, Clone)]
pub struct NewRecord {
    pub claim: Claim,
    pub record: Record,
    /// Scope of the caches and pure results that this run writes.
    pub scope: String,
    pub at: Timestamp,
}

/// Outcome of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It is recorded, now or before.
    Yes,
    /// Another runner has the attempt, or it has ended.
    Stale,
}

/// A sentence about an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteRow {
    pub step: StepId,
    pub attempt: AttemptId,
    pub text: String,
    pub at: Timestamp,
}

/// The attempt of a claim that holds.
struct Owner {
    run: String,
    step: String,
    visit: i64,
    number: i64,
}

impl Outputs<'_> {
    /// Records something of an attempt, once, if its claim holds.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn record(self, record: NewRecord) -> Result<Recorded, Error> {
        self.store.write(record).await
    }

    /// Source of a run.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn source_of_run(self, run: &RunId) -> Result<Option<RunSource>, Error> {
        let text = "SELECT source, event, inputs, origin FROM run_source WHERE run_id = $1";
        let row = self.store.read_one(Statement::new(text, vec![run.as_str().into()])).await?;
        let source = |row: Row| {
            Ok(RunSource {
                source: row.text(0)?,
                event: row.json(1)?,
                inputs: row.json(2)?,
                origin: row.json(3)?,
            })
        };
        row.map(source).transpose()
    }

    /// Notes about the attempts of a run, oldest first.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn notes(self, run: &RunId) -> Result<Vec<NoteRow>, Error> {
        let text = "SELECT step_id, attempt_id, text, at FROM attempt_note WHERE run_id = $1 \
                    ORDER BY at, attempt_id, text";
        let rows = self.store.read(Statement::new(text, vec![run.as_str().into()])).await?;
        let note = |row: &Row| {
            Ok(NoteRow {
                step: StepId::new(row.text(0)?),
                attempt: AttemptId::new(row.text(1)?),
                text: row.text(2)?,
                at: row.time(3)?,
            })
        };
        rows.iter().map(note).collect()
    }
}

impl Op for NewRecord {
    type Out = Recorded;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Recorded, Error> {
        let held = tx.fetch_optional(Held::lock(tx.dialect(), &self.claim.attempt)).await?;
        let held = held.map(|row| Held::from_row(&row, 0)).transpose()?.flatten();
        if !held.is_some_and(|held| held.is_held_by(&self.claim)) {
            return Ok(Recorded::Stale);
        }
        let text = "SELECT run_id, step_id, visit, number FROM attempt WHERE id = $1";
        let args = vec![self.claim.attempt.as_str().into()];
        let Some(row) = tx.fetch_optional(Statement::new(text, args)).await? else {
            return Ok(Recorded::Stale);
        };
        let owner = Owner {
            run: row.text(0)?,
            step: row.text(1)?,
            visit: row.int(2)?,
            number: row.int(3)?,
        };
        match &self.record {
            Record::Artifacts(files) => self.artifacts(tx, &owner, files),
            Record::Cache { key, archive, bytes, files } => {
                tx.write(Statement::new(
                    "INSERT INTO cache_entry (scope, key, archive, size, files, run_id, step_id, \
                     created_at, used_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) \
                     ON CONFLICT (scope, key) DO UPDATE SET archive = excluded.archive, \
                     size = excluded.size, files = excluded.files, run_id = excluded.run_id, \
                     step_id = excluded.step_id, created_at = excluded.created_at, \
                     used_at = excluded.used_at, evicted_at = NULL, evicted_for = NULL \
                     WHERE cache_entry.archive IS NULL",
                    vec![
                        self.scope.as_str().into(),
                        key.as_str().into(),
                        archive.to_string().into(),
                        Arg::count(*bytes),
                        Arg::count(*files),
                        owner.run.as_str().into(),
                        owner.step.as_str().into(),
                        self.at.into(),
                    ],
                ));
            }
            Record::Checkpoint(checkpoint) => self.checkpoint(tx, &owner, checkpoint).await?,
            Record::Pure(key) => tx.write(Statement::new(
                "INSERT INTO pure_result (scope, key, attempt_id, run_id, created_at) \
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT (scope, key) DO UPDATE SET \
                 attempt_id = excluded.attempt_id, run_id = excluded.run_id, \
                 created_at = excluded.created_at",
                vec![
                    self.scope.as_str().into(),
                    key.to_string().into(),
                    self.claim.attempt.as_str().into(),
                    owner.run.as_str().into(),
                    self.at.into(),
                ],
            )),
            Record::Note(text) => tx.write(Statement::new(
                "INSERT INTO attempt_note (run_id, attempt_id, step_id, text, at) \
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT (run_id, attempt_id, text) DO NOTHING",
                vec![
                    owner.run.as_str().into(),
                    self.claim.attempt.as_str().into(),
                    owner.step.as_str().into(),
                    text.as_str().into(),
                    self.at.into(),
                ],
            )),
        }
        Ok(Recorded::Yes)
    }

    fn touched(&self, _: &Recorded) -> Shards {
        Shards::NONE
    }
}

// === impl NewRecord ===

impl NewRecord {
    fn artifacts(&self, tx: &mut Tx<'_>, owner: &Owner, files: &[ArtifactFile]) {
        let rows = files.iter().map(|file| {
            vec![
                owner.run.as_str().into(),
                self.claim.attempt.as_str().into(),
                owner.step.as_str().into(),
                owner.visit.into(),
                owner.number.into(),
                file.path.as_str().into(),
                file.blob.to_string().into(),
                Arg::count(file.bytes),
                i64::from(file.executable).into(),
                self.at.into(),
            ]
        });
        tx.write_all(insert_rows(
            "INSERT INTO artifact (run_id, attempt_id, step_id, visit, number, path, hash, size, \
             executable, created_at) VALUES",
            10,
            rows.collect(),
            "ON CONFLICT (run_id, attempt_id, path) DO NOTHING",
        ));
    }

    async fn checkpoint(
        &self,
        tx: &mut Tx<'_>,
        owner: &Owner,
        record: &CheckpointRecord,
    ) -> Result<(), Error> {
        // One for each claim: a record that was sent again is the same one.
        let text = "SELECT COALESCE(MAX(seq), 0), COUNT(CASE WHEN attempt_id = $2 THEN 1 END) \
                    FROM checkpoint WHERE run_id = $1";
        let mark = format!("{}#{}", self.claim.attempt, self.claim.fence.0);
        let args = vec![owner.run.as_str().into(), mark.as_str().into()];
        let row = tx.fetch_optional(Statement::new(text, args)).await?;
        let row = row.ok_or_else(|| Error::Corrupt("no count".to_owned()))?;
        if row.int(1)? > 0 {
            return Ok(());
        }
        let kind = if record.changes.is_some() { "step" } else { "skipped" };
        tx.write(Statement::new(
            super::checkpoint::INSERT,
            vec![
                owner.run.as_str().into(),
                (row.int(0)? + 1).into(),
                kind.into(),
                mark.into(),
                Arg::json(&record.steps)?,
                record.changes.map(|changes| changes.to_string()).into(),
                Arg::count(record.files),
                Arg::count(record.bytes),
                record.note.clone().into(),
                self.at.into(),
            ],
        ));
        Ok(())
    }
}
