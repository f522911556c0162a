//! Agents that the agent of a step starts: tools, budgets, limits, transcripts, replays.

use serde_json::{Value as Json, json};

use crate::{
    scripted::Scripted,
    serve::Served,
    support::{Bench, CliOutput},
};

const REVIEWER: &str =
    "---\nname: reviewer\ndescription: Reads a change\ntools: [read, bash]\n---\n\nYou review.\n";
const TESTER: &str = "---\nname: tester\ntools: [write]\nmax_turns: 2\n---\n\nYou test.\n";

fn workflow(options: &str) -> String {
    format!(
        "def workflow():\n    return Plan(name='Lead', triggers=[Trigger.on_manual()], \
         steps=[Step.llm('lead', prompt='Lead.', {options})])\n"
    )
}

/// A repository with two roles, and a step with these options.
fn bench(options: &str) -> Bench {
    let bench = Bench::new();
    roles(&bench);
    bench.write(".plue.py", workflow(options));
    bench.commit();
    bench
}

fn roles(bench: &Bench) {
    bench.write(".plue/roles/reviewer.md", REVIEWER);
    bench.write(".plue/roles/tester.md", TESTER);
}

fn run(claude: &Scripted, bench: &Bench) -> CliOutput {
    claude.plue(bench, &["run"])
}

/// Requests whose first message is this one, so far along.
fn of(prompt: &str, messages: u64) -> Json {
    json!([
        { "path": "messages.0.content.0.text", "equals": prompt },
        { "path": "messages", "length": messages },
    ])
}

fn usage() -> Json {
    json!({ "input_tokens": 1_000, "output_tokens": 200 })
}

fn delegate(id: &str, input: Json) -> Json {
    json!({ "name": "delegate", "id": id, "input": input })
}

fn lead(calls: Json) -> Json {
    json!({ "match": of("Lead.", 1), "tool_calls": calls, "usage": usage() })
}

fn text_turn(prompt: &str, messages: u64, text: &str) -> Json {
    json!({ "match": of(prompt, messages), "text": text, "usage": usage() })
}

fn with(mut turn: Json, expect: Json) -> Json {
    turn["expect"] = expect;
    turn
}

/// The whole script of two agents below the lead.
fn two() -> Json {
    let calls = json!([
        delegate("toolu_A", json!({ "role": "reviewer", "task": "Review it." })),
        delegate("toolu_B", json!({ "role": "tester", "task": "Test it.", "budget_usd": null })),
    ]);
    let look = json!([{ "name": "bash", "id": "toolu_C", "input": { "command": "echo x >> ran; cat code.txt" } }]);
    json!([
        with(
            lead(calls),
            json!([
                { "path": "tools.1.name", "equals": "delegate" },
                { "path": "tools.1.description", "matches": "- reviewer: Reads a change" },
                { "path": "tools.1.input_schema.properties.role.enum", "equals": ["reviewer", "tester"] },
            ])
        ),
        with(
            json!({ "match": of("Review it.", 1), "text": "I look.", "tool_calls": look, "usage": usage() }),
            json!([
                { "path": "system", "matches": "You review\\." },
                { "path": "tools", "length": 1 },
                { "path": "tools.0.name", "equals": "bash" },
            ]),
        ),
        with(
            text_turn("Review it.", 3, "Reviewed."),
            json!([{ "path": "messages.-1.content.0", "matches": "code" }])
        ),
        with(text_turn("Test it.", 1, "Tested."), json!([{ "path": "tools", "exists": false }])),
        with(
            text_turn("Lead.", 3, "Done."),
            json!([
                { "path": "messages.-1.content.0.content", "equals": "Reviewed." },
                { "path": "messages.-1.content.1.content", "equals": "Tested." },
                { "path": "messages.-1.content.1.is_error", "exists": false },
            ])
        ),
    ])
}

const TWO: &str = "tools=['bash', 'delegate(reviewer)', 'delegate(tester)']";

#[track_caller]
fn clean(claude: &Scripted, requests: u64) {
    let state = claude.state();
    assert_eq!(state["violations"], json!([]), "{state}");
    assert_eq!(state["requests"], requests, "{state}");
}

#[test]
fn agents_work_for_the_one_that_started_them() {
    let claude = Scripted::new(&two());
    let bench = bench(TWO);
    bench.write("code.txt", "code\n");
    run(&claude, &bench).ends(0);
    clean(&claude, 5);
    assert_eq!(std::fs::read_to_string(bench.repo().join("ran")).unwrap(), "x\n");
    let status = bench.plue(&["status", "last", "--output", "json"]).ends(0).json();
    assert_eq!(status["steps"][0]["output"], "Done.", "{status}");
    assert_eq!(status["usage"]["calls"], 5, "each call counts once: {status}");
    assert_eq!(status["usage"]["input_tokens"], 5_000);
    bench.plue(&["logs", "last"]).ends(0).shows(&[
        "[reviewer 1] I look.\n",
        "[reviewer 1] ▸ bash",
        "[tester 2] Tested.\n",
        "✓ delegate: 1 lines",
    ]);
    let shown = bench.plue(&["transcript", "last", "lead"]).ends(0);
    shown.shows(&[
        "── lead ──",
        "── lead › reviewer 1 ──",
        "> Review it.",
        "── lead › tester 2 ──",
    ]);
    let document = bench.plue(&["transcript", "last", "--output", "json"]).ends(0).json();
    let agents: Vec<_> =
        document["facts"].as_array().unwrap().iter().map(|fact| &fact["agent"]).collect();
    assert!(agents.contains(&&json!("reviewer 1")) && agents[0].is_null(), "{document}");
    bench
        .plue(&["transcript", "last", "--search", "I look"])
        .ends(0)
        .shows(&["lead › reviewer 1:2: "]);
}

#[test]
fn agents_are_shown_by_a_server() {
    let claude = Scripted::new(&two());
    let variables = [("ANTHROPIC_API_KEY", "sk-ant-canary"), ("ANTHROPIC_BASE_URL", &*claude.url)];
    let served = Served::in_environment(&variables);
    roles(&served.bench);
    served.bench.write("code.txt", "code\n");
    served.bench.write(".plue.py", workflow(TWO));
    served.push();
    let wanted = json!({ "repository": "acme/app", "workflow": "Lead" });
    let (status, body) = served.ask("POST", "/api/v1/runs", Some(&wanted));
    assert_eq!(status, 201, "{body}");
    let run: Json = serde_json::from_str(&body).unwrap();
    let run = run["id"].as_str().unwrap();
    served.ask("GET", &format!("/api/v1/runs/{run}/events"), None);
    let document = served.get(&format!("/api/v1/runs/{run}/attempts/{run}:lead:1:1/agents"));
    let names: Vec<_> =
        document["items"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["reviewer", "tester"], "{document}");
    let id = document["items"][0]["id"].as_str().unwrap();
    let facts = served.get(&format!("/api/v1/runs/{run}/attempts/{id}/transcript"));
    assert_eq!(facts["items"][0]["fact"]["task"]["name"], "reviewer", "{facts}");
    let (status, _) =
        served.ask("GET", &format!("/api/v1/runs/{run}/attempts/x~1/transcript"), None);
    assert_eq!(status, 404);
    let shown = served.remotely(&["transcript", run, "lead"]).ends(0);
    shown.shows(&["── lead ──", "── lead › reviewer 1 ──", "> Review it."]);
}

#[test]
fn agents_are_replayed() {
    let claude = Scripted::new(&two());
    let bench = bench(TWO);
    bench.write("code.txt", "code\n");
    run(&claude, &bench).ends(0);
    drop(claude);
    let document =
        bench.plue(&["replay", "last", "--keep-files", "--output", "json"]).ends(0).json();
    assert_eq!((&document["equal"], &document["answers"]), (&json!(true), &json!(5)), "{document}");
    bench.write("code.txt", "another code\n");
    let replay = bench.plue(&["replay", "last", "--keep-files"]).ends(1);
    replay.shows(&["PLUE-L0016: step `lead`, turn 2: agent 1: the result of `bash`", "another"]);
}

#[test]
fn agents_end_by_limits_of_their_own() {
    let calls = json!([
        delegate("toolu_A", json!({ "role": "reviewer", "task": "Review it.", "max_turns": 1 })),
        delegate("toolu_B", json!({ "role": "tester", "task": "Test it.", "budget_usd": 0.0001 })),
        delegate("toolu_C", json!({ "role": "tester", "task": " " })),
        delegate("toolu_D", json!({ "role": "tester", "task": "Test it.", "budget_usd": -1 })),
        delegate("toolu_E", json!({ "role": "deployer", "task": "Deploy it." })),
        delegate("toolu_F", json!({ "role": "tester", "task": "Test it.", "run": "x" })),
    ]);
    let look = json!([{ "name": "bash", "input": { "command": "true" } }]);
    let result = |at: u32, words: &str| json!({ "path": format!("messages.-1.content.{at}.content"), "matches": words });
    let is_error =
        |at: u32| json!({ "path": format!("messages.-1.content.{at}.is_error"), "equals": true });
    let mut expect = vec![
        result(0, "PLUE-L0002: no result after 1 turns"),
        result(0, "Partial result, not checked:\nHalf of it\\."),
        result(1, "PLUE-L0004: the budget of agent `tester 2` is \\$0\\.0001"),
        result(2, "`task` is empty"),
        result(3, "dollars above 0"),
        result(4, "allows for `role` only reviewer, tester"),
        result(5, "unknown field"),
    ];
    expect.extend((0..6).map(is_error));
    let claude = Scripted::new(&json!([
        lead(calls),
        { "match": of("Review it.", 1), "text": "Half of it.", "tool_calls": look, "usage": usage() },
        with(text_turn("Lead.", 3, "Done."), json!(expect)),
    ]));
    let bench = bench(TWO);
    run(&claude, &bench).ends(0);
    clean(&claude, 3);
}

#[test]
fn agents_together_pass_no_budget_of_their_step() {
    let calls: Vec<Json> = (0..12)
        .map(|n| delegate(&format!("toolu_{n}"), json!({ "role": "tester", "task": "Test it." })))
        .collect();
    let mut test = text_turn("Test it.", 1, "Tested.");
    test["repeat"] = json!("forever");
    let mut end = text_turn("Lead.", 3, "Done.");
    end["repeat"] = json!("forever");
    let claude = Scripted::new(&json!([lead(json!(calls)), test, end]));
    // An answer costs $0.004; the first reserves five times as much.
    let bench = bench(&format!("{TWO}, max_tokens=1000, budget=Budget(usd=0.04)"));
    bench.write(".plue/roles/tester.md", "---\nname: tester\nmax_tokens: 300\n---\n\nYou test.\n");
    run(&claude, &bench);
    let state = claude.state();
    assert_eq!(state["violations"], json!([]), "{state}");
    let requests = state["requests"].as_u64().unwrap();
    assert!((3..=10).contains(&requests), "{requests} answers of $0.004");
    let stdout = bench.plue(&["transcript", "last", "--output", "json"]).ends(0).stdout;
    assert!(
        stdout.contains("PLUE-L0004") && stdout.contains("the budget of step `lead` is $0.0400")
    );
}

#[test]
fn agents_start_agents_two_generations_down() {
    let again = |id: &str| {
        json!([delegate(id, json!({ "role": "again", "task": format!("Again {id}.") }))])
    };
    let offers = |exists: bool| json!([{ "path": "tools", "exists": exists }]);
    let claude = Scripted::new(&json!([
        with(lead(again("toolu_A")), offers(true)),
        with(
            json!({ "match": of("Again toolu_A.", 1), "tool_calls": again("toolu_B") }),
            offers(true)
        ),
        with(text_turn("Again toolu_B.", 1, "Deep."), offers(false)),
        text_turn("Again toolu_A.", 3, "Middle."),
        text_turn("Lead.", 3, "Done."),
    ]));
    let bench = bench("tools=['delegate(again)']");
    bench.write(
        ".plue/roles/again.md",
        "---\nname: again\ntools: ['delegate(again)', read]\n---\n\nx\n",
    );
    run(&claude, &bench).ends(0);
    clean(&claude, 5);
    bench.plue(&["transcript", "last"]).shows(&["── lead › again 1.1 ──", "Deep."]);
    bench.plue(&["logs", "last"]).shows(&["[again 1.1] Deep."]);
}

#[test]
fn repeated_delegations_are_a_loop() {
    let mut turn = json!({ "match": [{ "path": "messages.0.content.0.text", "equals": "Lead." }] });
    turn["tool_calls"] =
        json!([{ "name": "delegate", "input": { "role": "tester", "task": "Test it." } }]);
    turn["repeat"] = json!("forever");
    let mut test = text_turn("Test it.", 1, "Tested.");
    test["repeat"] = json!("forever");
    let claude = Scripted::new(&json!([turn, test]));
    let bench = bench(TWO);
    run(&claude, &bench).ends(7);
    clean(&claude, 6);
    bench.plue(&["explain", "last", "lead"]).shows(&["PLUE-L0005", "`delegate`"]);
}

#[test]
fn agent_tools_without_a_name_are_refused() {
    let claude = Scripted::new(&json!([]));
    for (tools, words) in [
        ("['delegate']", "write `delegate(reviewer)`"),
        ("['prompt']", "write `prompt(code-review)`"),
        ("['delegate(a b)']", "cannot be one"),
        ("['delegate(nobody)']", "no file"),
    ] {
        let bench = bench(&format!("tools={tools}"));
        let code = run(&claude, &bench).code;
        assert_ne!(code, 0, "{tools}");
        let output = run(&claude, &bench);
        let explained = bench.plue(&["explain", "last", "lead"]);
        let all = format!("{}{}{}", output.stdout, output.stderr, explained.stdout);
        assert!(all.contains(words), "{tools}: {all}");
    }
    clean(&claude, 0);
}

#[test]
fn prompt_files_are_tools() {
    let calls = json!([
        { "name": "prompt_greet_well", "id": "toolu_A", "input": { "who": "you" } },
        { "name": "prompt_greet_well", "id": "toolu_B", "input": { "whom": 1 } },
    ]);
    let claude = Scripted::new(&json!([
        with(
            lead(calls),
            json!([
                { "path": "tools.0.name", "equals": "prompt_greet_well" },
                { "path": "tools.0.description", "matches": "Greets somebody" },
                { "path": "tools.0.input_schema.required", "equals": ["who"] },
            ])
        ),
        with(
            text_turn("Hello you.", 1, "Greeted."),
            json!([
                { "path": "model", "equals": "claude-opus-5-5" },
                { "path": "max_tokens", "equals": 700 },
            ])
        ),
        with(
            text_turn("Lead.", 3, "Done."),
            json!([
                { "path": "messages.-1.content.0.content", "equals": "Greeted." },
                { "path": "messages.-1.content.1.content", "matches": "who" },
                { "path": "messages.-1.content.1.is_error", "equals": true },
            ])
        ),
    ]));
    let bench = bench("tools=['prompt(greet.well)']");
    bench.write(
        ".plue/prompts/greet.well.md",
        "---\nname: greet.well\ndescription: Greets somebody\nmodel: claude-opus-5-5\nmax_tokens: 700\n\
         schema:\n  type: object\n  required: [who]\n  properties:\n    who: {type: string}\n---\nHello {{who}}.\n",
    );
    run(&claude, &bench).ends(0);
    clean(&claude, 3);
    bench.write(".plue.py", workflow("tools=['prompt(gret.well)']"));
    run(&claude, &bench).ends(3).reports(&["there is no prompt `gret.well`"]);
}

#[test]
fn results_are_submitted_where_formats_are_not_known() {
    let schema = "{'type': 'object', 'properties': {'n': {'type': 'integer'}}, 'required': ['n']}";
    let submit =
        |id: &str, input: Json| json!([{ "name": "submit_output", "id": id, "input": input }]);
    let claude = Scripted::new(&json!([
        with(
            json!({ "tool_calls": submit("toolu_A", json!({ "m": 1 })) }),
            json!([
                { "path": "tools.0.name", "equals": "submit_output" },
                { "path": "tools.0.strict", "equals": true },
                { "path": "output_config", "exists": false },
            ])
        ),
        with(
            json!({ "tool_calls": submit("toolu_B", json!({ "n": 2 })) }),
            json!([
                { "path": "messages.-1.content.0.tool_use_id", "equals": "toolu_A" },
                { "path": "messages.-1.content.0.content", "matches": "required property" },
            ])
        ),
    ]));
    let bench = bench(&format!("model='open-model', output={schema}"));
    let prices = bench.home().join("prices.toml");
    let price = "[[price]]\nmodel = \"open-model\"\nsince = 2026-01-01\ninput = \"1\"\noutput = \"2\"\n\
                 cache_write_5m = \"1\"\ncache_write_1h = \"1\"\ncache_read = \"1\"\n";
    std::fs::write(&prices, price).unwrap();
    let mut command = bench.command(&["run"]);
    command.env("PLUE_CLAUDE_PRICES", &prices);
    CliOutput::of(claude.with_key(&mut command).output().unwrap()).ends(0);
    clean(&claude, 2);
    let status = bench.plue(&["status", "last", "--output", "json"]).ends(0).json();
    assert_eq!(status["steps"][0]["output"], json!({ "n": 2 }));
}

#[test]
fn approvals_are_inherited_and_servers_are_not() {
    let look = |command: &str| json!([{ "name": "bash", "id": "toolu_C", "input": { "command": command } }]);
    let task = |task: &str| json!({ "role": "reviewer", "task": task });
    let asks = |prompt: &str, command: &str| {
        with(
            json!({ "match": of(prompt, 1), "tool_calls": look(command), "usage": usage() }),
            json!([{ "path": "tools", "length": 1 }, { "path": "tools.0.name", "equals": "bash" }]),
        )
    };
    let ends = |prompt: &str, words: &str| {
        with(
            text_turn(prompt, 3, "Looked."),
            json!([{ "path": "messages.-1.content.0.content", "matches": words }]),
        )
    };
    let own =
        json!({ "name": "bash", "id": "toolu_D", "input": { "command": "echo lead >> ran" } });
    let claude = Scripted::new(&json!([
        lead(json!([delegate("toolu_A", task("One.")), delegate("toolu_B", task("Two.")), own])),
        asks("One.", "echo one >> ran"),
        asks("Two.", "echo two >> ran"),
        ends("One.", "no output|exit"),
        ends("Two.", "rejected by .*: not that"),
        text_turn("Lead.", 3, "Done."),
    ]));
    let bench = bench(&format!("{TWO}, approve=['bash']"));
    let role = REVIEWER.replace("[read, bash]", "[read, bash, mcp__github]");
    bench.write(".plue/roles/reviewer.md", role);
    let left = claude.plue(&bench, &["run", "--no-input"]).ends(6);
    left.reports(&["--call toolu_D"]);
    let listed = bench.plue(&["approvals", "--output", "json"]).ends(0).json();
    let waiting = listed["approvals"].as_array().unwrap().iter();
    let waiting: Vec<_> = waiting.map(|one| one["call"]["id"].as_str().unwrap()).collect();
    assert_eq!(waiting, ["toolu_D", "agent1:toolu_C", "agent2:toolu_C"], "{listed}");
    assert!(!bench.repo().join("ran").exists(), "no person approved it");
    let decide = |what: &str, call: &str, more: &[&str]| {
        bench.plue(&[&[what, "last", "lead", "--call", call][..], more].concat()).ends(0)
    };
    decide("approve", "agent1:toolu_C", &[]);
    decide("reject", "agent2:toolu_C", &["--message", "not that"]);
    decide("approve", "toolu_D", &[]);
    claude.plue(&bench, &["resume"]).ends(0);
    clean(&claude, 6);
    let ran = std::fs::read_to_string(bench.repo().join("ran")).unwrap();
    let mut ran: Vec<_> = ran.lines().collect();
    ran.sort_unstable();
    assert_eq!(ran, ["lead", "one"]);
    drop(claude);
    bench.plue(&["replay", "last", "--keep-files"]).ends(0).shows(&["as recorded: 6 answers"]);
}

#[test]
fn calls_below_are_decided_while_runs_continue() {
    let look =
        json!([{ "name": "bash", "id": "toolu_C", "input": { "command": "echo x >> ran" } }]);
    let claude = Scripted::new(&json!([
        lead(json!([delegate("toolu_A", json!({ "role": "reviewer", "task": "One." }))])),
        { "match": of("One.", 1), "tool_calls": look, "usage": usage() },
        text_turn("One.", 3, "Looked."),
        text_turn("Lead.", 3, "Done."),
    ]));
    let bench = bench(&format!("{TWO}, approve=['bash']"));
    let mut run = claude.with_key(&mut bench.command(&["run"])).spawn().unwrap();
    while bench.plue(&["approve", "last", "lead", "--call", "agent1:toolu_C"]).code != 0 {}
    assert!(run.wait().unwrap().success());
    clean(&claude, 4);
    assert_eq!(std::fs::read_to_string(bench.repo().join("ran")).unwrap(), "x\n");
    let late = &format!("{TWO}, approve=['bash'], approve_timeout='1s'");
    bench.write(".plue.py", workflow(late));
    let claude = Scripted::new(&json!([
        lead(json!([delegate("toolu_A", json!({ "role": "reviewer", "task": "One." }))])),
        { "match": of("One.", 1), "tool_calls": look, "usage": usage() },
        with(
            text_turn("One.", 3, "Not looked."),
            json!([{ "path": "messages.-1.content.0.content", "matches": "no person decided" }]),
        ),
        text_turn("Lead.", 3, "Done."),
    ]));
    claude.plue(&bench, &["run"]).ends(0);
    clean(&claude, 4);
}

#[test]
fn the_start_of_agents_waits_for_people() {
    let claude = Scripted::new(&two());
    let bench = bench(&format!("{TWO}, approve=['delegate']"));
    bench.write("code.txt", "code\n");
    let run = |args: &[&str]| claude.plue(&bench, args);
    run(&["run", "--no-input"]).ends(6).reports(&["--call toolu_A"]);
    clean(&claude, 1);
    for call in ["toolu_A", "toolu_B"] {
        bench.plue(&["approve", "last", "lead", "--call", call]).ends(0);
    }
    run(&["resume"]).ends(0);
    clean(&claude, 5);
    bench
        .plue(&["logs", "last"])
        .ends(0)
        .shows(&["[reviewer 1] I look.\n", "[tester 2] Tested.\n"]);
}
