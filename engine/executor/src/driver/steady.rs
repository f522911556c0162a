//! The time of a run: that of the machine when the run was taken up, and from then on as much later as
//! really has passed. A clock that is set while a run goes on delays no retry and fires no timeout, and
//! time never runs back in a journal.

use std::time::Duration;

use jiff::Timestamp;
use plue_runtime::{Clock, clock::Mark};

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steady {
    clock: Clock,
    then: Timestamp,
    since: Mark,
}

// === impl Steady ===

impl Steady {
    /// From now on, but not before the last entry of the journal.
    pub(super) fn new(clock: Clock, last: Option<Timestamp>) -> Self {
        let now = clock.now();
        Self { clock, then: last.map_or(now, |last| last.max(now)), since: clock.mark() }
    }

    /// The time.
    pub(super) fn now(&self) -> Timestamp {
        let passed = self.clock.elapsed(self.since);
        let now = self.then.saturating_add(passed).unwrap_or(Timestamp::MAX);
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }

    /// How long until then.
    pub(super) fn until(&self, at: Timestamp) -> Duration {
        Duration::try_from(at.duration_since(self.now())).unwrap_or(Duration::ZERO)
    }
}
