//! Exact delays, and which failures are tried again.

use plue_plan::DurationText;

use super::*;

fn policy(json: serde_json::Value) -> Retry {
    serde_json::from_value(json).unwrap()
}

fn pauses(policy: &Retry, tries: u32) -> Vec<u64> {
    let pause = |number| backoff(policy, number).as_millis();
    (1..=tries).map(|n| u64::try_from(pause(n)).unwrap()).collect()
}

fn backoff(policy: &Retry, number: u32) -> Duration {
    pause(policy, number, &AttemptId::new(format!("r:s:1:{number}")))
}

#[test]
fn row_2_16_a_fixed_backoff_pauses_the_same_each_time() {
    assert_eq!(pauses(&Retry::default(), 4), [5_000; 4]);
    let given = policy(serde_json::json!({"delay": "1m500ms"}));
    assert_eq!(pauses(&given, 2), [60_500; 2]);
}

#[test]
fn row_2_16_exponential_backoff_doubles_up_to_its_cap() {
    let open = policy(serde_json::json!({"delay": "2s", "backoff": "exponential"}));
    assert_eq!(pauses(&open, 5), [2_000, 4_000, 8_000, 16_000, 32_000]);
    let capped =
        policy(serde_json::json!({"delay": "2s", "backoff": "exponential", "max_delay": "9s"}));
    assert_eq!(pauses(&capped, 5), [2_000, 4_000, 8_000, 9_000, 9_000]);
}

#[test]
fn uncapped_backoff_saturates_at_the_longest_duration() {
    let open = policy(serde_json::json!({"delay": "1s", "backoff": "exponential"}));
    for number in [40, 63, 64, 65, 66, 100, u32::MAX] {
        assert_eq!(backoff(&open, number).as_secs(), MAX_DURATION_S, "{number}");
    }
}

#[test]
fn jitter_is_bounded_and_deterministic() {
    let given = policy(serde_json::json!({"delay": "10s", "jitter": 0.5}));
    let all = pauses(&given, 100);
    assert!(all.iter().all(|ms| (10_000..15_000).contains(ms)), "{all:?}");
    let spread = all.iter().collect::<std::collections::BTreeSet<_>>().len();
    assert!(spread > 90, "only {spread} different pauses");
    assert_eq!(all, pauses(&given, 100));
    let full = policy(serde_json::json!({"delay": "10s", "jitter": 1.0}));
    assert!(pauses(&full, 100).iter().any(|ms| *ms > 17_000));
}

#[test]
fn a_bad_delay_falls_back_instead_of_panicking() {
    let bad = Retry { delay: DurationText::new("soon"), ..Retry::default() };
    assert_eq!(pauses(&bad, 1), [FALLBACK_MS]);
}

#[test]
fn only_the_listed_failures_are_tried_again() {
    let exit = |code| Outcome::Exit { code, signal: None };
    let infra = Outcome::Infra { message: "gone".into() };
    let refused = Outcome::Refused { message: "no".into() };
    let listed = policy(serde_json::json!({"on": ["infra", "exit:137"]}));
    for (outcome, open, narrow) in [
        (exit(1), true, false),
        (exit(137), true, true),
        (exit(13), true, false),
        (infra, true, true),
        (refused, true, false),
        (Outcome::TimedOut, true, false),
        (Outcome::Cancelled, false, false),
        (Outcome::Success, false, false),
    ] {
        assert_eq!(retries(&Retry::default(), &outcome, 1), open, "{outcome:?}");
        assert_eq!(retries(&listed, &outcome, 1), narrow, "{outcome:?}");
        assert!(!retries(&Retry::default(), &outcome, 3), "{outcome:?}");
    }
}
