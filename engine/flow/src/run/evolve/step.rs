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
        state::{Doom, Hold},
    },
    status::StepStatus,
};

impl Run {
    pub(super) fn step_ended(
        &mut self,
        now: Timestamp,
        at: usize,
        visit: u32,
        (status, reason): (StepStatus, &Option<Reason>),
        sink: &mut Sink,
    ) -> Result<(), IllegalFact> {
        let state = &mut self.held.steps[at];
        let unfit = || out_of_turn("step_ended", "another visit, or the attempt is open");
        if state.visit != visit || matches!(state.hold, Hold::Attempt | Hold::Waiting) {
            return Err(unfit());
        }
        let unran = state.attempt.is_none() && state.carried.is_none();
        state.status = next(state.status, ending(status).ok_or_else(unfit)?)?;
        state.reason.clone_from(reason);
        state.ended_at = Some(now);
        if unran {
            state.output = serde_json::Value::Null;
        }
        self.held.hold(at, Hold::Nothing);
        sink.touched.push(at);
        if let Some(slot) = self.shape.phase(at).slot() {
            self.open[slot] -= 1;
        }
        if self.fails_the_run(at) {
            self.bad.insert(at);
            self.stop_if_told(at);
        }
        self.release_dependents(now, at, sink);
        Ok(())
    }

    fn release_dependents(&mut self, now: Timestamp, at: usize, sink: &mut Sink) {
        let blocks = !self.opens(at);
        let shape = self.shape.clone();
        for &below in shape.dependents(at) {
            let state = &mut self.held.steps[below];
            state.unmet -= 1;
            if blocks {
                state.blocked_by.get_or_insert(at);
            }
            self.consider(now, below, sink);
        }
    }

    /// If nothing holds the step back any more, moves it on: to its condition, to the queue for a
    /// place, or to its end if a dependency blocks it.
    pub(super) fn consider(&mut self, now: Timestamp, at: usize, sink: &mut Sink) {
        let state = &self.held.steps[at];
        let held_back = state.unmet > 0
            || state.hold != Hold::Dependencies
            || self.shape.phase(at) != self.phase
            || self.held.doomed.contains_key(&at);
        if held_back {
            return;
        }
        if let Some(by) = state.blocked_by {
            self.doom(at, Doom::Blocked(by));
            return;
        }
        let visit = state.visit;
        self.held.steps[at].ready_at = Some(now);
        sink.touched.push(at);
        if self.definition(at).options.when.is_some() {
            self.held.hold(at, Hold::Condition);
            let step = self.step_id(at);
            sink.effects.push(Effect::EvaluateCondition { step, visit });
        } else {
            self.held.hold(at, Hold::Slot);
        }
    }

    /// True if the ended step lets its dependents run.
    fn opens(&self, at: usize) -> bool {
        let state = &self.held.steps[at];
        match state.status {
            StepStatus::Success => true,
            StepStatus::Failed | StepStatus::TimedOut => {
                self.definition(at).options.on_failure == OnFailure::Continue
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
    fn fails_the_run(&self, at: usize) -> bool {
        let options = &self.definition(at).options;
        let counts = self.shape.group(at) == Group::Steps || options.required;
        let ended_badly = match self.held.steps[at].status {
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

    fn stop_if_told(&mut self, at: usize) {
        let stops = match self.shape.group(at) {
            Group::Steps => self.plan.on_failure == PlanOnFailure::Stop,
            Group::Start => true,
            Group::Success | Group::Failure | Group::Complete => false,
        };
        if !stops || self.stopped_by.is_some() || self.halt.is_some() {
            return;
        }
        self.stopped_by = Some(at);
        for other in 0..self.held.steps.len() {
            self.doom_if_stopped(other);
        }
    }

    /// After a stop, pending steps never start; running steps finish.
    pub(super) fn doom_if_stopped(&mut self, at: usize) {
        let state = &self.held.steps[at];
        let unbegun = match state.status {
            StepStatus::Pending => true,
            StepStatus::Queued => !state.has_begun(),
            // Nothing runs for it anywhere.
            StepStatus::Waiting => state.waits_idly(),
            StepStatus::Running
            | StepStatus::Success
            | StepStatus::Failed
            | StepStatus::Skipped
            | StepStatus::Cancelled
            | StepStatus::TimedOut => false,
        };
        if let Some(by) = self.stopped_by
            && unbegun
            && self.shape.phase(at) <= Phase::Steps
        {
            self.doom(at, Doom::Stopped(by));
        }
    }

    pub(super) fn doom(&mut self, at: usize, doom: Doom) {
        self.held.doomed.entry(at).or_insert(doom);
    }
}
