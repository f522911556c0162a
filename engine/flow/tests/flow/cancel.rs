//! The cancel ladder, from every state.

use plue_flow::{
    Effect, Rejected, RunStatus, StepStatus,
    fact::{Outcome, Reason},
    input::Input,
};
use serde_json::{Value as Json, json};

use crate::player::{Player, cancel, exit};

fn stop(player: &Player, step: &str, kill: bool) -> Effect {
    let attempt = player.attempt(step);
    Effect::Stop { attempt, kill }
}

/// One step in each state that a step can be in while a run is alive.
fn motley() -> Player {
    let mut player = Player::start(
        json!([
            {"id": "done"},
            {"id": "running"},
            {"id": "paused", "retry": {}},
            {"id": "asked", "when": "x"},
            {"id": "queued"},
            {"id": "pending", "depends_on": ["running"]},
        ]),
        json!({}),
    );
    player.pass(&["done"]);
    player.begin("running");
    player.fail("paused");
    player
}

#[test]
fn first_cancel_stops_running_steps_and_ends_others() {
    let mut player = motley();
    let stops = [stop(&player, "running", false), stop(&player, "queued", false)];
    let transition = player.cancel();
    assert_eq!(transition.effects, stops);
    assert_eq!(
        player.statuses(),
        "done=success running=running paused=cancelled asked=cancelled queued=cancelled \
         pending=cancelled"
    );
    assert_eq!(player.reason("queued"), Some(Reason::RunCancelled));
    assert_eq!(player.run.status(), RunStatus::Running);
    player.end("running", Outcome::Cancelled);
    assert_eq!(player.reason("running"), Some(Reason::RunCancelled));
    assert_eq!(player.run.status(), RunStatus::Cancelled);
    assert_eq!(player.run.view().reason.as_deref(), Some("cancelled by ann"));
}

#[test]
fn second_cancel_kills_and_third_is_refused() {
    let mut player = motley();
    player.cancel();
    let kill = stop(&player, "running", true);
    assert_eq!(player.cancel().effects, [kill]);
    let third = player.try_feed(cancel(false));
    assert_eq!(third.unwrap_err(), Rejected::AlreadyCancelled);
    player.end("running", Outcome::Cancelled);
    let late = player.try_feed(cancel(false)).unwrap_err();
    let status = RunStatus::Cancelled;
    assert_eq!(late, Rejected::Ended { status });
}

#[test]
fn a_first_request_can_kill_at_once() {
    let mut player = motley();
    let kill = stop(&player, "running", true);
    assert!(player.feed(cancel(true)).effects.contains(&kill));
}

#[test]
fn the_first_end_counts_during_a_cancel() {
    for (outcome, status) in [
        (Outcome::Success, StepStatus::Success),
        (exit(1), StepStatus::Failed),
        (Outcome::TimedOut, StepStatus::TimedOut),
        (Outcome::Cancelled, StepStatus::Cancelled),
    ] {
        let retry = json!({"delay": "0s"});
        let mut player = Player::start(json!([{"id": "a", "retry": retry}]), json!({}));
        player.begin("a");
        player.cancel();
        player.end("a", outcome);
        assert_eq!(player.status("a"), status);
        assert_eq!(player.run.status(), RunStatus::Cancelled);
    }
}

#[test]
fn a_runner_lost_during_a_cancel_has_stopped() {
    let mut player = Player::start(json!([{"id": "a"}]), json!({}));
    player.begin("a");
    player.cancel();
    player.lose("a");
    assert_eq!(player.status("a"), StepStatus::Cancelled);
}

#[test]
fn unstarted_runs_are_cancelled_whole() {
    let hooks = json!({"hooks": {"on_start": [{"id": "h"}], "on_complete": [{"id": "l"}]}});
    let plan = crate::player::plan(json!([{"id": "a"}]), hooks);
    let mut player = Player::create(plan, &[]);
    let transition = player.cancel();
    assert_eq!(transition.effects, [Effect::Finish]);
    assert_eq!(player.statuses(), "a=cancelled h=cancelled l=skipped");
    assert_eq!(player.run.status(), RunStatus::Cancelled);
    let status = RunStatus::Cancelled;
    let late = player.try_feed(Input::Start).unwrap_err();
    assert_eq!(late, Rejected::Ended { status });
}

#[test]
fn withdrawn_attempts_cannot_start() {
    let mut player = Player::start(json!([{"id": "a"}, {"id": "b"}]), json!({}));
    player.begin("b");
    let attempt = player.attempt("a");
    player.cancel();
    let late = player.try_feed(Input::Started {
        attempt: attempt.clone(),
        runner: None,
        began: None,
        name: None,
    });
    assert!(matches!(late, Err(Rejected::Stale { .. })));
    let late =
        player.try_feed(Input::Ended { attempt, outcome: Outcome::Success, output: Json::Null });
    assert!(matches!(late, Err(Rejected::Stale { .. })));
}

#[test]
fn claimed_attempts_are_stopped_not_withdrawn() {
    let mut player = Player::start(json!([{"id": "a"}, {"id": "b"}]), json!({}));
    player.assign("a");
    let transition = player.cancel();
    assert_eq!(transition.effects.first(), Some(&stop(&player, "a", false)));
    assert_eq!(player.statuses(), "a=queued b=cancelled");
    player.end("a", Outcome::Cancelled);
    assert_eq!(player.status("a"), StepStatus::Cancelled);
    assert_eq!(player.run.status(), RunStatus::Cancelled);
}

#[test]
fn claimed_attempts_finish_when_the_run_stops() {
    let mut player = Player::start(json!([{"id": "a"}, {"id": "b"}, {"id": "c"}]), json!({}));
    player.assign("a");
    player.fail("b");
    assert_eq!(player.statuses(), "a=queued b=failed c=skipped");
    player.pass(&["a"]);
    assert_eq!(player.statuses(), "a=success b=failed c=skipped");
}

#[test]
fn lost_unstarted_attempts_stay_ended_after_a_stop() {
    let mut player = Player::start(json!([{"id": "a"}, {"id": "b"}]), json!({}));
    player.assign("a");
    player.fail("b");
    player.lose("a");
    assert_eq!(player.statuses(), "a=skipped b=failed");
}

#[test]
fn attempts_lost_before_their_start_are_free() {
    let mut player = Player::start(json!([{"id": "a"}]), json!({}));
    player.assign("a");
    player.lose("a");
    assert_eq!(player.step("a").attempts, 1);
    player.pass(&["a"]);
    assert_eq!(player.run.status(), RunStatus::Success);
}

#[test]
fn cancels_between_attempts_end_the_run() {
    let mut player = Player::start(json!([{"id": "a", "retry": {}}]), json!({}));
    player.fail("a");
    assert_eq!(player.run.status(), RunStatus::Waiting);
    player.cancel();
    assert_eq!(player.statuses(), "a=cancelled");
    assert_eq!(player.run.status(), RunStatus::Cancelled);
}

#[test]
fn final_hooks_survive_the_first_cancel_only() {
    let hooks = json!({"hooks": {"on_complete": [
        {"id": "l", "retry": {"delay": "0s"}}, {"id": "m", "depends_on": ["l"]}]}});
    let mut player = Player::start(json!([{"id": "a"}]), hooks);
    player.pass(&["a"]);
    player.begin("l");
    assert!(player.cancel().effects.is_empty());
    let kill = stop(&player, "l", true);
    assert_eq!(player.cancel().effects, [kill]);
    assert_eq!(player.status("m"), StepStatus::Cancelled);
    player.end("l", exit(137));
    assert_eq!(player.status("l"), StepStatus::Failed);
    assert_eq!(player.run.status(), RunStatus::Success, "the steps had ended");
}

#[test]
fn a_killed_last_hook_is_cancelled() {
    let hooks = json!({"hooks": {"on_complete": [{"id": "l"}]}});
    let mut player = Player::start(json!([{"id": "a"}]), hooks);
    player.begin("a");
    player.feed(cancel(true));
    player.end("a", Outcome::Cancelled);
    player.begin("l");
    player.cancel();
    player.end("l", Outcome::Cancelled);
    assert_eq!(player.reason("l"), Some(Reason::RunCancelled));
    assert_eq!(player.run.status(), RunStatus::Cancelled);
}

#[test]
fn cancels_during_result_hooks_cancel_the_run() {
    let hooks = json!({"hooks": {"on_success": [{"id": "s"}]}});
    let mut player = Player::start(json!([{"id": "a"}]), hooks);
    player.pass(&["a"]);
    player.begin("s");
    player.cancel();
    player.end("s", Outcome::Cancelled);
    assert_eq!(player.run.status(), RunStatus::Cancelled);
}

#[test]
fn final_hooks_killed_after_the_result_are_cancelled() {
    let hooks = json!({"hooks": {"on_complete": [{"id": "l"}]}});
    let mut player = Player::start(json!([{"id": "a"}]), hooks);
    player.pass(&["a"]);
    player.begin("l");
    player.cancel();
    player.cancel();
    player.end("l", Outcome::Cancelled);
    assert_eq!(player.reason("l"), Some(Reason::RunCancelled));
}

#[test]
fn second_cancel_ends_final_hooks_awaiting_conditions() {
    let hooks = json!({"hooks": {"on_complete": [{"id": "l", "when": "x"}]}});
    let mut player = Player::start(json!([{"id": "a"}]), hooks);
    player.pass(&["a"]);
    player.cancel();
    player.cancel();
    assert_eq!(player.statuses(), "a=success l=cancelled");
    assert_eq!(player.run.status(), RunStatus::Success);
}
