//! The machine alone: answers are made here, tools answer at once.

mod approval;

use serde_json::{Value as Json, json};

use super::{
    Agent, ApprovalRules, Children, Divergence, Effect, End, EndReason, Fact, Input, Limits,
    MAX_CALLS, Rejected, Task,
};
use crate::{
    answer::{Answer, Block, Stop, StopReason, Usage},
    price::PicoUsd,
    request::{Message, Role, Tool},
};

fn task() -> Task {
    let tool = |name: &str| Tool {
        name: name.to_owned(),
        description: String::new(),
        input_schema: json!({ "type": "object" }).as_object().cloned().unwrap(),
        strict: false,
    };
    Task {
        model: "claude-opus-5-5".to_owned(),
        fallback_models: Vec::new(),
        mcp: std::collections::BTreeMap::new(),
        system: None,
        prompt: "Look around.".to_owned(),
        tools: vec![tool("bash"), tool("read")],
        approval: ApprovalRules::default(),
        effort: None,
        output: None,
        name: None,
        children: None,
        limits: Limits::default(),
    }
}

fn answer(reason: &str, blocks: Json) -> Input {
    let content = serde_json::from_value::<Vec<Block>>(blocks).unwrap();
    let stop = Stop { reason: Some(StopReason::new(reason)), ..Stop::default() };
    let usage = Usage { input_tokens: Some(10), output_tokens: Some(5), ..Usage::default() };
    let model = "claude-opus-5-5".to_owned();
    let answer = Answer { id: "msg_1".to_owned(), model, content, stop, usage };
    Input::Answered(Box::new(answer), Some(PicoUsd(7)))
}

fn text(text: &str) -> Input {
    answer("end_turn", json!([{ "type": "text", "text": text }]))
}

fn calls(calls: &[(&str, &str, Json)]) -> Input {
    let block = |(id, name, input): &(&str, &str, Json)| json!({ "type": "tool_use", "id": id, "name": name, "input": input });
    answer("tool_use", calls.iter().map(block).collect())
}

fn result(id: &str, content: &str) -> Input {
    Input::Result { id: id.to_owned(), content: content.to_owned(), is_error: false }
}

/// The agent after these inputs, with its transcript; folded again, the transcript gives the same.
fn after(task: Task, inputs: impl IntoIterator<Item = Input>) -> (Agent, Vec<Fact>) {
    let mut agent = Agent::default();
    let mut facts = agent.apply(Input::Start(Box::new(task))).unwrap();
    for input in inputs {
        facts.extend(agent.apply(input).unwrap());
        let stored = serde_json::to_string(&facts).unwrap();
        let read: Vec<Fact> = serde_json::from_str(&stored).unwrap();
        let mut again = Agent::fold(&read);
        assert_eq!(again.catch_up(), []);
        assert_eq!(again.effect(), agent.effect());
        assert_eq!(again.totals(), agent.totals());
    }
    (agent, facts)
}

fn asked(agent: &Agent) -> Vec<Message> {
    match agent.effect() {
        Effect::Ask(request) => request.messages,
        other => panic!("{other:?}"),
    }
}

fn called(agent: &Agent) -> Vec<String> {
    match agent.effect() {
        Effect::Call(calls) => calls.into_iter().map(|call| call.id).collect(),
        other => panic!("{other:?}"),
    }
}

fn ended(agent: &Agent) -> End {
    match agent.effect() {
        Effect::End(end) => *end,
        other => panic!("{other:?}"),
    }
}

#[test]
fn text_is_the_result() {
    let (agent, _) = after(task(), [text("All good.")]);
    assert_eq!(ended(&agent), End::done(json!("All good.")));
    assert_eq!((agent.totals().turns, agent.totals().tokens), (1, 15));
    assert_eq!(agent.totals().cost, PicoUsd(7));
}

#[test]
fn requests_hold_the_fields_of_the_task() {
    let mut task = task();
    task.system = Some("Be brief.".to_owned());
    task.effort = Some("low".to_owned());
    task.limits.max_tokens = 99;
    let (agent, _) = after(task, []);
    let Effect::Ask(request) = agent.effect() else { panic!("it asks") };
    assert!(request.system.unwrap().ends_with("\n\nBe brief."));
    assert_eq!((request.max_tokens, request.tools.len()), (99, 2));
    assert_eq!(request.output_config.effort.as_deref(), Some("low"));
    assert!(request.thinking.is_some());
}

#[test]
fn parallel_results_share_one_message() {
    let both = calls(&[("a", "bash", json!({"command": "1"})), ("b", "read", json!({}))]);
    let (mut agent, _) = after(task(), [both]);
    assert_eq!(called(&agent), ["a", "b"]);
    agent.apply(result("b", "two")).unwrap();
    assert_eq!(called(&agent), ["a"]);
    agent.apply(result("a", "one")).unwrap();
    let messages = asked(&agent);
    let last = messages.last().unwrap();
    assert_eq!((messages.len(), last.role), (3, Role::User));
    let ids: Vec<_> = last.content.iter().map(|block| block.0["tool_use_id"].clone()).collect();
    assert_eq!(ids, ["a", "b"]);
}

#[test]
fn thinking_goes_back_unchanged() {
    let blocks = json!([
        { "type": "thinking", "thinking": "", "signature": "sig" },
        { "type": "redacted_thinking", "data": "x" },
        { "type": "tool_use", "id": "a", "name": "bash", "input": {}, "caller": { "type": "direct" } },
    ]);
    let (agent, _) = after(task(), [answer("tool_use", blocks.clone()), result("a", "")]);
    assert_eq!(serde_json::to_value(&asked(&agent)[1].content).unwrap(), blocks);
}

#[test]
fn paused_turns_continue() {
    let paused = answer("pause_turn", json!([{ "type": "text", "text": "One " }]));
    let (mut agent, _) = after(task(), [paused]);
    let last = asked(&agent).pop().unwrap();
    assert_eq!((last.role, last.content[0].as_text()), (Role::User, Some("Continue.")));
    agent.apply(text("two")).unwrap();
    assert_eq!(ended(&agent).output, json!("One two"));
    // A tool of the API at work: the answer goes back as it is.
    let search =
        json!({ "type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {} });
    let (agent, _) = after(task(), [answer("pause_turn", json!([search.clone()]))]);
    let last = asked(&agent).pop().unwrap();
    assert_eq!((last.role, Json::Object(last.content[0].0.clone())), (Role::Assistant, search));
}

#[test]
fn bad_endings_keep_the_text() {
    let table = [
        ("refusal", EndReason::Refusal),
        ("max_tokens", EndReason::Cut),
        ("model_context_window_exceeded", EndReason::Context),
        ("something_new", EndReason::Api),
    ];
    for (word, reason) in table {
        let blocks = json!([{ "type": "text", "text": "So far" }]);
        let (agent, _) = after(task(), [answer(word, blocks)]);
        let end = ended(&agent);
        assert_eq!(end.reason, reason, "{word}");
        assert!(end.is_partial(), "{word}");
        assert!(end.error().unwrap().starts_with(&reason.code().unwrap().to_string()), "{word}");
        assert_eq!(end.reason.status(), 1, "{word}");
    }
}

#[test]
fn cut_calls_are_never_carried_out() {
    let cut = || answer("max_tokens", json!([{ "type": "tool_use", "id": "a", "name": "bash" }]));
    let (mut agent, facts) = after(task(), [cut()]);
    assert!(matches!(facts.last(), Some(Fact::Corrected { .. })), "{facts:?}");
    let messages = asked(&agent);
    assert!(messages[1].content.iter().all(|block| block.kind() == "text"));
    agent.apply(cut()).unwrap();
    assert_eq!(ended(&agent).reason, EndReason::Cut);
}

#[test]
fn limits_fail_closed() {
    let once =
        |id: &'static str| [calls(&[(id, "bash", json!({ "command": id }))]), result(id, id)];
    let limits = Limits { turns: 2, ..Limits::default() };
    let (agent, _) = after(Task { limits, ..task() }, once("a").into_iter().chain(once("b")));
    assert_eq!((ended(&agent).reason, ended(&agent).reason.status()), (EndReason::Turns, 7));

    let limits = Limits { tokens: Some(20), ..Limits::default() };
    let (mut agent, _) = after(Task { limits, ..task() }, once("a"));
    let Effect::Ask(request) = agent.effect() else { panic!("it asks") };
    assert_eq!(request.max_tokens, 5);
    for input in once("b") {
        agent.apply(input).unwrap();
    }
    assert_eq!((ended(&agent).reason, ended(&agent).reason.status()), (EndReason::Tokens, 7));

    let (agent, _) = after(task(), [Input::Unpaid("no money".to_owned())]);
    assert_eq!(ended(&agent).error().unwrap(), "PLUE-L0004: no money");
    assert_eq!(ended(&agent).reason.status(), 7);
}

#[test]
fn endless_repetition_ends() {
    let again = |id: &'static str, result_text: &'static str| {
        [calls(&[(id, "bash", json!({"command": "test"}))]), result(id, result_text)]
    };
    let same = ["a", "b", "c"].into_iter().flat_map(|id| again(id, "red"));
    let (agent, _) = after(task(), same);
    assert_eq!(ended(&agent).reason, EndReason::Loop);
    let other = [("a", "1"), ("b", "2"), ("c", "1"), ("d", "3"), ("e", "1")];
    let (agent, _) = after(task(), other.into_iter().flat_map(|(id, text)| again(id, text)));
    assert!(matches!(agent.effect(), Effect::Ask(_)));
}

#[test]
fn excess_and_unknown_calls_are_refused() {
    let ids: Vec<String> = (0..MAX_CALLS + 2).map(|at| format!("c{at}")).collect();
    let all: Vec<_> = ids.iter().map(|id| (id.as_str(), "bash", json!({}))).collect();
    let (agent, facts) = after(task(), [calls(&all)]);
    assert_eq!(called(&agent).len(), MAX_CALLS);
    let refused = facts.iter().filter(|fact| matches!(fact, Fact::Result { is_error: true, .. }));
    assert_eq!(refused.count(), 2);
    let (agent, _) = after(task(), [calls(&[("a", "rm", json!({}))])]);
    assert_eq!(asked(&agent).last().unwrap().content[0].0["is_error"], json!(true));
}

#[test]
fn lost_runners_leave_results_unknown() {
    let both = calls(&[("a", "bash", json!({})), ("b", "bash", json!({"x": 1}))]);
    let (agent, facts) = after(task(), [both, result("a", "done"), Input::RunnerLost]);
    let messages = asked(&agent);
    let last = messages.last().unwrap();
    assert_eq!(last.content[0].0["content"], json!("done"));
    assert!(last.content[1].0["content"].as_str().unwrap().contains("unknown"));
    assert!(facts.iter().any(|fact| matches!(fact, Fact::Result { id, .. } if id == "b")));
}

#[test]
fn second_results_are_rejected() {
    let both = calls(&[("a", "bash", json!({})), ("b", "bash", json!({"x": 1}))]);
    let (mut agent, _) = after(task(), [both, result("a", "1")]);
    assert!(matches!(agent.apply(result("a", "2")), Err(Rejected(_))));
    assert!(matches!(agent.apply(result("z", "2")), Err(Rejected(_))));
    assert!(matches!(agent.apply(text("x")), Err(Rejected(_))));
}

#[test]
fn broken_answers_are_asked_for_again() {
    let broke = || Input::Broke { usage: Usage::default(), message: "cut".to_owned() };
    let (mut agent, _) = after(task(), [broke()]);
    assert_eq!(asked(&agent).len(), 1);
    agent.apply(text("Final")).unwrap();
    assert_eq!(ended(&agent).output, json!("Final"));
    let (agent, _) = after(task(), [broke(), broke(), broke()]);
    assert_eq!(ended(&agent).reason, EndReason::Api);
}

#[test]
fn structured_results_get_one_correction() {
    let schema = json!({ "type": "object", "required": ["n"] });
    let task = Task { output: Some(schema), ..task() };
    let (mut agent, _) = after(task.clone(), [text(r#" {"n": 1} "#)]);
    assert_eq!(agent.effect(), Effect::Judge(json!({"n": 1})));
    agent.apply(Input::Judged(Ok(()))).unwrap();
    assert_eq!(ended(&agent), End::done(json!({"n": 1})));

    let misfit = || Input::Judged(Err("\"n\" is a required property".to_owned()));
    let (mut agent, _) = after(task.clone(), [text("{}"), misfit()]);
    let messages = asked(&agent);
    let last = messages.last().unwrap().content[0].as_text().unwrap().to_owned();
    assert!(last.contains("required property"), "{last}");
    agent.apply(text("[]")).unwrap();
    agent.apply(misfit()).unwrap();
    let end = ended(&agent);
    assert_eq!((end.reason, end.output), (EndReason::Output, json!("[]")));

    for no_json in ["Sure!", "1e999", "{\"n\": 1e999}"] {
        let (mut agent, _) = after(task.clone(), [text(no_json)]);
        assert_eq!(asked(&agent).len(), 3, "{no_json} is sent back");
        agent.apply(text(no_json)).unwrap();
        assert_eq!(ended(&agent).reason, EndReason::Output);
    }
    let (mut agent, _) = after(task, [text("Sure!")]);
    agent.apply(text("{\"n\": 2}")).unwrap();
    assert_eq!(agent.effect(), Effect::Judge(json!({"n": 2})));
}

#[test]
fn masked_reasoning_goes_back_as_it_was_signed() {
    let blocks = json!([
        { "type": "thinking", "thinking": "the key", "signature": "key" },
        { "type": "tool_use", "id": "a", "name": "bash", "input": { "command": ["key"] } },
    ]);
    let (agent, mut facts) =
        after(task(), [answer("tool_use", blocks.clone()), result("a", "key")]);
    let sent = asked(&agent);
    for _ in 0..2 {
        for fact in &mut facts {
            fact.texts(&mut |text| *text = text.replace("key", "***"));
        }
    }
    let Some(Fact::Answered { answer, .. }) = facts.get(1) else { panic!("{facts:?}") };
    let mut shown = answer.content[0].clone();
    assert_eq!(shown.0.remove(crate::answer::SIGNED_TEXT), Some(json!("the key")));
    assert_eq!(serde_json::to_value(&shown).unwrap()["thinking"], "the ***");
    let stored = serde_json::to_string(&facts).unwrap();
    assert_eq!(stored.matches("key").count(), 2, "the signature and the signed text: {stored}");
    let again = Agent::fold(&facts);
    assert_eq!(asked(&again)[1].content[0], sent[1].content[0]);
}

#[test]
fn calls_outside_of_the_offer_are_refused() {
    let mut task = task();
    task.tools = vec![crate::tools::git_offer(&["status", "diff"]).unwrap()];
    let asked_for = [
        ("t1", "git", json!({ "command": "status" })),
        ("t2", "git", json!({ "command": "commit", "message": "x" })),
        ("t3", "git", json!({ "command": ["commit"] })),
        ("t4", "bash", json!({ "command": "git commit -m x" })),
        ("t5", "git", json!({ "command": null })),
    ];
    let (agent, facts) = after(task, [calls(&asked_for)]);
    assert_eq!(called(&agent), ["t1"]);
    let refused = facts.iter().filter(|fact| matches!(fact, Fact::Result { is_error: true, .. }));
    assert_eq!(refused.count(), 4);
}

#[test]
fn partial_results_are_the_latest_text() {
    let look = json!([
        { "type": "text", "text": "So far." },
        { "type": "tool_use", "id": "a", "name": "bash", "input": {} },
    ]);
    let silent = calls(&[("b", "read", json!({}))]);
    let limits = Limits { turns: 2, ..Limits::default() };
    let inputs = [answer("tool_use", look), result("a", "x"), silent, result("b", "y")];
    let (agent, _) = after(Task { limits, ..task() }, inputs);
    let end = ended(&agent);
    assert_eq!((end.reason, &end.output), (EndReason::Turns, &json!("So far.")));
    assert!(end.is_partial());
}

#[test]
fn fallback_models_continue_without_reasoning() {
    let blocks = json!([
        { "type": "thinking", "thinking": "hm", "signature": "s" },
        { "type": "tool_use", "id": "a", "name": "bash", "input": {} },
    ]);
    let others = vec!["claude-haiku-5-5".to_owned(), "old-model".to_owned()];
    let task = Task { fallback_models: others, ..task() };
    let gone = || Input::Unavailable("overloaded".to_owned());
    let inputs = [answer("tool_use", blocks), result("a", "x"), gone()];
    let (mut agent, _) = after(task.clone(), inputs);
    let Effect::Ask(request) = agent.effect() else { panic!("{:?}", agent.effect()) };
    assert_eq!(request.model, "claude-haiku-5-5");
    let kinds: Vec<_> = request.messages[1].content.iter().map(Block::kind).collect();
    assert_eq!(kinds, ["tool_use"]);
    agent.apply(gone()).unwrap();
    let Effect::Ask(request) = agent.effect() else { panic!("{:?}", agent.effect()) };
    assert_eq!((request.model.as_str(), request.thinking), ("old-model", None));
    agent.apply(gone()).unwrap();
    assert_eq!(ended(&agent).reason, EndReason::Api);

    let broke = || Input::Broke { usage: Usage::default(), message: "cut".to_owned() };
    let (agent, _) = after(task, [broke(), broke(), broke()]);
    assert!(matches!(agent.effect(), Effect::Ask(request) if request.model == "claude-haiku-5-5"));
}

#[test]
fn calls_that_start_agents_are_numbered_and_bounded() {
    let children = Children { tools: vec!["read".to_owned()], most: 3 };
    let task = Task { children: Some(children), ..task() };
    let started = |agent: &Agent| match agent.effect() {
        Effect::Call(calls) => {
            calls.into_iter().map(|call| (call.id, call.agent)).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    let read = |id| (id, "read", json!({}));
    let first = [read("a"), ("b", "bash", json!({})), read("c")];
    let (agent, _) = after(task.clone(), [calls(&first)]);
    let numbered = |id: &str, agent| (id.to_owned(), agent);
    let expected = [numbered("a", Some(1)), numbered("b", None), numbered("c", Some(2))];
    assert_eq!(started(&agent), expected);
    let results = ["a", "b", "c"].map(|id| result(id, "x"));
    let inputs = std::iter::once(calls(&first)).chain(results);
    let (agent, facts) = after(task, inputs.chain([calls(&[read("d"), read("e")])]));
    assert_eq!(started(&agent), [numbered("d", Some(3))]);
    let refused = format!("{:?}", facts.last().unwrap());
    assert!(refused.contains("3 agents were started"), "{refused}");
}

#[test]
fn divergence_of_a_child_ends_its_parent() {
    let (mut agent, _) = after(task(), [calls(&[("a", "bash", json!({}))])]);
    let what = "the prompt differs".to_owned();
    let divergence = Divergence { turn: 1, what, recorded: "x".to_owned(), now: "y".to_owned() };
    agent.apply(Input::Diverged(Box::new(divergence))).unwrap();
    assert_eq!(ended(&agent).reason, EndReason::Replay);
}

fn submitting(schema: Json) -> Task {
    Task { model: "other-model".to_owned(), output: Some(schema), ..task() }
}

#[test]
fn models_without_formats_submit_their_result() {
    let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } } });
    let (agent, _) = after(submitting(schema.clone()), []);
    let Effect::Ask(request) = agent.effect() else { panic!("{:?}", agent.effect()) };
    let offered = request.tools.last().unwrap();
    assert!(
        offered.name == "submit_output" && offered.strict && request.output_config.format.is_none()
    );
    let closed = json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "additionalProperties": false });
    assert_eq!(Json::Object(offered.input_schema.clone()), closed);

    let submit = |id| calls(&[(id, "submit_output", json!({ "n": 1 }))]);
    let (agent, _) = after(submitting(schema.clone()), [submit("a")]);
    assert_eq!(agent.effect(), Effect::Judge(json!({ "n": 1 })));
    let (agent, _) = after(submitting(schema.clone()), [submit("a"), Input::Judged(Ok(()))]);
    assert_eq!(ended(&agent).output, json!({ "n": 1 }));

    let wrong = || Input::Judged(Err("no".to_owned()));
    let (agent, _) = after(submitting(schema.clone()), [submit("a"), wrong()]);
    let last = asked(&agent).pop().unwrap().content.remove(0);
    assert_eq!((last.kind(), &last.0["tool_use_id"]), ("tool_result", &json!("a")));
    let (agent, _) = after(submitting(schema), [submit("a"), wrong(), submit("b"), wrong()]);
    assert_eq!(ended(&agent).reason, EndReason::Output);
}

#[test]
fn schemas_without_a_format_are_submitted() {
    let open = json!({ "type": "object", "additionalProperties": { "type": "integer" } });
    for (schema, has_format) in [(json!({ "type": "string", "maxLength": 3 }), true), (open, false)]
    {
        let (agent, _) = after(Task { output: Some(schema.clone()), ..task() }, []);
        let Effect::Ask(request) = agent.effect() else { panic!("{:?}", agent.effect()) };
        assert_eq!(request.output_config.format.is_some(), has_format, "{schema}");
        let submit = request.tools.iter().find(|tool| tool.name == "submit_output");
        assert_eq!(submit.map(|tool| tool.strict), (!has_format).then_some(false), "{schema}");
        let sent = serde_json::to_string(&*request).unwrap();
        assert!(!sent.contains("\"maxLength\":"), "{sent}");
    }
}

#[test]
fn results_are_submitted_alone() {
    let schema = json!({ "type": "array", "items": { "$ref": "#/$defs/n" }, "$defs": { "n": {} } });
    let both = calls(&[("a", "bash", json!({})), ("b", "submit_output", json!({ "result": [1] }))]);
    let (agent, facts) = after(submitting(schema.clone()), [both]);
    assert_eq!(called(&agent), ["a"]);
    assert!(format!("{facts:?}").contains("called alone"));
    let alone = calls(&[("c", "submit_output", json!({ "result": [1] }))]);
    let (agent, _) = after(submitting(schema), [alone]);
    assert_eq!(agent.effect(), Effect::Judge(json!([1])));
    // An API that holds texts to a schema is offered no such tool.
    let (_, facts) = after(task(), [calls(&[("a", "submit_output", json!({}))])]);
    assert!(format!("{facts:?}").contains("there is no such tool"));
}

#[test]
fn reused_ids_are_calls_of_their_own() {
    let first = || calls(&[("call_0", "bash", json!({ "command": "a" }))]);
    let second = || calls(&[("call_0", "bash", json!({ "command": "b" }))]);
    let (agent, _) = after(task(), [first(), result("call_0", "1"), second()]);
    let Effect::Call(open) = agent.effect() else { panic!("{:?}", agent.effect()) };
    assert_eq!((open[0].id.as_str(), open[0].unique_id()), ("call_0", "call_0#2".to_owned()));
    let (agent, _) =
        after(task(), [first(), result("call_0", "1"), second(), result("call_0", "2")]);
    let last = asked(&agent).pop().unwrap().content.remove(0);
    assert_eq!((&last.0["tool_use_id"], &last.0["content"]), (&json!("call_0"), &json!("2")));
}
