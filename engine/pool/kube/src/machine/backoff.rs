//! Delay of creations after pods that failed to start.

use jiff::{SignedDuration, Timestamp};

/// Seconds to wait after the first, second, … failure in a row; the last holds for all further ones.
const DELAYS: [i64; 6] = [0, 5, 10, 20, 40, 80];

/// Failures in a row after which the pool is degraded.
pub const DEGRADED_AFTER: u32 = 3;

/// Failures in a row since a runner last became ready.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Backoff {
    failures: u32,
    next_at: Option<Timestamp>,
    reason: Option<String>,
}

// === impl Backoff ===

impl Backoff {
    /// Records a pod that failed to start.
    pub fn fail(&mut self, now: Timestamp, reason: String) {
        let place = usize::try_from(self.failures).unwrap_or(usize::MAX).min(DELAYS.len() - 1);
        self.failures = self.failures.saturating_add(1);
        let delay = SignedDuration::from_secs(DELAYS[place]);
        self.next_at = Some(now.saturating_add(delay).unwrap_or(Timestamp::MAX));
        self.reason = Some(reason);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Runners that may be created now: without limit, one as a trial, or none.
    pub(super) fn allows(&self, now: Timestamp) -> u32 {
        match self.next_at {
            None => u32::MAX,
            Some(at) if at <= now => 1,
            Some(_) => 0,
        }
    }

    /// Whether pods failed since a runner last became ready.
    pub(super) fn is_on(&self) -> bool {
        self.failures > 0
    }

    /// The reason of the last failure, once there were several in a row.
    #[must_use]
    pub fn degraded(&self) -> Option<String> {
        self.reason.clone().filter(|_| self.failures >= DEGRADED_AFTER)
    }
}
