//! Decisions: the one fact that follows from the state at a time, if any.
//!
//! Must not change the state. Applied until nothing follows, it brings any state to rest, however
//! it came about.

use jiff::Timestamp;

use super::{
    Run,
    shape::Phase,
    state::{Doom, Halt, Hold},
    timeout_text,
};
use crate::{
    fact::{Fact, Outcome, Reason},
    status::{RunStatus, StepStatus},
};

/// Number of times that a run's timeout fires: the first terminates what runs and lets the last
/// hooks run, the second kills what is left.
const TIMEOUTS: u32 = 2;

impl Run {
    pub(super) fn next_fact(&self, now: Timestamp) -> Option<Fact> {
        if self.status.is_terminal() || self.phase == Phase::Idle {
            return None;
        }
        if let Some(&at) = self.held.verdicts.first() {
            return Some(self.conclude(at, now));
        }
        if let Some((&at, doom)) = self.held.doomed.first_key_value() {
            return Some(self.end_unbegun(at, doom));
        }
        if self.phase == Phase::Over {
            return Some(self.end());
        }
        if let Some(&at) = self.held.answered.first() {
            return self.decided(at);
        }
        let deadline = self.deadline().unwrap_or(Timestamp::MAX);
        // Overdue alarms fire in the order of their times, also after a long gap without ticks.
        if let Some((due, at)) = self.held.alarms.first()
            && *due <= now
            && *due <= deadline
        {
            return self.overdue(*at);
        }
        if deadline <= now {
            return Some(Fact::RunTimedOut);
        }
        self.dispatch(now)
    }

    /// The earliest time at which a tick changes something: a retry that a place is free for, the
    /// end of a wait, or the run's timeout.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.status.is_terminal() {
            return None;
        }
        let retry = self.held.retries.first().filter(|_| self.has_place());
        let alarm = self.held.alarms.first();
        let times = [self.deadline(), retry.map(|(due, _)| *due), alarm.map(|(due, _)| *due)];
        times.into_iter().flatten().min()
    }

    /// Terminal status and reason of a doomed step.
    pub(super) fn unbegun(&self, at: usize, doom: &Doom) -> (StepStatus, Reason) {
        match doom {
            Doom::NotSelected => (StepStatus::Skipped, self.left_out(at)),
            Doom::NotCalled => {
                let result = self.result();
                (StepStatus::Skipped, Reason::NotCalled { result })
            }
            Doom::Blocked(by) => {
                let status = self.held.steps[*by].status;
                let by = self.step_id(*by);
                (StepStatus::Skipped, Reason::Blocked { by, status })
            }
            Doom::Stopped(by) => {
                let by = self.step_id(*by);
                (StepStatus::Skipped, Reason::Stopped { by })
            }
            Doom::Halted => match self.halt {
                Some(Halt::TimedOut) => (StepStatus::Skipped, Reason::RunTimedOut),
                Some(Halt::Cancelled { .. }) | None => {
                    (StepStatus::Cancelled, Reason::RunCancelled)
                }
            },
        }
    }

    fn left_out(&self, at: usize) -> Reason {
        match &self.held.steps[at].carried {
            Some(run) => Reason::Carried { run: run.clone() },
            None => Reason::NotSelected,
        }
    }

    /// An attempt that no process runs for is withdrawn first.
    fn end_unbegun(&self, at: usize, doom: &Doom) -> Fact {
        let state = &self.held.steps[at];
        let step = self.step_id(at);
        let open = matches!(state.hold, Hold::Attempt | Hold::Waiting);
        if let Some(attempt) = state.attempt.as_ref().filter(|_| open) {
            return Fact::AttemptEnded {
                step,
                attempt: attempt.id.clone(),
                outcome: Outcome::Cancelled,
                output: serde_json::Value::Null,
                event: None,
            };
        }
        let (status, reason) = self.unbegun(at, doom);
        Fact::StepEnded { step, visit: state.visit, status, reason: Some(reason) }
    }

    /// Retries that are due go first, then ready steps in the order of the plan.
    fn dispatch(&self, now: Timestamp) -> Option<Fact> {
        if !self.has_place() {
            return None;
        }
        let due = self.held.retries.first().filter(|(due, _)| *due <= now);
        let at = due.map(|(_, at)| *at).or(self.held.ready.first().copied())?;
        let state = &self.held.steps[at];
        let number = state.number + 1;
        Some(Fact::AttemptQueued {
            step: self.step_id(at),
            visit: state.visit,
            number,
            attempt: self.attempt_id(at, state.visit, number),
        })
    }

    /// True if `max_parallel` allows a further attempt.
    #[must_use]
    pub fn has_place(&self) -> bool {
        let places = self.plan.max_parallel.map_or(usize::MAX, |most| most.max(1) as usize);
        self.held.working.len() - self.held.unplaced.len() < places
    }

    fn deadline(&self) -> Option<Timestamp> {
        let runs = self.timeouts < TIMEOUTS && self.still_since.is_none();
        let from = self.timed_from.filter(|_| runs)?;
        from.checked_add(self.timeout?).ok()
    }

    fn end(&self) -> Fact {
        let status = self.result();
        Fact::RunEnded { status, reason: self.end_reason(status) }
    }

    fn end_reason(&self, status: RunStatus) -> Option<String> {
        if let Some(Halt::Cancelled { by }) = &self.halt {
            return Some(format!("cancelled by {by}"));
        }
        if status == RunStatus::TimedOut {
            return Some(format!("took longer than {}", timeout_text(&self.plan)));
        }
        if let (true, Some(Err(message))) = (self.bad.is_empty(), &self.outputs) {
            return Some(message.clone());
        }
        let first = self.step_id(*self.bad.first()?);
        Some(match self.bad.len() {
            1 => format!("step {first} failed"),
            many => format!("step {first} and {} more failed", many - 1),
        })
    }
}
