//! The clock. Real time in production; in tests a start time that moves with Tokio's paused clock,
//! so that `tokio::time::advance` moves every deadline of the system at once.
//!
//! Wall-clock times are for records and deadlines people set; durations inside one process use
//! [`Clock::elapsed`], which no clock step can disturb.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// A cheap handle on time.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// `Some`: a simulated clock that showed the time at the instant.
    simulated: Option<(Timestamp, Instant)>,
}

/// A point of monotonic time, for durations inside one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(Instant);

// === impl Clock ===

impl Clock {
    /// The clock of the machine.
    #[must_use]
    pub fn real() -> Self {
        Self { simulated: None }
    }

    /// A clock that shows `start` now and moves with Tokio's (paused) time. Must be made inside a
    /// Tokio runtime.
    #[must_use]
    pub fn simulated(start: Timestamp) -> Self {
        Self { simulated: Some((start, Instant::now())) }
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
                start.saturating_add(passed).unwrap_or(Timestamp::MAX)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_simulated_clock_moves_with_the_paused_time() {
        let start: Timestamp = "2026-03-29T00:59:00Z".parse().unwrap();
        let clock = Clock::simulated(start);
        clock.sleep(Duration::from_secs(3_600)).await;
        assert_eq!(clock.now(), "2026-03-29T01:59:00Z".parse::<Timestamp>().unwrap());
        clock.sleep_until(start).await;
        assert_eq!(clock.now(), "2026-03-29T01:59:00Z".parse::<Timestamp>().unwrap());
    }
}
