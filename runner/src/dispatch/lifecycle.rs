//! The end of a runner: drained by a signal, stopped by the engine, or orphaned.

use std::time::Duration;

use plue_runtime::{Clock, clock::Mark};

use super::moving::Moves;

/// Grace time for the last results after all processes are gone.
const FAREWELL: Duration = Duration::from_secs(2);

/// Conditions under which a runner ends.
#[derive(Debug)]
pub(super) struct Lifecycle {
    clock: Clock,
    leaving: Leaving,
    /// A signal has asked for the end.
    is_stopped: bool,
    /// Start of the current time without engine and work.
    orphaned_since: Option<Mark>,
    /// Its moves between runs.
    pub(super) moves: Moves,
}

/// The progress of a runner on its way out.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Leaving {
    No,
    /// The runner ends when no attempt is left.
    WhenIdle,
    /// SIGTERM came at this time; attempts may continue for the grace.
    Draining(Mark),
    /// Attempts were ordered to end at this time; results are being delivered.
    Ending(Mark),
}

/// The reason for which a runner has left without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// Its run is over, or no engine was there: on a machine of its own it may serve the next run.
    Free,
    /// A signal has ended it.
    Stopped,
}

/// The runner's state that decides whether it may end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) has_running: bool,
    pub(super) has_attempts: bool,
    pub(super) is_down: bool,
    /// Longest time without engine and work; `None`: for ever.
    pub(super) patience: Option<Duration>,
}

// === impl Lifecycle ===

impl Lifecycle {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            leaving: Leaving::No,
            is_stopped: false,
            orphaned_since: None,
            moves: Moves::default(),
        }
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving != Leaving::No
    }

    pub(super) fn leave_when_idle(&mut self) {
        if self.leaving == Leaving::No {
            self.leaving = Leaving::WhenIdle;
        }
    }

    /// Attempts were ordered to end.
    pub(super) fn end(&mut self) {
        self.leaving = Leaving::Ending(self.clock.mark());
    }

    /// The reason of the end.
    pub(super) fn leave(&self) -> Leave {
        if self.is_stopped { Leave::Stopped } else { Leave::Free }
    }

    /// Starts to drain; `false` if it was draining or ending before.
    pub(super) fn drain(&mut self) -> bool {
        self.is_stopped = true;
        match self.leaving {
            Leaving::No | Leaving::WhenIdle => {
                self.leaving = Leaving::Draining(self.clock.mark());
                true
            }
            Leaving::Draining(_) | Leaving::Ending(_) => false,
        }
    }

    /// Whether the grace of draining is over.
    pub(super) fn is_drain_over(&self, grace: Duration) -> bool {
        matches!(self.leaving, Leaving::Draining(since) if self.clock.elapsed(since) >= grace)
    }

    pub(super) fn has_engine(&mut self) {
        self.orphaned_since = None;
    }

    /// No engine is connected.
    pub(super) fn has_no_engine(&mut self, has_running: bool) {
        if has_running {
            self.orphaned_since = None;
        } else if self.orphaned_since.is_none() {
            self.orphaned_since = Some(self.clock.mark());
        }
    }

    /// Whether the runner may end.
    pub(super) fn is_done(&self, load: Load) -> bool {
        if load.has_running {
            return false;
        }
        // Independent of `leaving`: no engine is left to deliver to, and results stay on disk.
        let is_orphan = self.orphaned_since.zip(load.patience);
        let is_orphan =
            is_orphan.is_some_and(|(since, patience)| self.clock.elapsed(since) >= patience);
        if is_orphan {
            return true;
        }
        match self.leaving {
            Leaving::No => false,
            Leaving::WhenIdle => !load.has_attempts,
            Leaving::Draining(_) => !load.has_attempts || load.is_down,
            Leaving::Ending(since) => {
                let is_late = self.clock.elapsed(since) >= FAREWELL;
                !load.has_attempts || load.is_down || is_late
            }
        }
    }
}
