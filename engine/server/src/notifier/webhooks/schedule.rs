//! The times of repeated messages, and the end of a failing endpoint. Pure: time and chance are
//! arguments.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, fmt::rfc2822::DateTimeParser};
use plue_executor::reach::{Answered, Unreached};
use plue_store::webhook::{DeliveryRow, DeliveryState, Disable, Settled, WebhookRow};

/// Waits between tries, as Standard Webhooks recommends: a bit more than three days in all.
pub const WAITS: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3_600),
    Duration::from_secs(5 * 3_600),
    Duration::from_secs(10 * 3_600),
    Duration::from_secs(14 * 3_600),
    Duration::from_secs(20 * 3_600),
    Duration::from_secs(24 * 3_600),
];
/// An endpoint that has accepted nothing for so long is disabled.
pub const PATIENCE: Duration = Duration::from_secs(3 * 24 * 3_600);
/// `Retry-After` counts up to this.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3_600);
/// A wait is longer by up to this share of it, in percent: what failed together is not sent again together.
const JITTER: u64 = 20;
/// Characters of a note.
const MAX_NOTE: usize = 300;

/// Effect of a try on its delivery and its endpoint. `chance` is any number.
#[must_use]
pub fn settled(
    (hook, row): (&WebhookRow, &DeliveryRow),
    outcome: &Result<Answered, Unreached>,
    now: Timestamp,
    chance: u32,
) -> Settled {
    let (status, note) = match outcome {
        Ok(answer) => (Some(answer.status), note_of(answer)),
        Err(error) => (None, Some(short(&error.to_string()))),
    };
    let settled =
        |state, next_at, disable| Settled { state, at: now, next_at, status, note, disable };
    match outcome {
        Ok(answer) if (200..300).contains(&answer.status) => {
            return settled(DeliveryState::Delivered, now, None);
        }
        Ok(answer) if answer.status == 410 => {
            let reason = "it answered 410 Gone".to_owned();
            let gone = Disable { reason, failing_since: None };
            return settled(DeliveryState::Failed, now, Some(gone));
        }
        Ok(_) | Err(_) => {}
    }
    let is_long = |since: Timestamp| now.duration_since(since).unsigned_abs() >= PATIENCE;
    let disable = hook.failing_since.filter(|since| is_long(*since));
    let disable = disable.map(|since| Disable {
        reason: format!("nothing has come through since {since}"),
        failing_since: Some(since),
    });
    let next = usize::try_from(row.tries).ok().and_then(|tries| WAITS.get(tries));
    let Some(wait) = next else {
        return settled(DeliveryState::Failed, now, disable);
    };
    let asked = outcome.as_ref().ok().and_then(|answer| retry_after(answer, now));
    let wait = jittered(*wait, chance).max(asked.unwrap_or_default());
    let next_at = SignedDuration::try_from(wait).ok().and_then(|wait| now.checked_add(wait).ok());
    // Still open if something has come through meanwhile, so that the endpoint is not disabled.
    settled(DeliveryState::Open, next_at.unwrap_or(now), disable)
}

fn jittered(wait: Duration, chance: u32) -> Duration {
    let percent = u32::try_from(u64::from(chance) % (JITTER + 1)).unwrap_or(0);
    wait + wait / 100 * percent
}

/// Pause that the endpoint asks for: seconds or a date (RFC 9110 §10.2.3).
fn retry_after(answer: &Answered, now: Timestamp) -> Option<Duration> {
    let text = answer.retry_after.as_deref()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let until = DateTimeParser::new().parse_timestamp(text).ok()?;
            Duration::try_from(until.duration_since(now)).unwrap_or_default()
        }
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

fn note_of(answer: &Answered) -> Option<String> {
    if (300..400).contains(&answer.status) {
        return Some("it answered with a redirect, which is not followed".to_owned());
    }
    let text = short(&String::from_utf8_lossy(&answer.body));
    (!text.is_empty()).then_some(text)
}

/// A few words without control characters.
fn short(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(MAX_NOTE).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests;
