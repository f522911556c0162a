//! Inputs that do not fit leave no trace; facts that do not fit are damage.

use plue_flow::{Fact, IllegalFact, Input, Rejected, Run, RunStatus, StepStatus, fact::Outcome};
use plue_plan::{AttemptId, RunId};
use serde_json::{Value as Json, json};

use crate::player::{Player, hash, id, plan};

fn ended(attempt: &str) -> Input {
    Input::Ended { attempt: AttemptId::new(attempt), outcome: Outcome::Success, output: Json::Null }
}

#[test]
fn a_run_without_a_journal_takes_nothing() {
    let mut run = Run::new(RunId::new("r"), plan(json!([]), json!({})));
    let now = jiff::Timestamp::UNIX_EPOCH;
    for input in [Input::Start, Input::Tick] {
        assert_eq!(run.apply(now, input), Err(Rejected::NotCreated));
    }
}

#[test]
fn inputs_before_or_repeating_the_start_are_refused() {
    let mut player = Player::create(plan(json!([{"id": "a"}]), json!({})), &[]);
    let early = player.try_feed(ended("r:1:a:1:1")).unwrap_err();
    assert_eq!(early, Rejected::NotStarted);
    player.feed(Input::Start);
    let twice = player.try_feed(Input::Start).unwrap_err();
    assert_eq!(twice, Rejected::AlreadyStarted);
}

#[test]
fn stale_attempts_are_refused() {
    let mut player = Player::start(json!([{"id": "a", "retry": {"delay": "0s"}}]), json!({}));
    player.fail("a");
    for stale in [
        "r:1:a:1:1",
        "r:1:a:1:3",
        "r:1:a:2:2",
        "r:1:b:1:2",
        "r:2:a:1:2",
        "a:1:2",
        "",
        ":::",
        "é:1:2",
    ] {
        let refusal = player.try_feed(ended(stale)).unwrap_err();
        assert!(matches!(refusal, Rejected::Stale { .. }), "{stale:?}: {refusal}");
    }
    player.begin("a");
    let attempt = player.attempt("a");
    let again = player.try_feed(Input::Started { attempt, runner: None, began: None, name: None });
    assert!(matches!(again, Err(Rejected::Stale { .. })));
    player.end("a", Outcome::Success);
    let status = RunStatus::Success;
    let late = player.try_feed(ended("r:1:a:1:2")).unwrap_err();
    assert_eq!(late, Rejected::Ended { status });
}

#[test]
fn conditions_of_other_visits_are_refused() {
    let mut player = Player::start(json!([{"id": "a", "when": "x"}, {"id": "b"}]), json!({}));
    let answer = |step: &str, visit| Input::Condition {
        step: id(step),
        visit,
        value: Ok(true),
        reads: Vec::new(),
    };
    for (step, visit) in [("a", 2), ("a", 0), ("b", 1)] {
        let refusal = player.try_feed(answer(step, visit)).unwrap_err();
        assert!(matches!(refusal, Rejected::Stale { .. }), "{step} {visit}");
    }
    let step = id("x");
    let unknown = player.try_feed(answer("x", 1)).unwrap_err();
    assert_eq!(unknown, Rejected::UnknownStep { step });
}

#[test]
fn facts_that_cannot_follow_are_refused() {
    let player = Player::start(json!([{"id": "a"}, {"id": "b"}]), json!({}));
    let attempt = player.attempt("a");
    let step_ended =
        |step: &str, visit, status| Fact::StepEnded { step: id(step), visit, status, reason: None };
    let only = Vec::new();
    for fact in [
        Fact::RunCreated { plan: hash(), only, carried: Vec::new() },
        Fact::RunStarted,
        Fact::RunEnded { status: RunStatus::Success, reason: None },
        Fact::RunReopened { by: "x".into(), steps: Vec::new() },
        Fact::AttemptQueued { step: id("a"), visit: 1, number: 1, attempt: attempt.clone() },
        Fact::AttemptStarted { step: id("b"), attempt, runner: None, began: None, name: None },
        Fact::RetryScheduled { step: id("a"), visit: 1, number: 2, at: player.now },
        step_ended("a", 1, StepStatus::Success),
        step_ended("a", 2, StepStatus::Success),
        step_ended("nobody", 1, StepStatus::Success),
        Fact::ConditionEvaluated { step: id("a"), visit: 1, value: Ok(true), reads: Vec::new() },
    ] {
        let mut run = player.run.clone();
        assert!(run.evolve(player.now, &fact).is_err(), "{fact:?}");
    }
}

#[test]
fn a_journal_of_another_plan_does_not_fold() {
    let mut player = Player::start(json!([{"id": "a"}]), json!({}));
    player.pass(&["a"]);
    let other = plan(json!([{"id": "b"}]), json!({}));
    let folded = Run::fold(RunId::new("r:1"), other, player.journal);
    let step = id("a");
    assert_eq!(folded.unwrap_err(), IllegalFact::UnknownStep { step });
}

#[test]
fn facts_keep_their_stored_form() {
    let mut player = Player::start(
        json!([{"id": "a", "when": "x", "retry": {"delay": "1s"}}, {"id": "b", "depends_on": ["a"]}]),
        json!({}),
    );
    player.answer("a", Ok(true));
    player.fail("a");
    player.wait("1s");
    player.lose("a");
    player.cancel();
    let facts: Vec<&Fact> = player.journal.iter().map(|(_, fact)| fact).collect();
    let lines: Vec<String> = facts.iter().map(|f| serde_json::to_string(f).unwrap()).collect();
    insta::assert_snapshot!(lines.join("\n"));
    for (line, fact) in lines.iter().zip(facts) {
        assert_eq!(serde_json::from_str::<Fact>(line).unwrap(), *fact);
    }
}
