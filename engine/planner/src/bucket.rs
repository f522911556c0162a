//! Rate limit for evaluations of untrusted files per repository, and the cache of files known to be
//! hostile. Both bounded; both forget.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use plue_plan::Diagnostic;
use plue_runtime::{
    Clock,
    clock::Mark,
    rate::{self, Buckets},
};

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
    buckets: Buckets,
    hostile: Mutex<HashMap<[u8; 32], Remembered>>,
}

/// Time and diagnostics of a killed evaluation.
type Remembered = (Mark, Vec<Diagnostic>);

// === impl Throttle ===

impl Throttle {
    pub(crate) fn new(rate: Rate, clock: Clock) -> Self {
        let Rate { burst, every, .. } = rate;
        let buckets = Buckets::new(rate::Rate { burst, every }, clock);
        Self { rate, clock, buckets, hostile: Mutex::default() }
    }

    /// Takes a token of the repository.
    ///
    /// # Errors
    /// The bucket is empty; how long until it holds one token.
    pub(crate) fn take(&self, repository: &str) -> Result<(), Duration> {
        self.buckets.take(repository)
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
    async fn hostile_files_are_remembered_briefly() {
        let throttle = throttle();
        let diagnostics = vec![Diagnostic::error(crate::codes::TOO_MUCH_CPU, "x")];
        throttle.remember_hostile([1; 32], diagnostics.clone());
        assert_eq!(throttle.known_hostile(&[1; 32]), Some(diagnostics));
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
