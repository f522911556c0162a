//! Token buckets by key (GCRA, as in ATM's traffic contracts), in memory that does not grow with the
//! number of keys.
//!
//! Must not know what is limited, or answer a request.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{Clock, clock::Mark};

/// Keys that are remembered at the same time. Those beyond share one bucket.
pub const MAX_KEYS: usize = 16_384;

/// The size of a bucket and the time to its next token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Tokens of a full bucket, at least 1.
    pub burst: u32,
    /// Time until an emptied bucket has one more token.
    pub every: Duration,
}

/// Buckets of one rate.
#[derive(Debug)]
pub struct Buckets {
    rate: Rate,
    clock: Clock,
    start: Mark,
    /// By key: when its bucket is full again, since `start`.
    full_at: Mutex<HashMap<String, Duration>>,
}

// === impl Rate ===

impl Rate {
    /// Takes a token out of the bucket that is full again at `full_at`. Both times count from one origin,
    /// which the caller chooses.
    ///
    /// # Errors
    /// The bucket is empty; the time until it has a token.
    pub fn take(&self, full_at: &mut Duration, now: Duration) -> Result<(), Duration> {
        let at = (*full_at).max(now);
        let depth = self.every.saturating_mul(self.burst.max(1).saturating_sub(1));
        let used = at.saturating_sub(now);
        if used > depth {
            return Err(used.saturating_sub(depth));
        }
        *full_at = at.saturating_add(self.every);
        Ok(())
    }
}

// === impl Buckets ===

impl Buckets {
    /// Creates buckets that are full for every key.
    #[must_use]
    pub fn new(rate: Rate, clock: Clock) -> Self {
        Self { rate, clock, start: clock.mark(), full_at: Mutex::default() }
    }

    /// Takes a token out of a key's bucket.
    ///
    /// # Errors
    /// The bucket is empty; the time until it has a token.
    pub fn take(&self, key: &str) -> Result<(), Duration> {
        let now = self.clock.elapsed(self.start);
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = key;
        if full_at.len() >= MAX_KEYS && !full_at.contains_key(key) {
            // A full bucket is the same as none.
            full_at.retain(|_, at| *at > now);
            if full_at.len() >= MAX_KEYS {
                key = "";
            }
        }
        let mut at = full_at.get(key).copied().unwrap_or(Duration::ZERO);
        self.rate.take(&mut at, now)?;
        full_at.insert(key.to_owned(), at);
        Ok(())
    }

    /// Keys that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.full_at.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether all buckets are full.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(burst: u32) -> (Buckets, Clock) {
        let clock = Clock::simulated(jiff::Timestamp::UNIX_EPOCH);
        (Buckets::new(Rate { burst, every: Duration::from_secs(2) }, clock), clock)
    }

    #[tokio::test(start_paused = true)]
    async fn buckets_give_their_burst_then_one_each_pause() {
        let (buckets, clock) = buckets(3);
        for _ in 0..3 {
            assert_eq!(buckets.take("a"), Ok(()));
        }
        assert_eq!(buckets.take("a"), Err(Duration::from_secs(2)));
        assert_eq!(buckets.take("b"), Ok(()), "another key has a bucket of its own");
        clock.sleep(Duration::from_secs(1)).await;
        assert_eq!(buckets.take("a"), Err(Duration::from_secs(1)), "refusals cost nothing");
        clock.sleep(Duration::from_secs(1)).await;
        assert_eq!(buckets.take("a"), Ok(()));
        assert_eq!(buckets.take("a"), Err(Duration::from_secs(2)));
        clock.sleep(Duration::from_secs(600)).await;
        for _ in 0..3 {
            assert_eq!(buckets.take("a"), Ok(()));
        }
        assert!(buckets.take("a").is_err(), "a bucket holds no more than its burst");
    }

    #[tokio::test(start_paused = true)]
    async fn keys_beyond_the_limit_share_a_bucket() {
        let (buckets, clock) = buckets(2);
        for n in 0..MAX_KEYS {
            assert_eq!(buckets.take(&format!("k{n}")), Ok(()));
        }
        assert_eq!(buckets.take("x1"), Ok(()));
        assert_eq!(buckets.take("x2"), Ok(()));
        assert!(buckets.take("x3").is_err(), "they share two");
        assert_eq!(buckets.take("k7"), Ok(()), "earlier keys keep their own");
        assert!(buckets.len() <= MAX_KEYS + 1);
        clock.sleep(Duration::from_secs(10)).await;
        assert_eq!(buckets.take("x3"), Ok(()));
        assert_eq!(buckets.len(), 1, "full buckets are forgotten");
    }
}
