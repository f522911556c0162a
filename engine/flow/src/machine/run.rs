//! The states of a run.

use super::{Illegal, Row, events, look_up};
use crate::status::RunStatus::{
    self, Cancelled, Failed, Queued, Running, Success, TimedOut, Waiting,
};

events! {
    /// Transitions of a run.
    RunEvent {
        /// The first step may start.
        Start = "start",
        /// Nothing runs any more; a time is waited for.
        Idle = "idle",
        /// Something is to do again.
        Wake = "wake",
        /// All required steps succeeded.
        Succeed = "succeed",
        /// Ends with a failure that nothing made up for.
        Fail = "fail",
        /// A principal cancelled the run.
        Cancel = "cancel",
        /// Ends because it took too long.
        TimeOut = "time out",
        /// Goes on after its end.
        Reopen = "reopen",
    }
}
use RunEvent::{Cancel, Fail, Idle, Reopen, Start, Succeed, TimeOut, Wake};

/// Every change there is.
pub const TRANSITIONS: &[Row<RunStatus, RunEvent>] = &[
    (Queued, Start, Running),
    (Queued, Cancel, Cancelled),
    (Running, Idle, Waiting),
    (Running, Succeed, Success),
    (Running, Fail, Failed),
    (Running, Cancel, Cancelled),
    (Running, TimeOut, TimedOut),
    (Waiting, Wake, Running),
    (Success, Reopen, Running),
    (Failed, Reopen, Running),
    (Cancelled, Reopen, Running),
    (TimedOut, Reopen, Running),
];

/// The status after the event.
///
/// # Errors
/// The pair is not in [`TRANSITIONS`].
pub fn next(from: RunStatus, event: RunEvent) -> Result<RunStatus, Illegal> {
    look_up("run", TRANSITIONS, (from, event))
}

/// The event that ends a run with this status; none if the status is not terminal.
#[must_use]
pub fn ending(status: RunStatus) -> Option<RunEvent> {
    match status {
        Success => Some(Succeed),
        Failed => Some(Fail),
        Cancelled => Some(Cancel),
        TimedOut => Some(TimeOut),
        Queued | Running | Waiting => None,
    }
}
