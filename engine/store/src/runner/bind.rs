//! A runner changes its run: one that is kept between two runs, or was started before there was one.

use jiff::Timestamp;
use plue_plan::{RunId, RunnerId};

use super::{RunnerKind, RunnerState};
use crate::{
    changes::Shards,
    error::Error,
    handles::Runners,
    op::Op,
    sql::{Statement, Tx},
};

struct Bind {
    id: RunnerId,
    from: Option<RunId>,
    to: RunId,
    at: Timestamp,
}

impl Runners<'_> {
    /// Lets a runner work for `to` and no longer for `from`. Not if it is gone, works for another run
    /// by now, or still has attempts; then nothing changes and the answer is no.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn bind(
        self,
        id: &RunnerId,
        from: Option<&RunId>,
        to: &RunId,
    ) -> Result<bool, Error> {
        let (from, to) = (from.cloned(), to.clone());
        self.store.write(Bind { id: id.clone(), from, to, at: self.store.clock().now() }).await
    }
}

impl Op for Bind {
    type Out = bool;
    const CHECKS_AGAIN: bool = true;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let text = "SELECT state, group_key, (SELECT count(*) FROM attempt a \
                    WHERE a.runner_id = r.id AND a.state IN ('assigned', 'running')), kind \
                    FROM runner r WHERE id = $1";
        let row = tx.fetch_optional(Statement::new(text, vec![self.id.as_str().into()])).await?;
        let Some(row) = row else { return Ok(false) };
        let state: RunnerState = row.parse(0)?;
        let group = row.opt_text(1)?.map(RunId::new);
        let may = match state {
            RunnerState::Warming | RunnerState::Ready | RunnerState::Claimed => true,
            RunnerState::Draining | RunnerState::Gone => false,
        };
        if !may || group != self.from || row.count(2)? > 0 {
            return Ok(false);
        }
        // The binding transaction locks the runner, so that no other gives it attempts.
        let text = "UPDATE runner SET group_key = $2, seen_at = $3, state_since = $3, \
                    state = CASE state WHEN 'ready' THEN 'claimed' ELSE state END \
                    WHERE id = $1 AND state = $4 AND group_key IS NOT DISTINCT FROM $5";
        let args = vec![
            self.id.as_str().into(),
            self.to.as_str().into(),
            self.at.into(),
            state.as_str().into(),
            self.from.as_ref().map(|run| run.as_str().to_owned()).into(),
        ];
        tx.write(Statement::new(text, args).expect(1));
        if row.parse::<RunnerKind>(3)? == RunnerKind::Pod {
            let text = "UPDATE runner_pod SET uses = uses + 1, taken_at = $2 WHERE runner_id = $1";
            let args = vec![self.id.as_str().into(), self.at.into()];
            tx.write(Statement::new(text, args).expect(1));
        }
        Ok(true)
    }

    fn touched(&self, _: &bool) -> Shards {
        Shards::NONE
    }
}
