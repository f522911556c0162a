//! Meaning of a failure: the step's rule, the plan's rule, conditions, and dependents.

use plue_flow::{
    RunStatus, StepStatus,
    fact::{Outcome, Reason},
};
use serde_json::json;

use crate::player::{Player, exit, id};

/// `bad` fails; `behind` depends on it; `other` runs in parallel; `later` depends on `other`.
fn play(step_rule: &str, plan_rule: &str, outcome: Outcome) -> Player {
    let mut player = Player::start(
        json!([
            {"id": "bad", "on_failure": step_rule},
            {"id": "other"},
            {"id": "behind", "depends_on": ["bad"]},
            {"id": "later", "depends_on": ["other"]},
        ]),
        json!({"on_failure": plan_rule}),
    );
    player.begin("other");
    player.begin("bad");
    player.end("bad", outcome);
    player.pass_open();
    player
}

impl Player {
    /// Ends everything well that is open, until nothing is.
    pub(crate) fn pass_open(&mut self) {
        while let Some(step) = self.working().first().cloned() {
            if self.status(&step) == StepStatus::Queued {
                self.begin(&step);
            }
            self.end(&step, Outcome::Success);
        }
    }
}

#[test]
fn row_2_17_step_and_plan_rules_follow_the_table() {
    for (step, plan, statuses, result) in [
        ("fail", "stop", "failed success skipped skipped", "failed"),
        ("fail", "continue", "failed success skipped success", "failed"),
        ("skip", "stop", "skipped success success success", "success"),
        ("skip", "continue", "skipped success success success", "success"),
        ("continue", "stop", "failed success success success", "success"),
        ("continue", "continue", "failed success success success", "success"),
    ] {
        let player = play(step, plan, exit(1));
        let views = player.run.step_views();
        let found: Vec<String> = views.map(|view| view.status.to_string()).collect();
        assert_eq!(found.join(" "), statuses, "{step} × {plan}");
        assert_eq!(player.run.status().as_str(), result, "{step} × {plan}");
    }
}

#[test]
fn reasons_explain_unstarted_steps() {
    let player = play("fail", "stop", exit(3));
    let (by, status) = (id("bad"), StepStatus::Failed);
    assert_eq!(
        player.reason("bad"),
        Some(Reason::Attempt { message: "exit status 3".into(), attempts: 1 })
    );
    assert_eq!(player.reason("later"), Some(Reason::Stopped { by: by.clone() }));
    assert_eq!(player.run.view().reason.as_deref(), Some("step bad failed"));

    let player = play("fail", "continue", exit(3));
    assert_eq!(player.reason("behind"), Some(Reason::Blocked { by, status }));
    let player = play("skip", "continue", exit(3));
    assert_eq!(player.reason("bad"), Some(Reason::FailedButSkipped));
}

#[test]
fn timed_out_steps_follow_failure_rules() {
    let player = play("fail", "continue", Outcome::TimedOut);
    assert_eq!(player.statuses(), "bad=timed_out other=success behind=skipped later=success");
    assert_eq!(player.run.status(), RunStatus::Failed);
    let player = play("continue", "continue", Outcome::TimedOut);
    assert_eq!(player.status("behind"), StepStatus::Success);
    assert_eq!(player.run.status(), RunStatus::Success);
    let player = play("skip", "stop", Outcome::TimedOut);
    assert_eq!(player.status("bad"), StepStatus::Skipped);
}

#[test]
fn row_1_35_a_blocked_step_blocks_what_depends_on_it() {
    let mut player = Player::start(
        json!([
            {"id": "a"},
            {"id": "b", "depends_on": ["a"]},
            {"id": "c", "depends_on": ["b"]},
            {"id": "d", "depends_on": ["c"]},
        ]),
        json!({"on_failure": "continue"}),
    );
    player.fail("a");
    assert_eq!(player.statuses(), "a=failed b=skipped c=skipped d=skipped");
    let (by, status) = (id("c"), StepStatus::Skipped);
    assert_eq!(player.reason("d"), Some(Reason::Blocked { by, status }));
}

#[test]
fn stops_let_running_steps_finish_and_retry() {
    let retry = json!({"delay": "1s"});
    let mut player = Player::start(
        json!([{"id": "bad"}, {"id": "flaky", "retry": retry}, {"id": "queued"}, {"id": "late"}]),
        json!({"max_parallel": 3}),
    );
    player.begin("flaky");
    player.fail("bad");
    assert_eq!(player.statuses(), "bad=failed flaky=running queued=skipped late=skipped");
    assert_eq!(player.reason("queued"), Some(Reason::Stopped { by: id("bad") }));
    player.end("flaky", exit(1));
    assert_eq!(player.run.status(), RunStatus::Waiting);
    player.wait("1s");
    player.pass(&["flaky"]);
    assert_eq!(player.status("flaky"), StepStatus::Success);
    assert_eq!(player.run.status(), RunStatus::Failed);
}

#[test]
fn a_false_condition_skips_and_lets_dependents_run() {
    let mut player = Player::start(
        json!([{"id": "a", "when": "false"}, {"id": "b", "depends_on": ["a"]}]),
        json!({}),
    );
    assert!(player.working().is_empty());
    player.answer("a", Ok(false));
    assert_eq!(player.reason("a"), Some(Reason::ConditionFalse));
    player.pass(&["b"]);
    assert_eq!(player.run.status(), RunStatus::Success);
}

#[test]
fn a_true_condition_runs_the_step_once() {
    let mut player = Player::start(json!([{"id": "a", "when": "true"}]), json!({}));
    player.answer("a", Ok(true));
    player.pass(&["a"]);
    assert_eq!(player.statuses(), "a=success");
}

#[test]
fn broken_conditions_fail_their_step() {
    for (rule, status, result) in [
        ("fail", StepStatus::Failed, RunStatus::Failed),
        ("continue", StepStatus::Failed, RunStatus::Success),
        ("skip", StepStatus::Skipped, RunStatus::Success),
    ] {
        let mut player = Player::start(
            json!([{"id": "a", "when": "1 +", "on_failure": rule, "retry": {}}]),
            json!({}),
        );
        player.answer("a", Err("syntax"));
        assert_eq!(player.status("a"), status, "{rule}");
        let message = "syntax".into();
        assert_eq!(player.reason("a"), Some(Reason::ConditionError { message }));
        assert_eq!(player.run.status(), result, "{rule}");
    }
}

#[test]
fn conditions_of_blocked_steps_are_not_evaluated() {
    let mut player = Player::start(
        json!([{"id": "a"}, {"id": "b", "depends_on": ["a"], "when": "true"}]),
        json!({"on_failure": "continue"}),
    );
    let transition = player.fail("a");
    let finish = [plue_flow::Effect::Finish];
    assert_eq!(transition.effects, finish);
}

#[test]
fn executor_cancels_fail_the_run() {
    let mut player = Player::start(
        json!([{"id": "a", "retry": {}}, {"id": "b", "depends_on": ["a"]}]),
        json!({"on_failure": "continue"}),
    );
    player.begin("a");
    player.end("a", Outcome::Cancelled);
    assert_eq!(player.statuses(), "a=cancelled b=skipped");
    assert_eq!(player.run.status(), RunStatus::Failed);
}
