//! Rows of the mission that the flow alone can show. The ones about tables of values stand beside
//! the code they are about: 2.16 in `retry.rs`, 2.17 in `failure_rules.rs`.

use plue_flow::{RunStatus, StepStatus, fact::Outcome, input::Input};
use serde_json::json;

use crate::player::{Player, exit, plan};

/// Seed 001's own example: test, then build and review.
fn seed() -> serde_json::Value {
    json!([
        {"id": "test"},
        {"id": "build", "depends_on": ["test"]},
        {"id": "review", "depends_on": ["test"]},
    ])
}

#[test]
fn row_1_29_steps_run_in_topological_order() {
    let mut player = Player::start(seed(), json!({}));
    assert_eq!(player.working(), ["test"]);
    player.begin("test");
    assert_eq!(player.working(), ["test"]);
    player.end("test", Outcome::Success);
    assert_eq!(player.working(), ["build", "review"]);
}

#[test]
fn row_1_30_independent_steps_run_in_parallel() {
    let mut player = Player::start(seed(), json!({}));
    player.pass(&["test"]);
    player.begin("build");
    player.begin("review");
    assert_eq!(player.statuses(), "test=success build=running review=running");
    player.end("review", Outcome::Success);
    player.end("build", Outcome::Success);
    assert_eq!(player.run.status(), RunStatus::Success);
}

#[test]
fn row_1_35_a_failed_step_blocks_its_dependents() {
    let mut player = Player::start(seed(), json!({}));
    player.fail("test");
    assert_eq!(player.statuses(), "test=failed build=skipped review=skipped");
}

#[test]
fn row_1_35_a_step_can_be_tried_again_and_counts_once() {
    let mut player = Player::start(json!([{"id": "a", "retry": {"delay": "0s"}}]), json!({}));
    player.begin("a");
    let first = player.attempt("a");
    player.end("a", exit(1));
    player.pass(&["a"]);
    let late = player.try_feed(Input::Ended {
        attempt: first,
        outcome: Outcome::Success,
        output: json!("late"),
    });
    assert!(late.is_err());
    assert_eq!(player.step("a").attempts, 2);
    assert_eq!(player.status("a"), StepStatus::Success);
}

#[test]
fn row_1_35_the_same_inputs_give_the_same_facts() {
    let play = || {
        let retry = json!({"delay": "3s", "jitter": 0.7});
        let mut player = Player::start(json!([{"id": "a", "retry": retry}]), json!({}));
        player.fail("a");
        player.wait("10s");
        player.pass(&["a"]);
        player.journal
    };
    assert_eq!(play(), play());
}

#[test]
fn row_1_05_five_thousand_steps_run_to_their_end() {
    let steps: Vec<_> = (0..5_000)
        .map(|n| match n {
            0 => json!({"id": "s0"}),
            n => json!({"id": format!("s{n}"), "depends_on": [format!("s{}", n - 1)]}),
        })
        .collect();
    let mut run = plue_flow::Run::new(plue_plan::RunId::new("r"), plan(json!(steps), json!({})));
    let now = jiff::Timestamp::UNIX_EPOCH;
    let first = run.create(crate::player::hash(), Vec::new());
    run.evolve(now, &first).unwrap();
    let mut effects = run.apply(now, Input::Start).unwrap().effects;
    let mut ended = 0;
    while let Some(plue_flow::Effect::Perform { attempt, .. }) = effects.pop() {
        let end = Input::Ended { attempt, outcome: Outcome::Success, output: json!(null) };
        effects = run.apply(now, end).unwrap().effects;
        ended += 1;
    }
    assert_eq!(ended, 5_000);
    assert_eq!(run.status(), RunStatus::Success);
}
