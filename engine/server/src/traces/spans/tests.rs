//! Journals as engines write them, and the spans that come of them.

use std::path::PathBuf;

use plue_executor::trace::Sampling;
use plue_flow::{RunView, StepStatus};
use plue_plan::{
    Action, Plan, RunId, RunnerId, Step,
    action::Bash,
    event::{Branch, EventType, PullRequest},
};
use plue_store::RunSource;
use serde_json::json;
use tokio::sync::mpsc;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000 + second).unwrap()
}

fn queued(visit: u32, number: u32) -> Fact {
    let (step, attempt) = (StepId::new("test"), id(visit, number));
    Fact::AttemptQueued { step, visit, number, attempt }
}

fn started(visit: u32, number: u32, runner: &str) -> Fact {
    let (step, attempt) = (StepId::new("test"), id(visit, number));
    let runner = Some(RunnerId::new(runner));
    Fact::AttemptStarted { step, attempt, runner, began: None, name: None }
}

fn ended(visit: u32, number: u32, outcome: Outcome) -> Fact {
    let (step, attempt) = (StepId::new("test"), id(visit, number));
    let output = json!({"secret": "hunter22"});
    Fact::AttemptEnded { step, attempt, outcome, output, event: None }
}

fn over(status: RunStatus) -> Fact {
    Fact::RunEnded { status, reason: Some("hunter22".to_owned()) }
}

fn id(visit: u32, number: u32) -> AttemptId {
    AttemptId::new(format!("01r:test:{visit}:{number}"))
}

/// A run that failed after two attempts, the first lost with its runner, and was retried.
fn journal() -> Vec<(Timestamp, Fact)> {
    let lost = Outcome::Infra { message: "hunter22".to_owned() };
    let failed = Outcome::Exit { code: 3, signal: None };
    let step = StepId::new("test");
    let plan = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
    let facts = [
        Fact::RunCreated { plan, only: Vec::new(), carried: Vec::new() },
        Fact::RunStarted,
        queued(1, 1),
        started(1, 1, "runner-a"),
        ended(1, 1, lost),
        queued(1, 2),
        started(1, 2, "runner-b"),
        ended(1, 2, failed),
        Fact::StepEnded { step: step.clone(), visit: 1, status: StepStatus::Failed, reason: None },
        over(RunStatus::Failed),
        Fact::RunReopened { by: "ada".to_owned(), steps: vec![step] },
        queued(2, 1),
        started(2, 1, "runner-c"),
        ended(2, 1, Outcome::Success),
        over(RunStatus::Success),
    ];
    facts.into_iter().enumerate().map(|(n, fact)| (at(i64::try_from(n).unwrap()), fact)).collect()
}

fn stored() -> StoredRun {
    let branch = |name: &str| Branch { git_ref: name.to_owned(), ..Branch::default() };
    let mut event = Event::new(EventType::PullRequest);
    event.pull_request = Some(PullRequest {
        number: 7,
        title: "hunter22".to_owned(),
        draft: false,
        labels: Vec::new(),
        base: branch("main"),
        head: branch("topic"),
        fork: false,
    });
    let view = RunView {
        status: RunStatus::Success,
        reason: Some("hunter22".to_owned()),
        started_at: None,
        ended_at: None,
    };
    let journal = journal();
    let run = RunRow {
        id: RunId::new("01r"),
        workflow: "CI".to_owned(),
        plan: format!("sha256:{}", "0".repeat(64)).parse().unwrap(),
        repo: Some("acme/app".to_owned()),
        sha: Some("5ca1ab1e".to_owned()),
        branch: Some("topic".to_owned()),
        fork: None,
        view,
        seq: journal.len() as u64,
        created_at: at(0),
        in_hand: false,
        deaths: 0,
    };
    let source = RunSource {
        source: ".plue.py".to_owned(),
        event: serde_json::to_value(event).unwrap(),
        inputs: json!({"password": "hunter22"}),
        origin: json!({}),
    };
    StoredRun { run, source, journal }
}

fn spans(stored: &StoredRun, seq: u64, traceparent: Option<&str>) -> Vec<Span> {
    spans_with(stored, &[], seq, traceparent)
}

fn spans_with(
    stored: &StoredRun,
    calls: &[CallRow],
    seq: u64,
    traceparent: Option<&str>,
) -> Vec<Span> {
    let bash = Bash { run: "echo hunter22".to_owned(), shell: "bash".to_owned() };
    let plan = Plan::new("CI", vec![Step::new("test", Action::Bash(bash))]);
    let mut origin = Origin::at(PathBuf::from("/w"));
    origin.traceparent = traceparent.map(str::to_owned);
    let traces = Traces { sampling: Sampling::ALL, ends: mpsc::channel(1).0 };
    let url = Some("https://ci.example/");
    Source { stored, calls, plan: &plan, origin: &origin, traces: &traces, url }.spans(seq)
}

fn value<'s>(span: &'s Span, name: &str) -> Option<&'s Value> {
    span.attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
}

fn attribute(span: &Span, name: &str) -> String {
    match value(span, name) {
        Some(Value::Text(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        None => String::new(),
    }
}

#[test]
fn each_end_of_a_run_has_spans() {
    let stored = stored();
    let (first, second) = (spans(&stored, 10, None), spans(&stored, 15, None));
    let ids = |spans: &[Span]| spans.iter().map(|span| span.context.span).collect::<Vec<_>>();
    assert_eq!((first.len(), second.len()), (3, 2));
    assert!(ids(&first).iter().all(|id| !ids(&second).contains(id)));
    assert_eq!((first[0].parent, second[0].parent), (None, Some(first[0].context.span)));
    assert_eq!(
        (attribute(&first[0], own::RETRY), attribute(&second[0], own::RETRY)),
        (String::new(), "1".to_owned())
    );
    assert_eq!((first[0].start, first[0].end), (at(0), at(9)));
    assert_eq!((second[0].start, second[0].end), (at(10), at(14)));
    let under =
        |spans: &[Span]| spans[1..].iter().all(|span| span.parent == Some(spans[0].context.span));
    assert!(under(&first) && under(&second));
    // The result is the same at each call.
    assert_eq!(spans(&stored, 10, None), first);
    // A journal that does not end there: nothing.
    assert_eq!(spans(&stored, 9, None), []);
}

#[test]
fn failures_name_their_cause_class() {
    let spans = spans(&stored(), 10, None);
    let results: Vec<_> = spans
        .iter()
        .map(|span| {
            let name = if span.kind == Kind::Run {
                names::CICD_PIPELINE_RESULT
            } else {
                names::CICD_PIPELINE_TASK_RUN_RESULT
            };
            (attribute(span, name), span.error, attribute(span, names::CICD_WORKER_ID))
        })
        .collect();
    let text = str::to_owned;
    assert_eq!(
        results,
        [
            (text("failure"), Some("step_failed"), String::new()),
            (text("error"), Some("infra"), text("runner-a")),
            (text("failure"), Some("exit"), text("runner-b")),
        ]
    );
    assert_eq!(attribute(&spans[2], own::EXIT_CODE), "3");
    let change = [names::VCS_CHANGE_ID, names::VCS_REF_HEAD_NAME, names::VCS_REF_BASE_NAME];
    assert_eq!(change.map(|name| attribute(&spans[0], name)), ["7", "topic", "main"]);
}

#[test]
fn spans_omit_user_texts_and_step_output() {
    let printed = format!("{:?}", spans(&stored(), 15, None));
    assert!(!printed.contains("hunter22"), "{printed}");
}

#[test]
fn calls_of_models_are_spans_below_their_attempts() {
    let call = |id: &str, attempt: AttemptId, ended_at: Option<Timestamp>| CallRow {
        id: id.to_owned(),
        attempt,
        model: "claude-x".to_owned(),
        begun_at: at(3),
        ended_at,
        has_cost: ended_at.is_some(),
        spend: Spend {
            calls: 1,
            cost: 7_000,
            input_tokens: 10,
            output_tokens: 5,
            cache_read_tokens: 2,
            cache_write_tokens: 1,
        },
    };
    let calls =
        [call("c1", id(1, 1), Some(at(4))), call("c2", id(1, 2), None), call("c3", id(2, 1), None)];
    let spans = spans_with(&stored(), &calls, 10, None);
    let [run, one, two, first, second] = spans.as_slice() else { panic!("{spans:#?}") };
    assert_eq!((first.parent, second.parent), (Some(one.context.span), Some(two.context.span)));
    assert_eq!((first.start, first.end, second.end), (at(3), at(4), at(3)));
    assert_eq!((first.kind, first.name.as_str()), (Kind::Call, "chat claude-x"));
    let tokens = [gen_ai::INPUT, gen_ai::OUTPUT, gen_ai::CACHE_READ, own::COST];
    assert_eq!(tokens.map(|name| attribute(first, name)), ["13", "5", "2", "7"]);
    assert_eq!(tokens.map(|name| attribute(second, name)), ["", "", "", "7"]);
    assert_eq!((first.error, second.error), (None, Some("broke")));
    let sums = |span: &Span| (attribute(span, own::CALLS), attribute(span, own::COST));
    let text = |calls: &str, cost: &str| (calls.to_owned(), cost.to_owned());
    assert_eq!(
        (sums(run), sums(one), sums(two)),
        (text("2", "14"), text("1", "7"), text("1", "7"))
    );
}

#[test]
fn subagents_have_their_own_spans() {
    let call = |id: &str, attempt: AttemptId, start: i64, ended: i64| CallRow {
        id: id.to_owned(),
        attempt,
        model: "claude-x".to_owned(),
        begun_at: at(start),
        ended_at: Some(at(ended)),
        has_cost: true,
        spend: Spend { calls: 1, cost: 7_000, ..Spend::default() },
    };
    let (own_id, below) = (id(1, 1), id(1, 1).agent(2));
    let calls = [
        call("c1", own_id, 2, 3),
        call("c2", below.clone(), 3, 4),
        call("c3", below.agent(1), 5, 6),
    ];
    let spans = spans_with(&stored(), &calls, 10, None);
    let [run, one, _, agent, deeper, _, second, third] = spans.as_slice() else {
        panic!("{spans:#?}")
    };
    assert_eq!((agent.name.as_str(), deeper.name.as_str()), ("agent 2", "agent 2.1"));
    assert_eq!((agent.parent, deeper.parent), (Some(one.context.span), Some(agent.context.span)));
    assert_eq!((agent.start, agent.end), (at(3), at(6)));
    assert_eq!(
        (second.parent, third.parent),
        (Some(agent.context.span), Some(deeper.context.span))
    );
    let counted = [run, one, agent, deeper].map(|span| attribute(span, own::CALLS));
    assert_eq!(counted, ["3", "3", "2", "1"]);
}

#[test]
fn the_trace_of_a_caller_continues() {
    let caller = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let spans = spans(&stored(), 10, Some(caller));
    let caller: TraceContext = caller.parse().unwrap();
    assert!(spans.iter().all(|span| span.context.trace == caller.trace));
    assert_eq!((spans[0].parent, spans[0].remote), (Some(caller.span), true));
    assert!(!spans[1].remote);
}
