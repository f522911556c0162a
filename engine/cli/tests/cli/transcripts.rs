//! Transcripts of Claude steps: shown, folded, searched, of this machine and of a server.

use serde_json::{Value as Json, json};

use crate::{
    scripted::Scripted,
    serve::Served,
    support::{Bench, CliOutput},
};

const WORKFLOW: &str = "def workflow():
    return Plan(name='Ask', triggers=[Trigger.on_manual()], steps=[
        Step.llm('ask', prompt='Look around.', tools=['bash']),
        Step.bash('no', 'true'),
    ])
";

/// A turn that thinks and calls a tool with many lines, and one that ends.
fn script() -> Json {
    json!([
        {
            "thinking": "Hm, a file.", "text": "Let me look.",
            "tool_calls": [{ "name": "bash", "input": { "command": "seq 100 130" }, "id": "toolu_A" }],
        },
        { "text": "Your key is sk-ant-canary." },
    ])
}

fn run(claude: &Scripted, bench: &Bench) -> CliOutput {
    claude.plue(bench, &["run"])
}

#[test]
fn row_1_20_results_are_one_record() {
    let write = |path: &str, id: &str| json!({ "name": "write", "input": { "path": path, "content": "x" }, "id": id });
    let claude = Scripted::new(&json!([
        { "text": "First.", "tool_calls": [write("b.txt", "toolu_A"), write("../c.txt", "toolu_B")],
          "usage": { "input_tokens": 100, "output_tokens": 7 } },
        { "tool_calls": [write("a.txt", "toolu_C")], "usage": { "input_tokens": 10, "output_tokens": 1 } },
        { "text": "{\"n\": 1}", "usage": { "input_tokens": 10, "output_tokens": 2, "cache_read_input_tokens": 90 } },
    ]));
    let schema = "{'type': 'object', 'properties': {'n': {'type': 'integer'}}}";
    let bench = Bench::with(&format!(
        "def workflow():\n    return Plan(name='Ask', steps=[Step.llm('ask', prompt='Go.', tools=['write'], output={schema})])\n"
    ));
    run(&claude, &bench).ends(0);
    let document = bench.plue(&["transcript", "last", "--output", "json"]).ends(0).json();
    let result = &document["results"][0];
    assert_eq!((&result["step"], &result["structured"]), (&json!("ask"), &json!({ "n": 1 })));
    assert_eq!(result["files_changed"], json!(["a.txt", "b.txt"]), "not the refused one");
    let usage = &result["usage"];
    let counts = ["calls", "input_tokens", "output_tokens", "cache_read_tokens"]
        .map(|it| usage[it].as_u64());
    assert_eq!(counts, [Some(3), Some(120), Some(10), Some(90)]);
    assert!(usage["cost_usd"].as_f64().unwrap() > 0.0, "{usage}");
    assert_eq!((&result["turns"], &result["stop_reason"]), (&json!(3), &json!("end_turn")));

    let claude = Scripted::new(&json!([{ "text": "Half.", "stop_reason": "max_tokens" }]));
    run(&claude, &bench).ends(1);
    let document = bench.plue(&["transcript", "last", "--output", "json"]).ends(0).json();
    let result = &document["results"][0];
    assert_eq!(
        (&result["text"], &result["structured"], &result["end"]),
        (&json!("Half."), &Json::Null, &json!("cut"))
    );
    assert!(result["error"].as_str().unwrap().starts_with("PLUE-L0007"), "{result}");
}

#[test]
fn transcripts_are_shown_and_searched() {
    let claude = Scripted::new(&script());
    let bench = Bench::with(WORKFLOW);
    run(&claude, &bench).ends(0);
    let folded = bench.plue(&["transcript", "last", "ask"]).ends(0);
    folded.shows(&["── ask ──", "tools: bash", "> Look around.", "… Hm, a file.", "Let me look."]);
    folded.shows(&[
        "▸ bash {\"command\":\"seq 100 130\"}",
        "✓ bash",
        "  107\n",
        "more lines",
        "[done]",
    ]);
    folded.shows(&["[turn 1: ", "so far]", "Your key is ***."]);
    assert!(!folded.stdout.contains("  108\n"), "{}", folded.stdout);
    bench.plue(&["transcript", "last", "--full"]).ends(0).shows(&["  130\n"]);
    let hits = bench.plue(&["transcript", "last", "--search", "12"]).ends(0).stdout;
    assert!(hits.lines().count() >= 11 && hits.contains("ask:3: 112\n"), "{hits}");
    bench.plue(&["transcript", "last", "--search", "sk-ant"]).ends(0).reports(&["nowhere"]);
    bench.plue(&["transcript", "last", "no"]).ends(0).reports(&["no has no transcript"]);
    let document = bench.plue(&["transcript", "last", "--output", "json"]).ends(0).json();
    let kinds: Vec<_> =
        document["facts"].as_array().unwrap().iter().map(|it| &it["fact"]["fact"]).collect();
    assert_eq!(kinds, ["started", "answered", "result", "answered", "ended"]);
    let shown = bench.plue(&["transcript", "last", "--output", "json"]).ends(0).json();
    let result = &shown["results"][0];
    assert_eq!((&result["text"], &result["structured"]), (&json!("Your key is ***."), &Json::Null));
    assert_eq!((&result["turns"], &result["tool_calls"]), (&json!(2), &json!(1)));
    assert_eq!((&result["stop_reason"], &result["end"]), (&json!("end_turn"), &json!("done")));
    bench.plue(&["transcript", "last", "nothing"]).ends(4);
    bench.plue(&["logs", "last", "ask"]).ends(0).shows(&[
        "[plue: turn 1, ",
        "so far]",
        "✓ bash: 31 lines",
    ]);
}

#[test]
fn transcripts_of_servers_are_shown() {
    let claude = Scripted::new(&script());
    let variables = [("ANTHROPIC_API_KEY", "sk-ant-canary"), ("ANTHROPIC_BASE_URL", &claude.url)];
    let served = Served::in_environment(&variables);
    served.bench.write(".plue.py", WORKFLOW);
    served.push();
    served.remotely(&["run", "Ask"]).ends(0);
    let shown = served.remotely(&["transcript", "last", "ask"]).ends(0);
    shown.shows(&["> Look around.", "✓ bash", "Your key is ***."]);
    served.remotely(&["transcript", "last", "--search", "112"]).ends(0).shows(&["ask:3: 112\n"]);
    let document = served.remotely(&["status", "last", "--output", "json"]).ends(0).json();
    let run = document["run"]["id"].as_str().unwrap();
    let attempts = served.get(&format!("/api/v1/runs/{run}/attempts"));
    let ask = attempts.as_array().unwrap().iter().find(|it| it["step"] == "ask").unwrap();
    let path = format!("/api/v1/runs/{run}/attempts/{}/transcript", ask["id"].as_str().unwrap());
    let mut query = "?limit=2".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = served.get(&format!("{path}{query}"));
        seen.extend(page["items"].as_array().unwrap().iter().map(|it| it["seq"].as_u64().unwrap()));
        let Some(next) = page["next"].as_str() else { break };
        query = format!("?limit=2&cursor={next}");
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    let found = served.get(&format!("{path}?q=112"));
    assert_eq!(found["items"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(served.ask("GET", &format!("{path}?cursor=x"), None).0, 400);
}

#[test]
fn partial_results_are_kept_and_labelled() {
    let claude = Scripted::new(&json!([{
        "text": "Half of it.",
        "tool_calls": [{ "name": "bash", "input": { "command": "true" } }],
    }]));
    let bench = Bench::with(&WORKFLOW.replace("tools=", "max_turns=1, tools="));
    run(&claude, &bench).ends(7);
    bench.plue(&["explain", "last", "ask"]).shows(&["PLUE-L0002", "`plue transcript`"]);
    let shown = bench.plue(&["transcript", "last", "ask"]).ends(0).stdout;
    assert!(shown.contains("[partial result]\nHalf of it.\n[PLUE-L0002"), "{shown}");
}
