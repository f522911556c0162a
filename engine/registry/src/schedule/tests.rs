//! Schedules over a year, over changes of the clock and over pauses.

use jiff::Timestamp;
use plue_plan::trigger::Misfire;
use proptest::prelude::*;

use super::{Due, MAX_CATCH_UP, Schedule, ScheduleError, due, next};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn ticks(cron: &str, tz: &str, from: &str, to: &str) -> Vec<String> {
    let schedule = Schedule { cron, tz, misfire: Misfire::CatchUp };
    let found = due(&schedule, at(from), at(to)).unwrap();
    found.ticks.iter().map(ToString::to_string).collect()
}

#[test]
fn times_in_the_missing_hour_follow_the_gap() {
    // Berlin, 29 March 2026: 02:00 becomes 03:00 (01:00 UTC).
    let found =
        ticks("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z");
    assert_eq!(found, ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
}

#[test]
fn times_in_the_doubled_hour_fire_once() {
    // Berlin, 25 October 2026: 03:00 becomes 02:00 (01:00 UTC).
    let found =
        ticks("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z");
    assert_eq!(found, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
}

#[test]
fn intervals_span_gaps_and_doubled_hours() {
    let spring =
        ticks("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T02:00:00Z");
    assert_eq!(spring.len(), 4, "{spring:?}");
    let autumn =
        ticks("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", "2026-10-25T03:00:00Z");
    assert_eq!(autumn.len(), 6, "{autumn:?}");
}

#[test]
fn zones_have_their_own_days_and_half_hours() {
    for (tz, due_at) in [
        ("UTC", "2026-06-01T00:00:00Z"),
        ("Asia/Kolkata", "2026-05-31T18:30:00Z"),
        ("America/New_York", "2026-06-01T04:00:00Z"),
        // Half an hour of summer time in October; none in June.
        ("Australia/Lord_Howe", "2026-05-31T13:30:00Z"),
    ] {
        let schedule = Schedule { cron: "0 0 1 6 *", tz, misfire: Misfire::RunOnce };
        let found = next(&schedule, at("2026-05-01T00:00:00Z")).unwrap();
        assert_eq!(found.map(|at| at.to_string()).as_deref(), Some(due_at), "{tz}");
    }
}

#[test]
fn a_day_that_never_comes_is_never_due() {
    let schedule = Schedule { cron: "0 0 30 2 *", tz: "UTC", misfire: Misfire::CatchUp };
    assert_eq!(next(&schedule, at("2026-01-01T00:00:00Z")), Ok(None));
    let found = due(&schedule, at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
    assert_eq!(found, Ok(Due::default()));
}

#[test]
fn missed_ticks_follow_the_policy() {
    let (last, now) = (at("2026-06-01T00:00:00Z"), at("2026-06-01T05:30:00Z"));
    for (misfire, count, dropped) in
        [(Misfire::RunOnce, 1, 4), (Misfire::Skip, 0, 5), (Misfire::CatchUp, 5, 0)]
    {
        let schedule = Schedule { cron: "0 * * * *", tz: "UTC", misfire };
        let found = due(&schedule, last, now).unwrap();
        assert_eq!((found.ticks.len(), found.dropped), (count, dropped), "{misfire:?}");
        assert_eq!(found.latest, Some(at("2026-06-01T05:00:00Z")));
        let again = due(&schedule, found.latest.unwrap(), now).unwrap();
        assert_eq!(again, Due::default(), "{misfire:?}");
    }
}

#[test]
fn late_ticks_are_not_missed() {
    let schedule = Schedule { cron: "0 * * * *", tz: "UTC", misfire: Misfire::Skip };
    let found = due(&schedule, at("2026-06-01T00:00:00Z"), at("2026-06-01T01:00:40Z")).unwrap();
    assert_eq!(found.ticks, [at("2026-06-01T01:00:00Z")]);
}

#[test]
fn catching_up_has_an_end() {
    let schedule = Schedule { cron: "* * * * *", tz: "UTC", misfire: Misfire::CatchUp };
    let found = due(&schedule, at("2026-06-01T00:00:00Z"), at("2026-06-02T00:00:00Z")).unwrap();
    assert_eq!(found.ticks.len(), MAX_CATCH_UP);
    assert_eq!(found.dropped, 24 * 60 - MAX_CATCH_UP);
    assert_eq!(found.latest, Some(at("2026-06-02T00:00:00Z")));
}

#[test]
fn malformed_schedules_are_named() {
    let bad = |cron, tz| {
        let schedule = Schedule { cron, tz, misfire: Misfire::Skip };
        next(&schedule, at("2026-06-01T00:00:00Z")).unwrap_err()
    };
    assert_eq!(bad("@daily x", "UTC"), ScheduleError::Cron("@daily x".to_owned()));
    assert_eq!(bad("* * * * *", "Mars/Base"), ScheduleError::Zone("Mars/Base".to_owned()));
}

proptest! {
    /// However a stretch of time is cut into calls, each tick is due once.
    #[test]
    fn no_tick_is_due_twice_or_never(cuts in prop::collection::vec(0_i64..172_800, 0..8)) {
        let schedule = Schedule { cron: "*/20 1-3 * * *", tz: "Europe/Berlin", misfire: Misfire::CatchUp };
        let start = at("2026-10-24T12:00:00Z").as_second();
        let mut times: Vec<i64> = cuts.into_iter().map(|cut| start + cut).collect();
        times.push(start + 172_800);
        times.sort_unstable();
        let whole = due(&schedule, at("2026-10-24T12:00:00Z"), at("2026-10-26T12:00:00Z")).unwrap();
        let (mut last, mut pieces) = (at("2026-10-24T12:00:00Z"), Vec::new());
        for time in times {
            let found = due(&schedule, last, Timestamp::from_second(time).unwrap()).unwrap();
            last = found.latest.unwrap_or(last);
            pieces.extend(found.ticks);
        }
        prop_assert_eq!(pieces, whole.ticks);
    }
}
