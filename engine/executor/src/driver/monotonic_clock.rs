//! The time of a run: wall-clock time when its driver starts, and monotonic from then on.
//!
//! Setting the machine's clock while a run is driven delays no retry and fires no timeout, and the times
//! of a journal never decrease.

use std::time::Duration;

use jiff::Timestamp;
use plue_runtime::{Clock, clock::Mark};

#[derive(Debug, Clone, Copy)]
pub(crate) struct MonotonicClock {
    clock: Clock,
    start: Timestamp,
    started: Mark,
}

// === impl MonotonicClock ===

impl MonotonicClock {
    /// Starts now, but not before `last`, the time of the last journal entry.
    pub(crate) fn new(clock: Clock, last: Option<Timestamp>) -> Self {
        let now = clock.now();
        Self { clock, start: last.map_or(now, |last| last.max(now)), started: clock.mark() }
    }

    /// The time in microseconds, as the store keeps it.
    pub(crate) fn now(&self) -> Timestamp {
        let elapsed = self.clock.elapsed(self.started);
        let now = self.start.saturating_add(elapsed).unwrap_or(Timestamp::MAX);
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }

    /// The duration until `at`; zero if it has passed.
    pub(crate) fn until(&self, at: Timestamp) -> Duration {
        Duration::try_from(at.duration_since(self.now())).unwrap_or(Duration::ZERO)
    }
}
