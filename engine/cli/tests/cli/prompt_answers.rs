//! `plue prompt test` on answers: recorded, live, and no longer what was recorded.

use serde_json::{Value as Json, json};

use crate::{
    scripted::Scripted,
    support::{Bench, CliOutput},
};

const REVIEW: &str = "---\nname: review\nmodel: claude-opus-5-5\noutput:\n  type: object\n  required: [findings]\n  properties:\n    findings: {type: array}\nschema:\n  type: object\n  properties:\n    code: {type: string}\n---\nReview {{code}}\n";
const ANSWERS: &str = ".plue/prompts/review.answers.json";

/// A repository with a prompt and cases of it.
fn bench(cases: &Json) -> Bench {
    let bench = Bench::new();
    bench.write(".plue/prompts/review.md", REVIEW);
    bench.write(".plue/prompts/review.cases.json", cases.to_string());
    bench
}

fn one_case() -> Json {
    json!([{
        "id": "slug", "inputs": { "code": "a/b" }, "contains": "Review a/b",
        "answer": {
            "contains": "capitals", "lacks": "Bob", "matches": "ca[a-z]+s",
            "equals": { "findings.0.line": 5 },
            "schema": { "type": "object", "properties": { "findings": { "maxItems": 1 } } },
        },
    }])
}

fn finding(title: &str) -> Json {
    let text = json!({ "findings": [{ "line": 5, "title": title }] }).to_string();
    json!({ "text": text, "usage": { "input_tokens": 100, "output_tokens": 20 } })
}

fn ask(claude: &Scripted, bench: &Bench, args: &[&str]) -> CliOutput {
    let args = [&["prompt", "test"], args].concat();
    claude.plue(bench, &args)
}

#[test]
fn recorded_answers_need_neither_model_nor_key() {
    let claude = Scripted::new(&json!([finding("capitals stay, sk-ant-canary")]));
    let bench = bench(&one_case());
    let output = bench.plue(&["prompt", "test"]).ends(1);
    output.reports(&["PLUE-T0032", "no answer is recorded", "--record"]);
    let output = ask(&claude, &bench, &["--record"]).ends(0);
    output.reports(&["1 cases: 1 passed, 0 failed; $0."]);
    assert_eq!(claude.state()["requests"], 1);
    assert_eq!(claude.state()["violations"], json!([]));
    let recorded = std::fs::read_to_string(bench.repo().join(ANSWERS)).unwrap();
    assert!(recorded.contains("capitals stay") && !recorded.contains("sk-ant-canary"));
    // Without a key, and with one: the model is not asked again.
    bench.plue(&["prompt", "test"]).ends(0).reports(&["1 passed, 0 failed"]);
    let output = ask(&claude, &bench, &["review", "--output", "json"]).ends(0).json();
    assert_eq!(claude.state()["requests"], 1);
    let answer = &output["cases"][0]["answer"];
    assert_eq!((&answer["source"], &answer["cost_usd"]), (&json!("recorded"), &json!(0.0)));
    assert_eq!(answer["output"]["findings"][0]["line"], 5, "{output}");
}

#[test]
fn recorded_answers_are_for_one_request() {
    let claude = Scripted::new(&json!([finding("capitals stay")]));
    let bench = bench(&one_case());
    ask(&claude, &bench, &["--record"]).ends(0);
    bench.write(".plue/prompts/review.md", REVIEW.replace("\nReview", "\nReview and fix"));
    let mut cases = one_case();
    cases[0].as_object_mut().unwrap().remove("contains");
    bench.write(".plue/prompts/review.cases.json", cases.to_string());
    let output = ask(&claude, &bench, &[]).ends(1);
    output.reports(&[
        "PLUE-T0032",
        "recorded for another request: turn 1: the prompt differs",
        "recorded \"Review a/b\"",
        "now \"Review and fix a/b\"",
    ]);
    bench.write(".plue/prompts/review.md", REVIEW.replace("opus-5-5", "sonnet-5-5"));
    ask(&claude, &bench, &[]).ends(1).reports(&["the model differs"]);
    assert_eq!(claude.state()["requests"], 1);
}

#[test]
fn live_answers_are_judged_and_not_stored() {
    let claude = Scripted::new(&json!([finding("Bob wrote it")]));
    let bench = bench(&one_case());
    let output = ask(&claude, &bench, &["--live"]).ends(1);
    output.reports(&[
        "PLUE-T0031",
        "does not contain \"capitals\"",
        "contains \"Bob\"",
        "does not match \"ca[a-z]+s\"",
        "the answer is: {\"findings\":",
    ]);
    assert!(!bench.repo().join(ANSWERS).exists());
    bench.plue(&["prompt", "test", "--live"]).ends(2).reports(&["PLUE-L0001"]);
}

#[test]
fn prompt_tests_spend_no_more_than_their_budget() {
    let claude = Scripted::new(&json!([finding("capitals")]));
    let bench = bench(&one_case());
    let output = ask(&claude, &bench, &["--record", "--budget", "0.000001"]).ends(7);
    output.reports(&["PLUE-L0004", "`--budget`", "0 passed, 1 failed; $0.0000 spent"]);
    assert_eq!(claude.state()["requests"], 0);
    assert!(!bench.repo().join(ANSWERS).exists());
}

#[test]
fn tools_of_cases_give_their_results() {
    let script = json!([
        { "thinking": "hm", "tool_calls": [
            { "name": "read", "input": { "path": "slug.py" }, "id": "toolu_A" },
        ] },
        { "text": "capitals stay", "expect": [
            { "path": "messages.-1.content.0", "matches": "def slug" },
        ] },
    ]);
    let claude = Scripted::new(&script);
    let bench = Bench::new();
    bench.write(".plue/prompts/look.md", "---\nname: look\ntools: [read]\n---\nLook.\n");
    let case = |results: Json| {
        json!([{ "id": "a", "answer": { "contains": "capitals", "results": results } }]).to_string()
    };
    let cases = ".plue/prompts/look.cases.json";
    bench.write(cases, case(json!({ "read": "def slug(): pass" })));
    ask(&claude, &bench, &["--record", "--case", "a"]).ends(0);
    assert_eq!(claude.state()["violations"], json!([]), "{}", claude.state());
    let recorded = std::fs::read_to_string(bench.repo().join(".plue/prompts/look.answers.json"));
    assert!(!recorded.unwrap().contains("thinking"), "reasoning is not committed");
    bench.plue(&["prompt", "test"]).ends(0);
    bench.write(cases, case(json!({ "read": "def other(): pass" })));
    let output = bench.plue(&["prompt", "test"]).ends(1);
    output.reports(&["turn 2: the result of `read` (toolu_A) differs"]);
    bench.write(cases, case(json!({})));
    bench.plue(&["prompt", "test"]).ends(1).reports(&["the model calls `read`"]);
    bench.plue(&["prompt", "test", "--case", "b"]).ends(4).reports(&["there is no case `b`"]);
}
