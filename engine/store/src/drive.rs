//! Who drives a run, where several engines share a database: an engine that takes a run gets a fence,
//! and each commit to the run's journal carries it ([`crate::RunCommit::drive`]).
//!
//! The right to drive lasts as long as the engine does (see engine.rs): there is nothing to renew for each
//! run.

use plue_plan::RunId;

use crate::{
    changes::Shards,
    error::Error,
    op::Op,
    run::{RUN_COLUMNS, RunRow, run_row},
    sql::{Arg, Dialect, Statement, Tx},
    store::Store,
};

/// The right to drive a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drive {
    /// The run.
    pub run: RunId,
    /// Who has it.
    pub engine: String,
    /// Grows with each driver of the run.
    pub fence: u64,
}

/// A request for runs that nobody drives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriveRequest {
    /// The engine that wants them.
    pub engine: String,
    /// Runs that the engine drives at most; those that wait for somebody do not count.
    pub max: usize,
    /// Runs of one repository that all engines together drive at most, likewise.
    pub per_repo: Option<usize>,
}

/// The advisory lock of whoever counts the runs of repositories: "quot" in ASCII. Held for one
/// transaction only.
const QUOTA_LOCK: &str = "SELECT 1 FROM (SELECT pg_advisory_xact_lock(1903521652)) AS held";
/// Runs taken in one transaction at most.
const MAX_TAKEN: usize = 64;
/// Rows that others may hold at the moment and that are passed over.
const PASSED: usize = 64;

/// What the partial index is made for; the text must be the same.
const UNDRIVEN: &str = "driver IS NULL AND status IN ('queued', 'running', 'waiting')";
/// Runs that take one of the places.
const ACTIVE: &str = "driver IS NOT NULL AND status IN ('queued', 'running')";

struct Take {
    run: RunId,
    engine: String,
}

struct TakeMany(DriveRequest);

struct Release(Drive);

impl Store {
    /// Takes the right to drive one run. `None`: an engine has it, or there is no such engine or run.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn take_drive(&self, run: &RunId, engine: &str) -> Result<Option<Drive>, Error> {
        self.write(Take { run: run.clone(), engine: engine.to_owned() }).await
    }

    /// Takes runs that nobody drives: the oldest first, but the repositories in turn, so that many
    /// runs of one do not hold back those of another. Only of a shared database: on one machine it is
    /// the kernel that knows who drives. `None`: there is no such engine (any more).
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn take_drives(
        &self,
        request: DriveRequest,
    ) -> Result<Option<Vec<(RunRow, Drive)>>, Error> {
        self.write(TakeMany(request)).await
    }

    /// Whether [`Store::take_drives`] could find something; cheap.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn has_undriven(&self) -> Result<bool, Error> {
        let text = format!("SELECT 1 FROM run WHERE {UNDRIVEN} LIMIT 1");
        Ok(self.read_one(Statement::new(text, Vec::new())).await?.is_some())
    }

    /// Gives the right back. Without effect on a right that was lost.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn release_drive(&self, drive: &Drive) -> Result<(), Error> {
        self.write(Release(drive.clone())).await
    }

    /// Whether the right still holds.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn holds_drive(&self, drive: &Drive) -> Result<bool, Error> {
        Ok(self.read_one(drive.read()).await?.is_some())
    }

    /// The engine that drives a run on a shared database.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn driver_of(&self, run: &RunId) -> Result<Option<String>, Error> {
        let text = "SELECT driver FROM run WHERE id = $1";
        let row = self.read_one(Statement::new(text, vec![run.as_str().into()])).await?;
        row.map_or(Ok(None), |row| row.opt_text(0))
    }
}

/// Holds a share of the engine's row until the end of the transaction, so that it is not buried
/// without the runs that it takes now; whether there is such an engine.
pub(crate) async fn holds_engine(tx: &mut Tx<'_>, engine: &str) -> Result<bool, Error> {
    Ok(tx.fetch_optional(read_engine(tx.dialect(), engine)).await?.is_some())
}

fn read_engine(dialect: Dialect, engine: &str) -> Statement {
    let share = match dialect {
        Dialect::Sqlite => "",
        Dialect::Postgres => " FOR KEY SHARE",
    };
    Statement::new(format!("SELECT id FROM engine WHERE id = $1{share}"), vec![engine.into()])
}

fn taken(engine: &str, run: &RunId, fence: u64) -> Statement {
    let text = "UPDATE run SET driver = $2, drive_fence = $3 \
                WHERE id = $1 AND driver IS NULL AND drive_fence = $3 - 1";
    Statement::new(text, vec![run.as_str().into(), engine.into(), Arg::count(fence)]).expect(1)
}

impl Op for Take {
    type Out = Option<Drive>;
    const CHECKS_AGAIN: bool = true;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Option<Drive>, Error> {
        let text = "SELECT r.drive_fence FROM run r JOIN engine e ON e.id = $2 \
                    WHERE r.id = $1 AND r.driver IS NULL";
        let args = vec![self.run.as_str().into(), self.engine.as_str().into()];
        let row = tx.fetch_optional(Statement::new(text, args)).await?;
        let Some(row) = row else { return Ok(None) };
        tx.still(read_engine(tx.dialect(), &self.engine));
        let fence = row.count(0)? + 1;
        tx.write(taken(&self.engine, &self.run, fence));
        Ok(Some(Drive { run: self.run.clone(), engine: self.engine.clone(), fence }))
    }

    fn touched(&self, _: &Option<Drive>) -> Shards {
        Shards::NONE
    }
}

impl Op for Release {
    type Out = ();
    const CHECKS_AGAIN: bool = true;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        if tx.fetch_optional(self.0.read()).await?.is_some() {
            let text =
                "UPDATE run SET driver = NULL WHERE id = $1 AND driver = $2 AND drive_fence = $3";
            tx.write(Statement::new(text, self.0.args()));
        }
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::NONE
    }
}

impl Op for TakeMany {
    type Out = Option<Vec<(RunRow, Drive)>>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Out, Error> {
        if tx.dialect() == Dialect::Sqlite {
            return Ok(Some(Vec::new()));
        }
        let request = &self.0;
        if request.per_repo.is_some() {
            // Two engines that count at the same time would both see room.
            tx.fetch(Statement::new(QUOTA_LOCK, Vec::new())).await?;
        }
        if !holds_engine(tx, &request.engine).await? {
            return Ok(None);
        }
        let text = format!("SELECT count(*) FROM run WHERE driver = $1 AND {ACTIVE}");
        let args = vec![request.engine.as_str().into()];
        let row = tx.fetch_optional(Statement::new(text, args)).await?;
        let driven = row.map_or(Ok(0), |row| row.count(0))?;
        let room = request.max.saturating_sub(usize::try_from(driven).unwrap_or(usize::MAX));
        if room == 0 {
            return Ok(Some(Vec::new()));
        }
        let rows = tx.fetch(request.candidates(room.min(MAX_TAKEN))).await?;
        let mut all = Vec::with_capacity(rows.len());
        for row in rows {
            let (run, fence) = (run_row(&row)?, row.count(12)? + 1);
            tx.write(taken(&request.engine, &run.id, fence));
            let engine = request.engine.clone();
            all.push((run.clone(), Drive { run: run.id, engine, fence }));
        }
        Ok(Some(all))
    }

    fn touched(&self, _: &Self::Out) -> Shards {
        Shards::NONE
    }
}

// === impl Drive ===

impl Drive {
    fn read(&self) -> Statement {
        let text = "SELECT 1 FROM run WHERE id = $1 AND driver = $2 AND drive_fence = $3";
        Statement::new(text, self.args())
    }

    fn args(&self) -> Vec<Arg> {
        vec![self.run.as_str().into(), self.engine.as_str().into(), Arg::count(self.fence)]
    }
}

// === impl DriveRequest ===

impl DriveRequest {
    /// The runs whose turn it is, locked; those that somebody else holds are passed over. `repos` steps
    /// through the index from repository to repository and reads only the oldest runs of each.
    fn candidates(&self, room: usize) -> Statement {
        let columns = RUN_COLUMNS
            .split(", ")
            .map(|column| format!("r.{}", column.trim()))
            .collect::<Vec<_>>();
        let columns = columns.join(", ");
        let looked = room + PASSED;
        let text = format!(
            "WITH RECURSIVE repos (name) AS ( \
               (SELECT min(COALESCE(repo, '')) FROM run WHERE {UNDRIVEN}) \
               UNION ALL \
               SELECT (SELECT min(COALESCE(repo, '')) FROM run \
                       WHERE {UNDRIVEN} AND COALESCE(repo, '') > repos.name) \
               FROM repos WHERE repos.name IS NOT NULL \
             ), busy AS ( \
               SELECT COALESCE(repo, '') AS name, count(*) AS runs FROM run WHERE {ACTIVE} GROUP BY 1 \
             ), free AS ( \
               SELECT oldest.id, COALESCE(busy.runs, 0) + oldest.place AS turn \
               FROM repos CROSS JOIN LATERAL ( \
                 SELECT id, row_number() OVER (ORDER BY id) AS place FROM ( \
                   SELECT id FROM run WHERE {UNDRIVEN} AND COALESCE(repo, '') = repos.name \
                   ORDER BY id LIMIT {looked}) AS few \
               ) AS oldest LEFT JOIN busy ON busy.name = repos.name \
             ) \
             SELECT {columns}, r.drive_fence FROM run r JOIN free ON free.id = r.id \
             WHERE r.driver IS NULL AND r.status IN ('queued', 'running', 'waiting') \
             AND free.turn <= $1 \
             ORDER BY free.turn, r.id LIMIT {room} FOR NO KEY UPDATE OF r SKIP LOCKED"
        );
        let most = self.per_repo.map_or(u64::from(u32::MAX), |most| most as u64);
        Statement::new(text, vec![Arg::count(most)])
    }
}
