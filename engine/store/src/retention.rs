//! Deleting runs with all that belongs to them.

use jiff::Timestamp;
use plue_flow::RunStatus;
use plue_plan::RunId;

use crate::{
    changes::Shards,
    delivery::bodies_before,
    error::Error,
    fence,
    handles::Retention,
    op::Op,
    sql::{Arg, Statement, Tx, placeholders},
};

/// Runs deleted in one transaction, so that other writes do not wait long.
const BATCH: u32 = 20;

struct Delete(RunId);

struct Prune {
    ended_before: Timestamp,
    only_forks: bool,
}

struct Sweep(Timestamp);

impl Retention<'_> {
    /// Deletes an ended run: journal, steps, attempts, logs, and its plan if nothing else uses it.
    /// Returns whether there was one to delete.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn delete_run(self, run: &RunId) -> Result<bool, Error> {
        self.store.write(Delete(run.clone())).await
    }

    /// Deletes all runs that ended before a time, or came from a file before it, and other rows
    /// that are older and of no more use: runners that are gone, cached evaluations, deliveries,
    /// messages, reports, keys of requests, ticks. Returns the number of runs.
    ///
    /// # Errors
    /// [`Error`] of the database; what was deleted until then stays so.
    pub async fn prune(self, ended_before: Timestamp) -> Result<u64, Error> {
        let total = self.prune_all(ended_before, false).await?;
        self.store.write(Sweep(ended_before)).await?;
        Ok(total)
    }

    /// Deletes the runs of forks that ended before a time. Returns their number.
    ///
    /// # Errors
    /// As [`Self::prune`].
    pub async fn prune_untrusted(self, ended_before: Timestamp) -> Result<u64, Error> {
        self.prune_all(ended_before, true).await
    }

    async fn prune_all(self, ended_before: Timestamp, only_forks: bool) -> Result<u64, Error> {
        let mut total = 0;
        loop {
            let deleted = self.store.write(Prune { ended_before, only_forks }).await?;
            total += deleted;
            if deleted == 0 {
                return Ok(total);
            }
        }
    }
}

fn ended() -> Vec<Arg> {
    let ended = RunStatus::ALL.iter().filter(|status| status.is_terminal());
    ended.map(|status| Arg::from(status.as_str())).collect()
}

/// Deletes these runs, then the plans that were theirs alone.
async fn delete(tx: &mut Tx<'_>, runs: &[(String, String)]) -> Result<(), Error> {
    if runs.is_empty() {
        return Ok(());
    }
    let ids = runs.iter().map(|(run, _)| Arg::from(run.as_str())).collect();
    let list = placeholders(1, runs.len());
    tx.write(Statement::new(format!("DELETE FROM run WHERE id IN ({list})"), ids));
    tx.flush().await?;
    let plans = runs.iter().map(|(_, plan)| Arg::from(plan.as_str())).collect();
    tx.write(Statement::new(
        format!(
            "DELETE FROM plan WHERE hash IN ({list}) \
             AND NOT EXISTS (SELECT 1 FROM run WHERE run.plan_hash = plan.hash)"
        ),
        plans,
    ));
    Ok(())
}

impl Op for Delete {
    type Out = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let states = ended();
        let text = format!(
            "SELECT id, plan_hash FROM run WHERE status IN ({}) AND id = ${}{}",
            placeholders(1, states.len()),
            states.len() + 1,
            fence::lock(tx.dialect())
        );
        let args = states.into_iter().chain([self.0.as_str().into()]).collect();
        let rows = tx.fetch(Statement::new(text, args)).await?;
        let found = rows
            .iter()
            .map(|row| Ok((row.text(0)?, row.text(1)?)))
            .collect::<Result<Vec<_>, Error>>()?;
        delete(tx, &found).await?;
        Ok(!found.is_empty())
    }

    fn touched(&self, deleted: &bool) -> Shards {
        if *deleted { Shards::of(&self.0) } else { Shards::NONE }
    }
}

impl Op for Prune {
    type Out = u64;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<u64, Error> {
        let states = ended();
        let before = states.len() + 1;
        let forks = if self.only_forks { " AND fork IS NOT NULL" } else { "" };
        let text = format!(
            "SELECT id, plan_hash FROM run WHERE status IN ({}) AND ended_at < ${before}{forks} \
             AND NOT EXISTS (SELECT 1 FROM imported_run i \
             WHERE i.run_id = run.id AND i.imported_at >= ${before}) \
             ORDER BY id LIMIT {BATCH}{}",
            placeholders(1, states.len()),
            fence::lock(tx.dialect())
        );
        let args = states.into_iter().chain([self.ended_before.into()]).collect();
        let rows = tx.fetch(Statement::new(text, args)).await?;
        let found = rows
            .iter()
            .map(|row| Ok((row.text(0)?, row.text(1)?)))
            .collect::<Result<Vec<_>, Error>>()?;
        delete(tx, &found).await?;
        Ok(found.len() as u64)
    }

    fn touched(&self, deleted: &u64) -> Shards {
        if *deleted > 0 { Shards::ALL } else { Shards::NONE }
    }
}

impl Op for Sweep {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        for text in [
            "DELETE FROM runner WHERE state = 'gone' AND seen_at < $1",
            "DELETE FROM plan_cache WHERE used_at < $1",
            "DELETE FROM delivery WHERE received_at < $1 AND state <> 'new' AND NOT EXISTS (\
             SELECT 1 FROM held h WHERE h.forge = delivery.forge AND h.hook = delivery.hook \
             AND h.delivery = delivery.id AND h.held_at >= $1)",
            "DELETE FROM held WHERE held_at < $1",
            // A step that is not ready yet may want one that came since its run was made.
            "DELETE FROM topic_event WHERE emitted_at < $1 AND NOT EXISTS (SELECT 1 FROM run \
             WHERE run.ended_at IS NULL AND run.created_at <= topic_event.emitted_at)",
            "DELETE FROM allowed WHERE allowed_at < $1",
            "DELETE FROM report WHERE created_at < $1 AND done = 1",
            "DELETE FROM idempotency WHERE created_at < $1",
            "DELETE FROM webhook_delivery WHERE created_at < $1 AND (state <> 'open' \
             OR NOT EXISTS (SELECT 1 FROM webhook w WHERE w.id = webhook_delivery.webhook))",
            // The newest tick of a schedule is the start of the next due ticks.
            "DELETE FROM tick WHERE due_at < $1 AND EXISTS (SELECT 1 FROM tick later \
             WHERE later.repo = tick.repo AND later.file = tick.file \
             AND later.workflow = tick.workflow AND later.cron = tick.cron \
             AND later.tz = tick.tz AND later.due_at > tick.due_at)",
        ] {
            tx.write(Statement::new(text, vec![self.0.into()]));
        }
        let text = "DELETE FROM delivery_body WHERE received_at < $1";
        tx.write(Statement::new(text, vec![bodies_before(self.0).into()]));
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::NONE
    }
}
