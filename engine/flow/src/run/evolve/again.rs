//! Evolution of steps that go again: a loop back, or an ended run that is reopened.

use jiff::Timestamp;
use plue_plan::StepId;

use crate::run::{evolve::phase::enter, evolve::position, evolve::step::consider};
use crate::{
    error::IllegalFact,
    machine::{
        run::{RunEvent, next as next_run},
        step::{StepEvent, next},
    },
    run::{Run, Sink, shape::Phase, state::Stage},
    status::StepStatus,
};

pub(in crate::run) fn looped_back(
    run: &mut Run,
    now: Timestamp,
    steps: &[StepId],
    sink: &mut Sink,
) -> Result<(), IllegalFact> {
    let steps = positions(run, steps)?;
    for &at in &steps {
        again(run, at, sink)?;
    }
    for at in steps {
        consider(run, now, at, sink);
    }
    Ok(())
}

pub(in crate::run) fn run_reopened(
    run: &mut Run,
    now: Timestamp,
    steps: &[StepId],
    sink: &mut Sink,
) -> Result<(), IllegalFact> {
    let steps = positions(run, steps)?;
    run.lifecycle.status = next_run(run.lifecycle.status, RunEvent::Reopen)?;
    run.lifecycle.reason = None;
    run.lifecycle.ended_at = None;
    run.lifecycle.started_at.get_or_insert(now);
    run.timer.since = Some(now);
    run.timer.fired = 0;
    run.outputs = None;
    run.stop.requests = 0;
    run.stop.halt = None;
    run.stop.failed_step = None;
    for &at in &steps {
        again(run, at, sink)?;
        let state = &mut run.work.steps[at];
        state.selection.is_selected = true;
        state.visits.before_reopen = state.visits.current - 1;
    }
    run.phase = Phase::Start;
    enter(run, now, sink);
    Ok(())
}

fn positions(run: &Run, steps: &[StepId]) -> Result<Vec<usize>, IllegalFact> {
    steps.iter().map(|step| position(run, step)).collect()
}

/// Puts one step back to the beginning. Steps behind it that did not begin wait for it again.
fn again(run: &mut Run, at: usize, sink: &mut Sink) -> Result<(), IllegalFact> {
    let state = &mut run.work.steps[at];
    let had_ended = state.status.is_terminal();
    state.status = next(state.status, StepEvent::Return)?;
    state.revisit();
    run.work.enter(at, Stage::Dependencies);
    sink.touched.push(at);
    if !had_ended {
        return Ok(());
    }
    run.failing_steps.remove(&at);
    if let Some(slot) = run.shape.phase(at).slot() {
        run.open[slot] += 1;
    }
    let shape = run.shape.clone();
    for &below in shape.dependents(at) {
        let state = &mut run.work.steps[below];
        state.dependencies.unmet += 1;
        let waits = matches!(state.stage, Stage::Condition | Stage::Slot);
        if state.status == StepStatus::Pending && waits {
            state.times.ready = None;
            run.work.enter(below, Stage::Dependencies);
            sink.touched.push(below);
        }
    }
    Ok(())
}
