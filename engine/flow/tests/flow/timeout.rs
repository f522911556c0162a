//! The run's own timeout.

use plue_flow::{
    Effect, RunStatus, StepStatus,
    fact::{Outcome, Reason},
};
use serde_json::json;

use crate::player::{Player, exit};

#[test]
fn run_timeouts_stop_running_and_skip_other_steps() {
    let mut player = Player::start(
        json!([
            {"id": "a"},
            {"id": "queued"},
            {"id": "paused", "retry": {"delay": "2h"}},
            {"id": "b", "depends_on": ["a"]},
        ]),
        json!({"timeout": "10m"}),
    );
    player.begin("a");
    player.fail("paused");
    let attempt = player.attempt("a");
    assert!(player.wait("9m 59s").facts.is_empty());
    let transition = player.wait("1s");
    let kill = false;
    assert!(transition.effects.contains(&Effect::Stop { attempt, kill }));
    assert_eq!(player.statuses(), "a=running queued=skipped paused=skipped b=skipped");
    assert_eq!(player.reason("b"), Some(Reason::RunTimedOut));
    player.end("a", Outcome::Cancelled);
    assert_eq!(player.status("a"), StepStatus::Cancelled);
    assert_eq!(player.reason("a"), Some(Reason::RunTimedOut));
    assert_eq!(player.run.status(), RunStatus::TimedOut);
    assert_eq!(player.run.view().reason.as_deref(), Some("took longer than 10m"));
    assert_eq!(player.run.next_deadline(), None);
}

#[test]
fn plans_without_a_timeout_have_an_hour() {
    let player = Player::start(json!([{"id": "a"}]), json!({}));
    let hour = player.now + jiff::SignedDuration::from_hours(1);
    assert_eq!(player.run.next_deadline(), Some(hour));
}

#[test]
fn any_input_after_the_timeout_notices_it() {
    let mut player = Player::start(json!([{"id": "a"}, {"id": "b"}]), json!({}));
    player.begin("a");
    player.begin("b");
    player.now += jiff::SignedDuration::from_hours(2);
    player.end("a", Outcome::Success);
    assert_eq!(player.status("a"), StepStatus::Success);
    player.end("b", exit(143));
    assert_eq!(player.status("b"), StepStatus::Failed);
    assert_eq!(player.run.status(), RunStatus::TimedOut);
}

#[test]
fn late_success_counts_before_the_timeout_fires() {
    let mut player = Player::start(json!([{"id": "a"}]), json!({}));
    player.begin("a");
    player.now += jiff::SignedDuration::from_hours(2);
    player.end("a", Outcome::Success);
    assert_eq!(player.run.status(), RunStatus::Success);
}

#[test]
fn final_hooks_have_their_own_timeout() {
    let hooks = json!({"timeout": "1m", "hooks": {"on_complete": [{"id": "l"}, {"id": "m"}]}});
    let mut player = Player::start(json!([{"id": "a"}]), hooks);
    player.wait("1m");
    player.begin("l");
    assert!(player.wait("59s").facts.is_empty());
    let attempt = player.attempt("l");
    let kill = true;
    let transition = player.wait("1s");
    assert!(transition.effects.contains(&Effect::Stop { attempt, kill }));
    assert_eq!(player.status("m"), StepStatus::Skipped);
    player.end("l", Outcome::Cancelled);
    assert_eq!(player.run.status(), RunStatus::TimedOut);
}

#[test]
fn cancelled_runs_stay_cancelled_at_their_timeout() {
    let mut player = Player::start(json!([{"id": "a"}]), json!({}));
    player.begin("a");
    player.cancel();
    let transition = player.wait("2h");
    assert!(transition.effects.is_empty(), "it was asked to stop already");
    player.end("a", Outcome::Cancelled);
    assert_eq!(player.run.status(), RunStatus::Cancelled);
}
