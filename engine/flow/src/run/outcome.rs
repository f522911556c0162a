//! Decisions about an attempt or a condition that ended: try again, go back, or how the step ends.

use jiff::{SignedDuration, Timestamp};
use plue_plan::{
    policy::{Goto, OnFailure},
    step::StepOptions,
};

use super::{
    Run,
    shape::Phase,
    state::{Halt, Hold, Pressure, StepState, Verdict},
};
use crate::{
    backoff,
    fact::{Fact, Outcome, Reason},
    status::StepStatus,
};

/// Visits of a loop's target when the plan names no bound; validation demands one.
const DEFAULT_VISITS: u32 = 3;

type End = (StepStatus, Option<Reason>);

impl Run {
    pub(super) fn conclude(&self, at: usize, now: Timestamp) -> Fact {
        let state = &self.held.steps[at];
        let options = &self.definition(at).options;
        match &state.hold {
            Hold::Verdict(Verdict::ConditionFalse) => {
                self.ended(at, (StepStatus::Skipped, Some(Reason::ConditionFalse)))
            }
            Hold::Verdict(Verdict::ConditionError(message)) => {
                let message = message.clone();
                let reason = Reason::ConditionError { message };
                self.failed(at, (StepStatus::Failed, Some(reason.clone())), reason)
            }
            Hold::Verdict(Verdict::Attempt(Outcome::Success)) => {
                let well = (StepStatus::Success, None);
                let back = options.on_success.as_ref();
                back.and_then(|goto| self.go_back(at, goto)).unwrap_or_else(|| self.ended(at, well))
            }
            Hold::Verdict(Verdict::Attempt(Outcome::Cancelled)) => {
                self.ended(at, self.cancelled(at, state))
            }
            Hold::Verdict(Verdict::Attempt(outcome)) => {
                self.retry(at, outcome, now).unwrap_or_else(|| {
                    let end = (failure(outcome), Some(attempt_reason(state, options, outcome)));
                    self.failed(at, end, Reason::FailedButSkipped)
                })
            }
            Hold::Dependencies
            | Hold::Condition
            | Hold::Slot
            | Hold::Retry(_)
            | Hold::Attempt
            | Hold::Waiting
            | Hold::Nothing => self.ended(at, (StepStatus::Failed, None)),
        }
    }

    fn ended(&self, at: usize, (status, reason): End) -> Fact {
        Fact::StepEnded { step: self.step_id(at), visit: self.held.steps[at].visit, status, reason }
    }

    /// The step's `on_failure`; `skipped` is the reason if that is `skip`.
    fn failed(&self, at: usize, end: End, skipped: Reason) -> Fact {
        match &self.definition(at).options.on_failure {
            OnFailure::Fail | OnFailure::Continue => self.ended(at, end),
            OnFailure::Skip => self.ended(at, (StepStatus::Skipped, Some(skipped))),
            OnFailure::Goto(goto) => self.go_back(at, goto).unwrap_or_else(|| self.ended(at, end)),
        }
    }

    fn retry(&self, at: usize, outcome: &Outcome, now: Timestamp) -> Option<Fact> {
        let state = &self.held.steps[at];
        let attempt = state.attempt.as_ref()?;
        let policy = self.definition(at).options.retry.as_ref()?;
        let wanted = attempt.pressure == Pressure::None && !self.is_halted(at);
        if !wanted || !backoff::retries(policy, outcome, state.number) {
            return None;
        }
        let pause = backoff::pause(policy, state.number, &attempt.id);
        let due = SignedDuration::try_from(pause).ok()?;
        Some(Fact::RetryScheduled {
            step: self.step_id(at),
            visit: state.visit,
            number: state.number + 1,
            at: now.checked_add(due).ok()?,
        })
    }

    /// Fires the loop, or ends the step if the loop went round too often. `None`: no loop is
    /// possible, because nothing new may start.
    fn go_back(&self, at: usize, goto: &Goto) -> Option<Fact> {
        let stopped = self.stopped_by.is_some() && self.shape.phase(at) <= Phase::Steps;
        if stopped || self.is_halted(at) {
            return None;
        }
        let target = self.shape.find(&goto.goto)?;
        let steps = self.shape.between(target, at);
        if steps.is_empty() {
            return None;
        }
        let max_visits = goto.max_visits.unwrap_or(DEFAULT_VISITS);
        let state = &self.held.steps[target];
        if state.visit - state.old_visits >= max_visits {
            let to = goto.goto.clone();
            let reason = Reason::LoopExhausted { to, max_visits };
            return Some(self.ended(at, (StepStatus::Failed, Some(reason))));
        }
        Some(Fact::LoopedBack {
            from: self.step_id(at),
            to: goto.goto.clone(),
            steps: steps.into_iter().map(|at| self.step_id(at)).collect(),
        })
    }

    /// True if the run's early end applies to this step. The last hooks run all the same.
    fn is_halted(&self, at: usize) -> bool {
        self.halt.is_some() && self.shape.phase(at) != Phase::Complete
    }

    fn cancelled(&self, at: usize, state: &StepState) -> End {
        if let Some(doom) = self.held.doomed.get(&at) {
            let (status, reason) = self.unbegun(at, doom);
            return (status, Some(reason));
        }
        let pressed = state.attempt.as_ref().map(|attempt| attempt.pressure);
        let reason = match &self.halt {
            Some(Halt::TimedOut) => Reason::RunTimedOut,
            Some(Halt::Cancelled { .. }) => Reason::RunCancelled,
            None if pressed > Some(Pressure::None) => Reason::RunCancelled,
            None => Reason::Attempt { message: "cancelled".to_owned(), attempts: state.number },
        };
        (StepStatus::Cancelled, Some(reason))
    }
}

fn failure(outcome: &Outcome) -> StepStatus {
    match outcome {
        Outcome::TimedOut => StepStatus::TimedOut,
        Outcome::Success
        | Outcome::Exit { .. }
        | Outcome::Cancelled
        | Outcome::Refused { .. }
        | Outcome::Failed { .. }
        | Outcome::Rejected { .. }
        | Outcome::Infra { .. } => StepStatus::Failed,
    }
}

fn attempt_reason(state: &StepState, options: &StepOptions, outcome: &Outcome) -> Reason {
    let message = match (outcome, &options.timeout) {
        (Outcome::TimedOut, Some(timeout)) => format!("timed out after {timeout}"),
        (outcome, _) => outcome.to_string(),
    };
    Reason::Attempt { message, attempts: state.number }
}
