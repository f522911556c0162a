//! Hooks: when they run, and what their failure means.

use plue_flow::{RunStatus, StepStatus, fact::Reason};
use serde_json::{Value as Json, json};

use crate::player::{Player, id};

fn with_hooks(required: &[&str]) -> Json {
    let hook = |name: &str| json!([{"id": name, "required": required.contains(&name)}]);
    json!({"hooks": {
        "on_start": hook("first"),
        "on_success": hook("good"),
        "on_failure": hook("bad"),
        "on_complete": hook("last"),
    }})
}

#[test]
fn row_2_19_hooks_run_around_the_steps_in_their_order() {
    let mut player = Player::start(json!([{"id": "a"}]), with_hooks(&[]));
    for step in ["first", "a", "good", "last"] {
        assert_eq!(player.working(), [step]);
        player.pass(&[step]);
    }
    let result = RunStatus::Success;
    assert_eq!(player.reason("bad"), Some(Reason::NotCalled { result }));
    assert_eq!(player.run.status(), RunStatus::Success);
}

#[test]
fn row_2_19_failed_runs_call_on_failure_and_on_complete() {
    let mut player = Player::start(json!([{"id": "a"}]), with_hooks(&[]));
    player.pass(&["first"]);
    player.fail("a");
    player.pass(&["bad", "last"]);
    assert_eq!(player.status("good"), StepStatus::Skipped);
    assert_eq!(player.run.status(), RunStatus::Failed);
}

#[test]
fn row_2_19_only_required_hooks_change_the_result() {
    for failing in ["first", "good", "last"] {
        for required in [false, true] {
            let names: &[&str] = if required { &[failing] } else { &[] };
            let mut player = Player::start(json!([{"id": "a"}]), with_hooks(names));
            while let Some(step) = player.working().pop() {
                if step == failing {
                    player.fail(&step);
                } else {
                    player.pass(&[&step]);
                }
            }
            let failed = player.run.status() == RunStatus::Failed;
            assert_eq!(failed, required, "{failing}: {}", player.statuses());
            let last = player.status("last");
            assert!(matches!(last, StepStatus::Success | StepStatus::Failed));
        }
    }
}

#[test]
fn failed_required_first_hooks_block_all_steps() {
    let mut player = Player::start(json!([{"id": "a"}]), with_hooks(&["first"]));
    player.fail("first");
    assert_eq!(player.reason("a"), Some(Reason::Stopped { by: id("first") }));
    player.pass(&["bad", "last"]);
    assert_eq!(player.run.status(), RunStatus::Failed);
}

#[test]
fn hooks_have_retries_conditions_and_dependencies() {
    let hooks = json!({"hooks": {"on_complete": [
        {"id": "h1", "retry": {"delay": "0s"}},
        {"id": "h2", "depends_on": ["h1"], "when": "x"},
    ]}});
    let mut player = Player::start(json!([{"id": "a"}]), hooks);
    player.pass(&["a"]);
    player.fail("h1");
    player.pass(&["h1"]);
    player.answer("h2", Ok(true));
    player.pass(&["h2"]);
    assert_eq!(player.statuses(), "a=success h1=success h2=success");
}

#[test]
fn final_hooks_run_after_cancels_and_timeouts() {
    let mut player = Player::start(json!([{"id": "a"}]), with_hooks(&[]));
    player.cancel();
    assert_eq!(player.working(), ["last"]);
    player.fail("last");
    assert_eq!(player.run.status(), RunStatus::Cancelled);

    let mut player = Player::start(json!([{"id": "a"}]), with_hooks(&[]));
    player.pass(&["first"]);
    player.wait("1h");
    assert_eq!(player.working(), ["last"]);
    player.pass(&["last"]);
    assert_eq!(player.run.status(), RunStatus::TimedOut);
}
