//! Token bucket of pod creations.

use std::time::Duration;

use jiff::Timestamp;
use plue_runtime::rate::Rate;

/// Pods created per second, and in one burst.
pub const CREATES_PER_SECOND: u32 = 25;

const RATE: Rate = Rate {
    burst: CREATES_PER_SECOND,
    every: Duration::from_millis(1_000 / CREATES_PER_SECOND as u64),
};

/// Bounds the rate of creations: the client has no limit of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Time since the Unix epoch at which the bucket is full again.
    full_at: Duration,
}

// === impl Bucket ===

impl Bucket {
    /// Takes at most `wanted` tokens.
    pub(super) fn take(&mut self, wanted: u32, now: Timestamp) -> u32 {
        let now = now.duration_since(Timestamp::UNIX_EPOCH);
        let now = Duration::try_from(now).unwrap_or_default();
        let taken = (0..wanted).take_while(|_| RATE.take(&mut self.full_at, now).is_ok());
        u32::try_from(taken.count()).unwrap_or(u32::MAX)
    }
}
