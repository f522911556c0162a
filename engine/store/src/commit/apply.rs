//! Checking a commit against the rows that it changes. What is read is not locked: each check is made
//! again by the write, or by a read that locks and is sent with it.

use std::collections::BTreeMap;

use plue_flow::RunView;
use plue_plan::{AttemptId, RunId};
use plue_wire::runner::ResultVerdict;

use super::{Assign, AttemptEnd, Committed, Refused, RunCommit, writes};
use crate::{
    attempt::Held,
    changes::Shards,
    error::Error,
    events::{self, Taken},
    fence,
    op::Op,
    runner::RunnerState,
    sql::{Arg, Dialect, Row, Statement, Tx, placeholders},
    webhook::event,
};

pub(super) struct Apply(pub(super) RunCommit);

/// A runner that may get attempts in this transaction, and the fences for them.
pub(super) struct Offer {
    pub(super) assign: Assign,
    /// Whether the runner's row must be written: it was ready, or had no group.
    pub(super) claim_runner: bool,
    pub(super) first_fence: u64,
}

/// An attempt that ends, after its tail was taken.
struct Ending<'e> {
    end: &'e AttemptEnd,
    held: Held,
    /// The last event and the last piece that were stored before.
    before: (u64, u64),
    taken: Taken,
}

impl Op for Apply {
    type Out = Result<Committed, Refused>;
    const CHECKS_AGAIN: bool = true;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Out, Error> {
        let commit = &self.0;
        let ids = commit.attempts_touched();
        let rows = tx.fetch(read(tx.dialect(), commit, &ids)).await?;
        let Some(row) = rows.first() else {
            return Ok(Err(Refused::NoRun));
        };
        let seq = row.count(0)?;
        if let Some(fence) = commit.drive
            && row.count(DRIVE_COLUMN)? != fence
        {
            return Ok(Err(Refused::Superseded));
        }
        if seq != commit.expect_seq {
            return Ok(Err(Refused::Stale { seq }));
        }
        let held = if ids.is_empty() { &[] } else { rows.as_slice() };
        let endings = match check(commit, held)? {
            Ok(endings) => endings,
            Err(refused) => return Ok(Err(refused)),
        };
        let offer = match &commit.assign_to {
            Some(assign) => read_offer(row, RUNNER_COLUMN, assign, &commit.run)?,
            None => None,
        };
        let seq = seq + commit.facts.len() as u64;
        tx.write(writes::update_run(commit, &read_view(row)?, seq));
        writes::lock_runner(tx, commit, offer.as_ref());
        for ending in endings {
            let Ending { end, held, before, taken } = ending;
            tx.write_all(events::insert_chunks(taken.chunks));
            tx.write(writes::end_attempt(commit, end, &held, before, taken.started)?);
        }
        tx.write_all(event::enqueue(commit, &event::Repo::OfRow));
        let assigned = writes::write_all(tx, commit, offer)?;
        Ok(Ok(Committed { seq, assigned }))
    }

    fn touched(&self, out: &Self::Out) -> Shards {
        if out.is_ok() { Shards::of(&self.0.run) } else { Shards::NONE }
    }
}

impl RunCommit {
    fn attempts_touched(&self) -> Vec<&AttemptId> {
        let ends = self.ends.iter().map(|end| &end.claim.attempt);
        let requeued = self.requeue.iter().map(|claim| &claim.attempt);
        ends.chain(requeued).chain(&self.cancels).collect()
    }
}

/// Columns of the run's row: its journal's length, its view, and its driver.
const VIEW: &str = "r.seq, r.status, r.reason, r.started_at, r.ended_at, r.drive_fence";
const DRIVE_COLUMN: usize = 5;
/// State, session, group and fences of the runner.
const RUNNER_COLUMN: usize = 6;
/// The attempts that [`Held::COLUMNS`] are read from.
const HELD_COLUMN: usize = 10;

fn read_view(row: &Row) -> Result<RunView, Error> {
    Ok(RunView {
        status: row.parse(1)?,
        reason: row.opt_text(2)?,
        started_at: row.opt_time(3)?,
        ended_at: row.opt_time(4)?,
    })
}

/// The run, the runner that shall get work, and the attempts: a row for each of those that there are,
/// at least one if there is such a run.
fn read(dialect: Dialect, commit: &RunCommit, ids: &[&AttemptId]) -> Statement {
    let (runner, fence) = match &commit.assign_to {
        Some(assign) => (Some(assign.runner.as_str().to_owned()), fence::expression(dialect)),
        None => (None, "NULL"),
    };
    let mut args = vec![Arg::from(commit.run.as_str()), runner.into()];
    let mut text = format!("SELECT {VIEW}, n.state, n.epoch, n.group_key, {fence}");
    let mut from = " FROM run r LEFT JOIN runner n ON n.id = $2".to_owned();
    if !ids.is_empty() {
        text.push_str(", ");
        text.push_str(Held::COLUMNS);
        let places = placeholders(3, ids.len());
        from.push_str(&format!(" LEFT JOIN attempt a ON a.id IN ({places})"));
        args.extend(ids.iter().map(|id| Arg::from(id.as_str())));
    }
    text.push_str(&from);
    text.push_str(" WHERE r.id = $1");
    Statement::new(text, args)
}

/// The runner that shall get work of a new run.
pub(super) async fn offer(
    tx: &mut Tx<'_>,
    assign: &Assign,
    run: &RunId,
) -> Result<Option<Offer>, Error> {
    let fence = fence::expression(tx.dialect());
    let text = format!("SELECT state, epoch, group_key, {fence} FROM runner WHERE id = $1");
    let row = tx.fetch_optional(Statement::new(text, vec![assign.runner.as_str().into()])).await?;
    row.map_or(Ok(None), |row| read_offer(&row, 0, assign, run))
}

fn read_offer(row: &Row, at: usize, assign: &Assign, run: &RunId) -> Result<Option<Offer>, Error> {
    let Some(state) = row.opt_text(at)? else {
        return Ok(None);
    };
    let state: RunnerState = state.parse().map_err(Error::Corrupt)?;
    let (epoch, group) = (row.count(at + 1)?, row.opt_text(at + 2)?);
    let free = group.as_deref().is_none_or(|group| group == run.as_str());
    let takes = matches!(state, RunnerState::Ready | RunnerState::Claimed);
    let offer = Offer {
        assign: assign.clone(),
        claim_runner: state == RunnerState::Ready || group.is_none(),
        first_fence: row.count(at + 3)?,
    };
    Ok((takes && free && epoch == assign.epoch).then_some(offer))
}

/// Whether every attempt that the commit touches is as the commit thinks.
fn check<'c>(
    commit: &'c RunCommit,
    rows: &[Row],
) -> Result<Result<Vec<Ending<'c>>, Refused>, Error> {
    let mut held = BTreeMap::new();
    for row in rows {
        if let Some(row) = Held::from_row(row, HELD_COLUMN)? {
            held.insert(row.id.clone(), row);
        }
    }
    let mut endings = Vec::with_capacity(commit.ends.len());
    for end in &commit.ends {
        let claim = end.claim.clone();
        let Some(mut held) = held.remove(&claim.attempt) else {
            return Ok(Err(Refused::Result { claim, verdict: ResultVerdict::Fenced }));
        };
        let (mut taken, before) = (Taken::default(), (held.ack_seq, held.log_seq));
        if held.is_held_by(&claim) {
            taken = events::take(&mut held, &end.tail);
        }
        let verdict = held.verdict(&claim, end.seq.unwrap_or(held.ack_seq + 1));
        if verdict != ResultVerdict::Recorded {
            return Ok(Err(Refused::Result { claim, verdict }));
        }
        held.ack_seq = end.seq.unwrap_or(held.ack_seq);
        endings.push(Ending { end, held, before, taken });
    }
    for claim in &commit.requeue {
        if !held.get(&claim.attempt).is_some_and(|held| held.is_held_by(claim)) {
            let (claim, verdict) = (claim.clone(), ResultVerdict::Fenced);
            return Ok(Err(Refused::Result { claim, verdict }));
        }
    }
    for attempt in &commit.cancels {
        let queued = plue_flow::AttemptStatus::Queued;
        if held.get(attempt).is_none_or(|held| held.state != queued) {
            return Ok(Err(Refused::NotQueued { attempt: attempt.clone() }));
        }
    }
    Ok(Ok(endings))
}
