//! Retry decisions and delays.
//!
//! Must not draw randomness: jitter is a hash of the attempt's id, so that the same journal gives
//! the same delays.

use std::time::Duration;

use plue_plan::{
    AttemptId,
    limits::MAX_DURATION_S,
    policy::{Backoff, Retry},
};

use crate::fact::Outcome;

const LONGEST_MS: u64 = MAX_DURATION_S * 1_000;
/// Pause when the policy's text is no duration; validation refuses such plans.
const FALLBACK_MS: u64 = 5_000;

/// True if the policy allows another attempt after this outcome of the `number`-th attempt (from
/// 1).
#[must_use]
pub fn retries(policy: &Retry, outcome: &Outcome, number: u32) -> bool {
    let kind = match outcome {
        Outcome::Success | Outcome::Cancelled | Outcome::Rejected { .. } => return false,
        Outcome::Exit { code, .. } => Some(format!("exit:{code}")),
        Outcome::TimedOut => Some("timeout".to_owned()),
        Outcome::Infra { .. } => Some("infra".to_owned()),
        Outcome::Refused { .. } | Outcome::Failed { .. } => None,
    };
    let listed = policy.on.is_empty() || kind.is_some_and(|kind| policy.on.contains(&kind));
    listed && number < policy.max_attempts
}

/// The pause after the failed attempt with this number (from 1) and id, to the millisecond.
#[must_use]
pub fn pause(policy: &Retry, number: u32, attempt: &AttemptId) -> Duration {
    let given = |text: &plue_plan::DurationText| {
        let parsed = text.parse().ok();
        parsed.and_then(|pause| u64::try_from(pause.as_millis()).ok())
    };
    let base = given(&policy.delay).unwrap_or(FALLBACK_MS);
    let doublings = match policy.backoff {
        Backoff::Fixed => 0,
        Backoff::Exponential => number.saturating_sub(1),
    };
    let factor = 1_u64.checked_shl(doublings).unwrap_or(u64::MAX);
    let cap = policy.max_delay.as_ref().and_then(given);
    let pause = base.saturating_mul(factor).min(cap.unwrap_or(LONGEST_MS)).min(LONGEST_MS);
    Duration::from_millis(pause + jitter(pause, policy.jitter.unwrap_or(0.0), attempt))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "milliseconds below 2^53 and a share between 0 and 1"
)]
fn jitter(pause_ms: u64, share: f64, attempt: &AttemptId) -> u64 {
    let unit = (hash(attempt.as_str()) >> 11) as f64 / (1_u64 << 53) as f64;
    (pause_ms as f64 * share.clamp(0.0, 1.0) * unit) as u64
}

/// FNV-1a with a final mix: stable on every machine and in every version, which std's is not.
fn hash(text: &str) -> u64 {
    let folded = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (folded ^ (folded >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests;
