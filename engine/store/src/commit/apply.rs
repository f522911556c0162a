//! Checking a commit against the locked rows.

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
    sql::{Arg, Row, Statement, Tx},
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
    taken: Taken,
}

impl Op for Apply {
    type Out = Result<Committed, Refused>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Out, Error> {
        let commit = &self.0;
        let ids = commit.attempts_touched();
        let mut reads = vec![read_run(tx, commit)];
        if !ids.is_empty() {
            reads.push(Held::read(tx.dialect(), &ids));
        }
        let mut answers = tx.fetch_each(reads).await?.into_iter();
        let mut first = answers.next().unwrap_or_default();
        let held = answers.next().unwrap_or_default();
        if first.is_empty() && commit.assign_to.is_some() {
            // The join gives nothing if there is no such runner either.
            let alone = RunCommit { assign_to: None, ..commit.bare() };
            first = tx.fetch(read_run(tx, &alone)).await?;
        }
        let Some(row) = first.first() else {
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
        let endings = match check(commit, &held)? {
            Ok(endings) => endings,
            Err(refused) => return Ok(Err(refused)),
        };
        let offer = match &commit.assign_to {
            Some(assign) => read_offer(row, VIEW_COLUMNS, assign, &commit.run)?,
            None => None,
        };
        let seq = seq + commit.facts.len() as u64;
        tx.write(writes::update_run(commit, &read_view(row)?, seq));
        for ending in endings {
            tx.write_all(events::insert_chunks(ending.taken.chunks));
            tx.write(writes::end_attempt(commit, ending.end, &ending.held, ending.taken.started)?);
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

    /// The same run and length, nothing to write.
    fn bare(&self) -> Self {
        let bare = Self::new(self.run.clone(), self.expect_seq, self.at, self.view.clone());
        Self { drive: self.drive, ..bare }
    }
}

/// What is read of the run's row: its journal's length, its view, and who may write.
const VIEW: &str = "r.seq, r.status, r.reason, r.started_at, r.ended_at, r.drive_fence";
const DRIVE_COLUMN: usize = 5;
const VIEW_COLUMNS: usize = 6;

fn read_view(row: &Row) -> Result<RunView, Error> {
    Ok(RunView {
        status: row.parse(1)?,
        reason: row.opt_text(2)?,
        started_at: row.opt_time(3)?,
        ended_at: row.opt_time(4)?,
    })
}

/// Locks the run, and the runner that shall get work.
fn read_run(tx: &Tx<'_>, commit: &RunCommit) -> Statement {
    let lock = fence::lock(tx.dialect());
    let run = Arg::from(commit.run.as_str());
    match &commit.assign_to {
        None => {
            Statement::new(format!("SELECT {VIEW} FROM run r WHERE r.id = $1{lock}"), vec![run])
        }
        Some(assign) => {
            let fence = fence::expression(tx.dialect());
            let text = format!(
                "SELECT {VIEW}, n.state, n.epoch, n.group_key, {fence} \
                 FROM run r JOIN runner n ON n.id = $2 WHERE r.id = $1{lock}"
            );
            Statement::new(text, vec![run, assign.runner.as_str().into()])
        }
    }
}

/// Locks the runner that shall get work of a new run.
pub(super) async fn offer(
    tx: &mut Tx<'_>,
    assign: &Assign,
    run: &RunId,
) -> Result<Option<Offer>, Error> {
    let (fence, lock) = (fence::expression(tx.dialect()), fence::lock(tx.dialect()));
    let text = format!("SELECT state, epoch, group_key, {fence} FROM runner WHERE id = $1{lock}");
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
        let row = Held::from_row(row)?;
        held.insert(row.id.clone(), row);
    }
    let mut endings = Vec::with_capacity(commit.ends.len());
    for end in &commit.ends {
        let claim = end.claim.clone();
        let Some(mut held) = held.remove(&claim.attempt) else {
            return Ok(Err(Refused::Result { claim, verdict: ResultVerdict::Fenced }));
        };
        let mut taken = Taken::default();
        if held.is_held_by(&claim) {
            taken = events::take(&mut held, &end.tail);
        }
        let verdict = held.verdict(&claim, end.seq.unwrap_or(held.ack_seq + 1));
        if verdict != ResultVerdict::Recorded {
            return Ok(Err(Refused::Result { claim, verdict }));
        }
        held.ack_seq = end.seq.unwrap_or(held.ack_seq);
        endings.push(Ending { end, held, taken });
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
