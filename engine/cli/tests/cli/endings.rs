//! Shutdown and restart of a server: on request, or killed with runs in hand.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use plue_plan::RunId;
use plue_store::{RunRow, Store, StoreOptions, deaths::MAX_DEATHS};
use serde_json::{Value as Json, json};

use crate::{serve::Served, support::Bench};

const ASKS: &str = r#"
def workflow():
    return Plan(name="CI", triggers=[Trigger.on_push(branch="main")], steps=[
        Step.approval("ask", message="ship it?"),
        Step.bash("ship", "echo shipped", depends_on=["ask"]),
    ])
"#;

const GATED: &str = r#"
def workflow():
    return Plan(name="CI", triggers=[Trigger.on_push(branch="main")], steps=[
        Step.bash("gate", "touch up; until test -e go; do sleep 0.01; done; echo after"),
        Step.bash("last", "echo last", depends_on=["gate"]),
    ])
"#;

/// A server with one run of a workflow, and the run.
fn started(bench: Bench, source: &str) -> (Served, String) {
    let served = Served::on(bench, &[]);
    served.bench.write(".plue.py", source);
    served.push();
    loop {
        if let Some(id) = served.get("/api/v1/runs")["items"][0]["id"].as_str() {
            let id = id.to_owned();
            return (served, id);
        }
    }
}

fn status(served: &Served, run: &str) -> Json {
    served.get(&format!("/api/v1/runs/{run}"))
}

fn terminate(served: &Served) {
    let pid = served.server.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
}

/// The file that a step of the run looks for.
fn file(served: &Served, run: &str, name: &str) -> std::path::PathBuf {
    served.bench.state().join("workspaces").join(run).join(name)
}

#[test]
fn waiting_runs_are_parked_at_shutdown() {
    let (mut served, run) = started(Bench::new(), ASKS);
    while status(&served, &run)["status"] != "waiting" {}
    terminate(&served);
    assert_eq!(served.server.wait().unwrap().code(), Some(0));
    served.serve();
    assert_eq!(status(&served, &run)["status"], "waiting");
    let path = format!("/api/v1/runs/{run}/steps/ask/decision");
    let (code, body) = served.ask("POST", &path, Some(&json!({"approve": true})));
    assert_eq!(code, 200, "{body}");
    assert_eq!(served.run(1)["status"], "success");
}

#[test]
fn draining_servers_answer_until_their_steps_end() {
    let (mut served, run) = started(Bench::new(), GATED);
    while !file(&served, &run, "up").exists() {}
    terminate(&served);
    while served.ask("GET", "/readyz", None).0 != 503 {}
    assert_eq!(served.ask("GET", "/healthz", None).0, 200);
    assert_eq!(status(&served, &run)["status"], "running");
    std::fs::write(file(&served, &run, "go"), "").unwrap();
    assert_eq!(served.server.wait().unwrap().code(), Some(0));
    served.serve();
    let ended = served.run(1);
    assert_eq!(ended["status"], "success");
    assert_eq!(served.log_of(&ended, "gate"), "after\n", "the step ran once");
}

async fn row(store: &Store, run: &str) -> RunRow {
    store.runs().get(&RunId::new(run)).await.unwrap().unwrap()
}

/// Kills the server each time it has taken the run up.
#[tokio::test]
async fn runs_that_kill_their_server_are_set_aside() {
    let (mut served, run) = started(Bench::new(), GATED);
    let file_of = served.bench.state().join("plue.db");
    let store = Store::open(StoreOptions::sqlite(&file_of).read_only()).await.unwrap();
    for deaths in 0..MAX_DEATHS {
        loop {
            let row = row(&store, &run).await;
            if (row.deaths, row.in_hand) == (deaths, true) {
                break;
            }
        }
        served.server.kill().unwrap();
        served.server.wait().unwrap();
        served.serve();
    }
    while !row(&store, &run).await.is_set_aside() {}
    let shown = status(&served, &run);
    let reason = shown["reason"].as_str().unwrap();
    assert!(reason.contains("set aside") && reason.contains("plue retry"), "{reason}");
    served.bench.plue(&["status", &run]).ends(0).shows(&["set aside", "plue resume"]);
    served.bench.plue(&["explain", &run]).ends(0).shows(&["set aside"]);
    // Other runs are driven; the run that is set aside continues only after a retry.
    served.bench.write(".plue.py", GATED.replace("until test -e go; do sleep 0.01; done; ", ""));
    served.push();
    assert_eq!(served.run(2)["status"], "success");
    assert!(row(&store, &run).await.is_set_aside());
    std::fs::write(file(&served, &run, "go"), "").unwrap();
    let path = format!("/api/v1/runs/{run}/retry");
    let (code, body) = served.ask("POST", &path, Some(&json!({})));
    assert_eq!(code, 200, "{body}");
    served.ask("GET", &format!("/api/v1/runs/{run}/events"), None);
    assert_eq!(status(&served, &run)["status"], "success");
    assert_eq!(row(&store, &run).await.deaths, 0);
    store.close().await;
}

#[test]
fn rotated_keys_reach_running_servers() {
    let served = Served::start();
    served.bench.write(".plue.py", crate::serve::WORKFLOW);
    served.bench.write("src/app.txt", "one\n");
    served.push();
    assert_eq!(served.run(1)["status"], "success");
    served.bench.plue(&["secret", "rotate"]).ends(0);
    served.bench.write("src/app.txt", "two\n");
    served.push();
    assert_eq!(served.run(2)["status"], "success");
    // Secrets that the server seals after the rotation can be opened by other processes.
    let secret = json!({"text": "hunter33hunter"});
    let (code, body) = served.ask("PUT", "/api/v1/secrets/TOKEN", Some(&secret));
    assert!((200..300).contains(&code), "{body}");
    served.bench.plue(&["secret", "rotate"]).ends(0);
}

/// A repository that is gone is worth a warning.
#[test]
fn servers_log_warnings_with_times() {
    for flags in [&[][..], &["--log-format", "json"][..]] {
        let bench = Bench::with(ASKS);
        let bare = bench.home().join("app.git");
        bench.git(&["init", "-q", "--bare", "-b", "main", bare.to_str().unwrap()]);
        bench.plue(&["repo", "add", "acme/app", bare.to_str().unwrap()]).ends(0);
        bench.git(&["push", "-q", bare.to_str().unwrap(), "HEAD:main"]);
        std::fs::remove_dir_all(&bare).unwrap();
        let mut command = bench.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.args(flags).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut server = command.spawn().unwrap();
        let mut lines = BufReader::new(server.stderr.take().unwrap()).lines().map(Result::unwrap);
        let line = lines.find(|line| line.contains("WARN")).expect("a warning");
        server.kill().unwrap();
        server.wait().unwrap();
        let time = match serde_json::from_str::<Json>(&line) {
            Ok(event) if !flags.is_empty() => event["timestamp"].as_str().unwrap().to_owned(),
            _ => line.split(' ').next().unwrap().to_owned(),
        };
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{line}");
    }
}
