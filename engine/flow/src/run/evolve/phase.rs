//! Evolution of the phases: hooks before, the steps, hooks after.

use jiff::Timestamp;

use crate::{
    effect::Effect,
    run::{
        Run, Sink,
        shape::Group,
        state::{Doom, Halt},
    },
    status::RunStatus,
};

impl Run {
    /// Goes on to the next phase as long as the current one has nothing open.
    pub(super) fn advance(&mut self, at: Timestamp, sink: &mut Sink) {
        while let Some(slot) = self.phase.slot()
            && self.open[slot] == 0
        {
            if self.awaits_outputs() {
                sink.effects.push(Effect::EvaluateOutputs);
                return;
            }
            self.phase = self.phase.following();
            self.enter(at, sink);
        }
    }

    /// Opens the steps of the current phase, or dooms the hooks that it does not call.
    pub(super) fn enter(&mut self, at: Timestamp, sink: &mut Sink) {
        let shape = self.shape.clone();
        for &group in self.phase.groups() {
            let called = self.calls(group);
            for step in shape.range(group) {
                if called {
                    self.consider(at, step, sink);
                } else if !self.held.steps[step].status.is_terminal() {
                    self.doom(step, Doom::NotCalled);
                }
            }
        }
    }

    /// Result of the run if nothing else happens.
    pub(in crate::run) fn result(&self) -> RunStatus {
        match self.halt {
            Some(Halt::Cancelled { .. }) => RunStatus::Cancelled,
            Some(Halt::TimedOut) => RunStatus::TimedOut,
            None if self.bad.is_empty() && !matches!(self.outputs, Some(Err(_))) => {
                RunStatus::Success
            }
            None => RunStatus::Failed,
        }
    }

    fn calls(&self, group: Group) -> bool {
        match group {
            Group::Start | Group::Steps => true,
            Group::Success => self.result() == RunStatus::Success,
            Group::Failure => self.result() == RunStatus::Failed,
            // A run that never started has nothing to clean up.
            Group::Complete => self.started_at.is_some(),
        }
    }
}
