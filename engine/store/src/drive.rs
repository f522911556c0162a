//! The right to drive a run, where several engines share a database: an engine that takes a run
//! gets a fence, and each commit to the run's journal carries it ([`crate::RunCommit::drive`]).
//!
//! The right to drive lasts as long as the engine does (see engine.rs): there is nothing to renew for each
//! run.

pub mod deaths;

use std::collections::HashMap;

use plue_flow::quotas::{self, Busy, Candidate, Lane, Quotas};
use plue_plan::RunId;

use crate::{
    changes::Shards,
    deaths::{NOT_SET_ASIDE, SUSPECT_DEATHS},
    error::Error,
    handles::Drives,
    op::Op,
    run::{RUN_COLUMNS, RunRow, SOURCE_COLUMN as FENCE_COLUMN, fork, run_row},
    sql::{Arg, Dialect, Row, Statement, Tx, placeholders},
};

/// The right to drive a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drive {
    pub run: RunId,
    /// Engine that has the right.
    pub engine: String,
    /// Grows with each driver of the run.
    pub fence: u64,
}

/// A request for runs without a driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriveRequest {
    /// The engine that wants them.
    pub engine: String,
    /// Limits of concurrent runs that the engine applies.
    pub quotas: Quotas,
    /// Child runs of the engine that have places of their own.
    pub children: usize,
    /// Fill level of the engine's disk, in words, if it is too full for runs of forks.
    pub low_disk: Option<String>,
}

/// Advisory lock of an engine that counts the runs of repositories: "quot" in ASCII. Held for one
/// transaction only.
const QUOTA_LOCK: &str = "SELECT 1 FROM (SELECT pg_advisory_xact_lock(1903521652)) AS held";
/// Runs taken in one transaction at most, not counting those that only end.
const MAX_TAKEN: usize = 64;
/// Runs with a cancel request, taken in one transaction at most.
const MAX_ENDING: usize = 64;
/// Runs of forks of one repository that are looked at in one transaction.
const FORKS_READ: usize = 64;

/// Condition of the partial index; the text must be the same.
pub(crate) const UNDRIVEN: &str = "driver IS NULL AND status IN ('queued', 'running', 'waiting')";
/// Runs that take one of the places.
pub(crate) const ACTIVE: &str = "driver IS NOT NULL AND status IN ('queued', 'running')";

struct Take {
    run: RunId,
    engine: String,
}

struct TakeMany(DriveRequest);

struct Release(Drive);

struct Abandon {
    run: RunId,
    engine: String,
}

impl Drives<'_> {
    /// Takes the right to drive one run. `None`: an engine has it, or there is no such engine or run.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn take(self, run: &RunId, engine: &str) -> Result<Option<Drive>, Error> {
        self.store.write(Take { run: run.clone(), engine: engine.to_owned() }).await
    }

    /// Takes runs without a driver, as [`quotas::next`] decides. Only for a shared database: on one
    /// machine a file lock determines the driver. `None`: the engine does not exist or has expired.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn take_all(
        self,
        request: DriveRequest,
    ) -> Result<Option<Vec<(RunRow, Drive)>>, Error> {
        self.store.write(TakeMany(request)).await
    }

    /// Whether [`Self::take_all`] could find something; cheap.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn has_undriven(self) -> Result<bool, Error> {
        let text = format!("SELECT 1 FROM run WHERE {UNDRIVEN} AND {NOT_SET_ASIDE} LIMIT 1");
        Ok(self.store.read_one(Statement::new(text, Vec::new())).await?.is_some())
    }

    /// Gives the right back. Without effect on a right that was lost.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn release(self, drive: &Drive) -> Result<(), Error> {
        self.store.write(Release(drive.clone())).await
    }

    /// Gives back whatever right an engine has to a run: for one that lost track of it.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn abandon(self, run: &RunId, engine: &str) -> Result<(), Error> {
        self.store.write(Abandon { run: run.clone(), engine: engine.to_owned() }).await
    }

    /// Whether the right still holds.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn holds(self, drive: &Drive) -> Result<bool, Error> {
        Ok(self.store.read_one(drive.read()).await?.is_some())
    }

    /// The engine that drives a run on a shared database.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn driver_of(self, run: &RunId) -> Result<Option<String>, Error> {
        let text = "SELECT driver FROM run WHERE id = $1";
        let row = self.store.read_one(Statement::new(text, vec![run.as_str().into()])).await?;
        row.map_or(Ok(None), |row| row.opt_text(0))
    }
}

/// Whether the engine exists. Share-locks its row until the end of the transaction, so that the
/// engine does not expire without the runs that it takes now. An operation that reads without a
/// transaction ([`Op::CHECKS_AGAIN`]) sends [`read_engine`] with its writes.
pub(crate) async fn holds_engine(tx: &mut Tx<'_>, engine: &str) -> Result<bool, Error> {
    Ok(tx.fetch_optional(read_engine(tx.dialect(), engine)).await?.is_some())
}

pub(crate) fn read_engine(dialect: Dialect, engine: &str) -> Statement {
    let share = match dialect {
        Dialect::Sqlite => "",
        Dialect::Postgres => " FOR KEY SHARE",
    };
    Statement::new(format!("SELECT id FROM engine WHERE id = $1{share}"), vec![engine.into()])
}

/// `asked`: the run was requested by its id, which resets its deaths.
fn taken(engine: &str, run: &RunId, fence: u64, asked: bool) -> Statement {
    let deaths = if asked { ", deaths = 0" } else { "" };
    let text = format!(
        "UPDATE run SET driver = $2, drive_fence = $3, in_hand = 1{deaths} \
         WHERE id = $1 AND driver IS NULL AND drive_fence = $3 - 1"
    );
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
        tx.write(taken(&self.engine, &self.run, fence, true));
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
            let text = "UPDATE run SET driver = NULL, in_hand = 0, deaths = 0 \
                 WHERE id = $1 AND driver = $2 AND drive_fence = $3";
            tx.write(Statement::new(text, self.0.args()));
        }
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::NONE
    }
}

impl Op for Abandon {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        let text = "UPDATE run SET driver = NULL, deaths = deaths + in_hand, in_hand = 0 \
                    WHERE id = $1 AND driver = $2";
        let args = vec![self.run.as_str().into(), self.engine.as_str().into()];
        tx.write(Statement::new(text, args));
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
        // Two engines that count at the same time would both see room.
        tx.fetch(Statement::new(QUOTA_LOCK, Vec::new())).await?;
        if !holds_engine(tx, &request.engine).await? {
            return Ok(None);
        }
        let text =
            format!("SELECT count(*) FROM run WHERE driver = $1 AND is_child = 0 AND {ACTIVE}");
        let args = vec![request.engine.as_str().into()];
        let row = tx.fetch_optional(Statement::new(text, args)).await?;
        let driven = row.map_or(Ok(0), |row| row.count(0))?;
        let driven = usize::try_from(driven).unwrap_or(usize::MAX).saturating_add(request.children);
        let room = request.quotas.max_runs.saturating_sub(driven).min(MAX_TAKEN);
        let chosen = request.choose(tx, room).await?;
        let mut all = Vec::with_capacity(chosen.len());
        let chosen = locked(tx, &chosen).await?;
        for (run, fence) in one_suspect(tx, chosen).await? {
            tx.write(taken(&request.engine, &run.id, fence, false));
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
    /// The fence of the first right to drive a run.
    pub const FIRST_FENCE: u64 = 1;

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
    async fn choose(&self, tx: &mut Tx<'_>, room: usize) -> Result<Vec<String>, Error> {
        let ending = format!(
            "SELECT id, repo, fork FROM run WHERE {UNDRIVEN} AND {NOT_SET_ASIDE} \
             AND id IN (SELECT run_id FROM cancel_request) ORDER BY id LIMIT {MAX_ENDING}"
        );
        let mut waiting = candidates(tx, Statement::new(ending, Vec::new()), true).await?;
        if room > 0 {
            let ending: Vec<String> = waiting.iter().map(|one| one.run.clone()).collect();
            for reads in [self.own(room), self.forks()] {
                let found = candidates(tx, reads, false).await?;
                waiting.extend(found.into_iter().filter(|one| !ending.contains(&one.run)));
            }
        }
        waiting.sort_by(|one, other| one.run.cmp(&other.run));
        let busy = busy(tx.fetch(Statement::new(busy_lanes(ACTIVE), Vec::new())).await?)?;
        Ok(quotas::next(waiting, busy, &self.quotas, room, self.low_disk.as_deref()))
    }

    /// The oldest runs of each repository that are no fork's. `repos` steps through the index from
    /// repository to repository.
    fn own(&self, room: usize) -> Statement {
        Statement::new(of_each_repo("fork IS NULL", "", room), Vec::new())
    }

    /// The oldest runs of forks of each repository, without the pull requests that have no place left:
    /// a flood of one does not hide the others.
    fn forks(&self) -> Statement {
        let has_place = format!(
            "AND NOT EXISTS (SELECT 1 FROM (SELECT repo, fork FROM run \
             WHERE fork IS NOT NULL AND {ACTIVE} GROUP BY repo, fork HAVING count(*) >= $1) AS used_up \
             WHERE used_up.repo IS NOT DISTINCT FROM run.repo AND used_up.fork = run.fork)"
        );
        let text = of_each_repo("fork IS NOT NULL", &has_place, FORKS_READ);
        Statement::new(text, vec![Arg::count(self.quotas.per_pull_request as u64)])
    }
}

fn of_each_repo(kind: &str, passed: &str, limit: usize) -> String {
    let undriven = format!("{UNDRIVEN} AND {NOT_SET_ASIDE} AND {kind}");
    format!(
        "WITH RECURSIVE repos (name) AS ( \
           (SELECT min(COALESCE(repo, '')) FROM run WHERE {undriven}) \
           UNION ALL \
           SELECT (SELECT min(COALESCE(repo, '')) FROM run \
                   WHERE {undriven} AND COALESCE(repo, '') > repos.name) \
           FROM repos WHERE repos.name IS NOT NULL \
         ) \
         SELECT oldest.id, oldest.repo, oldest.fork FROM repos CROSS JOIN LATERAL ( \
           SELECT id, repo, fork FROM run \
           WHERE {undriven} AND COALESCE(repo, '') = repos.name {passed} \
           ORDER BY id LIMIT {limit}) AS oldest"
    )
}

async fn candidates(
    tx: &mut Tx<'_>,
    reads: Statement,
    is_cancelled: bool,
) -> Result<Vec<Candidate<String>>, Error> {
    let rows = tx.fetch(reads).await?;
    let one = |row: &Row| {
        let lane = Lane { repo: row.opt_text(1)?, fork: fork(row, 2)? };
        Ok(Candidate { lane, is_cancelled, run: row.text(0)? })
    };
    rows.iter().map(one).collect()
}

/// Runs that take a place, counted by whose bounds they count against.
pub(crate) fn busy_lanes(of: &str) -> String {
    format!("SELECT repo, fork, count(*) FROM run WHERE {of} GROUP BY repo, fork")
}

pub(crate) fn busy(rows: Vec<Row>) -> Result<Busy, Error> {
    let mut busy = Busy::default();
    for row in rows {
        let lane = Lane { repo: row.opt_text(0)?, fork: fork(&row, 1)? };
        busy.add(&lane, usize::try_from(row.count(2)?).unwrap_or(usize::MAX));
    }
    Ok(busy)
}

/// The same without suspects but one, and without that one too while another one is tried.
async fn one_suspect(
    tx: &mut Tx<'_>,
    mut chosen: Vec<(RunRow, u64)>,
) -> Result<Vec<(RunRow, u64)>, Error> {
    if chosen.iter().any(|(run, _)| run.is_suspect(false)) {
        let text = format!(
            "SELECT 1 FROM run WHERE driver IS NOT NULL AND in_hand = 1 AND deaths >= {SUSPECT_DEATHS} \
             LIMIT 1"
        );
        let mut is_tried = tx.fetch_optional(Statement::new(text, Vec::new())).await?.is_some();
        chosen.retain(|(run, _)| !run.is_suspect(false) || !std::mem::replace(&mut is_tried, true));
    }
    Ok(chosen)
}

/// The locked rows of these runs in their order, with their next fences; rows that another
/// transaction has locked are skipped.
async fn locked(tx: &mut Tx<'_>, runs: &[String]) -> Result<Vec<(RunRow, u64)>, Error> {
    if runs.is_empty() {
        return Ok(Vec::new());
    }
    let list = placeholders(1, runs.len());
    let text = format!(
        "SELECT {RUN_COLUMNS}, drive_fence FROM run WHERE id IN ({list}) AND {UNDRIVEN} \
         FOR NO KEY UPDATE SKIP LOCKED"
    );
    let args = runs.iter().map(|run| run.as_str().into()).collect();
    let mut found = HashMap::new();
    for row in tx.fetch(Statement::new(text, args)).await? {
        let fence = row.count(FENCE_COLUMN)? + 1;
        let run = run_row(&row)?;
        found.insert(run.id.to_string(), (run, fence));
    }
    Ok(runs.iter().filter_map(|run| found.remove(run)).collect())
}
