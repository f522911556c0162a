//! Retries, and what is free.

use plue_flow::{
    AttemptStatus, Effect, RunStatus, StepStatus,
    fact::{Outcome, Reason},
};
use serde_json::json;

use crate::player::{Player, exit};

fn infra() -> Outcome {
    let message = "runner lost".to_owned();
    Outcome::Infra { message }
}

#[test]
fn row_2_16_attempts_follow_the_policy_exactly() {
    let retry =
        json!({"max_attempts": 4, "delay": "2s", "backoff": "exponential", "max_delay": "5s"});
    let mut player = Player::start(json!([{"id": "a", "retry": retry}]), json!({}));
    let start = player.now;
    let mut due = Vec::new();
    for _ in 0..3 {
        player.fail("a");
        assert_eq!(player.status("a"), StepStatus::Waiting);
        assert_eq!(player.run.status(), RunStatus::Waiting);
        let next = player.run.next_deadline().unwrap();
        due.push(next.duration_since(start).as_millis());
        player.now = next.checked_sub(jiff::SignedDuration::from_millis(1)).unwrap();
        assert!(player.wait("0s").facts.is_empty());
        player.wait("1ms");
        assert_eq!(player.status("a"), StepStatus::Queued);
    }
    assert_eq!(due, [2_000, 6_000, 11_000]);
    player.fail("a");
    assert_eq!(player.status("a"), StepStatus::Failed);
    let message = "exit status 1".into();
    let reason = Reason::Attempt { message, attempts: 4 };
    assert_eq!(player.reason("a"), Some(reason));
}

#[test]
fn a_retry_that_passes_is_a_success() {
    let mut player = Player::start(json!([{"id": "a", "retry": {"delay": "0s"}}]), json!({}));
    player.fail("a");
    assert_eq!(player.attempt("a").as_str(), "r:1:a:1:2");
    player.pass(&["a"]);
    assert_eq!(player.run.status(), RunStatus::Success);
}

#[test]
fn a_filter_tries_again_what_it_lists_only() {
    let steps = json!([{"id": "a", "retry": {"on": ["exit:75", "timeout"]}}]);
    let mut player = Player::start(steps.clone(), json!({}));
    player.begin("a");
    player.end("a", exit(75));
    assert_eq!(player.status("a"), StepStatus::Waiting);
    player.wait("5s");
    player.begin("a");
    player.end("a", Outcome::TimedOut);
    assert_eq!(player.status("a"), StepStatus::Waiting);
    player.wait("5s");
    player.begin("a");
    player.end("a", exit(75));
    assert_eq!(player.status("a"), StepStatus::Failed);

    let mut player = Player::start(steps, json!({}));
    player.fail("a");
    assert_eq!(player.status("a"), StepStatus::Failed);
}

#[test]
fn a_runner_lost_before_the_start_costs_nothing() {
    let mut player = Player::start(json!([{"id": "a"}]), json!({}));
    for _ in 0..5 {
        let transition = player.lose("a");
        assert!(matches!(transition.effects[..], [Effect::Perform { number: 1, .. }]));
    }
    player.end("a", infra());
    assert_eq!(player.step("a").attempts, 1);
    player.pass(&["a"]);
    assert_eq!(player.run.status(), RunStatus::Success);
}

#[test]
fn runners_lost_after_the_start_are_retried() {
    for (retry, status) in [
        (json!(null), StepStatus::Failed),
        (json!({}), StepStatus::Waiting),
        (json!({"on": ["infra"]}), StepStatus::Waiting),
        (json!({"on": ["timeout"]}), StepStatus::Failed),
    ] {
        let mut player = Player::start(json!([{"id": "a", "retry": retry}]), json!({}));
        player.begin("a");
        let attempt = player.attempt("a");
        player.lose("a");
        assert_eq!(player.status("a"), status, "{retry}");
        let view = player.run.attempt(&attempt).unwrap();
        assert_eq!(view.status, AttemptStatus::Lost);
    }
}

#[test]
fn due_retries_without_a_slot_set_no_deadline() {
    let steps = json!([{"id": "a", "retry": {"delay": "1s"}}, {"id": "b"}]);
    let mut player = Player::start(steps, json!({"max_parallel": 1}));
    player.fail("a");
    assert_eq!(player.working(), ["b"]);
    player.wait("2s");
    let timeout = player.run.view().started_at.unwrap() + jiff::SignedDuration::from_hours(1);
    assert_eq!(player.run.next_deadline(), Some(timeout));
    player.pass(&["b"]);
    assert_eq!(player.working(), ["a"]);
}

#[test]
fn engine_work_may_end_without_a_start() {
    let mut player = Player::start(
        json!([{"id": "a", "retry": {"delay": "0s"}}, {"id": "b"}, {"id": "c", "on_failure": "continue"}]),
        json!({"on_failure": "continue"}),
    );
    player.end("a", exit(1));
    player.end("a", Outcome::Success);
    let message = "no key".to_owned();
    player.end("b", Outcome::Refused { message });
    player.end("c", Outcome::TimedOut);
    assert_eq!(player.statuses(), "a=success b=failed c=timed_out");
    assert!(
        matches!(player.reason("b"), Some(Reason::Attempt { message, .. }) if message == "no key")
    );
}

#[test]
fn a_new_attempt_has_not_started_yet() {
    let mut player = Player::start(json!([{"id": "a", "retry": {"delay": "0s"}}]), json!({}));
    player.begin("a");
    assert!(player.step("a").started_at.is_some());
    player.end("a", exit(1));
    assert_eq!(player.status("a"), StepStatus::Queued);
    assert_eq!(player.step("a").started_at, None);
}
