//! `plue retry`: an ended run goes on.

use plue_flow::{
    Effect, Rejected, RunStatus, StepStatus,
    fact::{Outcome, Reason},
    input::{Input, Reopen},
};
use serde_json::json;

use crate::player::{Player, id};

fn failed() -> Player {
    let mut player = Player::start(
        json!([
            {"id": "a"},
            {"id": "b", "depends_on": ["a"]},
            {"id": "c", "depends_on": ["b"]},
            {"id": "side", "depends_on": ["a"]},
            {"id": "never", "when": "x"},
        ]),
        json!({"on_failure": "continue", "hooks": {
            "on_start": [{"id": "first"}],
            "on_failure": [{"id": "bad"}],
            "on_complete": [{"id": "last"}],
        }}),
    );
    player.pass(&["first"]);
    player.answer("never", Ok(false));
    player.pass(&["a", "side"]);
    player.fail("b");
    player.pass(&["bad", "last"]);
    assert_eq!(player.run.status(), RunStatus::Failed);
    player
}

#[test]
fn failed_steps_and_their_dependents_run_again() {
    let mut player = failed();
    player.reopen(Reopen::Failed);
    assert_eq!(player.run.status(), RunStatus::Running);
    assert_eq!(player.working(), ["b"]);
    assert_eq!(player.attempt("b").as_str(), "r:1:b:2:1");
    player.pass(&["b", "c"]);
    assert_eq!(player.working(), ["last"]);
    assert_eq!(player.status("bad"), StepStatus::Skipped);
    player.pass(&["last"]);
    assert_eq!(player.run.status(), RunStatus::Success);
    assert_eq!(player.step("a").visit, 1);
    assert_eq!(player.step("never").visit, 1);
    assert_eq!(player.step("first").visit, 1);
}

#[test]
fn reopening_from_a_step_includes_its_dependents() {
    let mut player = failed();
    player.reopen(Reopen::From(id("a")));
    player.pass(&["a", "b", "c", "side", "last"]);
    assert_eq!(player.run.status(), RunStatus::Success);
    assert_eq!(player.step("never").visit, 1);
}

#[test]
fn reopening_from_a_step_ignores_earlier_failures() {
    let mut player = failed();
    player.reopen(Reopen::From(id("c")));
    player.pass(&["c"]);
    assert_eq!(player.status("b"), StepStatus::Failed);
    player.pass(&["bad", "last"]);
    assert_eq!(player.run.status(), RunStatus::Failed);
}

#[test]
fn all_takes_every_step_and_hook() {
    let mut player = failed();
    player.reopen(Reopen::All);
    player.pass(&["first"]);
    player.answer("never", Ok(true));
    player.pass(&["never", "a", "b", "c", "side", "last"]);
    assert_eq!(player.run.status(), RunStatus::Success);
}

#[test]
fn successes_live_runs_and_unknown_steps_are_refused() {
    let mut player = Player::start(json!([{"id": "a"}]), json!({}));
    let reopen = |from| Input::Reopen { by: "ann".into(), from };
    let early = player.try_feed(reopen(Reopen::All)).unwrap_err();
    let status = RunStatus::Running;
    assert_eq!(early, Rejected::NotEnded { status });
    player.pass(&["a"]);
    let nothing = player.try_feed(reopen(Reopen::Failed)).unwrap_err();
    assert_eq!(nothing, Rejected::NothingToReopen);
    let unknown = player.try_feed(reopen(Reopen::From(id("x")))).unwrap_err();
    assert_eq!(unknown, Rejected::UnknownStep { step: id("x") });
    player.reopen(Reopen::All);
    player.pass(&["a"]);
    assert_eq!(player.step("a").visit, 2);
}

#[test]
fn cancelled_and_timed_out_runs_can_be_reopened() {
    let mut player = Player::start(json!([{"id": "a"}, {"id": "b"}]), json!({}));
    player.pass(&["a"]);
    player.cancel();
    player.wait("2h");
    player.reopen(Reopen::Failed);
    assert_eq!(player.working(), ["b"]);
    player.wait("59m");
    assert_eq!(player.run.status(), RunStatus::Running, "the hour counts anew");
    player.wait("1m");
    assert_eq!(player.run.status(), RunStatus::TimedOut);
    player.reopen(Reopen::Failed);
    player.pass(&["b"]);
    assert_eq!(player.run.status(), RunStatus::Success);
}

#[test]
fn a_loop_has_its_full_bound_again() {
    let steps = json!([{"id": "a", "on_failure": {"goto": "a", "max_visits": 2}}]);
    let mut player = Player::start(steps, json!({}));
    for _ in 0..2 {
        player.fail("a");
        player.fail("a");
        assert!(matches!(player.reason("a"), Some(Reason::LoopExhausted { .. })));
        player.reopen(Reopen::Failed);
    }
    assert_eq!(player.step("a").visit, 5);
}

#[test]
fn runs_cancelled_before_their_start_can_be_reopened() {
    let plan = crate::player::plan(json!([{"id": "a"}]), json!({}));
    let mut player = Player::create(plan, &[]);
    player.cancel();
    player.reopen(Reopen::Failed);
    player.pass(&["a"]);
    assert_eq!(player.run.status(), RunStatus::Success);
    assert!(player.run.view().started_at.is_some());
}

#[test]
fn reopening_resets_cancels_and_the_timeout() {
    let mut player = Player::start(json!([{"id": "a"}]), json!({}));
    player.begin("a");
    player.cancel();
    player.end("a", Outcome::Cancelled);
    player.reopen(Reopen::Failed);
    player.begin("a");
    let attempt = player.attempt("a");
    let ask = Effect::Stop { attempt, kill: false };
    assert_eq!(player.cancel().effects, [ask]);
    player.end("a", Outcome::Cancelled);
    for _ in 0..3 {
        player.reopen(Reopen::Failed);
        player.begin("a");
        let attempt = player.attempt("a");
        let ask = Effect::Stop { attempt, kill: false };
        assert_eq!(player.wait("1h").effects, [ask]);
        player.end("a", Outcome::Cancelled);
        assert_eq!(player.run.status(), RunStatus::TimedOut);
    }
}

#[test]
fn a_step_that_a_retry_selected_stays_selected() {
    let steps = json!([{"id": "a"}, {"id": "b"}]);
    let plan = crate::player::plan(steps, json!({"on_failure": "continue"}));
    let mut player = Player::create(plan, &["a"]);
    player.feed(Input::Start);
    player.pass(&["a"]);
    player.reopen(Reopen::From(id("b")));
    player.fail("b");
    player.reopen(Reopen::Failed);
    player.pass(&["b"]);
    assert_eq!(player.run.status(), RunStatus::Success);
}

#[test]
fn unselected_steps_stay_out_after_reopening() {
    let plan = crate::player::plan(json!([{"id": "a"}, {"id": "b"}]), json!({}));
    let mut player = Player::create(plan, &["a"]);
    player.feed(Input::Start);
    player.pass(&["a"]);
    player.reopen(Reopen::All);
    assert_eq!(player.statuses(), "a=queued b=skipped");
}
