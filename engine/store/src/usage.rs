//! What was used, what is queued and who waits: sums and lists over runs for whoever looks after a
//! server.
//!
//! Must not decide anything: it counts rows.

pub mod claude;

use jiff::Timestamp;
use plue_flow::RunStatus;
use plue_plan::RunId;

use crate::{
    error::Error,
    sql::{Arg, Statement, among},
    store::Store,
};

/// What the runs of one repository used in a period.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UsageRow {
    /// The repository; none: runs without one.
    pub repo: Option<String>,
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
}

/// What a pool has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueRow {
    /// The pool.
    pub pool: String,
    /// Attempts that nobody has taken yet.
    pub queued: u64,
    /// Attempts that a runner has.
    pub held: u64,
}

impl Store {
    /// What runs created in `[from, to)` used, by repository; of some repositories or of all.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn usage(
        &self,
        repos: Option<&[String]>,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<UsageRow>, Error> {
        let mut args: Vec<Arg> = vec![from.into(), to.into()];
        let filter = among("r.repo", repos, &mut args);
        let runs = format!(
            "SELECT r.repo, COUNT(*), \
             COUNT(CASE WHEN r.status = 'success' THEN 1 END), \
             COUNT(CASE WHEN r.status IN ('failed', 'timed_out') THEN 1 END) \
             FROM run r WHERE r.created_at >= $1 AND r.created_at < $2{filter} \
             GROUP BY r.repo ORDER BY r.repo"
        );
        let attempts = format!(
            "SELECT r.repo, COUNT(*), \
             CAST(COALESCE(SUM(CASE WHEN a.ended_at > a.started_at \
             THEN a.ended_at - a.started_at END), 0) AS BIGINT) \
             FROM run r JOIN attempt a ON a.run_id = r.id \
             WHERE r.created_at >= $1 AND r.created_at < $2{filter} \
             AND a.started_at IS NOT NULL GROUP BY r.repo"
        );
        let mut found = Vec::new();
        for row in self.read(Statement::new(runs, args.clone())).await? {
            found.push(UsageRow {
                repo: row.opt_text(0)?,
                runs: row.count(1)?,
                succeeded: row.count(2)?,
                failed: row.count(3)?,
                ..UsageRow::default()
            });
        }
        for row in self.read(Statement::new(attempts, args)).await? {
            let repo = row.opt_text(0)?;
            if let Some(of) = found.iter_mut().find(|of| of.repo == repo) {
                (of.attempts, of.busy_us) = (row.count(1)?, row.count(2)?);
            }
        }
        Ok(found)
    }

    /// How much each pool has to do, by name.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn queues(&self) -> Result<Vec<QueueRow>, Error> {
        let text = "SELECT pool, COUNT(CASE WHEN state = 'queued' THEN 1 END), \
                    COUNT(CASE WHEN state <> 'queued' THEN 1 END) FROM attempt \
                    WHERE state IN ('queued', 'assigned', 'running') GROUP BY pool ORDER BY pool";
        let rows = self.read(Statement::new(text, Vec::new())).await?;
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
    pub async fn runs_that_wait(
        &self,
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
        let rows = self.read(Statement::new(text, args)).await?;
        rows.iter().map(|row| Ok(RunId::new(row.text(0)?))).collect()
    }
}
