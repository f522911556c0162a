//! The clock. Real time in production; in tests a start time that moves with Tokio's paused clock,
//! so that `tokio::time::advance` moves every deadline of the system at once.
//!
//! Wall-clock times are for records and deadlines people set; durations inside one process use
//! [`Clock::elapsed`], which no clock step can disturb.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// A cheap handle on time.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// `Some`: a simulated clock that showed the time at the instant.
    simulated: Option<(Timestamp, Instant)>,
    /// Microseconds by which a simulated clock is set ahead.
    ahead_us: Option<&'static AtomicI64>,
}

/// A point of monotonic time, for durations inside one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(Instant);

/// A moment to wait for, again and again, without holding on to a timer.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    clock: Clock,
    from: Mark,
    after: Duration,
}

// === impl Clock ===

impl Clock {
    /// The clock of the machine.
    #[must_use]
    pub fn real() -> Self {
        Self { simulated: None, ahead_us: None }
    }

    /// A clock that shows `start` now and moves with Tokio's (paused) time. Must be made inside a
    /// Tokio runtime.
    #[must_use]
    pub fn simulated(start: Timestamp) -> Self {
        Self { simulated: Some((start, Instant::now())), ahead_us: None }
    }

    /// A simulated clock that can be set while it is in use: it shows so many microseconds more (or
    /// less) than it would. Marks and sleeps are unaffected, as on a machine.
    #[must_use]
    pub fn settable(start: Timestamp, ahead_us: &'static AtomicI64) -> Self {
        Self { ahead_us: Some(ahead_us), ..Self::simulated(start) }
    }

    /// The time of day, in whole microseconds: what the databases keep.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the wall clock"
    )]
    pub fn now(&self) -> Timestamp {
        let now = match self.simulated {
            None => Timestamp::now(),
            Some((start, at)) => {
                let passed = Instant::now().saturating_duration_since(at);
                let ahead = self.ahead_us.map_or(0, |ahead| ahead.load(Ordering::Relaxed));
                let set = start.saturating_add(SignedDuration::from_micros(ahead)).unwrap_or(start);
                set.saturating_add(passed).unwrap_or(Timestamp::MAX)
            }
        };
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }

    /// A mark to measure from.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(Instant::now())
    }

    /// Time since a mark, by the monotonic clock.
    #[must_use]
    pub fn elapsed(&self, since: Mark) -> Duration {
        since.0.elapsed()
    }

    /// The moment so long after now.
    #[must_use]
    pub fn deadline(&self, after: Duration) -> Deadline {
        Deadline { clock: *self, from: self.mark(), after }
    }

    /// Waits for a duration. Cancel-safe.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that waits for time")]
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// Waits until a time of day, measured from now by the monotonic clock. Cancel-safe.
    pub async fn sleep_until(&self, until: Timestamp) {
        let wait = until.duration_since(self.now());
        self.sleep(Duration::try_from(wait).unwrap_or(Duration::ZERO)).await;
    }
}

// === impl Deadline ===

impl Deadline {
    /// Waits until then. Cancel-safe.
    pub async fn reached(&self) {
        self.clock.sleep(self.after.saturating_sub(self.clock.elapsed(self.from))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn deadlines_stay_where_they_are() {
        let clock = Clock::simulated(Timestamp::UNIX_EPOCH);
        let deadline = clock.deadline(Duration::from_secs(3));
        clock.sleep(Duration::from_secs(2)).await;
        deadline.reached().await;
        deadline.reached().await;
        assert_eq!(clock.now(), Timestamp::from_second(3).unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_simulated_clock_moves_with_the_paused_time() {
        let start: Timestamp = "2026-03-29T00:59:00Z".parse().unwrap();
        let clock = Clock::simulated(start);
        clock.sleep(Duration::from_secs(3_600)).await;
        assert_eq!(clock.now(), "2026-03-29T01:59:00Z".parse::<Timestamp>().unwrap());
        clock.sleep_until(start).await;
        assert_eq!(clock.now(), "2026-03-29T01:59:00Z".parse::<Timestamp>().unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn clock_changes_do_not_affect_durations() {
        let ahead: &'static AtomicI64 = Box::leak(Box::default());
        let start: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let clock = Clock::settable(start, ahead);
        let mark = clock.mark();
        clock.sleep(Duration::from_secs(1)).await;
        ahead.store(-3_600_000_000, Ordering::Relaxed);
        assert_eq!(clock.now(), "2026-11-21T11:00:01Z".parse::<Timestamp>().unwrap());
        assert_eq!(clock.elapsed(mark), Duration::from_secs(1));
    }
}
