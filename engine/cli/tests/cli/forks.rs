//! Pull requests from forks: from a signed delivery to what runs, and where.
//!
//! Tests that need bubblewrap print `NOT PROVEN` and pass on machines where it does not work.

use std::path::PathBuf;

use serde_json::{Value as Json, json};

use crate::{
    forge::{Forge, Served},
    scripted::Scripted,
    support::Bench,
};

const PLAIN: &str = r#"
def workflow():
    return Plan(name="CI", triggers=[Trigger.on_pull_request()], steps=[
        Step.bash("test", "id -un; cat src.txt; cp src.txt out.txt; test -e deps/x && echo cached; "
                  "mkdir -p deps; touch deps/x up; while ! test -e go; do sleep 0.05; done",
                  artifacts=["out.txt"], cache=Cache(key="deps", paths=["deps"])),
        Step.python("more", "import socket\nprint(socket.gethostname())", depends_on=["test"]),
    ])
"#;
const MORE: &str = r#"
def workflow():
    return Plan(name="CI", triggers=[Trigger.on_pull_request()], steps=[
        Step.bash("test", "touch ran", secrets=["DEPLOY"]),
    ])
"#;

/// Whether this machine can isolate untrusted runs; prints `NOT PROVEN` if not.
pub(crate) fn own_isolation(bench: &Bench) -> bool {
    let doctor: Json =
        serde_json::from_str(&bench.plue(&["doctor", "--output", "json"]).stdout).unwrap();
    let checks = doctor["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["what"] == "pool: untrusted").unwrap();
    if check["level"] != "ok" {
        eprintln!("NOT PROVEN: {}", check["found"]);
    }
    check["level"] == "ok"
}

/// The workspaces of all runs.
fn workspaces(bench: &Bench) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(bench.state().join("workspaces")).into_iter().flatten();
    folders.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// A workspace whose step has created `up` and waits for `go`.
fn waiting(bench: &Bench) -> PathBuf {
    loop {
        let all = workspaces(bench);
        let is_waiting = |path: &&PathBuf| path.join("up").exists() && !path.join("go").exists();
        if let Some(found) = all.iter().find(is_waiting) {
            return found.clone();
        }
        std::thread::yield_now();
    }
}

#[test]
fn harmless_forks_run_isolated_and_survive_restarts() {
    let forge = Forge::start();
    let mut served = Served::start(&forge);
    if !own_isolation(&served.bench) {
        return;
    }
    served.bench.write(".plue.py", PLAIN);
    served.bench.write("src.txt", "theirs\n");
    let base = served.push("refs/heads/main");
    served.bench.write("src.txt", "a fork's\n");
    let head = served.push("refs/pull/7/head");
    served.deliver("d1", "opened", "eve/app", (&base, &head));
    forge.status(&head, "plue/required", "pending");
    let workspace = waiting(&served.bench);
    // Wait for the report: one interrupted here is repeated only after minutes.
    forge.comment("CI");
    let token = served.bench.plue(&["token", "create", "--name", "t", "--role", "reader"]).ends(0);
    let token = token.stdout.trim().to_owned();
    let runners = served.get(&token, "/api/v1/runners");
    assert!(runners.contains("\"pool\":\"untrusted\""), "{runners}");
    served.dies_and_another_begins();
    std::fs::write(workspace.join("go"), "").unwrap();
    forge.status(&head, "plue/required", "success");
    let bench = &served.bench;
    let log = bench.plue(&["logs", "last", "test"]).ends(0).stdout;
    assert!(log.contains("plue\n") && log.contains("a fork's\n"), "{log}");
    assert!(!log.contains("cached"), "{log}");
    let log = bench.plue(&["logs", "last", "more"]).ends(0).stdout;
    assert!(log.contains("plue"), "{log}");
    let kept = bench.plue(&["artifacts", "last", "--get", "out.txt"]).ends(0);
    assert_eq!(kept.stdout, "a fork's\n");
    // Its own cache is there the next time.
    bench.write("src.txt", "again\n");
    let next = served.push("refs/pull/7/head");
    served.deliver("d2", "synchronize", "eve/app", (&base, &next));
    forge.status(&next, "plue/required", "pending");
    std::fs::write(waiting(bench).join("go"), "").unwrap();
    forge.status(&next, "plue/required", "success");
    let log = bench.plue(&["logs", "last", "test"]).ends(0).stdout;
    assert!(log.contains("again\ncached\n"), "{log}");
    let runners = served.get(&token, "/api/v1/runners");
    assert!(!runners.contains("\"id\""), "nothing is kept for another: {runners}");
}

#[test]
fn forks_with_new_access_wait_for_approval() {
    let forge = Forge::start();
    let served = Served::start(&forge);
    if !own_isolation(&served.bench) {
        return;
    }
    served.bench.write(".plue.py", PLAIN.replace("on_pull_request()", "on_push()"));
    let base = served.push("refs/heads/main");
    served.bench.write(".plue.py", MORE);
    let head = served.push("refs/pull/7/head");
    served.deliver("d1", "opened", "eve/app", (&base, &head));
    forge.status_with(&head, "plue/required", "pending", "a maintainer must let");
    let comment = forge.comment("waiting");
    assert!(comment.contains("newly reach secret DEPLOY"), "{comment}");
    assert!(comment.contains(&format!("plue repo allow acme/app {head}")), "{comment}");
    assert_eq!(workspaces(&served.bench), Vec::<PathBuf>::new());
    served.bench.plue(&["repo", "allow", "acme/app", &head]).ends(0);
    // Without the secret, even if allowed.
    let text = forge.status(&head, "plue/required", "failure");
    assert!(text.contains("DEPLOY"), "{text}");
    // The same commit from the repository itself runs, with the secret.
    served.deliver("d2", "opened", "acme/app", (&base, &head));
    forge.status(&head, "plue/required", "success");
}

#[test]
fn forks_spend_no_money_on_claude() {
    let forge = Forge::start();
    let claude = Scripted::new(&json!([{"text": "spent", "repeat": "forever"}]));
    let mut served = Served::start(&forge);
    if !own_isolation(&served.bench) {
        return;
    }
    let key = [("ANTHROPIC_API_KEY", "sk-ant-canary"), ("ANTHROPIC_BASE_URL", &*claude.url)];
    served.dies_and_another_begins_with(&key);
    let plan = PLAIN.split("steps=").next().unwrap();
    served.bench.write(".plue.py", format!("{plan}steps=[Step.llm(\"ask\", prompt=\"Go.\")])\n"));
    let base = served.push("refs/heads/main");
    served.bench.write("src.txt", "a fork's\n");
    let head = served.push("refs/pull/7/head");
    served.deliver("d1", "opened", "eve/app", (&base, &head));
    forge.status(&head, "plue/required", "failure");
    served.bench.plue(&["explain", "last", "ask"]).shows(&["PLUE-L0014"]);
    assert_eq!(claude.state()["requests"], 0);
    // A commit of the repository may.
    served.deliver("d2", "opened", "acme/app", (&base, &head));
    forge.status(&head, "plue/required", "success");
    assert_eq!(claude.state()["requests"], 1);
}

#[test]
fn forks_never_run_without_isolation() {
    let forge = Forge::start();
    let config = "[runner]\nbinary = \"/nowhere/plue-runner\"\n";
    let served = Served::with(&forge, config);
    served.bench.write(".plue.py", PLAIN);
    let base = served.push("refs/heads/main");
    served.bench.write("src.txt", "a fork's\n");
    let head = served.push("refs/pull/7/head");
    served.deliver("d1", "opened", "eve/app", (&base, &head));
    forge.status_with(&head, "plue/required", "pending", "only in the pool `untrusted`");
    assert!(forge.comment("waiting").contains("plue doctor"), "what can be done");
    let allow = ["repo", "allow", "acme/app", &head];
    served.bench.plue(&allow).ends(0);
    // Refused once it has been dispatched again and is no longer held.
    while served.bench.plue(&allow).code != 0 {}
    let runs = served.bench.plue(&["runs", "--output", "json"]).ends(0);
    assert!(!runs.stdout.contains("\"id\""), "{}", runs.stdout);
}
