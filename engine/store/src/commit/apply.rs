//! Checking a commit against the locked rows, and its writes.

use std::collections::BTreeMap;

use plue_flow::RunView;
use plue_plan::{AttemptId, RunId};
use plue_wire::runner::{Claim, Fence, ResultVerdict};

use super::{Assign, AttemptEnd, Committed, NewAttempt, Refused, RunCommit};
use crate::{
    attempt::Held,
    changes::Shards,
    error::Error,
    events::{self, Taken},
    fence, log,
    op::Op,
    runner::RunnerState,
    sql::{Arg, Row, Statement, Tx, insert_rows, placeholders},
};

pub(super) struct Apply(pub(super) RunCommit);

/// A runner that may get attempts in this transaction, and the fences for them.
pub(super) struct Offer {
    assign: Assign,
    /// Whether the runner's row must be written: it was ready, or had no group.
    claim_runner: bool,
    first_fence: u64,
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
        tx.write(update_run(commit, &read_view(row)?, seq));
        for ending in endings {
            tx.write_all(events::insert_chunks(ending.taken.chunks));
            tx.write(end_attempt(commit, ending.end, &ending.held, ending.taken.started)?);
        }
        let assigned = write_all(tx, commit, offer)?;
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
        Self::new(self.run.clone(), self.expect_seq, self.at, self.view.clone())
    }
}

/// What is read of the run's row: its journal's length, then its view.
const VIEW: &str = "r.seq, r.status, r.reason, r.started_at, r.ended_at";
const VIEW_COLUMNS: usize = 5;

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

fn update_run(commit: &RunCommit, before: &RunView, seq: u64) -> Statement {
    if commit.view == *before {
        // Most transitions; columns that are named in an update cost their indexes a change.
        let text = "UPDATE run SET seq = $3 WHERE id = $1 AND seq = $2";
        let args = vec![commit.run.as_str().into(), Arg::count(commit.expect_seq), Arg::count(seq)];
        return Statement::new(text, args).expect(1);
    }
    let RunView { status, reason, started_at, ended_at } = &commit.view;
    let text = "UPDATE run SET status = $3, reason = $4, started_at = $5, ended_at = $6, seq = $7 \
                WHERE id = $1 AND seq = $2";
    let args = vec![
        commit.run.as_str().into(),
        Arg::count(commit.expect_seq),
        status.as_str().into(),
        reason.clone().into(),
        (*started_at).into(),
        (*ended_at).into(),
        Arg::count(seq),
    ];
    Statement::new(text, args).expect(1)
}

fn end_attempt(
    commit: &RunCommit,
    end: &AttemptEnd,
    held: &Held,
    started: Option<(jiff::Timestamp, u32)>,
) -> Result<Statement, Error> {
    let text = "UPDATE attempt SET state = $3, ended_at = $4, outcome = $5, detail = $6, \
                ack_seq = $7, log_bytes = $8, log_newlines = $9, \
                started_at = COALESCE($10, started_at), pid = COALESCE($11, pid), to_pack = $12 \
                WHERE id = $1 AND fence = $2 AND state IN ('assigned', 'running')";
    let args = vec![
        held.id.as_str().into(),
        Arg::count(held.fence.0),
        end.status.as_str().into(),
        commit.at.into(),
        Arg::json(&end.outcome)?,
        Arg::opt_json(end.detail.as_ref())?,
        Arg::count(held.ack_seq),
        Arg::count(held.log_bytes),
        Arg::count(held.log_newlines),
        started.map(|(at, _)| at).into(),
        Arg::Int(started.map(|(_, pid)| pid.into())),
        i64::from(log::is_worth_packing(held.log_bytes, held.ack_seq)).into(),
    ];
    Ok(Statement::new(text, args).expect(1))
}

/// The writes that need no check: facts, steps, new attempts, cancelled and requeued ones, and the
/// assignment. Gives the claims.
pub(super) fn write_all(
    tx: &mut Tx<'_>,
    commit: &RunCommit,
    offer: Option<Offer>,
) -> Result<Vec<Claim>, Error> {
    tx.write_all(insert_facts(commit)?);
    tx.write_all(upsert_steps(commit)?);
    if !commit.cancels.is_empty() {
        tx.write(cancel_queued(commit));
    }
    let mut fences = Fences::of(offer.as_ref());
    let mut assigned = Vec::new();
    let runner = offer.as_ref().map(|offer| offer.assign.runner.as_str());
    let mut rows = Vec::with_capacity(commit.attempts.len());
    for new in &commit.attempts {
        let fence = fences.next();
        assigned.extend(fence.map(|fence| Claim { attempt: new.id.clone(), fence }));
        rows.push(attempt_values(commit, new, fence, runner));
    }
    tx.write_all(insert_attempts(rows));
    for claim in &commit.requeue {
        let fence = fences.next();
        assigned.extend(fence.map(|fence| Claim { attempt: claim.attempt.clone(), fence }));
        requeue(tx, commit, claim, fence, runner);
    }
    if let Some(offer) = offer.filter(|_| !assigned.is_empty()) {
        fence::take(tx);
        if offer.claim_runner {
            tx.write(claim_runner(commit, &offer));
        }
    }
    Ok(assigned)
}

struct Fences {
    next: u64,
    left: usize,
}

impl Fences {
    fn of(offer: Option<&Offer>) -> Self {
        offer.map_or(Self { next: 0, left: 0 }, |offer| Self {
            next: offer.first_fence,
            left: offer.assign.max.min(fence::BLOCK),
        })
    }

    fn next(&mut self) -> Option<Fence> {
        self.left = self.left.checked_sub(1)?;
        self.next += 1;
        Some(Fence(self.next - 1))
    }
}

fn insert_facts(commit: &RunCommit) -> Result<Vec<Statement>, Error> {
    let mut rows = Vec::with_capacity(commit.facts.len());
    for (seq, fact) in (commit.expect_seq + 1..).zip(&commit.facts) {
        let run = Arg::from(commit.run.as_str());
        rows.push(vec![run, Arg::count(seq), commit.at.into(), Arg::json(fact)?]);
    }
    Ok(insert_rows("INSERT INTO journal (run_id, seq, at, fact) VALUES", 4, rows, ""))
}

fn upsert_steps(commit: &RunCommit) -> Result<Vec<Statement>, Error> {
    let mut rows = Vec::with_capacity(commit.steps.len());
    for view in &commit.steps {
        rows.push(vec![
            commit.run.as_str().into(),
            view.step.as_str().into(),
            view.status.as_str().into(),
            Arg::opt_json(view.reason.as_ref())?,
            view.visit.into(),
            view.attempts.into(),
            view.ready_at.into(),
            view.started_at.into(),
            view.ended_at.into(),
            Arg::json(&view.output)?,
        ]);
    }
    Ok(insert_rows(
        "INSERT INTO step (run_id, step_id, status, reason, visit, attempts, ready_at, started_at, \
         ended_at, output) VALUES",
        10,
        rows,
        "ON CONFLICT (run_id, step_id) DO UPDATE SET status = excluded.status, \
         reason = excluded.reason, visit = excluded.visit, attempts = excluded.attempts, \
         ready_at = excluded.ready_at, started_at = excluded.started_at, \
         ended_at = excluded.ended_at, output = excluded.output",
    ))
}

fn cancel_queued(commit: &RunCommit) -> Statement {
    let text = format!(
        "UPDATE attempt SET state = 'cancelled', ended_at = $1 \
         WHERE state = 'queued' AND id IN ({})",
        placeholders(2, commit.cancels.len())
    );
    let ids = commit.cancels.iter().map(|id| Arg::from(id.as_str()));
    let args = std::iter::once(commit.at.into()).chain(ids).collect();
    Statement::new(text, args).expect(commit.cancels.len() as u64)
}

fn attempt_values(
    commit: &RunCommit,
    new: &NewAttempt,
    fence: Option<Fence>,
    runner: Option<&str>,
) -> Vec<Arg> {
    let (state, runner, at) = match fence {
        Some(_) => ("assigned", runner.map(str::to_owned), Some(commit.at)),
        None => ("queued", None, None),
    };
    vec![
        new.id.as_str().into(),
        commit.run.as_str().into(),
        new.step.as_str().into(),
        new.visit.into(),
        new.number.into(),
        new.pool.as_str().into(),
        new.priority.into(),
        new.not_before.into(),
        state.into(),
        Arg::count(fence.unwrap_or_default().0),
        runner.into(),
        commit.at.into(),
        at.into(),
        0_i64.into(),
        0_i64.into(),
        0_i64.into(),
        0_i64.into(),
    ]
}

fn insert_attempts(rows: Vec<Vec<Arg>>) -> Vec<Statement> {
    insert_rows(
        "INSERT INTO attempt (id, run_id, step_id, visit, number, pool, priority, not_before, \
         state, fence, runner_id, queued_at, assigned_at, ack_seq, log_bytes, log_newlines, \
         to_pack) VALUES",
        17,
        rows,
        "",
    )
}

/// Back to the queue, or to another runner at once. Its sequence starts again, so what the lost
/// runner may have said before a start goes.
fn requeue(
    tx: &mut Tx<'_>,
    commit: &RunCommit,
    claim: &Claim,
    fence: Option<Fence>,
    runner: Option<&str>,
) {
    let (state, runner, at) = match fence {
        Some(_) => ("assigned", runner.map(str::to_owned), Some(commit.at)),
        None => ("queued", None, None),
    };
    let id = claim.attempt.as_str();
    tx.write(Statement::new("DELETE FROM log_chunk WHERE attempt_id = $1", vec![id.into()]));
    tx.write(
        Statement::new(
            "UPDATE attempt SET state = $3, fence = $4, runner_id = $5, assigned_at = $6, \
             started_at = NULL, pid = NULL, ack_seq = 0, log_bytes = 0, log_newlines = 0 \
             WHERE id = $1 AND fence = $2 AND state IN ('assigned', 'running')",
            vec![
                id.into(),
                Arg::count(claim.fence.0),
                state.into(),
                // A requeued attempt keeps no fence: whoever shows the old one is stale.
                Arg::count(fence.unwrap_or_default().0),
                runner.into(),
                at.into(),
            ],
        )
        .expect(1),
    );
}

fn claim_runner(commit: &RunCommit, offer: &Offer) -> Statement {
    Statement::new(
        "UPDATE runner SET state = 'claimed', group_key = $3, state_since = $4 \
         WHERE id = $1 AND epoch = $2",
        vec![
            offer.assign.runner.as_str().into(),
            Arg::count(offer.assign.epoch),
            commit.run.as_str().into(),
            commit.at.into(),
        ],
    )
    .expect(1)
}
