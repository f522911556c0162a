//! Names that hold values of the run: recorded at the start, kept until the step is visited again.

use plue_flow::{Awaited, Fact, Input, Run, fact::NameValue};
use plue_plan::RunId;
use serde_json::{Value as Json, json};

use crate::player::{Player, exit, id};

/// `a` may go back to itself once; `b` has a name without values.
fn steps() -> Json {
    let name = json!({"$template": "Try ${visit}.${attempt}"});
    json!([
        {"id": "a", "name": name, "retry": {"max_attempts": 2, "delay": "1s"},
         "on_failure": {"goto": "a", "max_visits": 2}},
        {"id": "b", "name": "Plain"},
        {"id": "c"},
        {"id": "ask", "kind": "approval", "name": {"$expr": "event.branch"}},
    ])
}

fn name(player: &Player, step: &str) -> Option<String> {
    player.run.name(&id(step)).map(String::from)
}

fn begin(player: &mut Player, step: &str, value: NameValue) {
    let (attempt, name) = (player.attempt(step), Some(value));
    player.feed(Input::Started { attempt, runner: None, began: None, name });
}

#[test]
fn names_follow_attempts_and_visits() {
    let mut player = Player::start(steps(), json!({}));
    let written = Some("Try ${visit}.${attempt}".to_owned());
    assert_eq!(name(&player, "a"), written);
    begin(&mut player, "a", Ok("Try 1.1".to_owned()));
    assert_eq!(name(&player, "a").as_deref(), Some("Try 1.1"));
    player.end("a", exit(1));
    // It has started in this visit, so that it keeps its name between attempts.
    assert_eq!(name(&player, "a").as_deref(), Some("Try 1.1"));
    player.wait("1s");
    begin(&mut player, "a", Ok("Try 1.2".to_owned()));
    assert_eq!(name(&player, "a").as_deref(), Some("Try 1.2"));
    player.end("a", exit(1));
    assert_eq!(player.step("a").visit, 2);
    assert_eq!(name(&player, "a"), written);
    begin(&mut player, "a", Err("no value".to_owned()));
    assert_eq!(name(&player, "a"), written);
}

#[test]
fn steps_that_wait_have_their_names() {
    let mut player = Player::start(steps(), json!({}));
    assert_eq!(name(&player, "ask").as_deref(), Some("${event.branch}"));
    let what = Awaited::Decision { message: None, approvers: Vec::new(), quorum: 1 };
    let (attempt, name_value) = (player.attempt("ask"), Some(Ok("main".to_owned())));
    player.feed(Input::Waits { attempt, what, until: None, name: name_value });
    assert_eq!(name(&player, "ask").as_deref(), Some("main"));
    player.decide("ask", "ann", true);
    assert_eq!(name(&player, "ask").as_deref(), Some("main"));
    assert_eq!(name(&player, "b").as_deref(), Some("Plain"));
    assert_eq!(name(&player, "c"), None);
    assert_eq!(name(&player, "none"), None);
}

#[test]
fn journals_without_values_of_names_fold() {
    let mut player = Player::start(steps(), json!({}));
    player.begin("a");
    let started = player.journal.last().map(|(_, fact)| serde_json::to_value(fact).unwrap());
    let old = json!({"fact": "attempt_started", "step": "a", "attempt": "r:1:a:1:1"});
    assert_eq!(started, Some(old.clone()));
    let journal = player.journal.iter().map(|(at, fact)| {
        let text = serde_json::to_string(fact).unwrap();
        (*at, serde_json::from_str::<Fact>(&text).unwrap())
    });
    let run = Run::fold(RunId::new("r:1"), player.run.plan().clone(), journal).unwrap();
    assert_eq!(run, player.run);
    assert_eq!(run.name(&id("a")).as_deref(), Some("Try ${visit}.${attempt}"));
    let mut named = old;
    named["name"] = json!({"Ok": "Try 1.1"});
    let fact: Fact = serde_json::from_value(named.clone()).unwrap();
    assert_eq!(serde_json::to_value(fact).unwrap(), named);
}
