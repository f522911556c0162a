//! The writes of a commit. All checks were made before: see [`super::apply`].

use plue_flow::{AttemptStatus, Fact, RunView};
use plue_wire::runner::{Claim, Fence};

use super::{AttemptEnd, NewAttempt, RunCommit, apply::Offer};
use crate::{
    attempt::Held,
    error::Error,
    fence, log,
    sql::{Arg, Statement, Tx, insert_rows, placeholders},
};

pub(super) fn update_run(commit: &RunCommit, before: &RunView, seq: u64) -> Statement {
    let run = commit.run.as_str();
    let mut args = vec![run.into(), Arg::count(commit.expect_seq), Arg::count(seq)];
    // Most transitions change nothing else; columns that are named cost their indexes a change.
    let mut text = "UPDATE run SET seq = $3".to_owned();
    if commit.view != *before {
        let RunView { status, reason, started_at, ended_at } = &commit.view;
        text.push_str(", status = $4, reason = $5, started_at = $6, ended_at = $7");
        let view = [status.as_str().into(), reason.clone().into()];
        args.extend(view.into_iter().chain([(*started_at).into(), (*ended_at).into()]));
    }
    if commit.ends.iter().any(|end| end.status == AttemptStatus::Done) {
        // It gets on: see `crate::deaths`.
        text.push_str(", deaths = 0");
    }
    text.push_str(" WHERE id = $1 AND seq = $2");
    if let Some(fence) = commit.drive {
        args.push(Arg::count(fence));
        text.push_str(&format!(" AND drive_fence = ${}", args.len()));
    }
    Statement::new(text, args).expect(1)
}

/// The runner gets attempts, if it is still as it was read. Second, so that two transactions never lock
/// a run and a runner in different orders.
pub(super) fn lock_runner(tx: &mut Tx<'_>, commit: &RunCommit, offer: Option<&Offer>) {
    let is_taken = commit.attempts.len() + commit.requeue.len() > 0;
    let Some(offer) = offer.filter(|offer| is_taken && offer.assign.max > 0) else {
        return;
    };
    let runner = offer.assign.runner.as_str();
    let run = commit.run.as_str();
    let mut args = vec![runner.into(), Arg::count(offer.assign.epoch), run.into()];
    if offer.claim_runner {
        args.push(commit.at.into());
        let text = "UPDATE runner SET state = 'claimed', group_key = $3, state_since = $4 \
                    WHERE id = $1 AND epoch = $2 AND state IN ('ready', 'claimed') \
                    AND (group_key IS NULL OR group_key = $3)";
        tx.write(Statement::new(text, args).expect(1));
    } else {
        let text = "SELECT 1 FROM runner WHERE id = $1 AND epoch = $2 AND state = 'claimed' \
                    AND group_key = $3 FOR NO KEY UPDATE";
        tx.still(Statement::new(text, args));
    }
}

pub(super) fn end_attempt(
    commit: &RunCommit,
    end: &AttemptEnd,
    held: &Held,
    before: (u64, u64),
    started: Option<(jiff::Timestamp, u32)>,
) -> Result<Statement, Error> {
    let text = "UPDATE attempt SET state = $3, ended_at = $4, outcome = $5, detail = $6, \
                ack_seq = $7, log_bytes = $8, log_newlines = $9, log_seq = $14, \
                started_at = COALESCE($10, started_at), pid = COALESCE($11, pid), to_pack = $12 \
                WHERE id = $1 AND fence = $2 AND state IN ('assigned', 'running') AND ack_seq = $13 \
                AND log_seq = $15";
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
        Arg::count(before.0),
        Arg::count(held.log_seq),
        Arg::count(before.1),
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
    if commit.facts.iter().any(|fact| matches!(fact, Fact::RunEnded { .. })) {
        tx.write(end_into_inbox(commit));
    }
    if !commit.cancels.is_empty() {
        tx.write(cancel_queued(commit));
    }
    if let Some(statement) = forget_request(commit) {
        tx.write(statement);
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
    if !assigned.is_empty() {
        fence::take(tx);
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

/// Puts the end of a run into the inbox of its repository, if a registered plan may start from it:
/// in the transaction that ends the run, so that each end has exactly one row, whatever process
/// dies.
fn end_into_inbox(commit: &RunCommit) -> Statement {
    let text = "INSERT INTO delivery (forge, hook, id, headers, body, received_at, state) \
                SELECT 'workflow', repo.hook, $2, '{}', $3, $4, 'new' \
                FROM run JOIN repo ON repo.name = run.repo WHERE run.id = $1 AND EXISTS \
                (SELECT 1 FROM registered g WHERE g.repo = repo.name AND g.follows = 1) \
                ON CONFLICT DO NOTHING";
    let run = commit.run.as_str();
    // A run that goes on after its end ends again, further down its journal.
    let seq = commit.expect_seq + commit.facts.len() as u64;
    let body = serde_json::json!({"run": run, "outcome": commit.view.status.as_str()});
    let args = vec![
        run.into(),
        format!("{run}:{seq}").into(),
        Arg::Bytes(body.to_string().into_bytes()),
        commit.at.into(),
    ];
    Statement::new(text, args)
}

/// Deletes the cancel request that the commit answers, and any request for a run that is reopened:
/// it was meant for the run before its end.
fn forget_request(commit: &RunCommit) -> Option<Statement> {
    if commit.facts.iter().any(|fact| matches!(fact, Fact::RunReopened { .. })) {
        let text = "DELETE FROM cancel_request WHERE run_id = $1";
        return Some(Statement::new(text, vec![commit.run.as_str().into()]));
    }
    commit.answers_request.as_ref().map(|answered| answered.forget(&commit.run))
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

/// Back to the queue, or to another runner at once. Its sequence starts again, so the lost runner's
/// lines before a start are deleted.
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
             started_at = NULL, pid = NULL, ack_seq = 0, log_bytes = 0, log_newlines = 0, \
             log_seq = 0 \
             WHERE id = $1 AND fence = $2 AND state IN ('assigned', 'running')",
            vec![
                id.into(),
                Arg::count(claim.fence.0),
                state.into(),
                // A requeued attempt keeps no fence: a claim with the old one is stale.
                Arg::count(fence.unwrap_or_default().0),
                runner.into(),
                at.into(),
            ],
        )
        .expect(1),
    );
}
