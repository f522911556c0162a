//! Budgets of Claude steps through the program: many agents at once, the chain of budgets, usage by its owners.

use serde_json::{Value as Json, json};

use crate::{
    scripted::Scripted,
    serve::Served,
    support::{Bench, CliOutput},
};

/// Agents that draw from one budget at the same time.
const AGENTS: u64 = 200;
/// Dollars of that budget; its agents could spend three times as much.
const LIMIT: &str = "0.5";
/// The same in thousandths of a dollar.
const LIMIT_MILLI: u64 = 500;
/// Cost of each answer in thousandths of a dollar: 1,000 tokens at $2 and 200 at $10 per million.
const ANSWER_MILLI: u64 = 4;

fn usage() -> Json {
    json!({ "input_tokens": 1_000, "output_tokens": 200 })
}

/// A call, and a text behind its result, for any number of agents.
fn two_turns() -> Scripted {
    let first = json!([{ "path": "messages", "length": 1 }]);
    let call = json!({ "name": "glob", "input": { "pattern": "*" } });
    Scripted::new(&json!([
        { "match": first, "tool_calls": [call], "usage": usage(), "chunk": 0, "repeat": "forever" },
        { "text": "Fine.", "usage": usage(), "chunk": 0, "repeat": "forever" },
    ]))
}

/// All agents of one run, on a server with default options but for the budget.
fn race(bench: Bench) {
    let claude = two_turns();
    let variables = [
        ("ANTHROPIC_API_KEY", "sk-ant-canary"),
        ("ANTHROPIC_BASE_URL", &claude.url),
        ("PLUE_CLAUDE_ORGANISATION_BUDGET_MONTH", LIMIT),
    ];
    let served = Served::of(bench, &[], &variables);
    let source = format!(
        "def workflow():\n    agents = [Step.llm(f'ask{{n}}', prompt='Go.', tools=['glob'], max_tokens=1000) \
         for n in range({AGENTS})]\n    return Plan(name='CI', triggers=[Trigger.on_manual()], \
         on_failure='continue', steps=agents)\n"
    );
    served.bench.write(".plue.py", source);
    served.push();
    let wanted = json!({ "repository": "acme/app", "workflow": "CI" });
    let (status, body) = served.ask("POST", "/api/v1/runs", Some(&wanted));
    assert_eq!(status, 201, "{body}");
    let run: Json = serde_json::from_str(&body).unwrap();
    let run = run["id"].as_str().unwrap();
    // One stream instead of 200 logs: the events end with the run.
    let (status, events) = served.ask("GET", &format!("/api/v1/runs/{run}/events"), None);
    assert!(status == 200 && events.contains("event: end"), "{status} {events}");
    let state = claude.state();
    assert_eq!(state["violations"], json!([]), "{state}");
    let paid = state["requests"].as_u64().unwrap() * ANSWER_MILLI;
    assert!(paid <= LIMIT_MILLI, "{paid} thousandths of a dollar were spent");
    // A reservation is four times the cost of its call, so that much may stay unspent.
    assert!(paid > LIMIT_MILLI / 10, "{paid} thousandths of a dollar were spent");
    let document = served.get("/api/v1/usage?by=organisation");
    assert_eq!(document[0]["organisation"], "acme", "{document}");
    assert_eq!(document[0]["claude"]["calls"], state["requests"], "{document}");
    let cost = document[0]["claude"]["cost_usd"].as_f64().unwrap();
    assert!((cost * 1e3 - paid as f64).abs() < 1e-6, "{document}");
    let document = served.remotely(&["status", "last", "--output", "json"]).json();
    let steps = document["steps"].as_array().unwrap();
    let failed: Vec<_> = steps.iter().filter(|step| step["status"] == "failed").collect();
    assert!(!failed.is_empty() && failed.len() < steps.len(), "{} failed", failed.len());
    for step in failed {
        let why = step["reason"].as_str().unwrap();
        for word in ["PLUE-L0004", "the organisation acme", "claude.organisation_budget_month"] {
            assert!(why.contains(word), "{why}");
        }
    }
}

#[test]
fn two_hundred_agents_pass_no_budget() {
    race(Bench::new());
}

#[test]
fn two_hundred_agents_pass_no_budget_on_postgres() {
    race(Bench::on_postgres());
}

#[test]
fn each_budget_of_the_chain_refuses() {
    let claude = Scripted::new(&json!([{ "text": "Fine.", "repeat": "forever" }]));
    let bench = Bench::new();
    bench.git(&["remote", "add", "origin", "https://forge.example/acme/app.git"]);
    let plan = |step: &str, plan: &str| {
        let step = format!("Step.llm('ask', prompt='Go.'{step})");
        bench.write(
            ".plue.py",
            format!("def workflow():\n    return Plan(name='CI', steps=[{step}]{plan})\n"),
        );
    };
    let dollars = "budget=Budget(usd=0.0001)";
    let table = [
        (format!(", {dollars}"), String::new(), "", "the budget of step `ask` is $0.0001"),
        (String::new(), format!(", {dollars}"), "", "the budget of the run is $0.0001"),
        (String::new(), String::new(), "WORKFLOW_BUDGET_DAY", "the workflow `CI` in 2"),
        (String::new(), String::new(), "WORKFLOW_BUDGET_MONTH", "the workflow `CI` in 2"),
        (String::new(), String::new(), "BUDGET_DAY", "the repository acme/app in 2"),
        (String::new(), String::new(), "ORGANISATION_BUDGET_DAY", "the organisation acme in 2"),
        (String::new(), String::new(), "ORGANISATION_BUDGET_MONTH", "the organisation acme in 2"),
    ];
    for (of_step, of_plan, variable, words) in table {
        plan(&of_step, &of_plan);
        let mut command = bench.command(&["run"]);
        if !variable.is_empty() {
            command.env(format!("PLUE_CLAUDE_{variable}"), "0.0001");
        }
        CliOutput::of(claude.with_key(&mut command).output().unwrap()).ends(7);
        let key = format!("`claude.{}`", variable.to_lowercase());
        let raise = if variable.is_empty() { "raise `budget`" } else { &key };
        let spent = "$0.0000 are spent, $0.0000 are reserved";
        bench.plue(&["explain", "last", "ask"]).shows(&["PLUE-L0004", words, spent, raise]);
    }
    assert_eq!(claude.state()["requests"], 0);
}

#[test]
fn child_runs_use_the_budget_of_their_parent() {
    let claude = Scripted::new(&json!([{ "text": "Fine.", "usage": usage(), "repeat": 2 }]));
    let bench = Bench::new();
    let inner =
        "def workflow():\n    return Plan(name='inner', steps=[Step.llm('ask', prompt='Go.')])\n";
    bench.write("inner.plue.py", inner);
    let outer = |dollars: &str| {
        let steps =
            "Step.workflow('one', 'inner'), Step.workflow('two', 'inner', depends_on=['one'])";
        format!(
            "def workflow():\n    return Plan(name='outer', budget=Budget(usd={dollars}), steps=[{steps}])\n"
        )
    };
    // Enough for one child and a little more: a call reserves far more than it costs.
    bench.write("outer.plue.py", outer("0.0115"));
    bench.commit();
    let mut command = bench.command(&["run", "outer"]);
    let ended = CliOutput::of(claude.with_key(&mut command).output().unwrap());
    ended.ends(7);
    bench.plue(&["explain", "last", "two"]).shows(&["PLUE-L0004: child run ", "step `ask`"]);
    assert_eq!(claude.state()["requests"], 1);
    let runs = bench.plue(&["runs", "--output", "json"]).ends(0).json();
    let child = runs["runs"][0]["id"].as_str().unwrap();
    let output = bench.plue(&["explain", child, "ask"]);
    output.shows(&["PLUE-L0004", "which started this one", "$0.0040 are spent"]);
}

#[test]
fn token_budgets_cover_all_steps_and_children() {
    let answers = || Scripted::new(&json!([{ "text": "Fine.", "usage": usage(), "repeat": 2 }]));
    let ask = |name: &str| format!("Step.llm('{name}', prompt='Go.', max_tokens=300)");
    // An answer has 1,200 tokens; before each about 1,900 are reserved.
    let budget = "budget=Budget(tokens=2400), on_failure='continue'";
    let bench = Bench::new();
    let inner = format!("def workflow():\n    return Plan(name='inner', steps=[{}])\n", ask("ask"));
    bench.write("inner.plue.py", inner);
    let children =
        "Step.workflow('one', 'inner'), Step.workflow('two', 'inner', depends_on=['one'])";
    let outer =
        format!("def workflow():\n    return Plan(name='outer', {budget}, steps=[{children}])\n");
    bench.write("outer.plue.py", outer);
    let second = "Step.llm('two', prompt='Go.', max_tokens=300, depends_on=['one'])";
    let flat = format!(
        "def workflow():\n    return Plan(name='flat', {budget}, steps=[{}, {second}])\n",
        ask("one")
    );
    bench.write("flat.plue.py", flat);
    bench.commit();

    let claude = answers();
    claude.plue(&bench, &["run", "flat"]).ends(7);
    assert_eq!(claude.state()["requests"], 1);
    let words = ["PLUE-L0003: the budget of the run is 2400 tokens: 1200 are spent", "may take "];
    bench.plue(&["explain", "last", "two"]).shows(&words);

    let claude = answers();
    claude.plue(&bench, &["run", "outer"]).ends(7);
    assert_eq!(claude.state()["requests"], 1);
    let words = ["PLUE-L0003: child run ", "which started this one", "1200 are spent"];
    bench.plue(&["explain", "last", "two"]).shows(&words);
}

#[test]
fn usage_is_shown_by_workflow_and_organisation() {
    let claude = Scripted::new(&json!([{ "text": "Fine.", "usage": usage(), "repeat": 3 }]));
    let bench = Bench::new();
    bench.git(&["remote", "add", "origin", "https://forge.example/acme/app.git"]);
    for name in ["one", "two"] {
        let step = "Step.llm('ask', prompt='Go.')";
        let source = format!("def workflow():\n    return Plan(name='{name}', steps=[{step}])\n");
        bench.write(&format!("{name}.plue.py"), source);
    }
    bench.commit();
    for name in ["one", "two", "two"] {
        let mut command = bench.command(&["run", name]);
        CliOutput::of(claude.with_key(&mut command).output().unwrap()).ends(0);
    }
    let of = |by: &str| bench.plue(&["usage", "--by", by, "--output", "json"]).ends(0).json();
    let rows = of("workflow")["usage"].clone();
    let row = |at: usize| (rows[at]["workflow"].clone(), rows[at]["claude"]["calls"].clone());
    assert_eq!((row(0), row(1)), ((json!("one"), json!(1)), (json!("two"), json!(2))));
    assert_eq!(rows[1]["claude"]["cost_usd"], 0.008, "{rows}");
    let rows = of("organisation")["usage"].clone();
    assert_eq!(
        (&rows[0]["organisation"], &rows[0]["claude"]["calls"]),
        (&json!("acme"), &json!(3))
    );
    let rows = of("repository")["usage"].clone();
    assert_eq!((&rows[0]["repository"], &rows[0]["runs"]), (&json!("acme/app"), &json!(3)));
    let table = bench.plue(&["usage", "--by", "workflow"]).ends(0);
    table.shows(&["WORKFLOW", "COST", "two", "2400", "$0.0080"]);
}

/// Agents of one run; each has four answers of 64 KiB.
const MANY: u64 = 25;
/// Runs of a thousand turns.
const WAVES: u64 = 10;
/// MiB that the server may grow by over 600 turns, whose answers alone have 37 MiB, once its caches are full.
const GROWTH: u64 = 32;

#[test]
fn memory_stays_flat_over_a_thousand_turns() {
    let text = "word ".repeat(13_000);
    let turn = |messages: u64, last: bool| {
        let mut turn = json!({
            "match": [{ "path": "messages", "length": messages }],
            "text": text, "chunk": 4_096, "repeat": "forever", "usage": usage(),
        });
        if !last {
            let pattern = format!("{messages}*");
            turn["tool_calls"] = json!([{ "name": "glob", "input": { "pattern": pattern } }]);
        }
        turn
    };
    let turns = [turn(1, false), turn(3, false), turn(5, false), turn(7, true)];
    let claude = Scripted::new(&json!(turns));
    let variables = [("ANTHROPIC_API_KEY", "sk-ant-canary"), ("ANTHROPIC_BASE_URL", &*claude.url)];
    let served = Served::in_environment(&variables);
    let source = format!(
        "def workflow():\n    agents = [Step.llm(f'ask{{n}}', prompt='Go.', tools=['glob']) for n in range({MANY})]\n    \
         return Plan(name='CI', triggers=[Trigger.on_manual()], steps=agents)\n"
    );
    served.bench.write(".plue.py", source);
    served.push();
    let wanted = json!({ "repository": "acme/app", "workflow": "CI" });
    let mut sizes = Vec::new();
    for _ in 0..WAVES {
        let (status, body) = served.ask("POST", "/api/v1/runs", Some(&wanted));
        assert_eq!(status, 201, "{body}");
        let run: Json = serde_json::from_str(&body).unwrap();
        let run = run["id"].as_str().unwrap();
        served.ask("GET", &format!("/api/v1/runs/{run}/events"), None);
        assert_eq!(served.get(&format!("/api/v1/runs/{run}"))["status"], "success");
        sizes.push(resident_mib(served.pid()));
    }
    let state = claude.state();
    assert_eq!((&state["requests"], &state["violations"]), (&json!(4 * MANY * WAVES), &json!([])));
    let grown = sizes[sizes.len() - 1].saturating_sub(sizes[3]);
    assert!(grown <= GROWTH, "{grown} MiB over 600 turns: {sizes:?}");
    eprintln!("MiB after each 100 turns: {sizes:?}");
}

fn resident_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() / 1_024
}
