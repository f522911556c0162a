//! Durations as people write them (`"1h30m"`), kept as given in the IR and read as seconds inside.
//!
//! Must not normalise the text: the plan hash covers what was written.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::limits;

/// Error of a malformed duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not of the form `1d2h3m4s` or `500ms`.
    #[error(
        "{0:?} is not a duration; write a number and a unit of `ms s m h d`, like \"90s\" or \"1h30m\""
    )]
    Form(String),
    /// Longer than [`limits::MAX_DURATION_S`].
    #[error("{0:?} is longer than 366 days")]
    TooLong(String),
}

/// A duration as given: one or more `<number><unit>` parts, units `d h m s ms`, each at most once
/// and in that order. A bare number given by an author becomes seconds (`3600` → `"3600s"`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct DurationText(
    #[schemars(regex(pattern = "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"))] String,
);

const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

// === impl DurationText ===

impl DurationText {
    /// Wraps a text without checking it; see [`DurationText::parse`].
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// A whole number of seconds, as authors write `timeout=3600`.
    #[must_use]
    pub fn from_secs(seconds: u64) -> Self {
        Self(format!("{seconds}s"))
    }

    /// The text as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form of a given duration in the IR if `default` applies without one: nothing for the
    /// default, in any spelling. A malformed text stays, to be refused.
    #[must_use]
    pub fn unless(given: Option<Self>, default: &str) -> Option<Self> {
        let default = Self::new(default).parse().ok();
        given.filter(|given| given.parse().ok().is_none_or(|length| Some(length) != default))
    }

    /// Reads the text, exactly, to the millisecond.
    ///
    /// # Errors
    /// The text is no duration, or longer than [`limits::MAX_DURATION_S`].
    pub fn parse(&self) -> Result<Duration, DurationError> {
        let form = || DurationError::Form(self.0.clone());
        let mut rest = self.0.as_str();
        let mut units = UNITS.iter();
        let mut total_ms: u64 = 0;
        if rest.is_empty() {
            return Err(form());
        }
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, tail) = rest.split_at(digits);
            let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
            let (unit, next) = tail.split_at(letters);
            let (_, scale) = units.find(|(name, _)| *name == unit).ok_or_else(form)?;
            if number.is_empty() {
                return Err(form());
            }
            total_ms = number
                .parse::<u64>()
                .ok()
                .and_then(|n| n.checked_mul(*scale))
                .and_then(|ms| ms.checked_add(total_ms))
                .ok_or_else(|| DurationError::TooLong(self.0.clone()))?;
            rest = next;
        }
        if total_ms > limits::MAX_DURATION_S * 1_000 {
            return Err(DurationError::TooLong(self.0.clone()));
        }
        Ok(Duration::from_millis(total_ms))
    }
}

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_to_the_millisecond() {
        for (text, ms) in [
            ("5s", 5_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("1d2h3m4s5ms", 93_784_005),
            ("0s", 0),
        ] {
            assert_eq!(DurationText::new(text).parse(), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "5", "s", "-5s", "1.5h", "5 s", "1m1h", "1s1s", "5x", "٣s"] {
            assert!(DurationText::new(text).parse().is_err(), "{text:?}");
        }
        assert!(matches!(DurationText::new("367d").parse(), Err(DurationError::TooLong(_))));
        assert!(DurationText::new("99999999999999999999s").parse().is_err());
    }
}
