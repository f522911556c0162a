//! Warm runners: given to a run, used again, and the demand for them.

use jiff::Timestamp;
use plue_plan::{RunId, RunnerId};

use crate::{
    changes::Shards,
    error::Error,
    fence,
    handles::{Pods, Pools},
    op::Op,
    runner::RunnerState,
    sql::{Arg, Dialect, Statement, Tx, among},
};

/// A run that needs a warm runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakeWarm {
    /// Pool of the runner.
    pub pool: String,
    /// Run that the runner serves.
    pub run: RunId,
    /// Repository and trust of the run: only a fresh runner or one of the same scope serves it.
    pub scope: String,
    /// Only one of these: those in session with the caller. `None`: any.
    pub among: Option<Vec<RunnerId>>,
    /// Time of the change.
    pub at: Timestamp,
}

/// A runner that is idle again after its run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reusable {
    /// Runner whose run has ended.
    pub runner: RunnerId,
    /// The run it worked for.
    pub run: RunId,
    /// Runs of one runner at most.
    pub uses: u32,
    /// Time of the change.
    pub at: Timestamp,
}

struct Take(TakeWarm);

struct Reuse(Reusable);

impl Pods<'_> {
    /// Gives a warm runner to a run: the least recently registered of its scope, else a fresh one.
    /// Two callers never get the same one.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn take_warm(self, take: TakeWarm) -> Result<Option<RunnerId>, Error> {
        self.store.write(Take(take)).await
    }

    /// Makes a runner idle again for further runs of its scope. `false`: it has work, works for another
    /// run, or has had all its runs.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn reuse(self, reusable: Reusable) -> Result<bool, Error> {
        self.store.write(Reuse(reusable)).await
    }
}

impl Pools<'_> {
    /// Runners of a pool that were given to runs since `since`.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn arrivals(self, pool: &str, since: Timestamp) -> Result<u32, Error> {
        let text = "SELECT count(*) FROM runner_pod p JOIN runner r ON r.id = p.runner_id \
                    WHERE p.taken_at > $2 AND r.pool = $1";
        let row =
            self.store.read_one(Statement::new(text, vec![pool.into(), since.into()])).await?;
        row.map_or(Ok(0), |row| row.small(0))
    }
}

impl Op for Take {
    type Out = Option<RunnerId>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Option<RunnerId>, Error> {
        let Self(take) = self;
        let mut args = vec![Arg::from(take.pool.as_str()), take.scope.as_str().into()];
        let names: Option<Vec<String>> = take
            .among
            .as_ref()
            .map(|runners| runners.iter().map(|id| id.as_str().to_owned()).collect());
        let among = among("r.id", names.as_deref(), &mut args);
        let mut text = format!(
            "SELECT r.id FROM runner r JOIN runner_pod p ON p.runner_id = r.id \
             WHERE r.pool = $1 AND r.state = 'ready' AND r.group_key IS NULL \
             AND (p.scope IS NULL OR p.scope = $2){among} \
             ORDER BY CASE WHEN p.scope IS NULL THEN 1 ELSE 0 END, r.state_since, r.id LIMIT 1"
        );
        if tx.dialect() == Dialect::Postgres {
            text.push_str(" FOR NO KEY UPDATE OF r SKIP LOCKED");
        }
        let Some(row) = tx.fetch_optional(Statement::new(text, args)).await? else {
            return Ok(None);
        };
        let runner = RunnerId::new(row.text(0)?);
        let text = "UPDATE runner SET state = 'claimed', group_key = $2, state_since = $3 \
                    WHERE id = $1 AND state = 'ready' AND group_key IS NULL";
        let args = vec![runner.as_str().into(), take.run.as_str().into(), take.at.into()];
        tx.write(Statement::new(text, args).expect(1));
        let text = "UPDATE runner_pod SET scope = $2, uses = uses + 1, taken_at = $3 \
                    WHERE runner_id = $1";
        let args = vec![runner.as_str().into(), take.scope.as_str().into(), take.at.into()];
        tx.write(Statement::new(text, args).expect(1));
        Ok(Some(runner))
    }

    fn touched(&self, _: &Option<RunnerId>) -> Shards {
        Shards::NONE
    }
}

impl Op for Reuse {
    type Out = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let Self(Reusable { runner, run, uses, at }) = self;
        let lock = fence::lock(tx.dialect());
        let text = format!(
            "SELECT r.state, r.group_key, p.uses, (SELECT count(*) FROM attempt a \
             WHERE a.runner_id = r.id AND a.state IN ('assigned', 'running')) \
             FROM runner r JOIN runner_pod p ON p.runner_id = r.id WHERE r.id = $1{lock}"
        );
        let row = tx.fetch_optional(Statement::new(text, vec![runner.as_str().into()])).await?;
        let Some(row) = row else { return Ok(false) };
        let state: RunnerState = row.parse(0)?;
        let works =
            state == RunnerState::Claimed && row.opt_text(1)?.as_deref() == Some(run.as_str());
        if !works || row.small(2)? >= *uses || row.count(3)? > 0 {
            return Ok(false);
        }
        let text = "UPDATE runner SET state = 'ready', group_key = NULL, state_since = $3 \
                    WHERE id = $1 AND state = 'claimed' AND group_key = $2";
        let args = vec![runner.as_str().into(), run.as_str().into(), (*at).into()];
        tx.write(Statement::new(text, args).expect(1));
        Ok(true)
    }

    fn touched(&self, _: &bool) -> Shards {
        Shards::NONE
    }
}
