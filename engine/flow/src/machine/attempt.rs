//! The states of an attempt.

use super::{Illegal, Row, events, look_up};
use crate::{
    fact::{Fact, Outcome},
    status::AttemptStatus::{self, Assigned, Cancelled, Done, Lost, Queued, Running},
};

events! {
    /// Transitions of an attempt.
    AttemptEvent {
        /// A runner has it.
        Assign = "assign",
        /// The process of the attempt runs.
        Start = "start",
        /// It waits for something outside.
        Wait = "wait",
        /// Its runner was lost before the process ran.
        Requeue = "requeue",
        /// The attempt ended, with any outcome.
        Finish = "finish",
        /// Its runner was lost while the process ran.
        Lose = "lose",
        /// It is not wanted any more, and no process ran.
        Withdraw = "withdraw",
    }
}
use AttemptEvent::{Assign, Finish, Lose, Requeue, Start, Wait, Withdraw};

/// Every change there is. Work inside the engine (an approval) may finish without a start.
pub const TRANSITIONS: &[Row<AttemptStatus, AttemptEvent>] = &[
    (Queued, Assign, Assigned),
    (Queued, Start, Running),
    (Queued, Wait, Running),
    (Queued, Requeue, Queued),
    (Queued, Finish, Done),
    (Queued, Withdraw, Cancelled),
    (Assigned, Start, Running),
    (Assigned, Requeue, Queued),
    (Assigned, Finish, Done),
    (Running, Wait, Running),
    (Running, Finish, Done),
    (Running, Lose, Lost),
];

/// The status after the event.
///
/// # Errors
/// The pair is not in [`TRANSITIONS`].
pub fn next(from: AttemptStatus, event: AttemptEvent) -> Result<AttemptStatus, Illegal> {
    look_up("attempt", TRANSITIONS, (from, event))
}

/// The event that the fact is for an attempt in this state.
#[must_use]
pub fn event(from: AttemptStatus, fact: &Fact) -> Option<AttemptEvent> {
    match fact {
        Fact::AttemptAssigned { .. } => Some(Assign),
        Fact::AttemptStarted { .. } => Some(Start),
        Fact::AttemptWaiting { .. } => Some(Wait),
        Fact::AttemptRequeued { .. } => Some(Requeue),
        Fact::AttemptEnded { outcome, .. } => Some(ended(from, outcome)),
        Fact::RunCreated { .. }
        | Fact::RunStarted
        | Fact::ConditionEvaluated { .. }
        | Fact::AttemptQueued { .. }
        | Fact::AttemptUnschedulable { .. }
        | Fact::AttemptSchedulable { .. }
        | Fact::DecisionMade { .. }
        | Fact::CallsAsked { .. }
        | Fact::ChildStarted { .. }
        | Fact::OutputsEvaluated { .. }
        | Fact::RetryScheduled { .. }
        | Fact::StepEnded { .. }
        | Fact::LoopedBack { .. }
        | Fact::CancelRequested { .. }
        | Fact::RunTimedOut
        | Fact::RunReopened { .. }
        | Fact::RunEnded { .. } => None,
    }
}

/// The event that an outcome is for an attempt in this state.
pub(crate) fn ended(from: AttemptStatus, outcome: &Outcome) -> AttemptEvent {
    match outcome {
        Outcome::Cancelled if from == Queued => Withdraw,
        Outcome::Infra { .. } => Lose,
        Outcome::Success
        | Outcome::Exit { .. }
        | Outcome::TimedOut
        | Outcome::Cancelled
        | Outcome::Refused { .. }
        | Outcome::Failed { .. }
        | Outcome::Rejected { .. } => Finish,
    }
}
