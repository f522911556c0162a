//! The states of a step within its current visit.

use super::{Illegal, Row, events, look_up};
use crate::{
    fact::Fact,
    status::StepStatus::{
        self, Cancelled, Failed, Pending, Queued, Running, Skipped, Success, TimedOut, Waiting,
    },
};

events! {
    /// Transitions of a step.
    StepEvent {
        /// An attempt is queued.
        Queue = "queue",
        /// The attempt's process runs.
        Start = "start",
        /// The attempt is queued again, free.
        Requeue = "requeue",
        /// Its attempt waits for something outside.
        Wait = "wait",
        /// People have decided about all calls of its agent.
        Resume = "resume",
        /// A pause before the next attempt.
        Delay = "delay",
        /// The last attempt succeeded.
        Succeed = "succeed",
        /// The step failed for good.
        Fail = "fail",
        /// Ends without having to run.
        Skip = "skip",
        /// The run was cancelled.
        Cancel = "cancel",
        /// Ends because it took too long.
        TimeOut = "time out",
        /// A loop or a reopened run makes it pending again.
        Return = "return",
    }
}
use StepEvent::{
    Cancel, Delay, Fail, Queue, Requeue, Resume, Return, Skip, Start, Succeed, TimeOut, Wait,
};

/// Every change there is.
pub const TRANSITIONS: &[Row<StepStatus, StepEvent>] = &[
    (Pending, Queue, Queued),
    (Pending, Fail, Failed),
    (Pending, Skip, Skipped),
    (Pending, Cancel, Cancelled),
    (Pending, Return, Pending),
    (Queued, Start, Running),
    (Queued, Wait, Waiting),
    (Queued, Requeue, Queued),
    (Queued, Delay, Waiting),
    (Queued, Succeed, Success),
    (Queued, Fail, Failed),
    (Queued, TimeOut, TimedOut),
    (Queued, Skip, Skipped),
    (Queued, Cancel, Cancelled),
    (Queued, Return, Pending),
    (Running, Wait, Waiting),
    (Running, Delay, Waiting),
    (Running, Succeed, Success),
    (Running, Fail, Failed),
    (Running, TimeOut, TimedOut),
    (Running, Skip, Skipped),
    (Running, Cancel, Cancelled),
    (Running, Return, Pending),
    (Waiting, Queue, Queued),
    (Waiting, Wait, Waiting),
    (Waiting, Resume, Running),
    (Waiting, Delay, Waiting),
    (Waiting, Succeed, Success),
    (Waiting, Fail, Failed),
    (Waiting, TimeOut, TimedOut),
    (Waiting, Return, Pending),
    (Waiting, Skip, Skipped),
    (Waiting, Cancel, Cancelled),
    (Success, Return, Pending),
    (Failed, Return, Pending),
    (TimedOut, Return, Pending),
    (Skipped, Return, Pending),
    (Cancelled, Return, Pending),
];

/// The status after the event.
///
/// # Errors
/// The pair is not in [`TRANSITIONS`].
pub fn next(from: StepStatus, event: StepEvent) -> Result<StepStatus, Illegal> {
    look_up("step", TRANSITIONS, (from, event))
}

/// The event that ends a step with this status; none if the status is not terminal.
#[must_use]
pub fn ending(status: StepStatus) -> Option<StepEvent> {
    match status {
        Success => Some(Succeed),
        Failed => Some(Fail),
        Skipped => Some(Skip),
        Cancelled => Some(Cancel),
        TimedOut => Some(TimeOut),
        Pending | Queued | Running | Waiting => None,
    }
}

/// The event that the fact is for the steps it names.
#[must_use]
pub fn event(fact: &Fact) -> Option<StepEvent> {
    match fact {
        Fact::AttemptQueued { .. } => Some(Queue),
        Fact::AttemptStarted { .. } => Some(Start),
        Fact::AttemptWaiting { .. } => Some(Wait),
        Fact::CallsAsked { calls, .. } if calls.is_empty() => Some(Resume),
        Fact::CallsAsked { .. } => Some(Wait),
        Fact::AttemptRequeued { .. } => Some(Requeue),
        Fact::RetryScheduled { .. } => Some(Delay),
        Fact::StepEnded { status, .. } => ending(*status),
        Fact::LoopedBack { .. } | Fact::RunReopened { .. } => Some(Return),
        Fact::RunCreated { .. }
        | Fact::RunStarted
        | Fact::ConditionEvaluated { .. }
        | Fact::AttemptUnschedulable { .. }
        | Fact::AttemptSchedulable { .. }
        | Fact::AttemptAssigned { .. }
        | Fact::AttemptEnded { .. }
        | Fact::DecisionMade { .. }
        | Fact::ChildStarted { .. }
        | Fact::OutputsEvaluated { .. }
        | Fact::CancelRequested { .. }
        | Fact::RunTimedOut
        | Fact::RunEnded { .. } => None,
    }
}
