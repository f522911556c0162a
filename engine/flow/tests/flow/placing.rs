//! Attempts that no runner can have.

use plue_flow::{Effect, Fact, Input, RunStatus, StepStatus};
use serde_json::json;

use crate::player::{Player, id};

fn hold(player: &mut Player, step: &str, reason: &str) -> plue_flow::Transition {
    let attempt = player.attempt(step);
    player.feed(Input::Unschedulable { attempt, reason: reason.to_owned() })
}

#[test]
fn unschedulable_attempts_stay_queued_with_a_reason() {
    let steps = json!([{"id": "gpu"}, {"id": "test"}]);
    let mut player = Player::start(steps, json!({"max_parallel": 1}));
    let requeued = hold(&mut player, "gpu", "asks for gpu=1");
    let held = player.step("gpu");
    assert_eq!(held.status, StepStatus::Queued);
    assert_eq!(held.reason.unwrap().to_string(), "waits for a runner: asks for gpu=1");
    let queued = requeued.facts.iter().any(|fact| matches!(fact, Fact::AttemptQueued { .. }));
    assert!(queued, "the place was not given to the other step");
    player.pass(&["test"]);
    assert_eq!(player.run.status(), RunStatus::Running);
    let held: Vec<_> =
        player.run.unschedulable().map(|(step, _, why)| (step, why.to_owned())).collect();
    assert_eq!(held, [(id("gpu"), "asks for gpu=1".to_owned())]);
}

#[test]
fn placed_attempts_are_performed_like_new_ones() {
    let mut player = Player::start(json!([{"id": "gpu"}]), json!({}));
    hold(&mut player, "gpu", "asks for gpu=1");
    let attempt = player.attempt("gpu");
    let early = Input::Started { attempt: attempt.clone(), runner: None, began: None, name: None };
    player.try_feed(early).unwrap_err();
    let placed = player.feed(Input::Schedulable { attempt: attempt.clone() });
    assert!(matches!(&placed.effects[..], [Effect::Perform { .. }]), "{:?}", placed.effects);
    assert_eq!(player.step("gpu").reason, None);
    player.try_feed(Input::Schedulable { attempt }).unwrap_err();
    player.pass(&["gpu"]);
    assert_eq!(player.run.status(), RunStatus::Success);
}

#[test]
fn repeated_reasons_are_recorded_once() {
    let mut player = Player::start(json!([{"id": "gpu"}]), json!({}));
    hold(&mut player, "gpu", "asks for gpu=1");
    let attempt = player.attempt("gpu");
    let again = Input::Unschedulable { attempt, reason: "asks for gpu=1".to_owned() };
    player.try_feed(again).unwrap_err();
    hold(&mut player, "gpu", "asks for gpu=1 of 1");
    player.feed(Input::Cancel { by: "ann".to_owned(), kill: false });
    assert_eq!(player.run.status(), RunStatus::Cancelled);
    assert_eq!(player.step("gpu").status, StepStatus::Cancelled);
}
