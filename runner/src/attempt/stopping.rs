//! The escalation that ends a step: TERM, a grace, KILL. Pure.

use std::{os::unix::process::ExitStatusExt as _, time::Duration};

use plue_wire::runner::Exit;
use rustix::process::Signal;

use crate::system::Reaped;

/// The reason of an attempt that ended with its runner: a node that is drained, a unit that is stopped.
pub(crate) const STOPPED: &str = "the runner was stopped";

/// An order to an attempt. Later variants are stronger and override earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Order {
    /// No order to stop.
    Run,
    /// TERM, then KILL after the grace: the runner itself is stopped, and the step is lost with it.
    Leave,
    /// TERM, then KILL after the grace.
    Cancel,
    /// KILL without a grace: the runner itself is stopped.
    LeaveNow,
    /// KILL without a grace.
    Kill,
    /// KILL: the engine has been silent for too long.
    Fence,
    /// KILL without any further report.
    Abandon,
}

/// The reason for which a step is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The time limit is reached.
    Timeout,
    /// The engine cancels the attempt.
    Cancel,
    /// A signal ends the runner.
    Leave,
    /// The engine has been silent for too long.
    Fence,
}

/// The state of the escalation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Stopping {
    /// No signal was sent.
    #[default]
    No,
    /// TERM was sent; KILL follows at this time since the start.
    Asked { cause: Cause, kill_at: Duration },
    /// KILL was sent for this cause.
    Forced { cause: Cause },
}

// === impl Stopping ===

impl Stopping {
    /// Time of the next signal, since the start.
    pub(super) fn next(self, timeout: Duration) -> Option<Duration> {
        match self {
            Self::No => Some(timeout),
            Self::Asked { kill_at, .. } => Some(kill_at),
            Self::Forced { .. } => None,
        }
    }

    /// Escalates; returns the signal to send. The first cause stays.
    pub(super) fn step(
        &mut self,
        cause: Cause,
        at_once: bool,
        now: Duration,
        grace: Duration,
    ) -> Option<Signal> {
        match *self {
            Self::No if !at_once && !grace.is_zero() => {
                let kill_at = now + grace;
                *self = Self::Asked { cause, kill_at };
                Some(Signal::TERM)
            }
            Self::No => {
                *self = Self::Forced { cause };
                Some(Signal::KILL)
            }
            Self::Asked { cause, kill_at } if at_once || kill_at <= now => {
                *self = Self::Forced { cause };
                Some(Signal::KILL)
            }
            Self::Asked { .. } | Self::Forced { .. } => None,
        }
    }

    /// The exit of the attempt.
    pub(super) fn exit(self, reaped: &Reaped) -> Exit {
        match self {
            Self::No => match (reaped.status.code(), reaped.status.signal()) {
                (Some(code), _) => Exit::Code(code),
                (None, Some(signal)) => Exit::Signal(signal),
                (None, None) => Exit::Infra("the process ended in an unknown way".to_owned()),
            },
            Self::Asked { cause, .. } | Self::Forced { cause } => match cause {
                Cause::Timeout => Exit::TimedOut,
                Cause::Cancel => Exit::Cancelled,
                Cause::Leave => Exit::Infra(STOPPED.to_owned()),
                Cause::Fence => Exit::Infra("the engine was silent for too long".to_owned()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(10);

    #[test]
    fn the_ladder_is_term_then_kill() {
        let mut stopping = Stopping::default();
        let at = Duration::from_secs(60);
        assert_eq!(stopping.step(Cause::Timeout, false, at, GRACE), Some(Signal::TERM));
        assert_eq!(stopping.step(Cause::Cancel, false, at, GRACE), None);
        assert_eq!(stopping.next(at), Some(at + GRACE));
        assert_eq!(stopping.step(Cause::Timeout, false, at + GRACE, GRACE), Some(Signal::KILL));
        assert_eq!(stopping.next(at), None);
        assert_eq!(stopping, Stopping::Forced { cause: Cause::Timeout });
    }

    #[test]
    fn without_a_grace_there_is_no_term() {
        let mut stopping = Stopping::default();
        let now = Duration::ZERO;
        assert_eq!(stopping.step(Cause::Cancel, false, now, now), Some(Signal::KILL));
    }
}
