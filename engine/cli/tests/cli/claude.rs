//! Claude steps through the program, against a scripted Claude.

use serde_json::{Value as Json, json};

use crate::{
    scripted::Scripted,
    serve::Served,
    support::{Bench, CliOutput, snapshot},
};

impl Scripted {
    /// `plue` with this server and a key.
    pub(crate) fn plue(&self, bench: &Bench, args: &[&str]) -> CliOutput {
        CliOutput::of(self.with_key(&mut bench.command(args)).output().unwrap())
    }

    /// It was asked so often, and no request was against the API's rules.
    #[track_caller]
    pub(crate) fn asked(&self, requests: u64) {
        let state = self.state();
        assert_eq!(state["violations"], json!([]), "{state}");
        assert_eq!(state["requests"], requests, "{state}");
    }

    /// Every request with its body.
    fn log(&self) -> Json {
        serde_json::from_str(&self.request("GET", "/_fake/log", "")).unwrap()
    }
}

fn workflow(step: &str) -> String {
    format!("def workflow():\n    return Plan(name=\"Ask\", steps=[{step}])\n")
}

fn usage(input: u64, output: u64) -> Json {
    json!({ "input_tokens": input, "output_tokens": output })
}

#[test]
fn text_streams_into_the_log() {
    let claude =
        Scripted::new(&json!([{ "text": "All good.", "chunk": 3, "usage": usage(100, 7) }]));
    let bench = Bench::with(&workflow("Step.llm('ask', prompt='Look.')"));
    claude.plue(&bench, &["run"]).ends(0);
    claude.asked(1);
    let logs = claude.plue(&bench, &["logs", "last"]).ends(0);
    logs.shows(&["All good.", "1 turns, 107 tokens"]);
    let status = claude.plue(&bench, &["status", "last", "--output", "json"]).ends(0).json();
    assert_eq!(status["steps"][0]["output"], "All good.", "{status}");
}

#[test]
fn row_1_19_tools_run_on_the_runner() {
    let script = json!([
        {
            "thinking": "hm", "text": "Let me look.",
            "tool_calls": [
                { "name": "bash", "input": { "command": "echo hello; echo x >> ran" }, "id": "toolu_A" },
                { "name": "bash", "input": { "command": "cat /proc/self/environ; env" }, "id": "toolu_B" },
            ],
        },
        { "text": "It says hello.", "expect": [
            { "path": "messages", "length": 3 },
            { "path": "messages.-1.content", "length": 2 },
            { "path": "messages.-1.content.0.tool_use_id", "equals": "toolu_A" },
            { "path": "messages.-1.content.0", "matches": "hello" },
        ] },
    ]);
    let claude = Scripted::new(&script);
    let bench = Bench::with(&workflow("Step.llm('ask', prompt='Look.', tools=['bash'])"));
    claude.plue(&bench, &["run"]).ends(0);
    claude.asked(2);
    assert_eq!(std::fs::read_to_string(bench.repo().join("ran")).unwrap(), "x\n");
    claude.plue(&bench, &["logs", "last"]).ends(0).shows(&["▸ bash", "It says hello."]);
    assert!(!claude.log().to_string().contains("canary"), "no tool sees the key");
}

#[test]
fn row_3_16_tools_outside_of_the_list_never_run() {
    let script = json!([
        {
            "tool_calls": [
                { "name": "git", "input": { "command": "status" }, "id": "toolu_A" },
                { "name": "git", "input": { "command": "commit", "message": "x" }, "id": "toolu_B" },
                { "name": "bash", "input": { "command": "echo x >> ran" }, "id": "toolu_C" },
            ],
        },
        { "text": "Done.", "expect": [
            { "path": "messages.-1.content", "length": 3 },
            { "path": "messages.-1.content.0", "matches": "new.txt" },
            { "path": "messages.-1.content.1", "matches": "allows for `command` only status, diff" },
            { "path": "messages.-1.content.1.is_error", "equals": true },
            { "path": "messages.-1.content.2.is_error", "equals": true },
        ] },
    ]);
    let claude = Scripted::new(&script);
    let step = "Step.llm('ask', prompt='Look.', tools=['git_status', 'git_diff'])";
    let bench = Bench::with(&workflow(step));
    bench.write("new.txt", "new");
    let head = || bench.git(&["rev-parse", "HEAD"]);
    let before = head();
    claude.plue(&bench, &["run"]).ends(0);
    claude.asked(2);
    assert_eq!(head(), before);
    assert!(!bench.repo().join("ran").exists());
}

#[test]
fn keys_are_stored_nowhere() {
    let script = json!([{ "text": "sk-ant-canary is your key" }]);
    let claude = Scripted::new(&script);
    let bench = Bench::with(&workflow("Step.llm('ask', prompt='Say it.')"));
    claude.plue(&bench, &["run"]).ends(0);
    let files = snapshot(&bench.state());
    for (path, bytes) in files {
        let found = bytes.windows(13).any(|window| window == b"sk-ant-canary");
        assert!(!found, "{}", path.display());
    }
}

#[test]
fn usage_and_cost_are_shown() {
    let used = json!({
        "input_tokens": 1_000, "output_tokens": 7,
        "cache_read_input_tokens": 20, "cache_creation_input_tokens": 5,
    });
    let claude = Scripted::new(&json!([{ "text": "Fine.", "usage": used, "repeat": 2 }]));
    let asks =
        "Step.llm('ask', prompt='a'), Step.llm('again', prompt='b'), Step.bash('no', 'true')";
    let bench = Bench::with(&workflow(asks));
    let file = bench.home().join("plue.prom");
    claude.plue(&bench, &["run", "--metrics-file", file.to_str().unwrap()]).ends(0);
    claude.asked(2);
    let document = bench.plue(&["status", "last", "--output", "json"]).ends(0).json();
    let sum = &document["usage"];
    assert_eq!((&sum["calls"], &sum["input_tokens"]), (&json!(2), &json!(2_000)), "{document}");
    assert_eq!((&sum["output_tokens"], &sum["cache_read_tokens"]), (&json!(14), &json!(40)));
    assert_eq!(sum["cache_write_tokens"], 10);
    let step = |name: &str| {
        let steps = document["steps"].as_array().unwrap();
        steps.iter().find(|step| step["step"] == name).unwrap()["usage"].clone()
    };
    assert_eq!(step("ask"), step("again"));
    assert_eq!(step("no"), Json::Null);
    let cost = |usage: &Json| usage["cost_usd"].as_f64().unwrap();
    assert!(cost(sum) > 0.0 && (cost(sum) - 2.0 * cost(&step("ask"))).abs() < 1e-9, "{document}");
    let text = bench.plue(&["status", "last"]).ends(0);
    text.shows(&["CLAUDE", "TOKENS IN", "again", "1000", &format!("${:.4}", cost(sum))]);
    let metrics = std::fs::read_to_string(file).unwrap();
    let nanodollars = (cost(sum) * 1e9).round();
    for line in [
        "plue_claude_calls_total{outcome=\"answered\"} 2",
        "plue_claude_tokens_total{kind=\"input\"} 2000",
        "plue_claude_tokens_total{kind=\"cache_read\"} 40",
        &format!("plue_claude_cost_nanodollars_total {nanodollars}"),
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
}

#[test]
fn runs_without_claude_show_no_usage() {
    let bench = Bench::with(&workflow("Step.bash('no', 'true')"));
    bench.plue(&["run"]).ends(0);
    let output = bench.plue(&["status", "last", "--output", "json"]).ends(0);
    assert!(!output.stdout.contains("usage"), "{}", output.stdout);
    assert!(!bench.plue(&["status", "last"]).ends(0).stdout.contains("CLAUDE"));
}

#[test]
fn servers_report_usage_and_limits() {
    let script = json!([{
        "tool_calls": [{ "name": "bash", "input": { "command": "echo x" } }], "repeat": "forever",
    }]);
    let claude = Scripted::new(&script);
    let variables = [("ANTHROPIC_API_KEY", "sk-ant-canary"), ("ANTHROPIC_BASE_URL", &claude.url)];
    let served = Served::in_environment(&variables);
    let step = "Step.llm('ask', prompt='Go.', tools=['bash'], max_turns=2)";
    let source = format!(
        "def workflow():\n    return Plan(name='CI', triggers=[Trigger.on_manual()], steps=[{step}])\n"
    );
    served.bench.write(".plue.py", source);
    served.push();
    served.remotely(&["run", "CI"]).ends(7);
    let document = served.remotely(&["status", "last", "--output", "json"]).ends(0).json();
    assert_eq!(document["usage"]["calls"], 2, "{document}");
    let run = document["run"]["id"].as_str().unwrap();
    let steps = served.get(&format!("/api/v1/runs/{run}/steps"));
    assert_eq!(steps[0]["usage"], document["usage"]);
    let (_, metrics) = served.ask("GET", "/metrics", None);
    let calls = "plue_claude_calls_total{outcome=\"answered\"} 2";
    assert!(metrics.lines().any(|line| line == calls), "{metrics}");
}

#[test]
fn steps_without_a_key_fail_with_advice() {
    let bench = Bench::with(&workflow("Step.llm('ask', prompt='Look.')"));
    bench.plue(&["run"]).ends(1);
    bench.plue(&["explain", "last", "ask"]).shows(&["PLUE-L0001", "ANTHROPIC_API_KEY"]);
}

#[test]
fn limits_fail_with_their_code() {
    let endless = json!([{
        "tool_calls": [{ "name": "bash", "input": { "command": "echo again" } }], "repeat": "forever",
    }]);
    let table = [
        ("tools=['bash']", "PLUE-L0005", 7),
        ("tools=['bash'], max_turns=2", "PLUE-L0002", 7),
        ("tools=['bash'], budget=Budget(tokens=10)", "PLUE-L0003", 7),
        ("tools=['bash'], budget=Budget(usd=0.0001)", "PLUE-L0004", 7),
        ("tools=['bash'], model='nobodys-model'", "PLUE-L0011", 1),
        ("tools=['shell']", "PLUE-L0012", 1),
        ("tools=['fetch']", "PLUE-L0015", 1),
    ];
    for (options, code, exit) in table {
        let claude = Scripted::new(&endless);
        let bench = Bench::with(&workflow(&format!("Step.llm('ask', prompt='Go.', {options})")));
        claude.plue(&bench, &["run"]).ends(exit);
        claude.plue(&bench, &["explain", "last", "ask"]).shows(&[code]);
        assert_eq!(claude.state()["violations"], json!([]));
    }
}

#[test]
fn broken_answers_leave_no_text() {
    let script = json!([
        { "text": "Partial answer that must not", "chunk": 4,
          "stream_error": { "after_deltas": 4, "type": "overloaded_error", "message": "Overloaded" } },
        { "text": "Half an", "cut": { "after_deltas": 1, "how": "eof" } },
        { "text": "Final answer." },
    ]);
    let claude = Scripted::new(&script);
    let bench = Bench::with(&workflow("Step.llm('ask', prompt='Go.')"));
    claude.plue(&bench, &["run"]).ends(0);
    claude.asked(3);
    let status = claude.plue(&bench, &["status", "last", "--output", "json"]).ends(0).json();
    assert_eq!(status["steps"][0]["output"], "Final answer.");
}

#[test]
fn structured_output_is_corrected_once() {
    let schema = "{'type': 'object', 'properties': {'n': {'type': 'integer'}}, 'required': ['n']}";
    let step = workflow(&format!("Step.llm('ask', prompt='Count.', output={schema})"));
    let right = json!([
        { "text": "{\"m\": 1}", "expect": [
            { "path": "output_config.format.type", "equals": "json_schema" },
        ] },
        { "text": "{\"n\": 1}", "expect": [
            { "path": "messages.-1.content.0.text", "matches": "required property" },
        ] },
    ]);
    let claude = Scripted::new(&right);
    let bench = Bench::with(&step);
    claude.plue(&bench, &["run"]).ends(0);
    claude.asked(2);
    let status = claude.plue(&bench, &["status", "last", "--output", "json"]).ends(0).json();
    assert_eq!(status["steps"][0]["output"], json!({ "n": 1 }));

    let claude = Scripted::new(&json!([{ "text": "{}", "repeat": 2 }]));
    let bench = Bench::with(&step);
    claude.plue(&bench, &["run"]).ends(1);
    claude.asked(2);
    let explained = claude.plue(&bench, &["explain", "last", "ask"]);
    explained.shows(&["PLUE-L0010", "required property"]);
}

#[test]
fn prompts_and_roles_shape_the_request() {
    let script = json!([{ "text": "Fine.", "expect": [
        { "path": "model", "equals": "claude-opus-5-5" },
        { "path": "system", "matches": "You grade\\." },
        { "path": "messages.0.content.0.text", "equals": "Grade main." },
        { "path": "tools.0.name", "equals": "read" },
        { "path": "max_tokens", "equals": 500 },
    ] }]);
    let claude = Scripted::new(&script);
    let bench = Bench::new();
    bench.write(
        ".plue/prompts/grade.md",
        "---\nname: grade\ndescription: x\nrole: grader\nmax_tokens: 500\n---\nGrade {{what}}.\n",
    );
    bench.write(
        ".plue/roles/grader.md",
        "---\nname: grader\nmodel: claude-opus-5-5\ntools: [read]\n---\n\nYou grade.\n",
    );
    bench.write(".plue.py", workflow("Step.llm('ask', prompt=Prompt('grade', what='main'))"));
    bench.commit();
    claude.plue(&bench, &["run"]).ends(0);
    claude.asked(1);
}

#[test]
fn fetch_reaches_allowed_hosts_only() {
    let get = |url: &str, id: &str| json!({ "name": "fetch", "input": { "url": url }, "id": id });
    let calls = [
        get("http://localhost:1/", "toolu_A"),
        get("http://localhost:2/", "toolu_B"),
        get("http://127.0.0.1:3/", "toolu_C"),
    ];
    // Allowed hosts get as far as the check of their address.
    let script = json!([
        { "tool_calls": calls },
        { "text": "Done.", "expect": [
            { "path": "tools.0.description", "matches": "localhost:1, 127.0.0.1:3" },
            { "path": "messages.-1.content.0", "matches": "private address" },
            { "path": "messages.-1.content.1", "matches": "not among the hosts" },
            { "path": "messages.-1.content.2", "matches": "private address" },
        ] },
    ]);
    let claude = Scripted::new(&script);
    let step = "Step.llm('ask', prompt='Look.', tools=['fetch(LOCALHOST:1)', 'fetch'])";
    let bench = Bench::with(&workflow(step));
    let mut command = bench.command(&["run"]);
    command.env("PLUE_CLAUDE_FETCH_HOSTS", "127.0.0.1:3");
    CliOutput::of(claude.with_key(&mut command).output().unwrap()).ends(0);
    claude.asked(2);
}

#[test]
fn empty_tool_lists_override_the_role() {
    let offered = |named: &str, exists: bool| {
        let prompt = json!({ "path": "messages.0.content.0.text", "equals": named });
        let tools = json!({ "path": "tools", "exists": exists });
        json!({ "match": [prompt], "text": "Fine.", "expect": [tools] })
    };
    let turns = [("without", true), ("empty", false), ("yaml", false)];
    let claude = Scripted::new(&turns.map(|(named, exists)| offered(named, exists)).into());
    let bench = Bench::new();
    bench.write(".plue/roles/reader.md", "---\nname: reader\ntools: [read]\n---\n\nYou read.\n");
    bench.write(
        ".plue.py",
        workflow(
            "Step.llm('a', prompt='without', role='reader'), Step.llm('b', prompt='empty', role='reader', tools=[])",
        ),
    );
    bench.write(
        "ask.plue.yaml",
        "version: '1.0'\nname: Yaml\ntasks:\n  - {id: c, prompt: yaml, role: reader, tools: []}\n",
    );
    bench.commit();
    claude.plue(&bench, &["run", "Ask"]).ends(0);
    claude.plue(&bench, &["run", "Yaml"]).ends(0);
    claude.asked(3);
}

#[test]
fn fallback_models_answer_for_missing_ones() {
    let of = |model: &str| json!([{ "path": "model", "equals": model }]);
    let missing = json!({ "status": 404, "type": "not_found_error", "message": "model: gone" });
    let claude = Scripted::new(&json!([
        { "match": of("claude-opus-5-5"), "error": missing },
        { "match": of("claude-haiku-5-5"), "text": "Fine." },
    ]));
    let step = "Step.llm('ask', prompt='Go.', model='claude-opus-5-5', fallback_models=['claude-haiku-5-5'])";
    let bench = Bench::with(&workflow(step));
    claude.plue(&bench, &["run"]).ends(0);
    claude.asked(2);
    let shown = bench.plue(&["transcript", "last", "ask"]).ends(0);
    shown.shows(&["[claude-haiku-5-5 goes on: ", "model: gone", "Fine."]);
    let step = "Step.llm('ask', prompt='Go.', fallback_models=['nobodys-model'])";
    let bench = Bench::with(&workflow(step));
    claude.plue(&bench, &["run"]).ends(1);
    bench.plue(&["explain", "last", "ask"]).shows(&["PLUE-L0011", "nobodys-model"]);
}
