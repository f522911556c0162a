//! Conformance rows that the flow alone can show. Rows about tables of values are in the files of
//! their code: 2.16 in `retry.rs`, 2.17 in `failure_rules.rs`.

use plue_flow::{Fact, Run, RunStatus, StepStatus, fact::Outcome, input::Input};
use serde_json::json;

use crate::player::{Player, asked, exit, plan};

/// The first example of the manual: test, then build and review.
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
fn row_1_35_retried_steps_count_once() {
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
    let mut run = Run::new(plue_plan::RunId::new("r"), plan(json!(steps), json!({})));
    let now = jiff::Timestamp::UNIX_EPOCH;
    let first = run.create(crate::player::hash(), Vec::new(), Vec::new());
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

/// Nine states, seen as five; `on_failure="skip"` is the arrow from failed to skipped.
#[test]
fn row_2_20_the_nine_states_map_down_to_five() {
    let seen: Vec<_> =
        StepStatus::ALL.iter().map(|status| (status.as_str(), status.of_five())).collect();
    let expected = [
        ("pending", "PENDING"),
        ("queued", "PENDING"),
        ("running", "RUNNING"),
        ("waiting", "RUNNING"),
        ("success", "SUCCESS"),
        ("failed", "FAILED"),
        ("skipped", "SKIPPED"),
        ("cancelled", "FAILED"),
        ("timed_out", "FAILED"),
    ];
    assert_eq!(seen, expected);
    let mut player = Player::start(json!([{"id": "a", "on_failure": "skip"}]), json!({}));
    player.fail("a");
    assert_eq!(player.status("a").of_five(), "SKIPPED");
}

/// Retries come first, then the other branch; later steps take the branch that succeeded.
#[test]
fn row_2_25_fallbacks_run_only_after_final_failure() {
    let steps = json!([
        {"id": "first", "on_failure": "continue", "retry": {"max_attempts": 2, "delay": "3s"}},
        {"id": "other", "depends_on": ["first"], "when": "steps.first.status == 'failed'"},
        {"id": "behind", "depends_on": ["other"]},
    ]);
    let mut player = Player::start(steps.clone(), json!({}));
    player.fail("first");
    assert_eq!(player.statuses(), "first=waiting other=pending behind=pending");
    player.wait("3s");
    player.fail("first");
    player.answer("other", Ok(true));
    player.pass(&["other", "behind"]);
    assert_eq!(player.run.status(), RunStatus::Success);
    let mut player = Player::start(steps, json!({}));
    player.pass(&["first"]);
    player.answer("other", Ok(false));
    player.pass(&["behind"]);
    assert_eq!(player.statuses(), "first=success other=skipped behind=success");
}

/// The journal has every decision: each fold routes the same way.
#[test]
fn row_3_01_the_same_journal_gives_the_same_routing() {
    let steps = json!([
        {"id": "code"},
        {"id": "ask", "kind": "approval", "depends_on": ["code"],
         "on_failure": {"goto": "code", "max_visits": 3}},
        {"id": "ship", "depends_on": ["ask"]},
    ]);
    let play = || {
        let mut player = Player::start(steps.clone(), json!({}));
        for approve in [false, true] {
            player.pass(&["code"]);
            player.waits("ask", asked(1), Some("1h"));
            player.decide("ask", "ann", approve);
        }
        player.pass(&["ship"]);
        player
    };
    let (one, two) = (play(), play());
    assert_eq!(one.journal, two.journal);
    let id = one.run.id().clone();
    for length in 1..=one.journal.len() {
        let fold = || {
            let part = one.journal[..length].iter().cloned();
            Run::fold(id.clone(), one.run.plan().clone(), part).unwrap()
        };
        let now = one.now;
        assert_eq!(fold().decide(now, &Input::Tick), fold().decide(now, &Input::Tick));
    }
    assert_eq!(one.run.status(), RunStatus::Success);
}

/// A step without successors is an end; no step is added for it.
#[test]
fn row_3_09_ends_are_implied() {
    let steps = json!([{"id": "a"}, {"id": "b", "depends_on": ["a"]}]);
    let mut well = Player::start(steps.clone(), json!({}));
    well.pass(&["a", "b"]);
    assert_eq!(well.run.status(), RunStatus::Success);
    let mut badly = Player::start(steps, json!({}));
    badly.fail("a");
    assert_eq!(badly.run.status(), RunStatus::Failed);
}

/// The journal is the history of all steps, in order, with what each put out.
#[test]
fn row_3_14_the_history_of_all_steps_is_recorded() {
    let mut player = Player::start(seed(), json!({}));
    player.pass(&["test", "build", "review"]);
    let ended = player.journal.iter().filter_map(|(_, fact)| match fact {
        Fact::StepEnded { step, status, .. } => Some(format!("{step}={status}")),
        _ => None,
    });
    let ended: Vec<String> = ended.collect();
    assert_eq!(ended, ["test=success", "build=success", "review=success"]);
}
