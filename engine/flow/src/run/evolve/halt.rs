//! Evolution when a run is cut short: by a person or by its timeout.

use crate::{
    effect::Effect,
    run::{
        Run, Sink,
        shape::Phase,
        state::{Doom, Halt, Hold, Pressure},
    },
    status::{AttemptStatus, StepStatus},
};

impl Run {
    pub(super) fn cancel_requested(&mut self, by: &str, kill: bool, sink: &mut Sink) {
        self.cancels += 1;
        if self.phase == Phase::Idle {
            self.phase = Phase::Start;
        }
        // The result stands once only the last hooks are left; they are the cleaning up that a
        // person who cancels counts on.
        if self.phase < Phase::Complete {
            self.halt.get_or_insert_with(|| Halt::Cancelled { by: by.to_owned() });
        }
        let pressure = if kill { Pressure::Kill } else { Pressure::Term };
        self.halt_all(pressure, kill, sink);
    }

    /// Stops what runs and dooms the rest, up to the current phase; the last hooks only if `last`.
    pub(super) fn halt_all(&mut self, pressure: Pressure, last: bool, sink: &mut Sink) {
        let until = self.phase.max(Phase::Steps);
        for at in 0..self.shape.len() {
            let phase = self.shape.phase(at);
            if phase > until || (phase == Phase::Complete && !last) {
                continue;
            }
            match self.held.steps[at].status {
                // A runner has it: there may be a process.
                StepStatus::Queued if self.is_assigned(at) => self.press(at, pressure, sink),
                // Its agent waits for people; the process is there.
                StepStatus::Waiting if self.held.steps[at].hold == Hold::Attempt => {
                    self.press(at, pressure, sink);
                }
                StepStatus::Pending | StepStatus::Queued | StepStatus::Waiting => {
                    self.doom(at, Doom::Halted);
                }
                StepStatus::Running => self.press(at, pressure, sink),
                StepStatus::Success
                | StepStatus::Failed
                | StepStatus::Skipped
                | StepStatus::Cancelled
                | StepStatus::TimedOut => {}
            }
        }
    }

    fn is_assigned(&self, at: usize) -> bool {
        let attempt = self.held.steps[at].attempt.as_ref();
        attempt.is_some_and(|attempt| attempt.status == AttemptStatus::Assigned)
    }

    fn press(&mut self, at: usize, pressure: Pressure, sink: &mut Sink) {
        let attempt = self.held.steps[at].attempt.as_mut();
        if let Some(attempt) = attempt.filter(|attempt| attempt.pressure < pressure) {
            attempt.pressure = pressure;
            // A stopping attempt waits for no answer.
            attempt.asked.clear();
            self.held.asked.remove(&at);
            sink.effects.push(Effect::Stop {
                attempt: attempt.id.clone(),
                kill: pressure == Pressure::Kill,
            });
        }
    }
}
