//! Evolution of attempts: queued, started, ended, queued again, put off.

use jiff::Timestamp;
use plue_plan::AttemptId;
use serde_json::Value as Json;

use super::out_of_turn;
use crate::{
    effect::Effect,
    error::IllegalFact,
    fact::{Outcome, Reason},
    machine::{
        attempt::{self, AttemptEvent, ended},
        step::{self, StepEvent},
    },
    run::{
        Run, Sink,
        state::{Attempt, Hold, Pressure, Verdict},
    },
    status::AttemptStatus,
};

impl Run {
    pub(super) fn condition_evaluated(
        &mut self,
        at: usize,
        visit: u32,
        value: &Result<bool, String>,
    ) -> Result<(), IllegalFact> {
        let state = &self.held.steps[at];
        if state.hold != Hold::Condition || state.visit != visit {
            return Err(out_of_turn("condition_evaluated", "nobody asked"));
        }
        let hold = match value {
            Ok(true) => Hold::Slot,
            Ok(false) => Hold::Verdict(Verdict::ConditionFalse),
            Err(message) => Hold::Verdict(Verdict::ConditionError(message.clone())),
        };
        self.held.hold(at, hold);
        Ok(())
    }

    pub(super) fn attempt_queued(
        &mut self,
        at: usize,
        (visit, number): (u32, u32),
        id: &AttemptId,
        sink: &mut Sink,
    ) -> Result<(), IllegalFact> {
        let state = &mut self.held.steps[at];
        let waits = matches!(state.hold, Hold::Slot | Hold::Retry(_));
        if !waits || (state.visit, state.number + 1) != (visit, number) {
            return Err(out_of_turn("attempt_queued", "the step waits for no attempt"));
        }
        state.status = step::next(state.status, StepEvent::Queue)?;
        state.number = number;
        state.started_at = None;
        state.attempt = Some(Attempt {
            id: id.clone(),
            status: AttemptStatus::Queued,
            pressure: Pressure::None,
            wait: None,
            asked: Vec::new(),
            child: None,
            held: None,
        });
        self.held.hold(at, Hold::Attempt);
        self.perform(at, sink);
        Ok(())
    }

    pub(super) fn attempt_held(
        &mut self,
        at: usize,
        id: &AttemptId,
        reason: &str,
        sink: &mut Sink,
    ) -> Result<(), IllegalFact> {
        self.queued_attempt(at, id)?.held = Some(reason.to_owned());
        self.held.steps[at].reason = Some(Reason::NoRunner { message: reason.to_owned() });
        self.held.unplaced.insert(at);
        sink.touched.push(at);
        Ok(())
    }

    pub(super) fn attempt_placed(
        &mut self,
        at: usize,
        id: &AttemptId,
        sink: &mut Sink,
    ) -> Result<(), IllegalFact> {
        if self.queued_attempt(at, id)?.held.take().is_none() {
            return Err(out_of_turn("attempt_placed", "it was not held"));
        }
        self.held.steps[at].reason = None;
        self.held.unplaced.remove(&at);
        self.perform(at, sink);
        Ok(())
    }

    fn queued_attempt(&mut self, at: usize, id: &AttemptId) -> Result<&mut Attempt, IllegalFact> {
        let state = &mut self.held.steps[at];
        let open = state.hold == Hold::Attempt;
        let current = state.attempt.as_mut().filter(|current| open && current.id == *id);
        let queued = current.filter(|attempt| attempt.status == AttemptStatus::Queued);
        queued.ok_or_else(|| out_of_turn("attempt", "it is not queued"))
    }

    /// The step goes on as queued: no process was seen yet.
    pub(super) fn attempt_assigned(
        &mut self,
        at: usize,
        id: &AttemptId,
    ) -> Result<(), IllegalFact> {
        self.change_attempt(at, id, |_| AttemptEvent::Assign)
    }

    pub(super) fn attempt_started(
        &mut self,
        at: usize,
        id: &AttemptId,
        now: Timestamp,
        sink: &mut Sink,
    ) -> Result<(), IllegalFact> {
        self.change_attempt(at, id, |_| AttemptEvent::Start)?;
        let state = &mut self.held.steps[at];
        state.status = step::next(state.status, StepEvent::Start)?;
        state.started_at = Some(now);
        sink.touched.push(at);
        Ok(())
    }

    pub(super) fn attempt_requeued(
        &mut self,
        at: usize,
        id: &AttemptId,
        sink: &mut Sink,
    ) -> Result<(), IllegalFact> {
        self.change_attempt(at, id, |_| AttemptEvent::Requeue)?;
        let state = &mut self.held.steps[at];
        state.status = step::next(state.status, StepEvent::Requeue)?;
        self.doom_if_stopped(at);
        self.perform(at, sink);
        Ok(())
    }

    pub(super) fn attempt_ended(
        &mut self,
        at: usize,
        id: &AttemptId,
        (outcome, output): (&Outcome, &Json),
        sink: &mut Sink,
    ) -> Result<(), IllegalFact> {
        self.change_attempt(at, id, |from| ended(from, outcome))?;
        let state = &mut self.held.steps[at];
        state.output = output.clone();
        state.reason = None;
        if self.is_withdrawn(at) {
            sink.effects.push(Effect::Stop { attempt: id.clone(), kill: false });
        }
        let verdict = Verdict::Attempt(outcome.clone());
        self.held.hold(at, Hold::Verdict(verdict));
        sink.touched.push(at);
        Ok(())
    }

    pub(super) fn retry_scheduled(
        &mut self,
        at: usize,
        (visit, number): (u32, u32),
        due: Timestamp,
        sink: &mut Sink,
    ) -> Result<(), IllegalFact> {
        let state = &mut self.held.steps[at];
        let decided = matches!(state.hold, Hold::Verdict(Verdict::Attempt(_)));
        if !decided || (state.visit, state.number + 1) != (visit, number) {
            return Err(out_of_turn("retry_scheduled", "no attempt just ended"));
        }
        state.status = step::next(state.status, StepEvent::Delay)?;
        self.held.hold(at, Hold::Retry(due));
        sink.touched.push(at);
        Ok(())
    }

    pub(super) fn change_attempt(
        &mut self,
        at: usize,
        id: &AttemptId,
        event: impl Fn(AttemptStatus) -> AttemptEvent,
    ) -> Result<(), IllegalFact> {
        let state = &mut self.held.steps[at];
        let open = matches!(state.hold, Hold::Attempt | Hold::Waiting);
        let current = state.attempt.as_mut().filter(|current| current.id == *id);
        let Some(attempt) = current.filter(|_| open) else {
            return Err(out_of_turn("attempt", "it is not open"));
        };
        attempt.status = attempt::next(attempt.status, event(attempt.status))?;
        Ok(())
    }

    /// True if the attempt ended without a process; a runner may have been about to start one.
    fn is_withdrawn(&self, at: usize) -> bool {
        let attempt = self.held.steps[at].attempt.as_ref();
        attempt.is_some_and(|attempt| attempt.status == AttemptStatus::Cancelled)
    }

    fn perform(&self, at: usize, sink: &mut Sink) {
        sink.effects.extend(self.perform_effect(at));
        sink.touched.push(at);
    }

    pub(in crate::run) fn perform_effect(&self, at: usize) -> Option<Effect> {
        let state = &self.held.steps[at];
        let attempt = state.attempt.as_ref()?;
        Some(Effect::Perform {
            step: self.step_id(at),
            visit: state.visit,
            number: state.number,
            attempt: attempt.id.clone(),
        })
    }
}
