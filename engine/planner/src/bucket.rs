//! Rate limit for evaluations of untrusted files per repository, and the cache of files known to be
//! hostile. Both bounded; both forget.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use plue_plan::Diagnostic;
use plue_runtime::{Clock, clock::Mark};

/// Repositories that are remembered.
const MAX_REPOSITORIES: usize = 10_000;
/// Hostile files that are remembered.
const MAX_HOSTILE: usize = 1_000;

/// A token bucket: `burst` at once, one more every `every`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Maximum burst of evaluations.
    pub burst: u32,
    /// Time until one more is allowed.
    pub every: Duration,
    /// Lifetime of the result of a killed evaluation.
    pub remember_hostile: Duration,
}

impl Default for Rate {
    fn default() -> Self {
        Self { burst: 30, every: Duration::from_secs(2), remember_hostile: Duration::from_secs(60) }
    }
}

/// The buckets of all repositories.
#[derive(Debug)]
pub(crate) struct Throttle {
    rate: Rate,
    clock: Clock,
    spent: Mutex<HashMap<String, Spent>>,
    hostile: Mutex<HashMap<[u8; 32], Remembered>>,
}

/// Time and diagnostics of a killed evaluation.
type Remembered = (Mark, Vec<Diagnostic>);

/// Time that a repository has spent in advance, as seen at a mark: a full bucket owes nothing.
#[derive(Debug, Clone, Copy)]
struct Spent {
    owed: Duration,
    at: Mark,
}

// === impl Throttle ===

impl Throttle {
    pub(crate) fn new(rate: Rate, clock: Clock) -> Self {
        Self { rate, clock, spent: Mutex::new(HashMap::new()), hostile: Mutex::new(HashMap::new()) }
    }

    /// Takes a token of the repository.
    ///
    /// # Errors
    /// The bucket is empty; how long until it holds one token.
    pub(crate) fn take(&self, repository: &str) -> Result<(), Duration> {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let owed = spent.get(repository).map_or(Duration::ZERO, |s| self.still_owed(*s));
        let after = owed + self.rate.every;
        let limit = self.rate.every * self.rate.burst;
        if after > limit {
            return Err(after - limit);
        }
        if spent.len() >= MAX_REPOSITORIES && !spent.contains_key(repository) {
            self.forget(&mut spent);
        }
        let at = self.clock.mark();
        spent.insert(repository.to_owned(), Spent { owed: after, at });
        Ok(())
    }

    /// Diagnostics of a recent killed evaluation of the same file.
    pub(crate) fn known_hostile(&self, key: &[u8; 32]) -> Option<Vec<Diagnostic>> {
        let mut hostile = self.hostile.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, diagnostics) = hostile.get(key)?;
        if self.clock.elapsed(*at) < self.rate.remember_hostile {
            return Some(diagnostics.clone());
        }
        hostile.remove(key);
        None
    }

    /// Remembers a file whose evaluation was killed.
    pub(crate) fn remember_hostile(&self, key: [u8; 32], diagnostics: Vec<Diagnostic>) {
        let mut hostile = self.hostile.lock().unwrap_or_else(PoisonError::into_inner);
        if hostile.len() >= MAX_HOSTILE {
            hostile.retain(|_, (at, _)| self.clock.elapsed(*at) < self.rate.remember_hostile);
        }
        if hostile.len() >= MAX_HOSTILE {
            let oldest = hostile.iter().min_by_key(|(_, (at, _))| *at).map(|(key, _)| *key);
            hostile.remove(&oldest.unwrap_or_default());
        }
        hostile.insert(key, (self.clock.mark(), diagnostics));
    }

    fn still_owed(&self, spent: Spent) -> Duration {
        spent.owed.saturating_sub(self.clock.elapsed(spent.at))
    }

    /// Drops full buckets, which carry no information; if there are none, the one that owes least.
    fn forget(&self, spent: &mut HashMap<String, Spent>) {
        spent.retain(|_, s| !self.still_owed(*s).is_zero());
        if spent.len() >= MAX_REPOSITORIES {
            let least = spent.iter().min_by_key(|(_, s)| self.still_owed(**s));
            let least = least.map(|(name, _)| name.clone()).unwrap_or_default();
            spent.remove(&least);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle() -> Throttle {
        let rate = Rate {
            burst: 3,
            every: Duration::from_secs(10),
            remember_hostile: Duration::from_secs(60),
        };
        Throttle::new(rate, Clock::simulated(jiff::Timestamp::UNIX_EPOCH))
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_gives_its_burst_and_then_one_token_at_a_time() {
        let throttle = throttle();
        for _ in 0..3 {
            assert_eq!(throttle.take("o/r"), Ok(()));
        }
        assert_eq!(throttle.take("o/r"), Err(Duration::from_secs(10)));
        assert_eq!(throttle.take("other/r"), Ok(()));
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(throttle.take("o/r"), Err(Duration::from_secs(6)));
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(throttle.take("o/r"), Ok(()));
        assert!(throttle.take("o/r").is_err());
        tokio::time::advance(Duration::from_secs(3_600)).await;
        for _ in 0..3 {
            assert_eq!(throttle.take("o/r"), Ok(()));
        }
        assert!(throttle.take("o/r").is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_buckets_is_bounded() {
        let throttle = throttle();
        for n in 0..MAX_REPOSITORIES + 50 {
            assert_eq!(throttle.take(&format!("o/{n}")), Ok(()));
        }
        assert_eq!(throttle.spent.lock().unwrap().len(), MAX_REPOSITORIES);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hostile_file_is_remembered_for_a_short_time() {
        let throttle = throttle();
        let said = vec![Diagnostic::error(crate::codes::TOO_MUCH_CPU, "x")];
        throttle.remember_hostile([1; 32], said.clone());
        assert_eq!(throttle.known_hostile(&[1; 32]), Some(said));
        assert_eq!(throttle.known_hostile(&[2; 32]), None);
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(throttle.known_hostile(&[1; 32]), None);
        for n in 0..MAX_HOSTILE + 10 {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&n.to_le_bytes());
            throttle.remember_hostile(key, Vec::new());
        }
        assert_eq!(throttle.hostile.lock().unwrap().len(), MAX_HOSTILE);
    }
}
