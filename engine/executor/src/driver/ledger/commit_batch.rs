//! Commit batches: the one transaction that stores the facts of a batch, the rows of its steps and
//! attempts, and the assignment of what it queues.

use jiff::Timestamp;
use plue_flow::{AttemptStatus, Fact, fact::Outcome};
use plue_plan::{AttemptId, StepId};
use plue_store::{Assign, AttemptEnd, NewAttempt, RunCommit};
use plue_wire::runner::AttemptResult;

use super::{Ledger, cancels};
use crate::{
    batch::{Batch, Incoming, RunnerState},
    perform::scope::AttemptNumber,
};

// === impl Ledger: commit batches ===

impl Ledger {
    /// The transaction that stores a batch.
    pub(crate) fn commit_batch(
        &self,
        now: Timestamp,
        batch: &Batch,
        incoming: &[Incoming],
        runners: &RunnerState<'_>,
    ) -> RunCommit {
        let run = &self.run;
        let mut commit = RunCommit::new(self.context.row.id.clone(), self.seq, now, run.view());
        commit.drive = self.lease.fence();
        commit.facts.clone_from(&batch.facts);
        commit.steps = batch.touched.iter().filter_map(|step| run.step_view(step)).collect();
        for fact in &batch.facts {
            self.add_attempt_rows(&mut commit, fact, incoming, runners);
        }
        // An attempt that ended before a runner could have it has no row; the journal has it all.
        let instant = std::mem::take(&mut commit.cancels);
        let (here, elsewhere): (Vec<AttemptId>, Vec<AttemptId>) = instant
            .into_iter()
            .partition(|attempt| commit.attempts.iter().any(|new| new.id == *attempt));
        commit.attempts.retain(|new| !here.contains(&new.id));
        commit.cancels = elsewhere;
        if cancels(&batch.facts) > 0 {
            commit.answers_request.clone_from(&self.stops.stored);
        }
        commit.assign_to = runners.session.as_ref().map(|session| Assign {
            runner: session.runner.clone(),
            epoch: session.epoch,
            max: usize::MAX,
        });
        commit
    }

    /// Adds the changes that one fact makes to rows of attempts.
    fn add_attempt_rows(
        &self,
        commit: &mut RunCommit,
        fact: &Fact,
        incoming: &[Incoming],
        runners: &RunnerState<'_>,
    ) {
        let (context, now) = (&self.context, commit.at);
        match fact {
            Fact::AttemptQueued { step, .. } if context.is_engine_step(step) => {}
            Fact::AttemptEnded { step, attempt, .. }
                if context.is_engine_step(step) && !runners.has_row(attempt) => {}
            Fact::AttemptQueued { step, visit, number, attempt } => {
                let at = AttemptNumber { visit: *visit, number: *number };
                commit.attempts.push(queued(attempt, step, at, runners.pool, now));
            }
            Fact::AttemptUnschedulable { attempt, .. } => {
                commit.attempts.retain(|new| new.id != *attempt);
            }
            Fact::AttemptSchedulable { step, attempt } => {
                let new = self.run.attempt(attempt).map(|view| {
                    let at = AttemptNumber { visit: view.visit, number: view.number };
                    queued(attempt, step, at, runners.pool, now)
                });
                commit.attempts.extend(new);
            }
            Fact::AttemptRequeued { attempt, .. } => {
                commit.requeue.extend(runners.claims.get(attempt).cloned());
            }
            // An unschedulable attempt has no row.
            Fact::AttemptEnded { attempt, .. } if self.run.is_unschedulable(attempt) => {}
            Fact::AttemptEnded { attempt, outcome, .. } => {
                match attempt_end(incoming, runners, attempt, outcome) {
                    Some(end) => commit.ends.push(end),
                    None => commit.cancels.push(attempt.clone()),
                }
            }
            Fact::RunCreated { .. }
            | Fact::RunStarted
            | Fact::ConditionEvaluated { .. }
            | Fact::AttemptAssigned { .. }
            | Fact::AttemptStarted { .. }
            | Fact::AttemptWaiting { .. }
            | Fact::DecisionMade { .. }
            | Fact::CallsAsked { .. }
            | Fact::ChildStarted { .. }
            | Fact::OutputsEvaluated { .. }
            | Fact::RetryScheduled { .. }
            | Fact::StepEnded { .. }
            | Fact::LoopedBack { .. }
            | Fact::CancelRequested { .. }
            | Fact::RunTimedOut
            | Fact::RunReopened { .. }
            | Fact::RunEnded { .. } => {}
        }
    }
}

/// The end of a claimed attempt, by the result of its runner or because the runner is lost. `None`: no
/// runner has claimed it.
fn attempt_end(
    incoming: &[Incoming],
    runners: &RunnerState<'_>,
    attempt: &AttemptId,
    outcome: &Outcome,
) -> Option<AttemptEnd> {
    let mut results = incoming.iter().filter_map(|entry| entry.end.as_ref());
    if let Some(end) = results.find(|end| end.result.claim.attempt == *attempt) {
        return Some(AttemptEnd {
            claim: end.result.claim.clone(),
            tail: end.tail.clone(),
            seq: Some(end.result.seq),
            status: AttemptStatus::Done,
            outcome: outcome.clone(),
            detail: Some(detail(&end.result)),
        });
    }
    let claim = runners.claims.get(attempt)?;
    let status = match outcome {
        Outcome::Infra { .. } => AttemptStatus::Lost,
        Outcome::Success
        | Outcome::Exit { .. }
        | Outcome::TimedOut
        | Outcome::Cancelled
        | Outcome::Refused { .. }
        | Outcome::Failed { .. }
        | Outcome::Rejected { .. } => AttemptStatus::Done,
    };
    let (claim, outcome) = (claim.clone(), outcome.clone());
    Some(AttemptEnd { claim, tail: Vec::new(), seq: None, status, outcome, detail: None })
}

/// The row of an attempt that runners may claim.
fn queued(
    attempt: &AttemptId,
    step: &StepId,
    at: AttemptNumber,
    pool: &str,
    now: Timestamp,
) -> NewAttempt {
    NewAttempt {
        id: attempt.clone(),
        step: step.clone(),
        visit: at.visit,
        number: at.number,
        pool: pool.to_owned(),
        priority: 0,
        not_before: now,
    }
}

/// Measurements of a result, for `plue explain` and the pages.
fn detail(result: &AttemptResult) -> serde_json::Value {
    serde_json::json!({
        "wall_us": result.wall_us,
        "cpu_us": result.cpu_us,
        "max_rss_kib": result.max_rss_kib,
        "leaked": result.leaked,
    })
}
