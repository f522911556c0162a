//! Evolution of steps: ready, ended, and what an end means for the steps behind.

use jiff::Timestamp;
use plue_plan::policy::{OnFailure, PlanOnFailure};

use super::out_of_turn;
use crate::{
    effect::Effect,
    error::IllegalFact,
    fact::Reason,
    machine::step::{ending, next},
    run::{
        Run, Sink,
        shape::{Group, Phase},
        state::{Doom, Stage},
    },
    status::StepStatus,
};

pub(in crate::run) fn step_ended(
    run: &mut Run,
    now: Timestamp,
    at: usize,
    visit: u32,
    (status, reason): (StepStatus, &Option<Reason>),
    sink: &mut Sink,
) -> Result<(), IllegalFact> {
    let state = &mut run.work.steps[at];
    let unfit = || out_of_turn("step_ended", "another visit, or the attempt is open");
    if state.visits.current != visit || matches!(state.stage, Stage::Attempt | Stage::Waiting) {
        return Err(unfit());
    }
    let unran = state.attempt.is_none() && state.selection.carried.is_none();
    state.status = next(state.status, ending(status).ok_or_else(unfit)?)?;
    state.reason.clone_from(reason);
    state.times.ended = Some(now);
    if unran {
        state.output = serde_json::Value::Null;
    }
    run.work.enter(at, Stage::Nothing);
    sink.touched.push(at);
    if let Some(slot) = run.shape.phase(at).slot() {
        run.open[slot] -= 1;
    }
    if fails_the_run(run, at) {
        run.failing_steps.insert(at);
        stop_if_required(run, at);
    }
    release_dependents(run, now, at, sink);
    Ok(())
}

fn release_dependents(run: &mut Run, now: Timestamp, at: usize, sink: &mut Sink) {
    let blocks = !opens(run, at);
    let shape = run.shape.clone();
    for &below in shape.dependents(at) {
        let state = &mut run.work.steps[below];
        state.dependencies.unmet -= 1;
        if blocks {
            state.dependencies.blocked_by.get_or_insert(at);
        }
        consider(run, now, below, sink);
    }
}

/// If nothing holds the step back any more, moves it on: to its condition, to the queue for a
/// place, or to its end if a dependency blocks it.
pub(in crate::run) fn consider(run: &mut Run, now: Timestamp, at: usize, sink: &mut Sink) {
    let state = &run.work.steps[at];
    let is_blocked = state.dependencies.unmet > 0
        || state.stage != Stage::Dependencies
        || run.shape.phase(at) != run.phase
        || run.work.doomed.contains_key(&at);
    if is_blocked {
        return;
    }
    if let Some(by) = state.dependencies.blocked_by {
        doom(run, at, Doom::Blocked(by));
        return;
    }
    let visit = state.visits.current;
    run.work.steps[at].times.ready = Some(now);
    sink.touched.push(at);
    if run.definition(at).options.when.is_some() {
        run.work.enter(at, Stage::Condition);
        let step = run.step_id(at);
        sink.effects.push(Effect::EvaluateCondition { step, visit });
    } else {
        run.work.enter(at, Stage::Slot);
    }
}

/// True if the ended step lets its dependents run.
fn opens(run: &Run, at: usize) -> bool {
    let state = &run.work.steps[at];
    match state.status {
        StepStatus::Success => true,
        StepStatus::Failed | StepStatus::TimedOut => {
            run.definition(at).options.on_failure == OnFailure::Continue
        }
        StepStatus::Skipped => !matches!(
            state.reason,
            Some(
                Reason::Blocked { .. }
                    | Reason::Stopped { .. }
                    | Reason::NotCalled { .. }
                    | Reason::RunTimedOut
                    | Reason::RunCancelled
            )
        ),
        StepStatus::Cancelled
        | StepStatus::Pending
        | StepStatus::Queued
        | StepStatus::Running
        | StepStatus::Waiting => false,
    }
}

/// True if the ended step alone fails the run.
fn fails_the_run(run: &Run, at: usize) -> bool {
    let options = &run.definition(at).options;
    let counts = run.shape.group(at) == Group::Steps || options.required;
    let ended_badly = match run.work.steps[at].status {
        StepStatus::Failed | StepStatus::TimedOut => options.on_failure != OnFailure::Continue,
        StepStatus::Cancelled => true,
        StepStatus::Success
        | StepStatus::Skipped
        | StepStatus::Pending
        | StepStatus::Queued
        | StepStatus::Running
        | StepStatus::Waiting => false,
    };
    counts && ended_badly
}

fn stop_if_required(run: &mut Run, at: usize) {
    let stops = match run.shape.group(at) {
        Group::Steps => run.plan.on_failure == PlanOnFailure::Stop,
        Group::Start => true,
        Group::Success | Group::Failure | Group::Complete => false,
    };
    if !stops || run.stop.failed_step.is_some() || run.stop.halt.is_some() {
        return;
    }
    run.stop.failed_step = Some(at);
    for other in 0..run.work.steps.len() {
        doom_if_stopped(run, other);
    }
}

/// After a stop, pending steps never start; running steps finish.
pub(in crate::run) fn doom_if_stopped(run: &mut Run, at: usize) {
    let state = &run.work.steps[at];
    let unbegun = match state.status {
        StepStatus::Pending => true,
        StepStatus::Queued => !state.has_started(),
        // Nothing runs for it anywhere.
        StepStatus::Waiting => state.waits_idly(),
        StepStatus::Running
        | StepStatus::Success
        | StepStatus::Failed
        | StepStatus::Skipped
        | StepStatus::Cancelled
        | StepStatus::TimedOut => false,
    };
    if let Some(by) = run.stop.failed_step
        && unbegun
        && run.shape.phase(at) <= Phase::Steps
    {
        doom(run, at, Doom::Stopped(by));
    }
}

pub(in crate::run) fn doom(run: &mut Run, at: usize, doom: Doom) {
    run.work.doomed.entry(at).or_insert(doom);
}
