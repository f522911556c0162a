//! Decisions about an attempt or a condition that ended: try again, go back, or how the step ends.

use jiff::{SignedDuration, Timestamp};
use plue_plan::{
    policy::{Goto, OnFailure},
    step::StepOptions,
};

use super::{
    Run,
    shape::Phase,
    state::{Halt, Pressure, Stage, StepState, WorkResult},
};
use crate::run::next::doomed_end;
use crate::{
    backoff,
    fact::{Fact, Outcome, Reason},
    status::StepStatus,
};

/// Visits of a loop's target when the plan names no bound; validation demands one.
const DEFAULT_VISITS: u32 = 3;

type End = (StepStatus, Option<Reason>);

pub(in crate::run) fn conclude(run: &Run, at: usize, now: Timestamp) -> Fact {
    let state = &run.work.steps[at];
    let options = &run.definition(at).options;
    match &state.stage {
        Stage::Concluding(WorkResult::ConditionFalse) => {
            ended(run, at, (StepStatus::Skipped, Some(Reason::ConditionFalse)))
        }
        Stage::Concluding(WorkResult::ConditionError(message)) => {
            let message = message.clone();
            let reason = Reason::ConditionError { message };
            failed(run, at, (StepStatus::Failed, Some(reason.clone())), reason)
        }
        Stage::Concluding(WorkResult::Attempt(Outcome::Success)) => {
            let well = (StepStatus::Success, None);
            let back = options.on_success.as_ref();
            back.and_then(|goto| go_back(run, at, goto)).unwrap_or_else(|| ended(run, at, well))
        }
        Stage::Concluding(WorkResult::Attempt(Outcome::Cancelled)) => {
            ended(run, at, cancelled(run, at, state))
        }
        Stage::Concluding(WorkResult::Attempt(outcome)) => retry(run, at, outcome, now)
            .unwrap_or_else(|| {
                let end = (failure(outcome), Some(attempt_reason(state, options, outcome)));
                failed(run, at, end, Reason::FailedButSkipped)
            }),
        Stage::Dependencies
        | Stage::Condition
        | Stage::Slot
        | Stage::Retry(_)
        | Stage::Attempt
        | Stage::Waiting
        | Stage::Nothing => ended(run, at, (StepStatus::Failed, None)),
    }
}

fn ended(run: &Run, at: usize, (status, reason): End) -> Fact {
    Fact::StepEnded {
        step: run.step_id(at),
        visit: run.work.steps[at].visits.current,
        status,
        reason,
    }
}

/// The step's `on_failure`; `skipped` is the reason if that is `skip`.
fn failed(run: &Run, at: usize, end: End, skipped: Reason) -> Fact {
    match &run.definition(at).options.on_failure {
        OnFailure::Fail | OnFailure::Continue => ended(run, at, end),
        OnFailure::Skip => ended(run, at, (StepStatus::Skipped, Some(skipped))),
        OnFailure::Goto(goto) => go_back(run, at, goto).unwrap_or_else(|| ended(run, at, end)),
    }
}

fn retry(run: &Run, at: usize, outcome: &Outcome, now: Timestamp) -> Option<Fact> {
    let state = &run.work.steps[at];
    let attempt = state.attempt.as_ref()?;
    let policy = run.definition(at).options.retry.as_ref()?;
    let wanted = attempt.pressure == Pressure::None && !is_halted(run, at);
    if !wanted || !backoff::retries(policy, outcome, state.number) {
        return None;
    }
    let pause = backoff::pause(policy, state.number, &attempt.id);
    let due = SignedDuration::try_from(pause).ok()?;
    Some(Fact::RetryScheduled {
        step: run.step_id(at),
        visit: state.visits.current,
        number: state.number + 1,
        at: now.checked_add(due).ok()?,
    })
}

/// Fires the loop, or ends the step if the loop went round too often. `None`: no loop is
/// possible, because nothing new may start.
fn go_back(run: &Run, at: usize, goto: &Goto) -> Option<Fact> {
    let stopped = run.stop.failed_step.is_some() && run.shape.phase(at) <= Phase::Steps;
    if stopped || is_halted(run, at) {
        return None;
    }
    let target = run.shape.find(&goto.goto)?;
    let steps = run.shape.between(target, at);
    if steps.is_empty() {
        return None;
    }
    let max_visits = goto.max_visits.unwrap_or(DEFAULT_VISITS);
    let state = &run.work.steps[target];
    if state.visits.current - state.visits.before_reopen >= max_visits {
        let to = goto.goto.clone();
        let reason = Reason::LoopExhausted { to, max_visits };
        return Some(ended(run, at, (StepStatus::Failed, Some(reason))));
    }
    Some(Fact::LoopedBack {
        from: run.step_id(at),
        to: goto.goto.clone(),
        steps: steps.into_iter().map(|at| run.step_id(at)).collect(),
    })
}

/// True if the run's early end applies to this step. The last hooks run all the same.
fn is_halted(run: &Run, at: usize) -> bool {
    run.stop.halt.is_some() && run.shape.phase(at) != Phase::Complete
}

fn cancelled(run: &Run, at: usize, state: &StepState) -> End {
    if let Some(doom) = run.work.doomed.get(&at) {
        let (status, reason) = doomed_end(run, at, doom);
        return (status, Some(reason));
    }
    let pressed = state.attempt.as_ref().map(|attempt| attempt.pressure);
    let reason = match &run.stop.halt {
        Some(Halt::TimedOut) => Reason::RunTimedOut,
        Some(Halt::Cancelled { .. }) => Reason::RunCancelled,
        None if pressed > Some(Pressure::None) => Reason::RunCancelled,
        None => Reason::Attempt { message: "cancelled".to_owned(), attempts: state.number },
    };
    (StepStatus::Cancelled, Some(reason))
}

fn failure(outcome: &Outcome) -> StepStatus {
    match outcome {
        Outcome::TimedOut => StepStatus::TimedOut,
        Outcome::Success
        | Outcome::Exit { .. }
        | Outcome::Cancelled
        | Outcome::Refused { .. }
        | Outcome::Failed { .. }
        | Outcome::Rejected { .. }
        | Outcome::Infra { .. } => StepStatus::Failed,
    }
}

fn attempt_reason(state: &StepState, options: &StepOptions, outcome: &Outcome) -> Reason {
    let message = match (outcome, &options.timeout) {
        (Outcome::TimedOut, Some(timeout)) => format!("timed out after {timeout}"),
        (outcome, _) => outcome.to_string(),
    };
    Reason::Attempt { message, attempts: state.number }
}
