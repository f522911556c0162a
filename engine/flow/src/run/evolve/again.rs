//! Evolution of steps that go again: a loop back, or an ended run that is reopened.

use jiff::Timestamp;
use plue_plan::StepId;

use crate::{
    error::IllegalFact,
    machine::{
        run::{RunEvent, next as next_run},
        step::{StepEvent, next},
    },
    run::{Run, Sink, shape::Phase, state::Hold},
    status::StepStatus,
};

impl Run {
    pub(super) fn looped_back(
        &mut self,
        now: Timestamp,
        steps: &[StepId],
        sink: &mut Sink,
    ) -> Result<(), IllegalFact> {
        let steps = self.positions(steps)?;
        for &at in &steps {
            self.again(at, sink)?;
        }
        for at in steps {
            self.consider(now, at, sink);
        }
        Ok(())
    }

    pub(super) fn run_reopened(
        &mut self,
        now: Timestamp,
        steps: &[StepId],
        sink: &mut Sink,
    ) -> Result<(), IllegalFact> {
        let steps = self.positions(steps)?;
        self.status = next_run(self.status, RunEvent::Reopen)?;
        self.reason = None;
        self.ended_at = None;
        self.started_at.get_or_insert(now);
        self.timed_from = Some(now);
        self.timeouts = 0;
        self.outputs = None;
        self.cancels = 0;
        self.halt = None;
        self.stopped_by = None;
        for &at in &steps {
            self.again(at, sink)?;
            let state = &mut self.held.steps[at];
            state.selected = true;
            state.old_visits = state.visit - 1;
        }
        self.phase = Phase::Start;
        self.enter(now, sink);
        Ok(())
    }

    fn positions(&self, steps: &[StepId]) -> Result<Vec<usize>, IllegalFact> {
        steps.iter().map(|step| self.at(step)).collect()
    }

    /// Puts one step back to the beginning. Steps behind it that did not begin wait for it again.
    fn again(&mut self, at: usize, sink: &mut Sink) -> Result<(), IllegalFact> {
        let state = &mut self.held.steps[at];
        let had_ended = state.status.is_terminal();
        state.status = next(state.status, StepEvent::Return)?;
        state.revisit();
        self.held.hold(at, Hold::Dependencies);
        sink.touched.push(at);
        if !had_ended {
            return Ok(());
        }
        self.bad.remove(&at);
        if let Some(slot) = self.shape.phase(at).slot() {
            self.open[slot] += 1;
        }
        let shape = self.shape.clone();
        for &below in shape.dependents(at) {
            let state = &mut self.held.steps[below];
            state.unmet += 1;
            let waits = matches!(state.hold, Hold::Condition | Hold::Slot);
            if state.status == StepStatus::Pending && waits {
                state.ready_at = None;
                self.held.hold(below, Hold::Dependencies);
                sink.touched.push(below);
            }
        }
        Ok(())
    }
}
