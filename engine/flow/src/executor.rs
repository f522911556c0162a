//! The life of a machine that executes steps: registered once, idle or at work, removed at the end.
//!
//! Pure, like everything here. The store keeps the state in the columns of its row.

use std::fmt;

/// The state of an executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExecutorState {
    /// It has a row and was never connected.
    Registered,
    /// It may get a run.
    Idle,
    /// A run has it.
    Running,
    /// It was lost while a run had it, and has not come back.
    Failed,
    /// It was removed; the last state.
    Deregistered,
}

/// A change in the life of an executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExecutorEvent {
    /// It has greeted an engine.
    Connected,
    /// A run has claimed it.
    Claimed,
    /// Its run has let it go.
    Finished,
    /// Its run has given it up.
    Lost,
    /// Its credential is refused.
    Removed,
}

/// A change that the state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IllegalTransition {
    /// State before the event.
    pub state: ExecutorState,
    /// The event that does not fit it.
    pub event: ExecutorEvent,
}

// === impl ExecutorState ===

impl ExecutorState {
    /// All states, for tables and tests.
    pub const ALL: [Self; 5] =
        [Self::Registered, Self::Idle, Self::Running, Self::Failed, Self::Deregistered];

    /// The state after an event.
    ///
    /// # Errors
    /// [`IllegalTransition`].
    pub const fn next(self, event: ExecutorEvent) -> Result<Self, IllegalTransition> {
        use ExecutorEvent::{Claimed, Connected, Finished, Lost, Removed};
        match (self, event) {
            (Self::Registered | Self::Idle | Self::Failed, Connected)
            | (Self::Running, Finished) => Ok(Self::Idle),
            // A new connection of a runner at work.
            (Self::Running, Connected) | (Self::Idle, Claimed) => Ok(Self::Running),
            (Self::Running, Lost) => Ok(Self::Failed),
            (Self::Registered | Self::Idle | Self::Failed, Removed) => Ok(Self::Deregistered),
            (Self::Registered | Self::Failed, Claimed | Finished | Lost)
            | (Self::Idle, Finished | Lost)
            | (Self::Running, Claimed | Removed)
            | (Self::Deregistered, Connected | Claimed | Finished | Lost | Removed) => {
                Err(IllegalTransition { state: self, event })
            }
        }
    }

    /// The name of the state.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Idle => "idle",
            Self::Running => "running",
            Self::Failed => "failed",
            Self::Deregistered => "deregistered",
        }
    }
}

impl fmt::Display for IllegalTransition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state, event } = self;
        write!(f, "an executor that is {} cannot be {event:?}", state.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [ExecutorEvent; 5] = [
        ExecutorEvent::Connected,
        ExecutorEvent::Claimed,
        ExecutorEvent::Finished,
        ExecutorEvent::Lost,
        ExecutorEvent::Removed,
    ];

    #[test]
    fn only_listed_transitions_are_legal() {
        use ExecutorState::{Deregistered, Failed, Idle, Registered, Running};
        let table = [
            (Registered, [Some(Idle), None, None, None, Some(Deregistered)]),
            (Idle, [Some(Idle), Some(Running), None, None, Some(Deregistered)]),
            (Running, [Some(Running), None, Some(Idle), Some(Failed), None]),
            (Failed, [Some(Idle), None, None, None, Some(Deregistered)]),
            (Deregistered, [None; 5]),
        ];
        assert_eq!(table.map(|(state, _)| state), ExecutorState::ALL);
        for (state, expected) in table {
            for (event, next) in EVENTS.into_iter().zip(expected) {
                assert_eq!(state.next(event).ok(), next, "{state:?} {event:?}");
            }
        }
    }
}
