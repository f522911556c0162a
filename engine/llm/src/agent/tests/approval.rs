//! Calls that wait for people.

use jiff::Timestamp;

use super::*;
use crate::agent::{Call, Decision, Held, MAX_HELD, MAX_SHOWN_BYTES, shown_arguments};

fn careful(approve: &[&str]) -> Task {
    let approve = approve.iter().map(|name| (*name).to_owned()).collect();
    Task { approval: ApprovalRules { approve, approve_seconds: None }, ..task() }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn asked_until(id: &str, second: i64) -> Input {
    Input::Held { id: id.to_owned(), until: at(second) }
}

fn decision(id: &str, approve: bool, message: Option<&str>) -> Input {
    Input::Decided(Decision {
        id: id.to_owned(),
        approve,
        by: Some("ann".to_owned()),
        at: at(5),
        message: message.map(str::to_owned),
    })
}

fn open(agent: &Agent) -> Vec<(String, Option<Held>)> {
    match agent.effect() {
        Effect::Call(calls) => calls.into_iter().map(|Call { id, held, .. }| (id, held)).collect(),
        other => panic!("{other:?}"),
    }
}

fn both() -> Input {
    calls(&[("a", "bash", json!({"command": "push"})), ("b", "read", json!({}))])
}

#[test]
fn held_calls_let_others_continue() {
    let (mut agent, _) = after(careful(&["bash"]), [both()]);
    let held = |until| Some(Held { until });
    assert_eq!(open(&agent), [("a".to_owned(), held(None)), ("b".to_owned(), None)]);
    assert!(agent.apply(result("a", "pushed")).is_err(), "a held call has no result");
    agent.apply(result("b", "text")).unwrap();
    agent.apply(asked_until("a", 9)).unwrap();
    assert_eq!(open(&agent), [("a".to_owned(), held(Some(at(9))))]);
    assert!(agent.apply(asked_until("a", 99)).is_err(), "the first time counts");
}

#[test]
fn approved_calls_are_carried_out_once() {
    let inputs = [both(), asked_until("a", 9), decision("a", true, None)];
    let (mut agent, facts) = after(careful(&["bash"]), inputs);
    assert!(matches!(facts.last(), Some(Fact::Decided { approve: true, .. })), "{facts:?}");
    assert_eq!(open(&agent), [("a".to_owned(), None), ("b".to_owned(), None)]);
    assert!(agent.apply(decision("a", false, None)).is_err(), "the first decision counts");
    agent.apply(result("b", "text")).unwrap();
    agent.apply(result("a", "pushed")).unwrap();
    assert_eq!(asked(&agent).len(), 3);
}

#[test]
fn rejections_reach_the_model_with_their_message() {
    let reject = decision("a", false, Some("not on a Friday"));
    let (agent, facts) = after(careful(&["bash"]), [both(), reject, result("b", "text")]);
    let message = asked(&agent).pop().unwrap();
    let block = &message.content[0].0;
    assert_eq!(block["content"], "Not carried out: rejected by ann: not on a Friday");
    assert_eq!(block["is_error"], true);
    assert!(facts.iter().any(|fact| matches!(fact, Fact::Decided { approve: false, .. })));
}

#[test]
fn calls_without_a_decision_in_time_are_rejected() {
    let late = Input::Decided(Decision {
        id: "a".to_owned(),
        approve: false,
        by: None,
        at: at(9),
        message: None,
    });
    let inputs = [both(), asked_until("a", 9), late, result("b", "text")];
    let (agent, _) = after(careful(&["bash"]), inputs);
    let message = asked(&agent).pop().unwrap();
    assert!(message.content[0].0["content"].as_str().unwrap().contains("in time"));
}

#[test]
fn lost_runners_keep_held_calls_open() {
    let inputs = [both(), asked_until("a", 9), Input::RunnerLost];
    let (agent, _) = after(careful(&["bash"]), inputs);
    assert_eq!(open(&agent), [("a".to_owned(), Some(Held { until: Some(at(9)) }))]);

    let inputs = [both(), decision("a", true, None), Input::RunnerLost];
    let (agent, facts) = after(careful(&["bash"]), inputs);
    assert!(matches!(agent.effect(), Effect::Ask(_)));
    let unknown = facts.iter().filter(|fact| match fact {
        Fact::Result { content, .. } => content.contains("unknown"),
        _ => false,
    });
    assert_eq!(unknown.count(), 2);
}

#[test]
fn unreadable_calls_are_refused() {
    let long = json!({"command": "x".repeat(MAX_SHOWN_BYTES)});
    let hidden = json!({"command": "\u{202e}".repeat(MAX_SHOWN_BYTES / 6)});
    for (id, input) in [("a", &long), ("a", &hidden), ("a b", &json!({})), ("$(x)", &json!({}))] {
        let (agent, facts) = after(careful(&["bash"]), [calls(&[(id, "bash", input.clone())])]);
        assert!(matches!(agent.effect(), Effect::Ask(_)), "{id}");
        assert!(matches!(facts.last(), Some(Fact::Result { is_error: true, .. })), "{facts:?}");
        let (agent, _) = after(task(), [calls(&[(id, "bash", input.clone())])]);
        assert_eq!(open(&agent).len(), 1, "without approval it may be as it likes");
    }
}

#[test]
fn excess_held_calls_are_refused() {
    let ids: Vec<String> = (0..=MAX_HELD).map(|at| format!("c{at}")).collect();
    let all: Vec<_> = ids.iter().map(|id| (id.as_str(), "bash", json!({}))).collect();
    let (agent, _) = after(careful(&["bash"]), [calls(&all)]);
    assert_eq!(open(&agent).len(), MAX_HELD);
}

#[test]
fn an_id_is_decided_about_once() {
    let call = |command: &str| calls(&[("a", "bash", json!({ "command": command }))]);
    let inputs = [call("ls"), decision("a", true, None), result("a", "x"), call("rm -rf /")];
    let (agent, facts) = after(careful(&["bash"]), inputs);
    assert!(matches!(agent.effect(), Effect::Ask(_)));
    assert!(matches!(facts.last(), Some(Fact::Result { is_error: true, .. })), "{facts:?}");
}

#[test]
fn names_of_git_commands_hold_those_commands_only() {
    let mut task = careful(&["git_commit"]);
    task.tools = vec![crate::tools::tool("git").unwrap().offer()];
    let all = [
        ("t1", "git", json!({ "command": "status" })),
        ("t2", "git", json!({ "command": "commit", "message": "x" })),
    ];
    let (agent, _) = after(task, [calls(&all)]);
    let held: Vec<_> = open(&agent).into_iter().map(|(_, held)| held.is_some()).collect();
    assert_eq!(held, [false, true]);
}

#[test]
fn shown_arguments_hide_nothing() {
    let input = json!({"command": "echo \u{202e}key\u{1b}[2K\n\u{e0041}\u{200b}ä"});
    let shown = shown_arguments(input.as_object().unwrap(), &mut |text| {
        *text = text.replace("key", "***");
    });
    let expected = r#"{"command":"echo \u202e***\u001b[2K\n\udb40\udc41\u200bä"}"#;
    assert_eq!(shown, expected);
    let read: Json = serde_json::from_str(&shown).unwrap();
    assert!(read["command"].as_str().unwrap().ends_with("\u{200b}ä"));
}

#[test]
fn calls_of_agents_below_are_held() {
    let below = Task { name: Some("reviewer".to_owned()), ..careful(&["bash"]) };
    let (agent, facts) = after(below, [both()]);
    assert_eq!(open(&agent).len(), 2, "{facts:?}");
    let Effect::Call(calls) = agent.effect() else { panic!("{:?}", agent.effect()) };
    assert_eq!(calls.iter().filter(|call| call.held.is_some()).count(), 1);
}

#[test]
fn agents_are_started_once_people_approve() {
    let children = Children { tools: vec!["bash".to_owned()], most: 1 };
    let task = Task { children: Some(children), ..careful(&["bash"]) };
    let inputs = [both(), asked_until("a", 9)];
    let (mut agent, _) = after(task, inputs);
    let call = |agent: &Agent| match agent.effect() {
        Effect::Call(calls) => (calls[0].agent, calls[0].held.is_some()),
        other => panic!("{other:?}"),
    };
    assert_eq!(call(&agent), (Some(1), true));
    agent.apply(decision("a", true, None)).unwrap();
    assert_eq!(call(&agent), (Some(1), false));
}
