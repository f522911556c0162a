//! Evolution of the phases: hooks before, the steps, hooks after.

use jiff::Timestamp;

use crate::run::{
    evolve::step::{consider, doom},
    waiting::awaits_outputs,
};
use crate::{
    effect::Effect,
    run::{
        Run, Sink,
        shape::Group,
        state::{Doom, Halt},
    },
    status::RunStatus,
};

/// Goes on to the next phase as long as the current one has nothing open.
pub(in crate::run) fn advance(run: &mut Run, at: Timestamp, sink: &mut Sink) {
    while let Some(slot) = run.phase.slot()
        && run.open[slot] == 0
    {
        if awaits_outputs(run) {
            sink.effects.push(Effect::EvaluateOutputs);
            return;
        }
        run.phase = run.phase.following();
        enter(run, at, sink);
    }
}

/// Opens the steps of the current phase, or dooms the hooks that it does not call.
pub(in crate::run) fn enter(run: &mut Run, at: Timestamp, sink: &mut Sink) {
    let shape = run.shape.clone();
    for &group in run.phase.groups() {
        let called = calls(run, group);
        for step in shape.range(group) {
            if called {
                consider(run, at, step, sink);
            } else if !run.work.steps[step].status.is_terminal() {
                doom(run, step, Doom::NotCalled);
            }
        }
    }
}

/// Result of the run if nothing else happens.
pub(in crate::run) fn result(run: &Run) -> RunStatus {
    match run.stop.halt {
        Some(Halt::Cancelled { .. }) => RunStatus::Cancelled,
        Some(Halt::TimedOut) => RunStatus::TimedOut,
        None if run.failing_steps.is_empty() && !matches!(run.outputs, Some(Err(_))) => {
            RunStatus::Success
        }
        None => RunStatus::Failed,
    }
}

fn calls(run: &Run, group: Group) -> bool {
    match group {
        Group::Start | Group::Steps => true,
        Group::Success => result(run) == RunStatus::Success,
        Group::Failure => result(run) == RunStatus::Failed,
        // A run that never started has nothing to clean up.
        Group::Complete => run.lifecycle.started_at.is_some(),
    }
}
