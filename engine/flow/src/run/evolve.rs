//! Evolution: the only place where the state of a run changes.
//!
//! Must not look at a clock or at inputs, and must not choose: everything that could have gone
//! another way stands in the fact.

use jiff::Timestamp;
use plue_plan::StepId;

use super::{
    Run, Sink,
    shape::Phase,
    state::{Doom, Halt, Pressure},
};
use crate::{
    effect::Effect,
    error::IllegalFact,
    fact::{Carried, Fact, NameValue},
    machine::run::{RunEvent, ending, next},
    status::RunStatus,
};

use again::{looped_back, run_reopened};
use attempt::{
    attempt_assigned, attempt_ended, attempt_queued, attempt_requeued, attempt_schedulable,
    attempt_started, attempt_unschedulable, condition_evaluated, retry_scheduled,
};
use halt::{cancel_requested, halt_all};
use phase::{advance, enter};
use step::{doom, step_ended};
use waiting::{
    attempt_waiting, calls_asked, child_started, decision_made, outputs_evaluated, pause_timer,
};

mod again;
pub(in crate::run) mod attempt;
mod halt;
pub(in crate::run) mod phase;
mod step;
mod waiting;

pub(in crate::run) fn fold_one(
    run: &mut Run,
    at: Timestamp,
    fact: &Fact,
    sink: &mut Sink,
) -> Result<(), IllegalFact> {
    in_turn(run, fact)?;
    match fact {
        Fact::RunCreated { plan, only, carried } => {
            run.hash = Some(*plan);
            select(run, only)?;
            carry(run, carried)?;
        }
        Fact::RunStarted => run_started(run, at, sink)?,
        Fact::OutputsEvaluated { value } => outputs_evaluated(run, value)?,
        Fact::LoopedBack { steps, .. } => looped_back(run, at, steps, sink)?,
        Fact::CancelRequested { by, kill } => cancel_requested(run, by, *kill, sink),
        Fact::RunTimedOut => run_timed_out(run, at, sink),
        Fact::RunReopened { steps, .. } => run_reopened(run, at, steps, sink)?,
        Fact::RunEnded { status, reason } => run_ended(run, at, *status, reason, sink)?,
        Fact::ConditionEvaluated { step, .. }
        | Fact::AttemptQueued { step, .. }
        | Fact::AttemptUnschedulable { step, .. }
        | Fact::AttemptSchedulable { step, .. }
        | Fact::AttemptAssigned { step, .. }
        | Fact::AttemptStarted { step, .. }
        | Fact::AttemptWaiting { step, .. }
        | Fact::DecisionMade { step, .. }
        | Fact::CallsAsked { step, .. }
        | Fact::ChildStarted { step, .. }
        | Fact::AttemptEnded { step, .. }
        | Fact::AttemptRequeued { step, .. }
        | Fact::RetryScheduled { step, .. }
        | Fact::StepEnded { step, .. } => {
            let step = position(run, step)?;
            fold_step(run, at, step, fact, sink)?;
        }
    }
    advance(run, at, sink);
    idle_or_awake(run)?;
    pause_timer(run, at);
    Ok(())
}

/// Folds a fact about one step; other facts change nothing.
fn fold_step(
    run: &mut Run,
    now: Timestamp,
    at: usize,
    fact: &Fact,
    sink: &mut Sink,
) -> Result<(), IllegalFact> {
    match fact {
        Fact::ConditionEvaluated { visit, value, .. } => {
            condition_evaluated(run, at, *visit, value)
        }
        Fact::AttemptQueued { visit, number, attempt, .. } => {
            attempt_queued(run, at, (*visit, *number), attempt, sink)
        }
        Fact::AttemptUnschedulable { attempt, reason, .. } => {
            attempt_unschedulable(run, at, attempt, reason, sink)
        }
        Fact::AttemptSchedulable { attempt, .. } => attempt_schedulable(run, at, attempt, sink),
        Fact::AttemptAssigned { attempt, .. } => attempt_assigned(run, at, attempt),
        Fact::AttemptStarted { attempt, began, name, .. } => {
            attempt_started(run, at, attempt, began.unwrap_or(now), sink)?;
            set_name(run, at, name.as_ref());
            Ok(())
        }
        Fact::AttemptWaiting { attempt, what, until, name, .. } => {
            attempt_waiting(run, now, at, attempt, (what, *until), sink)?;
            if name.is_some() {
                set_name(run, at, name.as_ref());
            }
            Ok(())
        }
        Fact::DecisionMade { attempt, decision, .. } => {
            decision_made(run, at, attempt, decision, sink)
        }
        Fact::CallsAsked { attempt, calls, is_busy, .. } => {
            calls_asked(run, at, attempt, (calls, *is_busy), sink)
        }
        Fact::ChildStarted { attempt, child, .. } => child_started(run, at, attempt, child, sink),
        Fact::AttemptEnded { attempt, outcome, output, event, .. } => {
            attempt_ended(run, at, attempt, (outcome, output), sink)?;
            let taken = &mut run.work.steps[at].taken;
            *taken = event.unwrap_or(0).max(*taken);
            Ok(())
        }
        Fact::AttemptRequeued { attempt, .. } => attempt_requeued(run, at, attempt, sink),
        Fact::RetryScheduled { visit, number, at: due, .. } => {
            retry_scheduled(run, at, (*visit, *number), *due, sink)
        }
        Fact::StepEnded { visit, status, reason, .. } => {
            step_ended(run, now, at, *visit, (*status, reason), sink)
        }
        Fact::RunCreated { .. }
        | Fact::RunStarted
        | Fact::OutputsEvaluated { .. }
        | Fact::LoopedBack { .. }
        | Fact::CancelRequested { .. }
        | Fact::RunTimedOut
        | Fact::RunReopened { .. }
        | Fact::RunEnded { .. } => Ok(()),
    }
}

/// Rejects facts that no run accepts before its creation or after its end.
fn in_turn(run: &Run, fact: &Fact) -> Result<(), IllegalFact> {
    let creates = matches!(fact, Fact::RunCreated { .. });
    if creates != run.hash.is_none() {
        return Err(out_of_turn("run_created", "it comes first, and once"));
    }
    let reopens = matches!(fact, Fact::RunReopened { .. });
    if reopens != run.lifecycle.status.is_terminal() {
        return Err(out_of_turn("run_reopened", "it follows the end only"));
    }
    let before = matches!(fact, Fact::RunStarted | Fact::CancelRequested { .. });
    let early = run.phase == Phase::Idle && !creates && !before;
    if early && !reopens {
        return Err(out_of_turn("fact", "the run did not start yet"));
    }
    Ok(())
}

pub(in crate::run) fn position(run: &Run, step: &StepId) -> Result<usize, IllegalFact> {
    let unknown = || IllegalFact::UnknownStep { step: step.clone() };
    run.shape.find(step).ok_or_else(unknown)
}

/// A name that has no value is shown as written.
fn set_name(run: &mut Run, at: usize, name: Option<&NameValue>) {
    run.work.steps[at].name = name.and_then(|name| name.as_ref().ok()).cloned();
}

fn select(run: &mut Run, only: &[StepId]) -> Result<(), IllegalFact> {
    if only.is_empty() {
        return Ok(());
    }
    for at in run.shape.range(super::shape::Group::Steps) {
        run.work.steps[at].selection.is_selected = false;
    }
    for step in only {
        let at = position(run, step)?;
        run.work.steps[at].selection.is_selected = true;
    }
    Ok(())
}

fn carry(run: &mut Run, carried: &[Carried]) -> Result<(), IllegalFact> {
    for Carried { step, run: earlier, output } in carried {
        let at = position(run, step)?;
        if run.work.steps[at].selection.is_selected {
            return Err(out_of_turn("run_created", "a selected step has an output already"));
        }
        run.work.steps[at].selection.carried = Some(earlier.clone());
        run.work.steps[at].output = output.clone();
    }
    Ok(())
}

fn run_started(run: &mut Run, at: Timestamp, sink: &mut Sink) -> Result<(), IllegalFact> {
    run.lifecycle.status = next(run.lifecycle.status, RunEvent::Start)?;
    run.lifecycle.started_at = Some(at);
    run.timer.since = Some(at);
    for step in run.shape.range(super::shape::Group::Steps) {
        if !run.work.steps[step].selection.is_selected {
            doom(run, step, Doom::NotSelected);
        }
    }
    run.phase = Phase::Start;
    enter(run, at, sink);
    Ok(())
}

fn run_timed_out(run: &mut Run, at: Timestamp, sink: &mut Sink) {
    run.timer.fired += 1;
    run.timer.since = Some(at);
    run.stop.halt.get_or_insert(Halt::TimedOut);
    let pressure = if run.timer.fired > 1 { Pressure::Kill } else { Pressure::Term };
    halt_all(run, pressure, true, sink);
}

fn run_ended(
    run: &mut Run,
    at: Timestamp,
    status: RunStatus,
    reason: &Option<String>,
    sink: &mut Sink,
) -> Result<(), IllegalFact> {
    let unfit = || out_of_turn("run_ended", "steps are open, or it is no end");
    let event = ending(status).filter(|_| run.phase == Phase::Over);
    run.lifecycle.status = next(run.lifecycle.status, event.ok_or_else(unfit)?)?;
    run.lifecycle.reason.clone_from(reason);
    run.lifecycle.ended_at = Some(at);
    sink.effects.push(Effect::Finish);
    Ok(())
}

fn idle_or_awake(run: &mut Run) -> Result<(), IllegalFact> {
    let idle = run.work.is_idle() && run.phase != Phase::Over;
    let event = match run.lifecycle.status {
        RunStatus::Running if idle => RunEvent::Idle,
        RunStatus::Waiting if !idle => RunEvent::Wake,
        RunStatus::Running
        | RunStatus::Waiting
        | RunStatus::Queued
        | RunStatus::Success
        | RunStatus::Failed
        | RunStatus::Cancelled
        | RunStatus::TimedOut => return Ok(()),
    };
    run.lifecycle.status = next(run.lifecycle.status, event)?;
    Ok(())
}

fn out_of_turn(fact: &'static str, why: &'static str) -> IllegalFact {
    IllegalFact::OutOfTurn { fact, why }
}
