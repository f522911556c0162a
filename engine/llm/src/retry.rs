//! Retries of a request, as in the official SDKs: two at most, after 0.5 s and 1 s, each pause
//! shortened at random by up to a quarter, or after the delay that the API requests.
//!
//! Pure. Does not cover answers that break off: only the caller knows how much of one it has shown.

use std::time::Duration;

/// Rules for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Requests at most, the first included.
    pub max_attempts: u32,
    /// Pause before the second request; doubled before each further one.
    pub first_pause: Duration,
    /// The longest pause of our own choice.
    pub max_pause: Duration,
    /// The longest pause that the API may ask for; a longer one is an error for the caller.
    pub max_server_pause: Duration,
}

// === impl RetryPolicy ===

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            first_pause: Duration::from_millis(500),
            max_pause: Duration::from_secs(8),
            max_server_pause: Duration::from_secs(60),
        }
    }
}

impl RetryPolicy {
    /// The pause before request `attempt + 1`; `None`: no further request. `chance` is in 0.0..1.0.
    pub fn pause(&self, attempt: u32, asked: Option<Duration>, chance: f64) -> Option<Duration> {
        if attempt >= self.max_attempts {
            return None;
        }
        if let Some(asked) = asked {
            return (asked <= self.max_server_pause).then_some(asked);
        }
        let doubled = self.first_pause.saturating_mul(1 << attempt.saturating_sub(1).min(16));
        Some(doubled.min(self.max_pause).mul_f64(1.0 - 0.25 * chance.clamp(0.0, 1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_bound() {
        let policy = RetryPolicy { max_attempts: 10, ..RetryPolicy::default() };
        let pauses = (1..8).filter_map(|attempt| policy.pause(attempt, None, 0.0));
        let millis: Vec<u128> = pauses.map(|pause| pause.as_millis()).collect();
        assert_eq!(millis, [500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
        let shortened = policy.pause(1, None, 1.0).expect("again");
        assert_eq!(shortened, Duration::from_millis(375));
    }

    #[test]
    fn retry_after_of_the_api_is_bounded() {
        let policy = RetryPolicy::default();
        let asked = Duration::from_secs(7);
        assert_eq!(policy.pause(1, Some(asked), 0.5), Some(asked));
        assert_eq!(policy.pause(1, Some(Duration::from_secs(61)), 0.5), None);
        assert_eq!(policy.pause(3, None, 0.5), None);
    }
}
