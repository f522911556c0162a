//! The last runs of workflows and the times of their steps, for their history.

use jiff::Timestamp;
use plue_flow::RunStatus;
use plue_plan::{RunId, StepId};

use super::MAX_PAGE;
use crate::{
    error::Error,
    handles::RunHistory,
    sql::{Arg, Statement, placeholders},
};

/// Workflows of one question at most.
const MAX_WORKFLOWS: usize = 200;
/// Runs of one question about steps at most.
const MAX_RUNS: usize = 200;
/// Steps that are returned, those with the longest time in sum.
const MAX_STEPS: u32 = 200;

/// A run of a workflow's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastRun {
    /// Id, which grows with the time of the request.
    pub id: RunId,
    /// Status by the row of the run.
    pub status: RunStatus,
    /// Time of its request.
    pub created_at: Timestamp,
    /// Start of its first step.
    pub started_at: Option<Timestamp>,
    /// End of its last step.
    pub ended_at: Option<Timestamp>,
}

/// Sums over the visits of a step in some runs, each run with its last visit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepTimes {
    /// Id of the step in the plans of the runs.
    pub step: StepId,
    /// Runs in which it ended.
    pub ended: u64,
    /// Runs in which it failed or ran out of time.
    pub failed: u64,
    /// Runs in which it passed only after a failed attempt.
    pub retried: u64,
    /// Its time from start to end, in microseconds, over all these runs.
    pub total_us: u64,
    /// Runs that `total_us` is the sum of.
    pub timed: u64,
    /// Its longest time, in microseconds.
    pub longest_us: u64,
    /// The same sum and number over the newer half of the runs.
    pub newer: (u64, u64),
}

impl RunHistory<'_> {
    /// The last runs of each of these workflows (repository and name), newest first, in one question; at
    /// most 200 workflows.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn runs(
        self,
        workflows: &[(String, String)],
        each: u32,
    ) -> Result<Vec<Vec<PastRun>>, Error> {
        let workflows = workflows.get(..MAX_WORKFLOWS).unwrap_or(workflows);
        let mut past: Vec<Vec<PastRun>> = vec![Vec::new(); workflows.len()];
        if workflows.is_empty() {
            return Ok(past);
        }
        let mut args: Vec<Arg> = vec![each.min(MAX_PAGE).into()];
        let mut arms = Vec::with_capacity(workflows.len());
        for (at, (repo, workflow)) in workflows.iter().enumerate() {
            args.extend([workflow.as_str().into(), repo.as_str().into()]);
            // By the index `run_before`.
            arms.push(format!(
                "SELECT * FROM (SELECT CAST({at} AS BIGINT) AS place, id, status, created_at, started_at, ended_at FROM run \
                 WHERE workflow = ${} AND COALESCE(repo, '') = ${} ORDER BY id DESC LIMIT $1) AS w{at}",
                args.len() - 1,
                args.len()
            ));
        }
        let text = format!("{} ORDER BY place, id DESC", arms.join(" UNION ALL "));
        for row in &self.store.read(Statement::new(text, args)).await? {
            let at = usize::try_from(row.int(0)?).unwrap_or(usize::MAX);
            let Some(runs) = past.get_mut(at) else { continue };
            runs.push(PastRun {
                id: RunId::new(row.text(1)?),
                status: row.parse(2)?,
                created_at: row.time(3)?,
                started_at: row.opt_time(4)?,
                ended_at: row.opt_time(5)?,
            });
        }
        Ok(past)
    }

    /// Times of the steps of these runs, newest first, those with the longest time in sum first; of at most
    /// 200 runs and 200 steps.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn step_times(self, runs: &[RunId]) -> Result<Vec<StepTimes>, Error> {
        let runs = runs.get(..MAX_RUNS).unwrap_or(runs);
        let Some(middle) = runs.get(runs.len() / 2) else { return Ok(Vec::new()) };
        let mut args: Vec<Arg> = vec![middle.as_str().into(), MAX_STEPS.into()];
        args.extend(runs.iter().map(|id| Arg::from(id.as_str())));
        let list = placeholders(3, runs.len());
        let (sum, newer) = ("ended_at > started_at", "ended_at > started_at AND run_id > $1");
        let sum_of = |when: &str, what: &str| {
            format!("CAST(COALESCE(SUM(CASE WHEN {when} THEN {what} END), 0) AS BIGINT)")
        };
        let text = format!(
            "SELECT step_id, COUNT(*), COUNT(CASE WHEN status IN ('failed', 'timed_out') THEN 1 END), \
             COUNT(CASE WHEN status = 'success' AND attempts > 1 THEN 1 END), {} AS total, {}, \
             COALESCE(MAX(CASE WHEN {sum} THEN ended_at - started_at END), 0), {}, {} FROM step \
             WHERE run_id IN ({list}) AND status IN ('success', 'failed', 'timed_out') \
             GROUP BY step_id ORDER BY total DESC, step_id LIMIT $2",
            sum_of(sum, "ended_at - started_at"),
            sum_of(sum, "1"),
            sum_of(newer, "ended_at - started_at"),
            sum_of(newer, "1"),
        );
        let rows = self.store.read(Statement::new(text, args)).await?;
        rows.iter()
            .map(|row| {
                Ok(StepTimes {
                    step: StepId::new(row.text(0)?),
                    ended: row.count(1)?,
                    failed: row.count(2)?,
                    retried: row.count(3)?,
                    total_us: row.count(4)?,
                    timed: row.count(5)?,
                    longest_us: row.count(6)?,
                    newer: (row.count(7)?, row.count(8)?),
                })
            })
            .collect()
    }
}
