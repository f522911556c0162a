//! Usage, queues and waiting runs: sums and lists over runs for operators of a server.
//!
//! Must not decide anything: it counts rows.

pub mod claude;
mod queue;

use std::collections::BTreeMap;

use jiff::Timestamp;
use plue_flow::RunStatus;
use plue_plan::{RunId, event::owner};

use self::claude::{SUMS, Spend};
pub use self::queue::{QueuedAttempt, UsageDay};
use crate::{
    error::Error,
    handles::Usage,
    sql::{Arg, Row, Statement, among},
};

/// Rows that are read at most: repositories, or workflows of repositories, in the order of their names.
const MAX_ROWS: u32 = 10_000;

/// The owner of the sums of usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UsageBy {
    /// A row for each repository.
    #[default]
    Repository,
    /// A row for each workflow of each repository.
    Workflow,
    /// A row for each owner of repositories.
    Organisation,
}

/// The usage of the runs of one owner in a period.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UsageRow {
    /// The repository, or the organisation; none: runs without one.
    pub owner: Option<String>,
    /// The workflow, if usage is summed by workflow.
    pub workflow: Option<String>,
    /// Runs that were created in the period.
    pub runs: u64,
    /// Those of them that ended well.
    pub succeeded: u64,
    /// Those of them that failed or ran out of time.
    pub failed: u64,
    /// Attempts of their steps that a runner started.
    pub attempts: u64,
    /// Time of these attempts from start to end, in microseconds, by the runners' clocks.
    pub busy_us: u64,
    /// Their use of Claude; none: no call was made.
    pub claude: Option<Spend>,
}

/// Rows while they are summed up.
#[derive(Default)]
struct Sums(BTreeMap<(Option<String>, Option<String>), UsageRow>);

/// Work of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueRow {
    pub pool: String,
    /// Attempts that no runner has claimed yet.
    pub queued: u64,
    /// Attempts that a runner has.
    pub held: u64,
}

// === impl Sums ===

impl Sums {
    /// The sum of the owner whose columns begin at `first`.
    fn of(&mut self, by: UsageBy, row: &Row, first: usize) -> Result<&mut UsageRow, Error> {
        let repo = row.opt_text(first)?;
        let (name, workflow) = match by {
            UsageBy::Repository => (repo, None),
            UsageBy::Workflow => (repo, row.opt_text(first + 1)?),
            UsageBy::Organisation => (repo.as_deref().and_then(owner).map(str::to_owned), None),
        };
        let sum = self.0.entry((name, workflow));
        let (owner, workflow) = sum.key().clone();
        Ok(sum.or_insert(UsageRow { owner, workflow, ..UsageRow::default() }))
    }
}

impl Usage<'_> {
    /// The usage of runs created in `[from, to)`, by the names of its owners; of some repositories or of
    /// all, of at most 10,000 repositories or workflows.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn list(
        self,
        by: UsageBy,
        repos: Option<&[String]>,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<UsageRow>, Error> {
        let mut args: Vec<Arg> = vec![from.into(), to.into()];
        let filter = among("r.repo", repos, &mut args);
        let keys = match by {
            UsageBy::Workflow => "r.repo, r.workflow",
            UsageBy::Repository | UsageBy::Organisation => "r.repo",
        };
        let of = |columns: &str, join: &str, filter_more: &str| {
            let text = format!(
                "SELECT {columns}, {keys} FROM run r {join} \
                 WHERE r.created_at >= $1 AND r.created_at < $2{filter}{filter_more} \
                 GROUP BY {keys} ORDER BY {keys} LIMIT {MAX_ROWS}"
            );
            Statement::new(text, args.clone())
        };
        let mut sums = Sums::default();
        let runs = "COUNT(*), COUNT(CASE WHEN r.status = 'success' THEN 1 END), \
                    COUNT(CASE WHEN r.status IN ('failed', 'timed_out') THEN 1 END)";
        for row in self.store.read(of(runs, "", "")).await? {
            let sum = sums.of(by, &row, 3)?;
            sum.runs += row.count(0)?;
            sum.succeeded += row.count(1)?;
            sum.failed += row.count(2)?;
        }
        let attempts = "COUNT(*), CAST(COALESCE(SUM(CASE WHEN a.ended_at > a.started_at \
                        THEN a.ended_at - a.started_at END), 0) AS BIGINT)";
        let join = "JOIN attempt a ON a.run_id = r.id";
        for row in self.store.read(of(attempts, join, " AND a.started_at IS NOT NULL")).await? {
            let sum = sums.of(by, &row, 2)?;
            sum.attempts += row.count(0)?;
            sum.busy_us += row.count(1)?;
        }
        for row in self.store.read(of(SUMS, "JOIN claude_call c ON c.run_id = r.id", "")).await? {
            let sum = sums.of(by, &row, 6)?;
            let spend = Spend::of(&row, 0)?;
            sum.claude = Some(sum.claude.map_or(spend, |before| before.plus(spend)));
        }
        Ok(sums.0.into_values().collect())
    }

    /// Work of each pool, by name.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn queues(self) -> Result<Vec<QueueRow>, Error> {
        let text = "SELECT pool, COUNT(CASE WHEN state = 'queued' THEN 1 END), \
                    COUNT(CASE WHEN state <> 'queued' THEN 1 END) FROM attempt \
                    WHERE state IN ('queued', 'assigned', 'running') GROUP BY pool ORDER BY pool";
        let rows = self.store.read(Statement::new(text, Vec::new())).await?;
        rows.iter()
            .map(|row| {
                Ok(QueueRow { pool: row.text(0)?, queued: row.count(1)?, held: row.count(2)? })
            })
            .collect()
    }

    /// Runs that have not ended and have a step that waits, oldest first, behind a run; of some
    /// repositories or of all.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn waiting_runs(
        self,
        repos: Option<&[String]>,
        after: Option<&RunId>,
        limit: u32,
    ) -> Result<Vec<RunId>, Error> {
        let (running, waiting) = (RunStatus::Running.as_str(), RunStatus::Waiting.as_str());
        let mut args: Vec<Arg> = vec![running.into(), waiting.into()];
        let mut text =
            "SELECT id FROM run WHERE status IN ($1, $2) AND EXISTS (SELECT 1 FROM step \
                        WHERE step.run_id = run.id AND step.status = 'waiting')"
                .to_owned();
        text.push_str(&among("repo", repos, &mut args));
        if let Some(after) = after {
            args.push(after.as_str().into());
            text.push_str(&format!(" AND id > ${}", args.len()));
        }
        args.push(limit.into());
        text.push_str(&format!(" ORDER BY id LIMIT ${}", args.len()));
        let rows = self.store.read(Statement::new(text, args)).await?;
        rows.iter().map(|row| Ok(RunId::new(row.text(0)?))).collect()
    }
}
