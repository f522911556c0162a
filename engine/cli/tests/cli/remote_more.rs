//! `plue --server`: what was left to this machine: why, as a file, tokens, messages.

use serde_json::json;

use crate::{
    serve::Served,
    support::{MIXED, snapshot},
};

/// One step waits for a decision, so that the run does not end.
const ASKS: &str = r#"
def workflow():
    return Plan("Asks", triggers=[Trigger.on_manual()],
                steps=[Step.approval("ask", message="go?", approvers=["test"])])
"#;

fn mixed() -> (Served, String) {
    let served = Served::start();
    served.bench.write(".plue.py", MIXED);
    served.push();
    let run = served.run(1);
    assert_eq!(run["status"], "failed", "{run}");
    let run = run["id"].as_str().unwrap().to_owned();
    (served, run)
}

#[test]
fn servers_explain_steps_like_local_commands() {
    let (served, run) = mixed();
    for args in [
        &["explain", "last"][..],
        &["explain", &run, "bad"],
        &["explain", &run, "behind", "--output", "json"],
        &["explain", &run, "asked", "--output", "jsonl"],
        &["logs", &run, "--search", "e", "--output", "json"],
        &["logs", &run, "bad", "--search", "oops"],
        &["doc", "generate", &run],
    ] {
        let (here, there) = (served.bench.plue(args).ends(0), served.remotely(args).ends(0));
        assert_eq!((&there.stdout, &there.stderr), (&here.stdout, &here.stderr), "{args:?}");
        assert!(!there.stdout.is_empty(), "{args:?}");
    }
    let output = served.remotely(&["explain", &run]).ends(0);
    output.shows(&["oops", "because bad failed", "when steps.test.status", "plue retry"]);
}

#[test]
fn exports_from_servers_equal_local_exports() {
    let (served, run) = mixed();
    let bench = &served.bench;
    served.remotely(&["export", "last", "../there.plue"]).ends(0).reports(&[&run, "parts"]);
    bench.plue(&["export", &run, "../here.plue"]).ends(0);
    let file = |name: &str| std::fs::read(bench.repo().join("..").join(name)).unwrap();
    assert!(file("there.plue") == file("here.plue"));
    served.remotely(&["export", "last", "../there.plue"]).ends(2).reports(&["--force"]);
    // A file is a matter of this machine: a server is refused.
    served.remotely(&["open", "../there.plue", "--check"]).ends(2).reports(&["this machine's"]);
    bench.plue(&["open", "../there.plue", "--check"]).ends(0).reports(&["the file is whole"]);
    // As a tree of records.
    served.remotely(&["export", "all", "../tree-there", "--layout", "files"]).ends(0);
    bench.plue(&["export", "all", "../tree-here", "--layout", "files"]).ends(0);
    let tree = |name: &str| {
        let root = bench.repo().join("..").join(name);
        let files = snapshot(&root).into_iter();
        files
            .map(|(path, bytes)| (path.strip_prefix(&root).unwrap().to_owned(), bytes))
            .collect::<Vec<_>>()
    };
    assert_eq!(tree("tree-there"), tree("tree-here"));
    assert!(tree("tree-there").len() >= 3);
}

/// Its step succeeds on the second of two lines of a file.
const COUNTS: &str = r#"
def workflow(ctx):
    return Plan(
        name="CI",
        triggers=[Trigger.on_push(branch="main")],
        steps=[Step.bash("count", "echo line >> lines.txt; test $(wc -l < lines.txt) -ge 2")],
    )
"#;

#[test]
fn retries_on_a_server_put_files_back() {
    let served = Served::start();
    served.bench.write(".plue.py", COUNTS);
    served.push();
    let run = served.run(1);
    assert_eq!(run["status"], "failed", "{run}");
    let run = run["id"].as_str().unwrap();
    let again = served.remotely(&["retry", run]).ends(1);
    again.reports(&["1 files are what they were before those steps", "run failed"]);
    served.remotely(&["retry", run, "--keep-files"]).ends(0).reports(&["run success"]);
    // A new run of the same part, in a workspace of its own.
    served.remotely(&["rerun", run, "--failed"]).ends(2).reports(&["run"]);
    served.remotely(&["rerun", run, "--from", "count"]).ends(1).reports(&["repeats", "run failed"]);
}

#[test]
fn active_runs_are_neither_exported_nor_resumed() {
    let served = Served::start();
    served.bench.write(".plue.py", ASKS);
    served.push();
    let args = ["run", "Asks", "--no-wait", "--output", "json"];
    let run = loop {
        // The push is taken in by and by.
        let output = served.remotely(&args);
        if output.code == 6 {
            break output.json()["run"].as_str().unwrap().to_owned();
        }
    };
    while served.get("/api/v1/approvals")["items"] == json!([]) {}
    served.remotely(&["explain", &run]).ends(0).shows(&["ask waiting", "plue approve"]);
    let output = served.remotely(&["export", &run, "../x.plue"]).ends(2);
    output.reports(&["has not ended"]);
    let left = std::fs::read_dir(served.bench.repo().join("..")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("x.plue")), "{left:?}");
    served.remotely(&["resume"]).ends(0).reports(&["by itself"]);
    served.remotely(&["resume", &run]).ends(0).reports(&["goes on by itself", &run]);
    served.remotely(&["resume", &run, "--secret", "X"]).ends(2);
    served.remotely(&["cancel", &run]).ends(0);
    served.remotely(&["resume", &run]).ends(2).reports(&["has ended already", "plue retry"]);
    served.remotely(&["resume", "nothing"]).ends(4);
}

#[test]
fn servers_manage_tokens_and_accept_messages() {
    let served = Served::start();
    let create = ["token", "create", "--name", "eve", "--role", "reader", "--expires-in", "90d"];
    let made = served.remotely(&create).ends(0);
    made.reports(&["(reader)", "not shown again"]);
    let token = made.stdout.trim().to_owned();
    let as_eve = |args: &[&str]| {
        let mut command = served.remote(args);
        command.env("PLUE_TOKEN", &token);
        crate::support::CliOutput::of(command.output().unwrap())
    };
    as_eve(&["runs"]).ends(0);
    as_eve(&["token", "list"]).ends(4);
    as_eve(&create).ends(4);
    as_eve(&["event", "emit", "deploys"]).ends(4);
    let list = served.remotely(&["token", "list", "--output", "json"]).ends(0).json();
    let eve = list["tokens"].as_array().unwrap().iter().find(|one| one["name"] == "eve").unwrap();
    assert_eq!((&eve["role"], &eve["created_by"]), (&json!("reader"), &json!("token:test")));
    assert!(eve["expires_at"].is_string() && !list.to_string().contains(&token));
    served.remotely(&["token", "list"]).ends(0).shows(&["eve", "reader"]);
    let id = eve["id"].as_str().unwrap();
    served.remotely(&["token", "rm", id]).ends(0);
    served.remotely(&["token", "rm", id]).ends(4).reports(&["plue token list"]);
    as_eve(&["runs"]).ends(4).reports(&["does not know who asks"]);
    let bad = ["token", "create", "--name", "x", "--role", "reader", "--expires-in", "soon"];
    served.remotely(&bad).ends(2).reports(&["--expires-in soon"]);
    let emit = ["event", "emit", "deploys", "--data", "{\"n\": 1}"];
    served.remotely(&emit).ends(0).reports(&["emitted on `deploys`"]);
    served.remotely(&["event", "emit", ""]).ends(2).reports(&["a topic is"]);
    let trail = served.get("/api/v1/audit");
    let actions: Vec<_> =
        trail["items"].as_array().unwrap().iter().map(|row| row["action"].clone()).collect();
    for action in ["token.create", "token.remove", "event.emit"] {
        assert!(actions.contains(&json!(action)), "{action}: {actions:?}");
    }
}

#[test]
fn what_is_about_files_asks_no_server() {
    let served = Served::start();
    served.bench.write("headers.json", r#"{"X-GitHub-Event": "ping", "X-GitHub-Delivery": "1"}"#);
    served.bench.write("body.json", "{}");
    let decode = [
        "event",
        "decode",
        "--forge",
        "github",
        "--headers",
        "headers.json",
        "--body",
        "body.json",
    ];
    let here = served.bench.plue(&decode);
    let nowhere = ["--server", "http://127.0.0.1:1"];
    let there = served.bench.plue(&[&nowhere[..], &decode].concat());
    assert_eq!((there.code, &there.stdout), (here.code, &here.stdout));
    assert!(!there.stderr.contains("does not answer"), "{}", there.stderr);
    let open = [&nowhere[..], &["open", "none.plue"]].concat();
    assert!(!served.bench.plue(&open).stderr.contains("does not answer"));
}
