//! How often somebody may ask: token buckets by key (GCRA, as in ATM's traffic contracts), in memory
//! that does not grow with the number of keys.
//!
//! Must not know what is limited, or answer a request.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use plue_runtime::{Clock, clock::Mark};

/// Keys that are remembered at the same time. Those beyond share one bucket.
pub const MAX_KEYS: usize = 16_384;

/// So many at once, and one more after each pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// At once. At least 1.
    pub burst: u32,
    /// After so long there is room for one more.
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

// === impl Buckets ===

impl Buckets {
    /// Full buckets.
    #[must_use]
    pub fn new(rate: Rate, clock: Clock) -> Self {
        Self { rate, clock, start: clock.mark(), full_at: Mutex::default() }
    }

    /// Takes one out of a key's bucket.
    ///
    /// # Errors
    /// It is empty: after how long there is one again.
    pub fn take(&self, key: &str) -> Result<(), Duration> {
        let now = self.clock.elapsed(self.start);
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = key;
        if full_at.len() >= MAX_KEYS && !full_at.contains_key(key) {
            // A full bucket is the same as one that nobody remembers.
            full_at.retain(|_, at| *at > now);
            if full_at.len() >= MAX_KEYS {
                key = "";
            }
        }
        let at = full_at.get(key).copied().unwrap_or(Duration::ZERO).max(now);
        let depth = self.rate.every.saturating_mul(self.rate.burst.max(1).saturating_sub(1));
        let used = at.saturating_sub(now);
        if used > depth {
            return Err(used.saturating_sub(depth));
        }
        full_at.insert(key.to_owned(), at.saturating_add(self.rate.every));
        Ok(())
    }

    /// Keys that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.full_at.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An address as a key. Whoever has one address of IPv6 has the 2^64 of its network as well.
#[must_use]
pub fn key_of(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            format!("{}/64", Ipv6Addr::from_bits(network))
        }
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
    async fn a_bucket_gives_its_burst_and_then_one_after_each_pause() {
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
    async fn more_keys_than_fit_share_a_bucket_and_no_memory() {
        let (buckets, clock) = buckets(2);
        for n in 0..MAX_KEYS {
            assert_eq!(buckets.take(&format!("k{n}")), Ok(()));
        }
        assert_eq!(buckets.take("x1"), Ok(()));
        assert_eq!(buckets.take("x2"), Ok(()));
        assert!(buckets.take("x3").is_err(), "they share two");
        assert_eq!(buckets.take("k7"), Ok(()), "who was there before keeps his own");
        assert!(buckets.len() <= MAX_KEYS + 1);
        clock.sleep(Duration::from_secs(10)).await;
        assert_eq!(buckets.take("x3"), Ok(()));
        assert_eq!(buckets.len(), 1, "full buckets are forgotten");
    }

    #[test]
    fn a_network_of_ipv6_is_one_key_and_a_mapped_address_is_that_of_ipv4() {
        let key = |text: &str| key_of(text.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:ffff:0:2"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
    }
}
