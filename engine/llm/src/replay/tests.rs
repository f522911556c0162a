//! Recordings made of transcripts, replayed to agents.

use serde_json::json;

use super::*;
use crate::{
    agent::{ApprovalRules, Effect, Limits, Task},
    answer::{Answer, Stop, StopReason, Usage},
    tools,
};

fn task(prompt: &str) -> Input {
    Input::Start(Box::new(Task {
        model: "claude-opus-5-5".to_owned(),
        fallback_models: Vec::new(),
        mcp: std::collections::BTreeMap::new(),
        system: None,
        prompt: prompt.to_owned(),
        tools: tools::tool("bash").map(|tool| tool.offer()).into_iter().collect(),
        approval: ApprovalRules::default(),
        effort: None,
        output: None,
        name: None,
        children: None,
        limits: Limits::default(),
    }))
}

fn answer(reason: &str, blocks: Json) -> Input {
    let stop = Stop { reason: Some(StopReason::new(reason)), ..Stop::default() };
    let answer = Answer {
        id: "msg_1".to_owned(),
        model: "claude-opus-5-5".to_owned(),
        content: serde_json::from_value(blocks).unwrap(),
        stop,
        usage: Usage::default(),
    };
    Input::Answered(Box::new(answer), Some(PicoUsd(7)))
}

fn calls() -> Input {
    let call = json!([{ "type": "tool_use", "id": "a", "name": "bash", "input": {} }]);
    answer("tool_use", call)
}

fn says(text: &str) -> Input {
    answer("end_turn", json!([{ "type": "text", "text": text }]))
}

fn result(content: &str) -> Input {
    Input::Result { id: "a".to_owned(), content: content.to_owned(), is_error: false }
}

fn facts(inputs: Vec<Input>) -> (Agent, Vec<Fact>) {
    let mut agent = Agent::default();
    let facts = inputs.into_iter().flat_map(|input| agent.apply(input).unwrap()).collect();
    (agent, facts)
}

fn asked(agent: &Agent) -> Request {
    match agent.effect() {
        Effect::Ask(request) => *request,
        other => panic!("{other:?}"),
    }
}

fn recorded() -> Vec<Fact> {
    facts(vec![task("Look."), calls(), result("3 passed"), says("Fine.")]).1
}

#[test]
fn equal_requests_get_their_answers_once() {
    let mut recording = Recording::new([((1, 1).into(), recorded())]);
    assert_eq!(recording.unused(), 2);
    let (mut agent, _) = facts(vec![task("Look.")]);
    let first = recording.take(&asked(&agent)).unwrap();
    assert!(matches!(first, Input::Answered(_, Some(PicoUsd(0)))));
    agent.apply(first).unwrap();
    agent.apply(result("3 passed")).unwrap();
    let last = recording.take(&asked(&agent)).unwrap();
    agent.apply(last).unwrap();
    assert!(agent.is_over());
    assert_eq!(recording.unused(), 0);
    assert_eq!(recording.take(&asked(&facts(vec![task("Look.")]).0)), None);
}

#[test]
fn equal_requests_are_answered_in_order() {
    let broke = || Input::Broke { usage: Usage::default(), message: "cut".to_owned() };
    let (_, facts_then) = facts(vec![task("Look."), broke(), says("Fine.")]);
    let mut recording = Recording::new([((1, 1).into(), facts_then)]);
    let (mut agent, _) = facts(vec![task("Look.")]);
    let first = recording.take(&asked(&agent)).unwrap();
    assert_eq!(first, broke());
    agent.apply(first).unwrap();
    assert!(matches!(recording.take(&asked(&agent)), Some(Input::Answered(..))));
}

#[test]
fn refusals_are_answers_and_limits_are_not() {
    let ends =
        [(Input::Unanswered("HTTP 400".to_owned()), 1), (Input::Unpaid("no money".to_owned()), 1)];
    for (end, answers) in ends {
        let recording = Recording::new([((1, 1).into(), facts(vec![task("x"), end]).1)]);
        assert_eq!(recording.unused(), answers);
    }
    let mut inputs = vec![task("x")];
    inputs.extend([calls(), result("1")]);
    let (_, mut endless) = facts(inputs);
    let limit = crate::agent::End::refused(EndReason::Turns, "no turn is left");
    endless.push(Fact::Ended { end: limit });
    assert_eq!(Recording::new([((1, 1).into(), endless)]).unused(), 1);
}

#[test]
fn copied_beginnings_count_once() {
    let (_, lost) = facts(vec![task("Look."), calls()]);
    let (_, whole) = facts(vec![task("Look."), calls(), Input::RunnerLost, says("Fine.")]);
    let mut recording = Recording::new([((1, 1).into(), lost.clone()), ((1, 2).into(), whole)]);
    assert_eq!(recording.unused(), 2);
    let (_, again) = facts(vec![task("Look."), calls(), Input::RunnerLost]);
    recording.skip(&[lost, again]);
    assert_eq!(recording.unused(), 1);
}

#[test]
fn divergences_name_the_first_part_that_differs() {
    let recording = Recording::new([((1, 1).into(), recorded())]);
    let (agent, _) = facts(vec![task("Look."), calls(), result("2 passed, 1 failed")]);
    let found = recording.divergence(&(1, 1).into(), 2, &asked(&agent));
    assert_eq!(found.what, "the result of `bash` (a) differs");
    assert_eq!((&*found.recorded, &*found.now), ("3 passed", "2 passed, 1 failed"));
    let (agent, _) = facts(vec![task("Look twice.")]);
    let found = recording.divergence(&(1, 3).into(), 1, &asked(&agent));
    assert_eq!(
        found.to_string(),
        r#"turn 1: the prompt differs: recorded "Look.", now "Look twice.""#
    );
    let mut request = asked(&agent);
    request.tools.clear();
    let found = recording.divergence(&(1, 1).into(), 1, &request);
    assert_eq!(found.what, "the list of tools differs");
    let found = recording.divergence(&(1, 1).into(), 3, &request);
    assert_eq!(found.to_string(), "turn 3: the recording of this step ends after 2 answers");
    let found = Recording::default().divergence(&(1, 1).into(), 1, &request);
    assert_eq!(found.what, "the recording has no answer for this step");
}

#[test]
fn excerpts_begin_before_the_difference() {
    let (one, other) = (format!("{}a{}", "x".repeat(500), "y".repeat(500)), "x".repeat(501));
    let (one, other) = excerpts(&one, &other);
    assert!(one.starts_with("…xxx") && one.ends_with("y…") && one.contains("xay"), "{one}");
    assert_eq!(other.chars().count(), BEFORE + 2);
}

#[test]
fn agents_of_a_step_are_recorded_separately() {
    let place = |agents: &[u32]| AgentPath { attempt: (1, 1), agents: agents.to_vec() };
    let whole = |prompt: &str| facts(vec![task(prompt), says("Fine.")]).1;
    // Equal transcripts of two agents are no copies of one another.
    let mut recording = Recording::new([
        (place(&[]), recorded()),
        (place(&[1]), whole("x")),
        (place(&[2]), whole("x")),
        (place(&[2, 1]), whole("y")),
    ]);
    assert_eq!(recording.unused(), 5);
    recording.skip(&[whole("x")]);
    assert_eq!(recording.unused(), 4);
    let request = asked(&facts(vec![task("z")]).0);
    let found = recording.divergence(&place(&[2, 1]), 1, &request);
    assert_eq!((found.what.as_str(), found.recorded.as_str()), ("the prompt differs", "y"));
    let found = recording.divergence(&place(&[3]), 1, &request);
    assert_eq!(found.what, "the recording has no answer for this step");
}
