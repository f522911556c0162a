//! Evolution: the only place where the state of a run changes.
//!
//! Must not look at a clock or at inputs, and must not choose: everything that could have gone
//! another way stands in the fact.

use jiff::Timestamp;
use plue_plan::StepId;

use super::{
    Run, Sink,
    shape::Phase,
    state::{Doom, Halt, Pressure},
};
use crate::{
    effect::Effect,
    error::IllegalFact,
    fact::{Carried, Fact, NameValue},
    machine::run::{RunEvent, ending, next},
    status::RunStatus,
};

mod again;
mod attempt;
mod halt;
mod phase;
mod step;
mod waiting;

impl Run {
    pub(super) fn fold_one(
        &mut self,
        at: Timestamp,
        fact: &Fact,
        sink: &mut Sink,
    ) -> Result<(), IllegalFact> {
        self.in_turn(fact)?;
        match fact {
            Fact::RunCreated { plan, only, carried } => {
                self.hash = Some(*plan);
                self.select(only)?;
                self.carry(carried)?;
            }
            Fact::RunStarted => self.run_started(at, sink)?,
            Fact::ConditionEvaluated { step, visit, value, .. } => {
                self.condition_evaluated(self.at(step)?, *visit, value)?
            }
            Fact::AttemptQueued { step, visit, number, attempt } => {
                self.attempt_queued(self.at(step)?, (*visit, *number), attempt, sink)?
            }
            Fact::AttemptHeld { step, attempt, reason } => {
                self.attempt_held(self.at(step)?, attempt, reason, sink)?;
            }
            Fact::AttemptPlaced { step, attempt } => {
                self.attempt_placed(self.at(step)?, attempt, sink)?;
            }
            Fact::AttemptAssigned { step, attempt, .. } => {
                self.attempt_assigned(self.at(step)?, attempt)?;
            }
            Fact::AttemptStarted { step, attempt, began, name, .. } => {
                let step = self.at(step)?;
                self.attempt_started(step, attempt, began.unwrap_or(at), sink)?;
                self.called(step, name.as_ref());
            }
            Fact::AttemptWaiting { step, attempt, what, until, name } => {
                let step = self.at(step)?;
                self.attempt_waiting(at, step, attempt, (what, *until), sink)?;
                if name.is_some() {
                    self.called(step, name.as_ref());
                }
            }
            Fact::DecisionMade { step, attempt, decision } => {
                self.decision_made(self.at(step)?, attempt, decision, sink)?;
            }
            Fact::CallsAsked { step, attempt, calls, is_busy, .. } => {
                self.calls_asked(self.at(step)?, attempt, (calls, *is_busy), sink)?;
            }
            Fact::ChildStarted { step, attempt, child } => {
                self.child_started(self.at(step)?, attempt, child, sink)?;
            }
            Fact::OutputsEvaluated { value } => self.outputs_evaluated(value)?,
            Fact::AttemptEnded { step, attempt, outcome, output, event } => {
                let step = self.at(step)?;
                self.attempt_ended(step, attempt, (outcome, output), sink)?;
                let taken = &mut self.held.steps[step].taken;
                *taken = event.unwrap_or(0).max(*taken);
            }
            Fact::AttemptRequeued { step, attempt, .. } => {
                self.attempt_requeued(self.at(step)?, attempt, sink)?;
            }
            Fact::RetryScheduled { step, visit, number, at: due } => {
                self.retry_scheduled(self.at(step)?, (*visit, *number), *due, sink)?
            }
            Fact::StepEnded { step, visit, status, reason } => {
                self.step_ended(at, self.at(step)?, *visit, (*status, reason), sink)?
            }
            Fact::LoopedBack { steps, .. } => self.looped_back(at, steps, sink)?,
            Fact::CancelRequested { by, kill } => self.cancel_requested(by, *kill, sink),
            Fact::RunTimedOut => self.run_timed_out(at, sink),
            Fact::RunReopened { steps, .. } => self.run_reopened(at, steps, sink)?,
            Fact::RunEnded { status, reason } => self.run_ended(at, *status, reason, sink)?,
        }
        self.advance(at, sink);
        self.idle_or_awake()?;
        self.stand_still(at);
        Ok(())
    }

    /// Rejects facts that no run accepts before its creation or after its end.
    fn in_turn(&self, fact: &Fact) -> Result<(), IllegalFact> {
        let creates = matches!(fact, Fact::RunCreated { .. });
        if creates != self.hash.is_none() {
            return Err(out_of_turn("run_created", "it comes first, and once"));
        }
        let reopens = matches!(fact, Fact::RunReopened { .. });
        if reopens != self.status.is_terminal() {
            return Err(out_of_turn("run_reopened", "it follows the end only"));
        }
        let before = matches!(fact, Fact::RunStarted | Fact::CancelRequested { .. });
        let early = self.phase == Phase::Idle && !creates && !before;
        if early && !reopens {
            return Err(out_of_turn("fact", "the run did not start yet"));
        }
        Ok(())
    }

    fn at(&self, step: &StepId) -> Result<usize, IllegalFact> {
        let unknown = || IllegalFact::UnknownStep { step: step.clone() };
        self.shape.find(step).ok_or_else(unknown)
    }

    /// A name that has no value is shown as written.
    fn called(&mut self, at: usize, name: Option<&NameValue>) {
        self.held.steps[at].name = name.and_then(|name| name.as_ref().ok()).cloned();
    }

    fn select(&mut self, only: &[StepId]) -> Result<(), IllegalFact> {
        if only.is_empty() {
            return Ok(());
        }
        for at in self.shape.range(super::shape::Group::Steps) {
            self.held.steps[at].selected = false;
        }
        for step in only {
            let at = self.at(step)?;
            self.held.steps[at].selected = true;
        }
        Ok(())
    }

    fn carry(&mut self, carried: &[Carried]) -> Result<(), IllegalFact> {
        for Carried { step, run, output } in carried {
            let at = self.at(step)?;
            if self.held.steps[at].selected {
                return Err(out_of_turn("run_created", "a selected step has an output already"));
            }
            self.held.steps[at].carried = Some(run.clone());
            self.held.steps[at].output = output.clone();
        }
        Ok(())
    }

    fn run_started(&mut self, at: Timestamp, sink: &mut Sink) -> Result<(), IllegalFact> {
        self.status = next(self.status, RunEvent::Start)?;
        self.started_at = Some(at);
        self.timed_from = Some(at);
        for step in self.shape.range(super::shape::Group::Steps) {
            if !self.held.steps[step].selected {
                self.doom(step, Doom::NotSelected);
            }
        }
        self.phase = Phase::Start;
        self.enter(at, sink);
        Ok(())
    }

    fn run_timed_out(&mut self, at: Timestamp, sink: &mut Sink) {
        self.timeouts += 1;
        self.timed_from = Some(at);
        self.halt.get_or_insert(Halt::TimedOut);
        let pressure = if self.timeouts > 1 { Pressure::Kill } else { Pressure::Term };
        self.halt_all(pressure, true, sink);
    }

    fn run_ended(
        &mut self,
        at: Timestamp,
        status: RunStatus,
        reason: &Option<String>,
        sink: &mut Sink,
    ) -> Result<(), IllegalFact> {
        let unfit = || out_of_turn("run_ended", "steps are open, or it is no end");
        let event = ending(status).filter(|_| self.phase == Phase::Over);
        self.status = next(self.status, event.ok_or_else(unfit)?)?;
        self.reason.clone_from(reason);
        self.ended_at = Some(at);
        sink.effects.push(Effect::Finish);
        Ok(())
    }

    fn idle_or_awake(&mut self) -> Result<(), IllegalFact> {
        let idle = self.held.is_idle() && self.phase != Phase::Over;
        let event = match self.status {
            RunStatus::Running if idle => RunEvent::Idle,
            RunStatus::Waiting if !idle => RunEvent::Wake,
            RunStatus::Running
            | RunStatus::Waiting
            | RunStatus::Queued
            | RunStatus::Success
            | RunStatus::Failed
            | RunStatus::Cancelled
            | RunStatus::TimedOut => return Ok(()),
        };
        self.status = next(self.status, event)?;
        Ok(())
    }
}

fn out_of_turn(fact: &'static str, why: &'static str) -> IllegalFact {
    IllegalFact::OutOfTurn { fact, why }
}
