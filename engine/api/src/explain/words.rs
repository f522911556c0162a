//! Words for times and durations. Must not know where they are printed.

use jiff::{Timestamp, tz::TimeZone};

/// A duration as people read it: `0.8ms`, `850ms`, `3.2s`, `4m 05s`, `2h 13m`.
#[must_use]
pub fn duration(from: Timestamp, to: Timestamp) -> String {
    let us = to.as_microsecond().saturating_sub(from.as_microsecond()).max(0);
    let ms = us / 1_000;
    match ms {
        0..10 => format!("{ms}.{}ms", us % 1_000 / 100),
        10..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{}.{}s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{}m {:02}s", ms / 60_000, ms % 60_000 / 1_000),
        _ => format!("{}h {:02}m", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

/// A time in a zone, to the second.
#[must_use]
pub fn time(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_formatted_for_people() {
        let at = |ms: i64| Timestamp::from_millisecond(ms).unwrap();
        for (ms, text) in [
            (0, "0.0ms"),
            (999, "999ms"),
            (3_250, "3.2s"),
            (245_000, "4m 05s"),
            (8_000_000, "2h 13m"),
        ] {
            assert_eq!(duration(at(0), at(ms)), text);
        }
        assert_eq!(duration(at(5), at(0)), "0.0ms");
    }
}
