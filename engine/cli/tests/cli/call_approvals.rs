//! Calls of Claude steps that people approve, through the program.

use std::process::{Child, Stdio};

use serde_json::{Value as Json, json};

use crate::{scripted::Scripted, serve::Served, support::Bench};

/// Two calls that need approval and one that does not, then the end. The results of the calls are
/// expected to hold these texts.
fn script(first: &str, second: &str) -> Json {
    json!([
        { "text": "Let me work.", "tool_calls": [
            { "name": "bash", "input": { "command": "echo x >> ran; echo pushed" }, "id": "toolu_A" },
            { "name": "bash", "input": { "command": "echo y >> ran # \u{202e}" }, "id": "toolu_B" },
            { "name": "write", "input": { "path": "note", "content": "free" }, "id": "toolu_C" },
        ] },
        { "text": "Done.", "expect": [
            { "path": "messages", "length": 3 },
            { "path": "messages.-1.content", "length": 3 },
            { "path": "messages.-1.content.0", "matches": first },
            { "path": "messages.-1.content.1", "matches": second },
        ] },
    ])
}

fn workflow(more: &str) -> String {
    let step =
        format!("Step.llm('ask', prompt='Go.', tools=['bash', 'write'], approve=['bash']{more})");
    format!(
        "def workflow():\n    return Plan(name='CI', triggers=[Trigger.on_manual()], steps=[{step}])\n"
    )
}

/// A run in the background that stays.
fn start(claude: &Scripted, bench: &Bench) -> Child {
    let mut command = bench.command(&["run"]);
    claude.with_key(&mut command).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Ids of the calls that wait, once there are so many.
fn calls(bench: &Bench, count: usize) -> Vec<String> {
    loop {
        let output = bench.plue(&["approvals", "--output", "json"]);
        if output.code == 0 {
            let output = output.json();
            let found = output["approvals"].as_array().unwrap().iter();
            let ids: Vec<_> =
                found.map(|one| one["call"]["id"].as_str().unwrap().to_owned()).collect();
            if ids.len() == count {
                return ids;
            }
        }
    }
}

fn file(bench: &Bench, name: &str) -> Option<String> {
    std::fs::read_to_string(bench.repo().join(name)).ok()
}

#[test]
fn calls_wait_for_decisions_and_replays_reuse_them() {
    let claude = Scripted::new(&script("pushed", "rejected by .*: not on a Friday"));
    let bench = Bench::with(&workflow(""));
    let left = claude.plue(&bench, &["run", "--no-input"]).ends(6);
    left.reports(&["plue approve", "--call toolu_A"]);
    assert_eq!(file(&bench, "ran"), None, "no call ran unapproved");
    assert_eq!(file(&bench, "note").as_deref(), Some("free"), "the other call went on");
    let document = bench.plue(&["status", "--output", "json"]).ends(0).json();
    assert_eq!(document["run"]["status"], "waiting", "{document}");
    let call = &document["waiting"][1]["call"];
    assert_eq!((&call["id"], &call["tool"]), (&json!("toolu_B"), &json!("bash")), "{document}");
    assert_eq!(call["arguments"], r#"{"command":"echo y >> ran # \u202e"}"#, "nothing is hidden");
    bench.plue(&["status"]).ends(0).reports(&["--call toolu_A", "--call toolu_B"]);
    assert_eq!(calls(&bench, 2), ["toolu_A", "toolu_B"]);
    bench.plue(&["approvals"]).ends(0).shows(&["toolu_A", "echo x >> ran"]);

    let which = bench.plue(&["approve", "last", "ask"]).ends(2);
    which.reports(&["2 calls of step `ask`", "toolu_A: bash", "--call ID"]);
    bench.plue(&["approve", "last", "ask", "--call", "toolu_Z"]).ends(2).reports(&["toolu_Z"]);
    let long = "x".repeat(5_000);
    bench.plue(&["reject", "last", "ask", "--call", "toolu_A", "--message", &long]).ends(2);
    let yes = bench.plue(&["approve", "last", "ask", "--call", "toolu_A"]).ends(0);
    yes.reports(&["approved toolu_A: bash", "echo pushed", "plue resume"]);
    let twice = bench.plue(&["reject", "last", "ask", "--call", "toolu_A"]).ends(2);
    twice.reports(&["answered already"]);
    let message = ["--message", "not on a Friday"];
    let no = [&["reject", "last", "ask", "--call", "toolu_B"][..], &message].concat();
    bench.plue(&no).ends(0).reports(&["rejected toolu_B"]);

    claude.plue(&bench, &["resume"]).ends(0);
    claude.asked(2);
    assert_eq!(file(&bench, "ran").as_deref(), Some("x\n"), "the approved call ran, once");
    let log = bench.plue(&["logs", "last", "ask"]).ends(0);
    log.shows(&[
        "bash waits for approval until",
        "approved bash (toolu_A)",
        "rejected bash (toolu_B)",
    ]);
    let talk = bench.plue(&["transcript", "last", "ask"]).ends(0);
    talk.shows(&["(toolu_A) waits for approval", "(toolu_A) approved by", ": not on a Friday]"]);
    bench.plue(&["explain", "last", "ask"]).ends(0).shows(&["waits for approval of bash"]);
    let facts = bench.plue(&["transcript", "last", "ask", "--output", "jsonl"]).ends(0);
    assert_eq!(facts.stdout.matches("\"fact\":\"decided\"").count(), 2, "{}", facts.stdout);
    bench.plue(&["approve", "last", "ask", "--call", "toolu_A"]).ends(2);

    drop(claude);
    for name in ["ran", "note"] {
        std::fs::remove_file(bench.repo().join(name)).unwrap();
    }
    bench.plue(&["replay", "last", "--keep-files"]).ends(0).shows(&["as recorded: 2 answers"]);
    assert_eq!(file(&bench, "ran").as_deref(), Some("x\n"), "by the recorded decisions");
}

#[test]
fn runs_continue_when_another_process_decides() {
    let claude = Scripted::new(&script("pushed", "exit|y|no output|"));
    let bench = Bench::with(&workflow(""));
    let mut run = start(&claude, &bench);
    calls(&bench, 2);
    let all = bench.plue(&["approve", "last", "ask", "--all"]).ends(0);
    all.reports(&["approved toolu_A", "approved toolu_B"]);
    assert!(run.wait().unwrap().success());
    let ran = file(&bench, "ran").unwrap();
    assert_eq!(ran.lines().count(), 2, "{ran}");
    bench.plue(&["approve", "last", "ask", "--all"]).ends(2).reports(&["no call of step `ask`"]);
}

#[test]
fn calls_without_a_decision_in_time_are_rejected() {
    let late = "no person decided";
    let claude = Scripted::new(&script(late, late));
    let bench = Bench::with(&workflow(", approve_timeout='1s'"));
    claude.plue(&bench, &["run"]).ends(0);
    claude.asked(2);
    assert_eq!(file(&bench, "ran"), None);
}

#[test]
fn cancelled_runs_wait_for_no_decision() {
    let claude = Scripted::new(&script("", ""));
    let bench = Bench::with(&workflow(""));
    let mut run = start(&claude, &bench);
    calls(&bench, 2);
    bench.plue(&["cancel", "last"]).ends(0);
    assert!(!run.wait().unwrap().success());
    let document = bench.plue(&["status", "--output", "json"]).ends(0).json();
    assert_eq!(
        (&document["run"]["status"], &document["waiting"]),
        (&json!("cancelled"), &json!([]))
    );
    assert_eq!(file(&bench, "ran"), None);
}

#[test]
fn roles_add_approvals_and_slips_are_refused() {
    let claude = Scripted::new(&script("pushed", ""));
    let step = "Step.llm('ask', prompt='Go.', tools=['bash', 'write'], role='careful')";
    let bench =
        Bench::with(&format!("def workflow():\n    return Plan(name='CI', steps=[{step}])\n"));
    let role = "---\nname: careful\ndescription: Asks.\napprove: [bash, fetch]\n---\nBe careful.\n";
    bench.write(".plue/roles/careful.md", role);
    bench.commit();
    claude.plue(&bench, &["run", "--no-input"]).ends(6);
    assert_eq!(calls(&bench, 2), ["toolu_A", "toolu_B"]);
    assert_eq!(file(&bench, "ran"), None);
    bench.plue(&["cancel", "last"]);

    let slip = workflow("").replace("approve=['bash']", "approve=['bsah']");
    bench.write(".plue.py", slip);
    bench.plue(&["validate"]).ends(3).reports(&["PLUE-P0083", "`bsah`"]);
    bench.write(".plue.py", "def workflow():\n    return Plan(name='CI', steps=[Step.llm('ask', prompt='Go.', role='careful', approve=['bsah'])])\n");
    bench.write(".plue/roles/careful.md", role.replace("approve: [bash, fetch]", "tools: [bash]"));
    claude.plue(&bench, &["run"]).ends(1);
    bench.plue(&["explain", "last", "ask"]).ends(0).shows(&["PLUE-L0012", "`bsah`"]);
}

#[test]
fn only_maintainers_decide_named_calls_on_servers() {
    let claude = Scripted::new(&script("pushed", "rejected by test"));
    let variables = [("ANTHROPIC_API_KEY", "sk-ant-canary"), ("ANTHROPIC_BASE_URL", &claude.url)];
    let mut served = Served::in_environment(&variables);
    served.bench.write(".plue.py", workflow(""));
    served.push();
    let output = served.remotely(&["run", "CI", "--no-wait", "--output", "json"]).ends(6);
    let run = output.json()["run"].as_str().unwrap().to_owned();
    let items = loop {
        let items = served.get("/api/v1/approvals")["items"].take();
        if items.as_array().unwrap().len() == 2 {
            break items;
        }
    };
    assert_eq!(items[0]["call"]["id"], "toolu_A", "{items}");
    served.remotely(&["status", &run]).ends(0).reports(&["--call toolu_B"]);
    served.remotely(&["approvals"]).ends(0).shows(&["toolu_A", "echo pushed"]);
    let page = served.page(&format!("/runs/{run}"));
    assert!(page.contains("waits for approval of bash") && page.contains("echo pushed"), "{page}");
    let path = format!("/api/v1/runs/{run}/steps/ask/decision");
    let (code, body) = served.ask("POST", &path, Some(&json!({ "approve": true })));
    assert_eq!(code, 422, "{body}");
    assert!(body.contains("toolu_A, toolu_B"), "{body}");
    let made = served.bench.plue(&["token", "create", "--name", "eve", "--role", "writer"]).ends(0);
    let ours = std::mem::replace(&mut served.token, made.stdout.trim().to_owned());
    let yes = json!({ "approve": true, "call": "toolu_A" });
    assert_eq!(served.ask("POST", &path, Some(&yes)).0, 403);
    served.token = ours;
    let gone = json!({ "approve": true, "call": "toolu_Z" });
    assert_eq!(served.ask("POST", &path, Some(&gone)).0, 409);
    served.remotely(&["approve", &run, "ask"]).ends(2).reports(&["2 calls"]);
    assert_eq!(served.ask("POST", &path, Some(&yes)).0, 200);
    assert_eq!(served.ask("POST", &path, Some(&yes)).0, 409, "once");
    served
        .remotely(&["reject", &run, "ask", "--call", "toolu_B"])
        .ends(0)
        .reports(&["rejected toolu_B"]);
    served.remotely(&["logs", "-f", &run, "ask"]).ends(0).shows(&["test approved bash (toolu_A)"]);
    while served.get(&format!("/api/v1/runs/{run}"))["status"] != "success" {}
    claude.asked(2);
    let trail = served.get("/api/v1/audit");
    let rows = trail["items"].as_array().unwrap().iter();
    let calls =
        rows.filter(|row| row["action"] == "run.decide" && row["detail"]["call"].is_string());
    assert_eq!(calls.count(), 2, "{trail}");
}
