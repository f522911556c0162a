//! Evolution of attempts of the engine: waiting, answers, child runs, the plan's outputs.

use jiff::{SignedDuration, Timestamp};
use plue_plan::AttemptId;
use serde_json::Value as Json;

use super::out_of_turn;
use crate::{
    error::IllegalFact,
    fact::Reason,
    machine::{
        attempt::AttemptEvent,
        step::{self, StepEvent},
    },
    run::{
        Run, Sink,
        state::{Hold, Wait},
    },
    status::AttemptStatus,
    wait::{AskedCall, Awaited, Child, Decision},
};

impl Run {
    pub(super) fn attempt_waiting(
        &mut self,
        now: Timestamp,
        at: usize,
        id: &AttemptId,
        (what, until): (&Awaited, Option<Timestamp>),
        sink: &mut Sink,
    ) -> Result<(), IllegalFact> {
        if self.held.steps[at].hold != Hold::Attempt {
            return Err(out_of_turn("attempt_waiting", "its attempt is not open"));
        }
        self.change_attempt(at, id, |_| AttemptEvent::Wait)?;
        let state = &mut self.held.steps[at];
        state.status = step::next(state.status, StepEvent::Wait)?;
        state.started_at.get_or_insert(now);
        if let Some(attempt) = &mut state.attempt {
            attempt.wait = Some(Wait { what: what.clone(), until, decisions: Vec::new() });
        }
        self.held.hold(at, Hold::Waiting);
        self.show_wait(at, sink);
        // The plan may have stopped while a call was under way that ends in waiting.
        self.doom_if_stopped(at);
        Ok(())
    }

    pub(super) fn decision_made(
        &mut self,
        at: usize,
        id: &AttemptId,
        decision: &Decision,
        sink: &mut Sink,
    ) -> Result<(), IllegalFact> {
        let unfit = || out_of_turn("decision_made", "nobody asked");
        let state = &mut self.held.steps[at];
        let open = state.hold == Hold::Waiting;
        let attempt = state.attempt.as_mut().filter(|attempt| open && attempt.id == *id);
        let wait = attempt.and_then(|attempt| attempt.wait.as_mut()).ok_or_else(unfit)?;
        let Awaited::Decision { quorum, .. } = &wait.what else {
            return Err(unfit());
        };
        wait.decisions.push(decision.clone());
        let needed = usize::try_from(*quorum).unwrap_or(usize::MAX);
        if !decision.approve || wait.decisions.len() >= needed {
            self.held.answered.insert(at);
        }
        self.show_wait(at, sink);
        Ok(())
    }

    pub(super) fn calls_asked(
        &mut self,
        at: usize,
        id: &AttemptId,
        (calls, is_busy): (&[AskedCall], bool),
        sink: &mut Sink,
    ) -> Result<(), IllegalFact> {
        let unfit = || out_of_turn("calls_asked", "its attempt does not run");
        let state = &mut self.held.steps[at];
        let open = state.hold == Hold::Attempt;
        let attempt = state.attempt.as_mut().filter(|attempt| open && attempt.id == *id);
        let attempt = attempt.filter(|attempt| attempt.status == AttemptStatus::Running);
        let attempt = attempt.ok_or_else(unfit)?;
        let wait = |asked: &AskedCall| Wait {
            what: Awaited::Call(asked.request.clone()),
            until: asked.until,
            decisions: Vec::new(),
        };
        attempt.asked = calls.iter().map(wait).collect();
        let event = if calls.is_empty() { StepEvent::Resume } else { StepEvent::Wait };
        state.reason = attempt.asked.first().map(|first| Reason::Awaits {
            what: first.what.clone(),
            until: first.until,
            approved_by: Vec::new(),
        });
        state.status = step::next(state.status, event)?;
        if calls.is_empty() {
            self.held.asked.remove(&at);
        } else {
            self.held.asked.insert(at, is_busy);
        }
        sink.touched.push(at);
        Ok(())
    }

    pub(super) fn child_started(
        &mut self,
        at: usize,
        id: &AttemptId,
        child: &Child,
        sink: &mut Sink,
    ) -> Result<(), IllegalFact> {
        let state = &mut self.held.steps[at];
        let open = state.hold == Hold::Attempt;
        let attempt = state.attempt.as_mut().filter(|attempt| open && attempt.id == *id);
        let unfit = || out_of_turn("child_started", "its attempt is not open");
        attempt.ok_or_else(unfit)?.child = Some(child.clone());
        state.reason = Some(Reason::ChildRun { run: child.run.clone() });
        sink.touched.push(at);
        sink.effects.extend(self.perform_effect(at));
        Ok(())
    }

    pub(super) fn outputs_evaluated(
        &mut self,
        value: &Result<Json, String>,
    ) -> Result<(), IllegalFact> {
        if !self.awaits_outputs() {
            return Err(out_of_turn("outputs_evaluated", "nobody asked"));
        }
        self.outputs = Some(value.clone());
        Ok(())
    }

    /// A run without an explicit timeout does not count the time that people and other systems need
    /// to answer: its clock pauses while the run only waits for them.
    pub(super) fn stand_still(&mut self, now: Timestamp) {
        let still = self.plan.timeout.is_none() && self.held.only_waits();
        match self.still_since {
            None if still => self.still_since = Some(now),
            Some(since) if !still => {
                let passed: SignedDuration = now.duration_since(since);
                self.timed_from = self.timed_from.and_then(|from| from.checked_add(passed).ok());
                self.still_since = None;
            }
            None | Some(_) => {}
        }
    }

    fn show_wait(&mut self, at: usize, sink: &mut Sink) {
        let reason = self.wait(at).map(|wait| Reason::Awaits {
            what: wait.what.clone(),
            until: wait.until,
            approved_by: wait.decisions.iter().map(|decision| decision.by.clone()).collect(),
        });
        self.held.steps[at].reason = reason;
        sink.touched.push(at);
    }
}
