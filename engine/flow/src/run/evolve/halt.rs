//! Evolution when a run is cut short: by a person or by its timeout.

use crate::run::evolve::step::doom;
use crate::{
    effect::Effect,
    run::{
        Run, Sink,
        shape::Phase,
        state::{Doom, Halt, Pressure, Stage},
    },
    status::{AttemptStatus, StepStatus},
};

pub(in crate::run) fn cancel_requested(run: &mut Run, by: &str, kill: bool, sink: &mut Sink) {
    run.stop.requests += 1;
    if run.phase == Phase::Idle {
        run.phase = Phase::Start;
    }
    // The result stands once only the last hooks are left; they are the cleaning up that a
    // person who cancels counts on.
    if run.phase < Phase::Complete {
        run.stop.halt.get_or_insert_with(|| Halt::Cancelled { by: by.to_owned() });
    }
    let pressure = if kill { Pressure::Kill } else { Pressure::Term };
    halt_all(run, pressure, kill, sink);
}

/// Stops what runs and dooms the rest, up to the current phase; the last hooks only if `last`.
pub(in crate::run) fn halt_all(run: &mut Run, pressure: Pressure, last: bool, sink: &mut Sink) {
    let until = run.phase.max(Phase::Steps);
    for at in 0..run.shape.len() {
        let phase = run.shape.phase(at);
        if phase > until || (phase == Phase::Complete && !last) {
            continue;
        }
        match run.work.steps[at].status {
            // A runner has it: there may be a process.
            StepStatus::Queued if is_assigned(run, at) => press(run, at, pressure, sink),
            // Its agent waits for people; the process is there.
            StepStatus::Waiting if run.work.steps[at].stage == Stage::Attempt => {
                press(run, at, pressure, sink);
            }
            StepStatus::Pending | StepStatus::Queued | StepStatus::Waiting => {
                doom(run, at, Doom::Halted);
            }
            StepStatus::Running => press(run, at, pressure, sink),
            StepStatus::Success
            | StepStatus::Failed
            | StepStatus::Skipped
            | StepStatus::Cancelled
            | StepStatus::TimedOut => {}
        }
    }
}

fn is_assigned(run: &Run, at: usize) -> bool {
    let attempt = run.work.steps[at].attempt.as_ref();
    attempt.is_some_and(|attempt| attempt.status == AttemptStatus::Assigned)
}

fn press(run: &mut Run, at: usize, pressure: Pressure, sink: &mut Sink) {
    let attempt = run.work.steps[at].attempt.as_mut();
    if let Some(attempt) = attempt.filter(|attempt| attempt.pressure < pressure) {
        attempt.pressure = pressure;
        // A stopping attempt waits for no answer.
        attempt.asked.clear();
        run.work.asked.remove(&at);
        sink.effects
            .push(Effect::Stop { attempt: attempt.id.clone(), kill: pressure == Pressure::Kill });
    }
}
