//! Times and durations. A page has UTC; `times.js` writes the reader's zone and how long ago.

use jiff::Timestamp;
use maud::{Markup, html};

/// A point in time; the exact one on hover.
#[must_use]
pub fn when(at: Timestamp) -> Markup {
    html! {
        time datetime=(at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")) data-when title=(exact(at)) {
            (at.strftime("%b %-d, %H:%M UTC"))
        }
    }
}

/// A point in time to the second.
#[must_use]
pub fn exact(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Time since a start that goes on; `times.js` counts it up.
#[must_use]
pub fn since(start: Timestamp, now: Timestamp) -> Markup {
    let ms = now.as_millisecond().saturating_sub(start.as_millisecond()).max(0);
    html! {
        span.took data-since=(start.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")) { (took(ms)) }
    }
}

/// A duration in milliseconds: `340 ms`, `4.2 s`, `3m 12s`, `2h 5m`, `3d 4h`.
#[must_use]
pub fn took(ms: i64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        ..1 => format!("{} ms", ms.max(0)),
        1..60 => format!("{seconds}.{} s", ms % 1_000 / 100),
        60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// A duration that is over, or one that goes on.
#[must_use]
pub fn duration(start: Option<Timestamp>, end: Option<Timestamp>, now: Timestamp) -> Markup {
    match (start, end) {
        (Some(start), Some(end)) => {
            let ms = end.as_millisecond().saturating_sub(start.as_millisecond());
            html! { span.took { (took(ms)) } }
        }
        (Some(start), None) => since(start, now),
        (None, _) => html! {},
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        for (ms, text) in [
            (-5, "0 ms"),
            (340, "340 ms"),
            (4_210, "4.2 s"),
            (192_000, "3m 12s"),
            (7_500_000, "2h 5m"),
            (273_600_000, "3d 4h"),
        ] {
            assert_eq!(took(ms), text);
        }
    }

    #[test]
    fn times_carry_the_exact_one() {
        let markup = when("2026-11-24T20:10:05.250Z".parse().unwrap()).into_string();
        assert!(markup.contains(r#"datetime="2026-11-24T20:10:05.250Z""#), "{markup}");
        assert!(markup.contains("2026-11-24 20:10:05 UTC") && markup.contains("Nov 24, 20:10 UTC"));
    }
}
