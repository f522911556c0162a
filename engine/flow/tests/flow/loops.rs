//! Loops: create → implement → review, back to implement on failure.

use plue_flow::{
    Fact, RunStatus, StepStatus,
    fact::{Outcome, Reason},
    input::Input,
};
use serde_json::{Value as Json, json};

use crate::player::{Player, id};

fn website(max_visits: Json) -> Player {
    let mut back = json!({"goto": "implement"});
    if !max_visits.is_null() {
        back["max_visits"] = max_visits;
    }
    Player::start(
        json!([
            {"id": "create"},
            {"id": "implement", "depends_on": ["create"]},
            {"id": "style", "depends_on": ["implement"]},
            {"id": "review", "depends_on": ["style"], "on_failure": back},
            {"id": "docs", "depends_on": ["implement"]},
            {"id": "deploy", "depends_on": ["review"]},
        ]),
        json!({}),
    )
}

#[test]
fn row_3_11_twice_failing_reviewers_loop_twice() {
    let mut player = website(json!(3));
    player.pass(&["create", "implement", "docs", "style"]);
    for visit in 2..=3 {
        let transition = player.fail("review");
        let looped = Fact::LoopedBack {
            from: id("review"),
            to: id("implement"),
            steps: vec![id("implement"), id("style"), id("review")],
        };
        assert!(transition.facts.contains(&looped), "{transition:?}");
        assert_eq!(player.step("implement").visit, visit);
        assert_eq!(player.step("create").visit, 1);
        assert_eq!(player.status("deploy"), StepStatus::Pending);
        assert_eq!(player.attempt("implement").as_str(), format!("r:1:implement:{visit}:1"));
        player.pass(&["implement", "style"]);
    }
    player.pass(&["review", "deploy"]);
    assert_eq!(player.run.status(), RunStatus::Success);
    assert_eq!(player.step("docs").visit, 1, "beside the loop, so it ran once");
}

#[test]
fn row_3_11_a_reviewer_that_always_fails_ends_loop_exhausted() {
    for (given, bound) in [(json!(3), 3), (json!(null), 3), (json!(1), 1)] {
        let mut player = website(given.clone());
        player.pass(&["create"]);
        for visit in 1..=bound {
            player.begin("implement");
            player.end("implement", Outcome::Success);
            player.pass(&["style"]);
            assert_eq!(player.step("implement").visit, visit);
            player.fail("review");
        }
        let (to, max_visits) = (id("implement"), bound);
        let reason = Reason::LoopExhausted { to, max_visits };
        assert_eq!(player.reason("review"), Some(reason), "{given}");
        assert_eq!(player.status("review"), StepStatus::Failed);
        assert_eq!(player.status("deploy"), StepStatus::Skipped);
        player.pass_open();
        assert_eq!(player.run.status(), RunStatus::Failed);
    }
}

#[test]
fn successful_steps_loop_until_their_condition_ends() {
    let mut player = Player::start(
        json!([
            {"id": "poll"},
            {"id": "again", "depends_on": ["poll"], "when": "more",
             "on_success": {"goto": "poll", "max_visits": 5}},
            {"id": "use", "depends_on": ["again"]},
        ]),
        json!({}),
    );
    for _ in 0..2 {
        player.pass(&["poll"]);
        player.answer("again", Ok(true));
        player.pass(&["again"]);
    }
    player.pass(&["poll"]);
    player.answer("again", Ok(false));
    player.pass(&["use"]);
    assert_eq!(player.step("poll").visit, 3);
    assert_eq!(player.run.status(), RunStatus::Success);
}

#[test]
fn a_success_that_leads_back_for_ever_fails() {
    let steps = json!([{"id": "a", "on_success": {"goto": "a", "max_visits": 2}}]);
    let mut player = Player::start(steps, json!({}));
    player.pass(&["a", "a"]);
    assert_eq!(player.status("a"), StepStatus::Failed);
    assert!(matches!(player.reason("a"), Some(Reason::LoopExhausted { .. })));
}

#[test]
fn retries_restart_in_each_visit_of_a_loop() {
    let steps = json!([{"id": "a", "retry": {"max_attempts": 2, "delay": "0s"},
        "on_failure": {"goto": "a", "max_visits": 2}}]);
    let mut player = Player::start(steps, json!({}));
    let mut ids = Vec::new();
    while player.run.status() == RunStatus::Running {
        ids.push(player.attempt("a").to_string());
        player.fail("a");
    }
    assert_eq!(ids, ["r:1:a:1:1", "r:1:a:1:2", "r:1:a:2:1", "r:1:a:2:2"]);
}

#[test]
fn a_condition_error_can_lead_back_too() {
    let steps = json!([{"id": "a", "when": "?", "on_failure": {"goto": "a", "max_visits": 2}}]);
    let mut player = Player::start(steps, json!({}));
    player.answer("a", Err("no"));
    assert_eq!(player.step("a").visit, 2);
    player.answer("a", Err("no"));
    assert_eq!(player.status("a"), StepStatus::Failed);
}

#[test]
fn loops_end_after_a_stop_or_cancel() {
    let steps = json!([{"id": "bad"}, {"id": "a", "on_failure": {"goto": "a"}}]);
    let mut player = Player::start(steps.clone(), json!({}));
    player.begin("a");
    player.fail("bad");
    player.end("a", crate::player::exit(1));
    assert_eq!(player.step("a").visit, 1);
    assert_eq!(player.run.status(), RunStatus::Failed);

    let mut player = Player::start(steps, json!({}));
    player.begin("a");
    player.cancel();
    player.end("a", crate::player::exit(1));
    assert_eq!(player.statuses(), "bad=cancelled a=failed");
}

#[test]
fn dependents_of_looped_steps_await_the_new_visit() {
    let mut player = Player::start(
        json!([
            {"id": "a"},
            {"id": "b", "depends_on": ["a"], "on_failure": {"goto": "a", "max_visits": 2}},
            {"id": "beside", "depends_on": ["a"], "when": "x"},
        ]),
        json!({}),
    );
    player.pass(&["a"]);
    player.fail("b");
    let late =
        Input::Condition { step: id("beside"), visit: 1, value: Ok(true), reads: Vec::new() };
    assert!(player.try_feed(late).is_err(), "its dependency runs again");
    player.pass(&["a"]);
    player.answer("beside", Ok(true));
    player.pass(&["b", "beside"]);
    assert_eq!(player.run.status(), RunStatus::Success);
}

#[test]
fn row_3_10_the_next_visit_reads_the_loop_cause() {
    let mut player = website(json!(3));
    player.pass(&["create", "implement", "style"]);
    player.begin("review");
    let attempt = player.attempt("review");
    let (outcome, output) = (crate::player::exit(1), json!({"notes": "no tests"}));
    player.feed(Input::Ended { attempt, outcome, output: output.clone() });
    assert_eq!(player.step("review").status, StepStatus::Pending);
    assert_eq!(player.run.output(&id("review")), Some(&output));
}

#[test]
fn skipped_visits_have_no_earlier_output() {
    let mut player = Player::start(
        json!([
            {"id": "a", "when": "x"},
            {"id": "b", "depends_on": ["a"], "on_failure": {"goto": "a", "max_visits": 2}},
        ]),
        json!({}),
    );
    player.answer("a", Ok(true));
    let attempt = player.attempt("a");
    player.feed(Input::Ended { attempt, outcome: Outcome::Success, output: json!("first") });
    player.fail("b");
    player.answer("a", Ok(false));
    assert_eq!(player.run.output(&id("a")), Some(&Json::Null));
}
