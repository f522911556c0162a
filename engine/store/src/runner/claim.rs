//! A runner asks for work: queued attempts of its pool, each given to one runner only.

use std::fmt::Write as _;

use jiff::Timestamp;
use plue_plan::{AttemptId, RunId, RunnerId, StepId};
use plue_wire::runner::{Claim, Fence};

use super::{ClaimedAttempt, REMOTE_POOL, RunnerKind, RunnerState};
use crate::{
    changes::Shards,
    error::Error,
    fence,
    handles::Attempts,
    op::Op,
    sql::{Arg, Dialect, Statement, Tx},
};

struct Take {
    runner: RunnerId,
    epoch: u64,
    max: usize,
    at: Timestamp,
}

/// The runner's row, locked.
struct Free {
    pool: String,
    group: Option<String>,
    first_fence: u64,
}

impl Attempts<'_> {
    /// Gives queued attempts to a runner, at most `max` and at most 64, all of one run: the run the
    /// runner works for already, or that of the first attempt in the queue. Nothing if the session is
    /// not the runner's last one.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn claim(
        self,
        runner: &RunnerId,
        epoch: u64,
        max: usize,
        at: Timestamp,
    ) -> Result<Vec<ClaimedAttempt>, Error> {
        let max = max.min(fence::BLOCK);
        self.store.write(Take { runner: runner.clone(), epoch, max, at }).await
    }
}

impl Op for Take {
    type Out = Vec<ClaimedAttempt>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Out, Error> {
        // The runner first, here as in every transaction that locks both.
        let Some(free) = self.runner(tx).await? else {
            return Ok(Vec::new());
        };
        let claimed = self.queued(tx, &free).await?;
        let Some(first) = claimed.first() else {
            return Ok(claimed);
        };
        for one in &claimed {
            tx.write(self.assign(one));
        }
        fence::take(tx);
        if free.group.is_none() {
            tx.write(self.claim_runner(&first.run));
        }
        Ok(claimed)
    }

    fn touched(&self, out: &Self::Out) -> Shards {
        Shards::of_all(out.iter().map(|one| &one.run))
    }
}

impl Take {
    async fn runner(&self, tx: &mut Tx<'_>) -> Result<Option<Free>, Error> {
        let (fence, lock) = (fence::expression(tx.dialect()), fence::lock(tx.dialect()));
        let text = format!(
            "SELECT state, epoch, pool, group_key, {fence}, kind FROM runner WHERE id = $1{lock}"
        );
        let row =
            tx.fetch_optional(Statement::new(text, vec![self.runner.as_str().into()])).await?;
        let Some(row) = row else { return Ok(None) };
        let state: RunnerState = row.parse(0)?;
        let takes = matches!(state, RunnerState::Ready | RunnerState::Claimed);
        if !takes || row.count(1)? != self.epoch {
            return Ok(None);
        }
        let (own_pool, group) = (row.text(2)?, row.opt_text(3)?);
        let pool = match row.parse(5)? {
            RunnerKind::Process => own_pool,
            RunnerKind::Pod | RunnerKind::Registered => REMOTE_POOL.to_owned(),
        };
        Ok(Some(Free { pool, group, first_fence: row.count(4)? }))
    }

    async fn queued(&self, tx: &mut Tx<'_>, free: &Free) -> Result<Vec<ClaimedAttempt>, Error> {
        let mut text = "SELECT a.id, a.run_id, a.step_id, a.visit, a.number \
                        FROM attempt a JOIN run r ON r.id = a.run_id \
                        WHERE a.state = 'queued' AND a.pool = $1 AND a.not_before <= $2 \
                        AND r.status IN ('queued', 'running', 'waiting')"
            .to_owned();
        let mut args = vec![Arg::from(free.pool.as_str()), self.at.into()];
        if let Some(group) = &free.group {
            text.push_str(" AND a.run_id = $3");
            args.push(group.as_str().into());
        }
        let _never_fails =
            write!(text, " ORDER BY a.priority, a.not_before, a.id LIMIT {}", self.max);
        if tx.dialect() == Dialect::Postgres {
            text.push_str(" FOR NO KEY UPDATE OF a SKIP LOCKED");
        }
        let rows = tx.fetch(Statement::new(text, args)).await?;
        let mut claimed: Vec<ClaimedAttempt> = Vec::with_capacity(rows.len());
        for (row, fence) in rows.iter().zip(free.first_fence..) {
            let run = RunId::new(row.text(1)?);
            if claimed.first().is_some_and(|first| first.run != run) {
                continue;
            }
            claimed.push(ClaimedAttempt {
                claim: Claim { attempt: AttemptId::new(row.text(0)?), fence: Fence(fence) },
                run,
                step: StepId::new(row.text(2)?),
                visit: row.small(3)?,
                number: row.small(4)?,
            });
        }
        Ok(claimed)
    }

    fn assign(&self, one: &ClaimedAttempt) -> Statement {
        Statement::new(
            "UPDATE attempt SET state = 'assigned', fence = $2, runner_id = $3, assigned_at = $4 \
             WHERE id = $1 AND state = 'queued'",
            vec![
                one.claim.attempt.as_str().into(),
                Arg::count(one.claim.fence.0),
                self.runner.as_str().into(),
                self.at.into(),
            ],
        )
        .expect(1)
    }

    fn claim_runner(&self, run: &RunId) -> Statement {
        Statement::new(
            "UPDATE runner SET state = 'claimed', group_key = $3, state_since = $4 \
             WHERE id = $1 AND epoch = $2",
            vec![
                self.runner.as_str().into(),
                Arg::count(self.epoch),
                run.as_str().into(),
                self.at.into(),
            ],
        )
        .expect(1)
    }
}
