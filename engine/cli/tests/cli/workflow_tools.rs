//! Workflows of the repository as tools of an agent: child runs with typed inputs and a slice of the budget.

use serde_json::{Value as Json, json};

use crate::{
    scripted::Scripted,
    support::{Bench, CliOutput},
};

const INNER: &str = r#"
def workflow(ctx):
    n = (ctx.inputs or {}).get("n", 0)
    return Plan(name="inner", description="Doubles a number.",
        inputs={"n": Input(type="integer", required=True, description="The number")},
        outputs={"twice": ref("double", "value")},
        steps=[Step.bash("double", 'echo x >> ran; echo "value=$((N * 2))" > "$PLUE_OUTPUT"', env={"N": str(n)})])
"#;
/// Waits for the file `go` before it ends.
const SLOW: &str = r#"
def workflow():
    run = 'echo x >> ran; touch up; until test -e go; do sleep 0.01; done'
    return Plan(name="slow", steps=[Step.bash("wait", run)])
"#;
const ASKS: &str = r#"
def workflow():
    return Plan(name="asks", outputs={"text": ref("ask")}, steps=[Step.llm("ask", prompt="Ask.", max_tokens=1000)])
"#;
/// A question that costs more than some cents.
const LONG: &str = r#"
def workflow():
    return Plan(name="long", steps=[Step.llm("ask", prompt="Ask. " * 10000, max_tokens=1000)])
"#;

fn bench(options: &str) -> Bench {
    let bench = Bench::new();
    bench.write("inner.plue.py", INNER);
    bench.write("slow.plue.py", SLOW);
    bench.write("asks.plue.py", ASKS);
    bench.write("long.plue.py", LONG);
    let step = format!("Step.llm('lead', prompt='Lead.', role='orchestrator', {options})");
    let plan = format!("def workflow():\n    return Plan(name='Lead', steps=[{step}])\n");
    bench.write("lead.plue.py", plan);
    bench.commit();
    bench
}

fn of(prompt: &str, messages: u64) -> Json {
    json!([
        { "path": "messages.0.content.0.text", "equals": prompt },
        { "path": "messages", "length": messages },
    ])
}

fn text_turn(prompt: &str, messages: u64, text: &str, expect: Json) -> Json {
    let usage = json!({ "input_tokens": 1_000, "output_tokens": 200 });
    json!({ "match": of(prompt, messages), "text": text, "usage": usage, "expect": expect })
}

fn start(calls: Json) -> Json {
    let mut turn = text_turn("Lead.", 1, "I start it.", json!([]));
    turn["tool_calls"] = calls;
    turn
}

fn call(id: &str, workflow: &str, input: Json) -> Json {
    json!({ "name": format!("workflow_{workflow}"), "id": id, "input": input })
}

fn result(at: u32, words: &str) -> Json {
    json!({ "path": format!("messages.-1.content.{at}.content"), "matches": words })
}

fn run(claude: &Scripted, bench: &Bench) -> CliOutput {
    claude.plue(bench, &["run", "Lead"])
}

#[track_caller]
fn clean(claude: &Scripted, requests: u64) {
    let state = claude.state();
    assert_eq!(state["violations"], json!([]), "{state}");
    assert_eq!(state["requests"], requests, "{state}");
}

/// Workflow and status of all runs, the newest first.
fn runs(bench: &Bench) -> Vec<(String, String)> {
    let listed = bench.plue(&["runs", "--output", "json"]).ends(0).json();
    let text = |run: &Json, field: &str| run[field].as_str().unwrap().to_owned();
    let all = listed["runs"].as_array().unwrap().iter();
    all.map(|run| (text(run, "workflow"), text(run, "status"))).collect()
}

fn lines(bench: &Bench, name: &str) -> usize {
    std::fs::read_to_string(bench.repo().join(name)).map_or(0, |text| text.lines().count())
}

#[test]
fn row_2_29_orchestrators_start_workflows_with_typed_inputs() {
    let calls = json!([
        call("toolu_A", "inner", json!({ "inputs": { "n": 20 }, "budget_usd": 0.5 })),
        call("toolu_B", "inner", json!({ "inputs": { "n": "many" } })),
        call("toolu_C", "inner", json!({ "inputs": { "n": 1 }, "budget_usd": -1 })),
        call("toolu_D", "slow", json!({})),
    ]);
    let mut first = start(calls);
    first["expect"] = json!([
        { "path": "tools.-1.name", "equals": "workflow_inner" },
        { "path": "tools.-1.description", "matches": "Doubles a number" },
        { "path": "tools.-1.input_schema.properties.inputs.properties.n.type", "equals": "integer" },
        { "path": "tools.-1.input_schema.required", "equals": ["inputs"] },
    ]);
    let ends = json!([
        result(0, "\"status\":\"success\",\"outputs\":\\{\"twice\":\"40\"\\}"),
        result(1, "`n` is no integer"),
        result(2, "dollars above 0"),
        result(3, "no such tool"),
        { "path": "messages.-1.content.0.is_error", "exists": false },
        { "path": "messages.-1.content.1.is_error", "equals": true },
    ]);
    let claude = Scripted::new(&json!([first, text_turn("Lead.", 3, "Done.", ends)]));
    let bench = bench("tools=['workflow(inner)']");
    run(&claude, &bench).ends(0);
    clean(&claude, 2);
    let done = |name: &str| (name.to_owned(), "success".to_owned());
    assert_eq!(runs(&bench), [done("inner"), done("Lead")]);
    bench.plue(&["transcript", "last", "lead"]).shows(&["workflow_inner (toolu_A) starts run "]);
    let facts = bench.plue(&["transcript", "last", "--output", "jsonl"]).ends(0).stdout;
    assert_eq!(facts.matches("\"fact\":\"run_started\"").count(), 1, "{facts}");
}

#[test]
fn started_runs_draw_from_step_and_slice() {
    let of_step =
        "PLUE-L0004: .*the budget of step `lead` of run .* which started this one, is \\$0\\.0500";
    let of_call =
        "PLUE-L0004: .*the budget of the call in run .* that started this one is \\$0\\.0300";
    for (options, input, words) in [
        (", budget=Budget(usd=0.05)", json!({}), of_step),
        ("", json!({ "budget_usd": 0.03 }), of_call),
    ] {
        let claude = Scripted::new(&json!([
            start(json!([call("toolu_A", "long", input)])),
            text_turn("Lead.", 3, "Done.", json!([result(0, words)])),
        ]));
        let bench = bench(&format!("tools=['workflow(long)'], max_tokens=300{options}"));
        run(&claude, &bench).ends(0);
        clean(&claude, 2);
        let ended = |name: &str, how: &str| (name.to_owned(), how.to_owned());
        assert_eq!(runs(&bench), [ended("long", "failed"), ended("Lead", "success")]);
    }
}

#[test]
fn started_runs_are_replayed() {
    let claude = Scripted::new(&json!([
        start(json!([call("toolu_A", "asks", json!({}))])),
        text_turn("Ask.", 1, "Asked.", json!([])),
        text_turn(
            "Lead.",
            3,
            "Done.",
            json!([result(0, "\"outputs\":\\{\"text\":\"Asked\\.\"\\}")])
        ),
    ]));
    let bench = bench("tools=['workflow(asks)']");
    run(&claude, &bench).ends(0);
    clean(&claude, 3);
    let listed = bench.plue(&["runs", "--output", "json"]).ends(0).json();
    let lead = listed["runs"].as_array().unwrap().iter().find(|run| run["workflow"] == "Lead");
    let id = lead.unwrap()["id"].as_str().unwrap().to_owned();
    drop(claude);
    let replayed = bench.plue(&["replay", &id, "--keep-files"]).ends(0);
    replayed.shows(&["as recorded: 3 answers"]);
}

#[test]
fn cancelled_agents_cancel_the_runs_that_they_started() {
    let claude = Scripted::new(&json!([start(json!([call("toolu_A", "slow", json!({}))]))]));
    let bench = bench("tools=['workflow(slow)']");
    let mut engine = claude.with_key(&mut bench.command(&["run", "Lead"])).spawn().unwrap();
    while lines(&bench, "ran") == 0 {
        assert!(engine.try_wait().unwrap().is_none(), "it ended early");
    }
    let listed = bench.plue(&["runs", "--output", "json"]).ends(0).json();
    let lead = listed["runs"].as_array().unwrap().iter().find(|run| run["workflow"] == "Lead");
    let id = lead.unwrap()["id"].as_str().unwrap().to_owned();
    bench.plue(&["cancel", &id]).ends(0);
    assert!(!engine.wait().unwrap().success());
    let cancelled = |name: &str| (name.to_owned(), "cancelled".to_owned());
    assert_eq!(runs(&bench), [cancelled("slow"), cancelled("Lead")]);
    clean(&claude, 1);
}

#[test]
fn killed_engines_follow_the_same_started_run() {
    let claude = Scripted::new(&json!([
        start(json!([call("toolu_A", "slow", json!({}))])),
        text_turn("Lead.", 3, "Done.", json!([result(0, "\"status\":\"success\"")])),
    ]));
    let bench = bench("tools=['workflow(slow)']");
    let mut engine = claude.with_key(&mut bench.command(&["run", "Lead"])).spawn().unwrap();
    while lines(&bench, "ran") == 0 {
        assert!(engine.try_wait().unwrap().is_none(), "it ended early");
    }
    let listed = bench.plue(&["runs", "--output", "json"]).ends(0).json();
    let lead = listed["runs"].as_array().unwrap().iter().find(|run| run["workflow"] == "Lead");
    let id = lead.unwrap()["id"].as_str().unwrap().to_owned();
    engine.kill().unwrap();
    engine.wait().unwrap();
    bench.write("go", "");
    claude.plue(&bench, &["resume", &id]).ends(0);
    clean(&claude, 2);
    assert_eq!(lines(&bench, "ran"), 1, "its step ran once");
    let done = |name: &str| (name.to_owned(), "success".to_owned());
    assert_eq!(runs(&bench), [done("slow"), done("Lead")]);
}

#[test]
fn tools_of_unknown_workflows_are_refused() {
    let claude = Scripted::new(&json!([]));
    for (tool, words) in [("none", "`workflow(none)`"), ("Lead", "would start each other for ever")]
    {
        let bench = bench(&format!("tools=['workflow({tool})']"));
        run(&claude, &bench).ends(1);
        bench.plue(&["explain", "last", "lead"]).shows(&["PLUE-L0022", words]);
    }
    clean(&claude, 0);
}
