//! Token bucket of pod creations.

use jiff::{SignedDuration, Timestamp};

/// Pods created per second, and in one burst.
pub const CREATES_PER_SECOND: u32 = 25;

/// Thousandths of a creation per millisecond and per token.
const TOKEN: u64 = 1_000;
const CAPACITY: u64 = CREATES_PER_SECOND as u64 * TOKEN;

/// Bounds the rate of creations: the client has no limit of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Thousandths of a token.
    level: u64,
    refilled_at: Timestamp,
}

// === impl Bucket ===

impl Default for Bucket {
    fn default() -> Self {
        Self { level: CAPACITY, refilled_at: Timestamp::MIN }
    }
}

impl Bucket {
    /// Takes at most `wanted` tokens.
    pub(super) fn take(&mut self, wanted: u32, now: Timestamp) -> u32 {
        let passed = now.duration_since(self.refilled_at).max(SignedDuration::ZERO);
        let passed = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        let gained = passed.saturating_mul(CREATES_PER_SECOND.into());
        self.level = self.level.saturating_add(gained).min(CAPACITY);
        self.refilled_at = now;
        let taken = u64::from(wanted).min(self.level / TOKEN);
        self.level -= taken * TOKEN;
        u32::try_from(taken).unwrap_or(u32::MAX)
    }
}
