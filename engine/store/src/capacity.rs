//! Places for runs: the bounds of each engine that drives runs, and what a run that does not start waits
//! for.

use jiff::{SignedDuration, Timestamp};
use plue_flow::{
    RunStatus,
    quotas::{Lane, Quotas, Waits},
};
use plue_plan::{RunId, RunnerId};

use crate::{
    changes::Shards,
    drive::{ACTIVE, busy, busy_lanes},
    error::Error,
    handles::{Cancels, Capacity},
    op::{Op, Plain},
    run::RunRow,
    sql::{Arg, Row, Statement, Tx},
};

/// Prefix of the scopes of the caches of forks.
pub const UNTRUSTED_SCOPE: &str = "stranger ";
/// The bounds of an engine that is silent for so long count no more.
const SEEN_WITHIN: SignedDuration = SignedDuration::from_secs(60);
/// Runs that take a place where the kernel knows who drives.
const RUNNING: &str = "status = 'running'";

/// The bounds of one engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineCapacity {
    /// Id of the engine.
    pub engine: String,
    /// Limits of concurrent runs that it applies.
    pub quotas: Quotas,
    /// Fill level of its disk, in words, while it is too full for runs of forks.
    pub low_disk: Option<String>,
    /// Time of its last report of these bounds.
    pub seen_at: Timestamp,
}

/// Bytes that a run has in the database and in the blob store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunBytes {
    /// Run that the bytes belong to.
    pub run: RunId,
    /// Whether it is for a fork.
    pub is_fork: bool,
    /// Bytes of the logs of all its attempts.
    pub log: u64,
    /// Bytes of content that its runners have sent.
    pub kept: u64,
}

/// Runs that run when one more is to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunningBeside {
    /// Those of the engine that no other run started.
    pub without_parent: usize,
    /// Those of the repository, child runs included, without those of forks.
    pub of_repo: usize,
}

struct AddBytes(RunId, u64);

/// Runs of forks that are to stop.
enum Which {
    /// All runs in status `running`.
    Running,
    /// Those of a pull request of a repository that are for another head than this one.
    Superseded { repo: String, fork: u64, head: String },
}

struct Forks {
    which: Which,
    by: String,
    at: Timestamp,
}

impl Capacity<'_> {
    /// Puts the bounds of an engine down; engines that were silent for long are forgotten.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn put(self, places: &EngineCapacity) -> Result<(), Error> {
        let old = places.seen_at.saturating_sub(SEEN_WITHIN);
        let old = old.unwrap_or(Timestamp::UNIX_EPOCH);
        let text = "INSERT INTO engine_places (engine, quotas, disk, seen_at) \
                    VALUES ($1, $2, $3, $4) ON CONFLICT (engine) DO UPDATE SET \
                    quotas = excluded.quotas, disk = excluded.disk, seen_at = excluded.seen_at";
        let put = Statement::new(
            text,
            vec![
                places.engine.as_str().into(),
                Arg::json(&places.quotas)?,
                places.low_disk.clone().into(),
                places.seen_at.into(),
            ],
        );
        let text = "DELETE FROM engine_places WHERE seen_at < $1";
        self.store.write(Plain(vec![put, Statement::new(text, vec![old.into()])])).await
    }

    /// The bounds of the engines that reported within the last 60 s.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn list(self) -> Result<Vec<EngineCapacity>, Error> {
        let since = self.store.clock().now().saturating_sub(SEEN_WITHIN);
        let since = since.unwrap_or(Timestamp::UNIX_EPOCH);
        let text = "SELECT engine, quotas, disk, seen_at FROM engine_places WHERE seen_at >= $1 \
                    ORDER BY engine";
        let rows = self.store.read(Statement::new(text, vec![since.into()])).await?;
        rows.iter()
            .map(|row| {
                Ok(EngineCapacity {
                    engine: row.text(0)?,
                    quotas: row.json(1)?,
                    low_disk: row.opt_text(2)?,
                    seen_at: row.time(3)?,
                })
            })
            .collect()
    }

    /// The bound that keeps a queued run from starting. `None`: no bound, or no engine drives runs.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn waits(self, run: &RunRow) -> Result<Option<Waits>, Error> {
        if run.view.status != RunStatus::Queued {
            return Ok(None);
        }
        let engines = self.list().await?;
        if engines.is_empty() {
            return Ok(None);
        }
        let of = if self.store.is_shared() { ACTIVE } else { RUNNING };
        let rows = self.store.read(Statement::new(busy_lanes(of), Vec::new())).await?;
        let mut all = 0;
        for row in &rows {
            all += usize::try_from(row.count(2)?).unwrap_or(usize::MAX);
        }
        let busy = busy(rows)?;
        let lane = run.lane();
        let in_the_way =
            engines.iter().map(|one| busy.in_the_way(&lane, &one.quotas, one.low_disk.as_deref()));
        if let Some(waits) = in_the_way.collect::<Option<Vec<_>>>() {
            return Ok(waits.into_iter().next());
        }
        let max_runs = engines.iter().map(|engine| engine.quotas.max_runs).sum();
        Ok((all >= max_runs).then_some(Waits::Place { max_runs }))
    }

    /// Counts the runs that are active when a child run is to start. `engine`: the asking one, if
    /// several share the database. A stored child run counts before it starts.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn running_beside(
        self,
        engine: Option<&str>,
        repo: Option<&str>,
    ) -> Result<RunningBeside, Error> {
        let text = "SELECT \
             count(CASE WHEN is_child = 0 AND COALESCE(driver, '') = $1 THEN 1 END), \
             count(CASE WHEN fork IS NULL AND COALESCE(repo, '') = $2 THEN 1 END) \
             FROM run WHERE status = 'running' \
             OR (status = 'queued' AND (is_child = 1 OR driver IS NOT NULL))";
        let args = vec![engine.unwrap_or_default().into(), repo.unwrap_or_default().into()];
        let row = self.store.read_one(Statement::new(text, args)).await?;
        let (without_parent, of_repo) =
            row.map_or(Ok((0, 0)), |row| Ok::<_, Error>((row.count(0)?, row.count(1)?)))?;
        let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        Ok(RunningBeside { without_parent: count(without_parent), of_repo: count(of_repo) })
    }

    /// The bytes of a run. `None`: there is no such run.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn run_bytes(self, run: &RunId) -> Result<Option<RunBytes>, Error> {
        self.bytes_where("r.id = $1", run.as_str()).await
    }

    /// The bytes of the run that a runner works for.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn bytes_of_runner(self, runner: &RunnerId) -> Result<Option<RunBytes>, Error> {
        let of = "r.id = (SELECT group_key FROM runner WHERE id = $1)";
        self.bytes_where(of, runner.as_str()).await
    }

    async fn bytes_where(self, condition: &str, of: &str) -> Result<Option<RunBytes>, Error> {
        let text = format!(
            "SELECT r.id, r.fork, \
             (SELECT CAST(COALESCE(SUM(a.log_bytes), 0) AS BIGINT) FROM attempt a \
              WHERE a.run_id = r.id), \
             (SELECT COALESCE(MAX(b.kept), 0) FROM run_bytes b WHERE b.run_id = r.id) \
             FROM run r WHERE {condition}"
        );
        let row = self.store.read_one(Statement::new(text, vec![of.into()])).await?;
        let bytes = |row: Row| {
            Ok(RunBytes {
                run: RunId::new(row.text(0)?),
                is_fork: row.opt_int(1)?.is_some(),
                log: row.count(2)?,
                kept: row.count(3)?,
            })
        };
        row.map(bytes).transpose()
    }

    /// Counts content that a runner of a run has sent.
    ///
    /// # Errors
    /// [`Error`] of the database, also if there is no such run.
    pub async fn add_run_bytes(self, run: &RunId, bytes: u64) -> Result<(), Error> {
        self.store.write(AddBytes(run.clone(), bytes)).await
    }
}

impl Cancels<'_> {
    /// Requests the cancellation of all running runs of forks. Returns the number of new requests.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn request_for_untrusted(self, by: &str) -> Result<u64, Error> {
        let (by, at) = (by.to_owned(), self.store.clock().now());
        self.store.write(Forks { which: Which::Running, by, at }).await
    }

    /// Requests the cancellation of runs of a fork's pull request that are for another head than
    /// this one. Returns the number of new requests.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn request_for_superseded(
        self,
        repo: &str,
        fork: u64,
        head: &str,
        by: &str,
    ) -> Result<u64, Error> {
        let (repo, head) = (repo.to_owned(), head.to_owned());
        let which = Which::Superseded { repo, fork, head };
        let (by, at) = (by.to_owned(), self.store.clock().now());
        self.store.write(Forks { which, by, at }).await
    }
}

// === impl RunRow ===

impl RunRow {
    /// Repository and pull request against whose bounds the run counts.
    #[must_use]
    pub fn lane(&self) -> Lane {
        Lane { repo: self.repo.clone(), fork: self.fork }
    }
}

// === impl Which ===

impl Which {
    /// A condition on `run`, whose arguments come first.
    fn condition(&self) -> (&'static str, Vec<Arg>) {
        match self {
            Self::Running => ("fork IS NOT NULL AND status = 'running'", Vec::new()),
            Self::Superseded { repo, fork, head } => (
                "repo = $1 AND fork = $2 AND sha <> $3 \
                 AND status IN ('queued', 'running', 'waiting')",
                vec![repo.as_str().into(), Arg::count(*fork), head.as_str().into()],
            ),
        }
    }
}

impl Op for Forks {
    type Out = u64;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<u64, Error> {
        let (condition, mut args) = self.which.condition();
        let open = format!(
            "{condition} AND NOT EXISTS (SELECT 1 FROM cancel_request c WHERE c.run_id = run.id)"
        );
        let text = format!("SELECT count(*) FROM run WHERE {open}");
        let row = tx.fetch_optional(Statement::new(text, args.clone())).await?;
        let count = row.map_or(Ok(0), |row| row.count(0))?;
        if count > 0 {
            let (by, at) = (args.len() + 1, args.len() + 2);
            let text = format!(
                "INSERT INTO cancel_request (run_id, requested_by, forced, requested_at) \
                 SELECT id, ${by}, 0, ${at} FROM run WHERE {open} ON CONFLICT (run_id) DO NOTHING"
            );
            args.extend([self.by.as_str().into(), self.at.into()]);
            tx.write(Statement::new(text, args));
        }
        Ok(count)
    }

    fn touched(&self, count: &u64) -> Shards {
        if *count > 0 { Shards::ALL } else { Shards::NONE }
    }
}

impl Op for AddBytes {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        let text = "INSERT INTO run_bytes (run_id, kept) VALUES ($1, $2) \
                    ON CONFLICT (run_id) DO UPDATE SET kept = run_bytes.kept + excluded.kept";
        tx.write(Statement::new(text, vec![self.0.as_str().into(), Arg::count(self.1)]));
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::NONE
    }
}
