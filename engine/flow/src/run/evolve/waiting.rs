//! Evolution of attempts of the engine: waiting, answers, child runs, the plan's outputs.

use jiff::{SignedDuration, Timestamp};
use plue_plan::AttemptId;
use serde_json::Value as Json;

use super::out_of_turn;
use crate::run::{
    evolve::attempt::{change_attempt, perform_effect},
    evolve::step::doom_if_stopped,
    waiting::{awaits_outputs, wait},
};
use crate::{
    error::IllegalFact,
    fact::Reason,
    machine::{
        attempt::AttemptEvent,
        step::{self, StepEvent},
    },
    run::{
        Run, Sink,
        state::{Stage, Wait},
    },
    status::AttemptStatus,
    wait::{AskedCall, Awaited, Child, Decision},
};

pub(in crate::run) fn attempt_waiting(
    run: &mut Run,
    now: Timestamp,
    at: usize,
    id: &AttemptId,
    (what, until): (&Awaited, Option<Timestamp>),
    sink: &mut Sink,
) -> Result<(), IllegalFact> {
    if run.work.steps[at].stage != Stage::Attempt {
        return Err(out_of_turn("attempt_waiting", "its attempt is not open"));
    }
    change_attempt(run, at, id, |_| AttemptEvent::Wait)?;
    let state = &mut run.work.steps[at];
    state.status = step::next(state.status, StepEvent::Wait)?;
    state.times.started.get_or_insert(now);
    if let Some(attempt) = &mut state.attempt {
        attempt.wait = Some(Wait { what: what.clone(), until, decisions: Vec::new() });
    }
    run.work.enter(at, Stage::Waiting);
    show_wait(run, at, sink);
    // The plan may have stopped while a call was under way that ends in waiting.
    doom_if_stopped(run, at);
    Ok(())
}

pub(in crate::run) fn decision_made(
    run: &mut Run,
    at: usize,
    id: &AttemptId,
    decision: &Decision,
    sink: &mut Sink,
) -> Result<(), IllegalFact> {
    let unfit = || out_of_turn("decision_made", "no request is open");
    let state = &mut run.work.steps[at];
    let open = state.stage == Stage::Waiting;
    let attempt = state.attempt.as_mut().filter(|attempt| open && attempt.id == *id);
    let wait = attempt.and_then(|attempt| attempt.wait.as_mut()).ok_or_else(unfit)?;
    let Awaited::Decision { quorum, .. } = &wait.what else {
        return Err(unfit());
    };
    wait.decisions.push(decision.clone());
    let needed = usize::try_from(*quorum).unwrap_or(usize::MAX);
    if !decision.approve || wait.decisions.len() >= needed {
        run.work.answered.insert(at);
    }
    show_wait(run, at, sink);
    Ok(())
}

pub(in crate::run) fn calls_asked(
    run: &mut Run,
    at: usize,
    id: &AttemptId,
    (calls, is_busy): (&[AskedCall], bool),
    sink: &mut Sink,
) -> Result<(), IllegalFact> {
    let unfit = || out_of_turn("calls_asked", "its attempt does not run");
    let state = &mut run.work.steps[at];
    let open = state.stage == Stage::Attempt;
    let attempt = state.attempt.as_mut().filter(|attempt| open && attempt.id == *id);
    let attempt = attempt.filter(|attempt| attempt.status == AttemptStatus::Running);
    let attempt = attempt.ok_or_else(unfit)?;
    let wait = |asked: &AskedCall| Wait {
        what: Awaited::Call(asked.request.clone()),
        until: asked.until,
        decisions: Vec::new(),
    };
    attempt.asked = calls.iter().map(wait).collect();
    let event = if calls.is_empty() { StepEvent::Resume } else { StepEvent::Wait };
    state.reason = attempt.asked.first().map(|first| Reason::Awaits {
        what: first.what.clone(),
        until: first.until,
        approved_by: Vec::new(),
    });
    state.status = step::next(state.status, event)?;
    if calls.is_empty() {
        run.work.asked.remove(&at);
    } else {
        run.work.asked.insert(at, is_busy);
    }
    sink.touched.push(at);
    Ok(())
}

pub(in crate::run) fn child_started(
    run: &mut Run,
    at: usize,
    id: &AttemptId,
    child: &Child,
    sink: &mut Sink,
) -> Result<(), IllegalFact> {
    let state = &mut run.work.steps[at];
    let open = state.stage == Stage::Attempt;
    let attempt = state.attempt.as_mut().filter(|attempt| open && attempt.id == *id);
    let unfit = || out_of_turn("child_started", "its attempt is not open");
    attempt.ok_or_else(unfit)?.child = Some(child.clone());
    state.reason = Some(Reason::ChildRun { run: child.run.clone() });
    sink.touched.push(at);
    sink.effects.extend(perform_effect(run, at));
    Ok(())
}

pub(in crate::run) fn outputs_evaluated(
    run: &mut Run,
    value: &Result<Json, String>,
) -> Result<(), IllegalFact> {
    if !awaits_outputs(run) {
        return Err(out_of_turn("outputs_evaluated", "no request is open"));
    }
    run.outputs = Some(value.clone());
    Ok(())
}

/// A run without an explicit timeout does not count the time that people and other systems need
/// to answer: its clock pauses while the run only waits for them.
pub(in crate::run) fn pause_timer(run: &mut Run, now: Timestamp) {
    let still = run.plan.timeout.is_none() && run.work.only_waits();
    match run.timer.paused_at {
        None if still => run.timer.paused_at = Some(now),
        Some(since) if !still => {
            let passed: SignedDuration = now.duration_since(since);
            run.timer.since = run.timer.since.and_then(|from| from.checked_add(passed).ok());
            run.timer.paused_at = None;
        }
        None | Some(_) => {}
    }
}

fn show_wait(run: &mut Run, at: usize, sink: &mut Sink) {
    let reason = wait(run, at).map(|wait| Reason::Awaits {
        what: wait.what.clone(),
        until: wait.until,
        approved_by: wait.decisions.iter().map(|decision| decision.by.clone()).collect(),
    });
    run.work.steps[at].reason = reason;
    sink.touched.push(at);
}
