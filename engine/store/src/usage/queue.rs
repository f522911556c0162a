//! Attempts that wait for a runner, and runs by day.

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use plue_flow::fact::Reason;
use plue_plan::{RunId, StepId};

use crate::{
    error::Error,
    handles::Usage,
    sql::{Arg, Statement, among},
};

/// Attempts of one question at most.
const MAX_QUEUED: u32 = 1_000;
/// Days of one question at most.
const MAX_DAYS: u32 = 400;
/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

/// An attempt that no runner has taken.
#[derive(Debug, Clone, PartialEq)]
pub struct QueuedAttempt {
    /// Run that it belongs to.
    pub run: RunId,
    /// Name of the run's workflow.
    pub workflow: String,
    /// Repository of the run.
    pub repo: Option<String>,
    /// Id of its step in the plan.
    pub step: StepId,
    /// Pool that it waits for.
    pub pool: String,
    /// Time from which it waits.
    pub queued_at: Timestamp,
    /// Time before which no runner may take it: the pause before a retry.
    pub not_before: Timestamp,
    /// Reason, where one is known.
    pub reason: Option<Reason>,
}

/// Runs that were created on a day in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageDay {
    /// The day, from midnight to midnight UTC.
    pub date: Date,
    /// Runs that were created on it.
    pub runs: u64,
    /// Those of them that failed or ran out of time.
    pub failed: u64,
    /// Their spending on Claude in picodollars.
    pub cost: u64,
}

impl Usage<'_> {
    /// Attempts that no runner has taken, the oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn queued_attempts(self, limit: u32) -> Result<Vec<QueuedAttempt>, Error> {
        let text = "SELECT a.run_id, r.workflow, r.repo, a.step_id, a.pool, a.queued_at, a.not_before, \
                    s.reason FROM attempt a JOIN run r ON r.id = a.run_id \
                    LEFT JOIN step s ON s.run_id = a.run_id AND s.step_id = a.step_id \
                    WHERE a.state = 'queued' ORDER BY a.queued_at, a.id LIMIT $1";
        let rows =
            self.store.read(Statement::new(text, vec![limit.min(MAX_QUEUED).into()])).await?;
        rows.iter()
            .map(|row| {
                Ok(QueuedAttempt {
                    run: RunId::new(row.text(0)?),
                    workflow: row.text(1)?,
                    repo: row.opt_text(2)?,
                    step: StepId::new(row.text(3)?),
                    pool: row.text(4)?,
                    queued_at: row.time(5)?,
                    not_before: row.time(6)?,
                    reason: row.opt_json(7)?,
                })
            })
            .collect()
    }

    /// Runs created in `[from, to)` by day in UTC, the oldest day first; of some repositories or of all, of
    /// at most 400 days. Days without a run are left out.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn by_day(
        self,
        repos: Option<&[String]>,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<UsageDay>, Error> {
        let mut args: Vec<Arg> = vec![from.into(), to.into()];
        let filter = among("r.repo", repos, &mut args);
        let of = |columns: &str, join: &str| {
            let text = format!(
                "SELECT r.created_at / {DAY_US} AS day, {columns} FROM run r {join} \
                 WHERE r.created_at >= $1 AND r.created_at < $2{filter} \
                 GROUP BY r.created_at / {DAY_US} ORDER BY day LIMIT {MAX_DAYS}"
            );
            Statement::new(text, args.clone())
        };
        let runs = "COUNT(*), COUNT(CASE WHEN r.status IN ('failed', 'timed_out') THEN 1 END)";
        let mut days = Vec::new();
        for row in &self.store.read(of(runs, "")).await? {
            let Some(date) = date(row.int(0)?) else { continue };
            days.push(UsageDay { date, runs: row.count(1)?, failed: row.count(2)?, cost: 0 });
        }
        let cost = "CAST(COALESCE(SUM(COALESCE(c.cost, c.reserved)), 0) AS BIGINT)";
        for row in &self.store.read(of(cost, "JOIN claude_call c ON c.run_id = r.id")).await? {
            let date = date(row.int(0)?);
            if let Some(day) = days.iter_mut().find(|day| Some(day.date) == date) {
                day.cost = row.count(1)?;
            }
        }
        Ok(days)
    }
}

fn date(day: i64) -> Option<Date> {
    let at = Timestamp::from_microsecond(day.checked_mul(DAY_US)?).ok()?;
    Some(TimeZone::UTC.to_datetime(at).date())
}
