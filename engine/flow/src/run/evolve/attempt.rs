//! Evolution of attempts: queued, started, ended, queued again, put off.

use jiff::Timestamp;
use plue_plan::AttemptId;
use serde_json::Value as Json;

use super::out_of_turn;
use crate::run::evolve::step::doom_if_stopped;
use crate::{
    effect::Effect,
    error::IllegalFact,
    fact::{Outcome, Reason},
    machine::{
        attempt::{self, AttemptEvent, ended},
        step::{self, StepEvent},
    },
    run::{
        Run, Sink,
        state::{Attempt, Pressure, Stage, WorkResult},
    },
    status::AttemptStatus,
};

pub(in crate::run) fn condition_evaluated(
    run: &mut Run,
    at: usize,
    visit: u32,
    value: &Result<bool, String>,
) -> Result<(), IllegalFact> {
    let state = &run.work.steps[at];
    if state.stage != Stage::Condition || state.visits.current != visit {
        return Err(out_of_turn("condition_evaluated", "no request is open"));
    }
    let hold = match value {
        Ok(true) => Stage::Slot,
        Ok(false) => Stage::Concluding(WorkResult::ConditionFalse),
        Err(message) => Stage::Concluding(WorkResult::ConditionError(message.clone())),
    };
    run.work.enter(at, hold);
    Ok(())
}

pub(in crate::run) fn attempt_queued(
    run: &mut Run,
    at: usize,
    (visit, number): (u32, u32),
    id: &AttemptId,
    sink: &mut Sink,
) -> Result<(), IllegalFact> {
    let state = &mut run.work.steps[at];
    let waits = matches!(state.stage, Stage::Slot | Stage::Retry(_));
    if !waits || (state.visits.current, state.number + 1) != (visit, number) {
        return Err(out_of_turn("attempt_queued", "the step waits for no attempt"));
    }
    state.status = step::next(state.status, StepEvent::Queue)?;
    state.number = number;
    state.times.started = None;
    state.attempt = Some(Attempt {
        id: id.clone(),
        status: AttemptStatus::Queued,
        pressure: Pressure::None,
        wait: None,
        asked: Vec::new(),
        child: None,
        unschedulable: None,
    });
    run.work.enter(at, Stage::Attempt);
    perform(run, at, sink);
    Ok(())
}

pub(in crate::run) fn attempt_unschedulable(
    run: &mut Run,
    at: usize,
    id: &AttemptId,
    reason: &str,
    sink: &mut Sink,
) -> Result<(), IllegalFact> {
    queued_attempt(run, at, id)?.unschedulable = Some(reason.to_owned());
    run.work.steps[at].reason = Some(Reason::NoRunner { message: reason.to_owned() });
    run.work.unplaced.insert(at);
    sink.touched.push(at);
    Ok(())
}

pub(in crate::run) fn attempt_schedulable(
    run: &mut Run,
    at: usize,
    id: &AttemptId,
    sink: &mut Sink,
) -> Result<(), IllegalFact> {
    if queued_attempt(run, at, id)?.unschedulable.take().is_none() {
        return Err(out_of_turn("attempt_placed", "it was not unschedulable"));
    }
    run.work.steps[at].reason = None;
    run.work.unplaced.remove(&at);
    perform(run, at, sink);
    Ok(())
}

fn queued_attempt<'r>(
    run: &'r mut Run,
    at: usize,
    id: &AttemptId,
) -> Result<&'r mut Attempt, IllegalFact> {
    let state = &mut run.work.steps[at];
    let open = state.stage == Stage::Attempt;
    let current = state.attempt.as_mut().filter(|current| open && current.id == *id);
    let queued = current.filter(|attempt| attempt.status == AttemptStatus::Queued);
    queued.ok_or_else(|| out_of_turn("attempt", "it is not queued"))
}

/// The step goes on as queued: no process was seen yet.
pub(in crate::run) fn attempt_assigned(
    run: &mut Run,
    at: usize,
    id: &AttemptId,
) -> Result<(), IllegalFact> {
    change_attempt(run, at, id, |_| AttemptEvent::Assign)
}

pub(in crate::run) fn attempt_started(
    run: &mut Run,
    at: usize,
    id: &AttemptId,
    now: Timestamp,
    sink: &mut Sink,
) -> Result<(), IllegalFact> {
    change_attempt(run, at, id, |_| AttemptEvent::Start)?;
    let state = &mut run.work.steps[at];
    state.status = step::next(state.status, StepEvent::Start)?;
    state.times.started = Some(now);
    sink.touched.push(at);
    Ok(())
}

pub(in crate::run) fn attempt_requeued(
    run: &mut Run,
    at: usize,
    id: &AttemptId,
    sink: &mut Sink,
) -> Result<(), IllegalFact> {
    change_attempt(run, at, id, |_| AttemptEvent::Requeue)?;
    let state = &mut run.work.steps[at];
    state.status = step::next(state.status, StepEvent::Requeue)?;
    doom_if_stopped(run, at);
    perform(run, at, sink);
    Ok(())
}

pub(in crate::run) fn attempt_ended(
    run: &mut Run,
    at: usize,
    id: &AttemptId,
    (outcome, output): (&Outcome, &Json),
    sink: &mut Sink,
) -> Result<(), IllegalFact> {
    change_attempt(run, at, id, |from| ended(from, outcome))?;
    let state = &mut run.work.steps[at];
    state.output = output.clone();
    state.reason = None;
    if is_withdrawn(run, at) {
        sink.effects.push(Effect::Stop { attempt: id.clone(), kill: false });
    }
    let verdict = WorkResult::Attempt(outcome.clone());
    run.work.enter(at, Stage::Concluding(verdict));
    sink.touched.push(at);
    Ok(())
}

pub(in crate::run) fn retry_scheduled(
    run: &mut Run,
    at: usize,
    (visit, number): (u32, u32),
    due: Timestamp,
    sink: &mut Sink,
) -> Result<(), IllegalFact> {
    let state = &mut run.work.steps[at];
    let decided = matches!(state.stage, Stage::Concluding(WorkResult::Attempt(_)));
    if !decided || (state.visits.current, state.number + 1) != (visit, number) {
        return Err(out_of_turn("retry_scheduled", "no attempt just ended"));
    }
    state.status = step::next(state.status, StepEvent::Delay)?;
    run.work.enter(at, Stage::Retry(due));
    sink.touched.push(at);
    Ok(())
}

pub(in crate::run) fn change_attempt(
    run: &mut Run,
    at: usize,
    id: &AttemptId,
    event: impl Fn(AttemptStatus) -> AttemptEvent,
) -> Result<(), IllegalFact> {
    let state = &mut run.work.steps[at];
    let open = matches!(state.stage, Stage::Attempt | Stage::Waiting);
    let current = state.attempt.as_mut().filter(|current| current.id == *id);
    let Some(attempt) = current.filter(|_| open) else {
        return Err(out_of_turn("attempt", "it is not open"));
    };
    attempt.status = attempt::next(attempt.status, event(attempt.status))?;
    Ok(())
}

/// True if the attempt ended without a process; a runner may have been about to start one.
fn is_withdrawn(run: &Run, at: usize) -> bool {
    let attempt = run.work.steps[at].attempt.as_ref();
    attempt.is_some_and(|attempt| attempt.status == AttemptStatus::Cancelled)
}

fn perform(run: &Run, at: usize, sink: &mut Sink) {
    sink.effects.extend(perform_effect(run, at));
    sink.touched.push(at);
}

pub(in crate::run) fn perform_effect(run: &Run, at: usize) -> Option<Effect> {
    let state = &run.work.steps[at];
    let attempt = state.attempt.as_ref()?;
    Some(Effect::Perform {
        step: run.step_id(at),
        visit: state.visits.current,
        number: state.number,
        attempt: attempt.id.clone(),
    })
}
