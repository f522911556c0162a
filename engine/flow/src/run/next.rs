//! Decisions: the one fact that follows from the state at a time, if any.
//!
//! Must not change the state. Applied until nothing follows, it brings any state to rest, however
//! it came about.

use jiff::Timestamp;

use super::{
    Run,
    shape::Phase,
    state::{Doom, Halt, Stage},
    timeout_text,
};
use crate::run::{
    attempt::attempt_id,
    evolve::phase::result,
    outcome::conclude,
    waiting::{decided, overdue},
};
use crate::{
    fact::{Fact, Outcome, Reason},
    status::{RunStatus, StepStatus},
};

/// Number of times that a run's timeout fires: the first terminates what runs and lets the last
/// hooks run, the second kills what is left.
const TIMEOUTS: u32 = 2;

pub(in crate::run) fn next_fact(run: &Run, now: Timestamp) -> Option<Fact> {
    if run.lifecycle.status.is_terminal() || run.phase == Phase::Idle {
        return None;
    }
    if let Some(&at) = run.work.concluding.first() {
        return Some(conclude(run, at, now));
    }
    if let Some((&at, doom)) = run.work.doomed.first_key_value() {
        return Some(end_doomed(run, at, doom));
    }
    if run.phase == Phase::Over {
        return Some(end(run));
    }
    if let Some(&at) = run.work.answered.first() {
        return decided(run, at);
    }
    let deadline = deadline(run).unwrap_or(Timestamp::MAX);
    // Overdue alarms fire in the order of their times, also after a long gap without ticks.
    if let Some((due, at)) = run.work.alarms.first()
        && *due <= now
        && *due <= deadline
    {
        return overdue(run, *at);
    }
    if deadline <= now {
        return Some(Fact::RunTimedOut);
    }
    dispatch(run, now)
}

/// Terminal status and reason of a doomed step.
pub(in crate::run) fn doomed_end(run: &Run, at: usize, doom: &Doom) -> (StepStatus, Reason) {
    match doom {
        Doom::NotSelected => (StepStatus::Skipped, left_out(run, at)),
        Doom::NotCalled => {
            let result = result(run);
            (StepStatus::Skipped, Reason::NotCalled { result })
        }
        Doom::Blocked(by) => {
            let status = run.work.steps[*by].status;
            let by = run.step_id(*by);
            (StepStatus::Skipped, Reason::Blocked { by, status })
        }
        Doom::Stopped(by) => {
            let by = run.step_id(*by);
            (StepStatus::Skipped, Reason::Stopped { by })
        }
        Doom::Halted => match run.stop.halt {
            Some(Halt::TimedOut) => (StepStatus::Skipped, Reason::RunTimedOut),
            Some(Halt::Cancelled { .. }) | None => (StepStatus::Cancelled, Reason::RunCancelled),
        },
    }
}

fn left_out(run: &Run, at: usize) -> Reason {
    match &run.work.steps[at].selection.carried {
        Some(run) => Reason::Carried { run: run.clone() },
        None => Reason::NotSelected,
    }
}

/// An attempt that no process runs for is withdrawn first.
fn end_doomed(run: &Run, at: usize, doom: &Doom) -> Fact {
    let state = &run.work.steps[at];
    let step = run.step_id(at);
    let open = matches!(state.stage, Stage::Attempt | Stage::Waiting);
    if let Some(attempt) = state.attempt.as_ref().filter(|_| open) {
        return Fact::AttemptEnded {
            step,
            attempt: attempt.id.clone(),
            outcome: Outcome::Cancelled,
            output: serde_json::Value::Null,
            event: None,
        };
    }
    let (status, reason) = doomed_end(run, at, doom);
    Fact::StepEnded { step, visit: state.visits.current, status, reason: Some(reason) }
}

/// Retries that are due go first, then ready steps in the order of the plan.
fn dispatch(run: &Run, now: Timestamp) -> Option<Fact> {
    if !run.has_capacity() {
        return None;
    }
    let due = run.work.retries.first().filter(|(due, _)| *due <= now);
    let at = due.map(|(_, at)| *at).or(run.work.ready.first().copied())?;
    let state = &run.work.steps[at];
    let number = state.number + 1;
    Some(Fact::AttemptQueued {
        step: run.step_id(at),
        visit: state.visits.current,
        number,
        attempt: attempt_id(run, at, state.visits.current, number),
    })
}

pub(in crate::run) fn deadline(run: &Run) -> Option<Timestamp> {
    let runs = run.timer.fired < TIMEOUTS && run.timer.paused_at.is_none();
    let from = run.timer.since.filter(|_| runs)?;
    from.checked_add(run.timer.limit?).ok()
}

fn end(run: &Run) -> Fact {
    let status = result(run);
    Fact::RunEnded { status, reason: end_reason(run, status) }
}

fn end_reason(run: &Run, status: RunStatus) -> Option<String> {
    if let Some(Halt::Cancelled { by }) = &run.stop.halt {
        return Some(format!("cancelled by {by}"));
    }
    if status == RunStatus::TimedOut {
        return Some(format!("took longer than {}", timeout_text(&run.plan)));
    }
    if let (true, Some(Err(message))) = (run.failing_steps.is_empty(), &run.outputs) {
        return Some(message.clone());
    }
    let first = run.step_id(*run.failing_steps.first()?);
    Some(match run.failing_steps.len() {
        1 => format!("step {first} failed"),
        many => format!("step {first} and {} more failed", many - 1),
    })
}
