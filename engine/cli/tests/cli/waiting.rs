//! Approvals, events, callbacks, child runs and groups through the program.

use std::io::{BufRead as _, BufReader};

use serde_json::{Value as Json, json};

use crate::support::Bench;

const ASKS: &str = r#"
def workflow():
    return Plan(name="Deploy", steps=[
        Step.bash("build", "echo built"),
        Step.approval("ask", message="ship it?", depends_on=["build"],
                      fields={"type": "object", "required": ["env"],
                              "properties": {"env": {"enum": ["dev", "prod"]}}}),
        Step.bash("ship", 'echo "to $TO"', env={"TO": ref("ask", "env")}, depends_on=["ask"]),
    ])
"#;

fn status(bench: &Bench) -> Json {
    bench.plue(&["status", "--output", "json"]).ends(0).json()
}

/// A run that waits for a decision and that no process drives.
fn asked(source: &str) -> Bench {
    let bench = Bench::with(source);
    bench.plue(&["run", "--no-wait"]).ends(6).reports(&["plue approve"]);
    bench
}

#[test]
fn row_0_04_decisions_of_other_processes_continue_runs() {
    let bench = asked(ASKS);
    let shown = status(&bench);
    assert_eq!(shown["run"]["status"], "waiting");
    assert_eq!(shown["waiting"][0]["for"], "decision");
    assert_eq!(shown["waiting"][0]["step"], "ask");
    let approved = bench.plue(&["approve", "last", "ask", "--field", "env=prod"]).ends(0);
    assert!(approved.stderr.contains("plue resume"), "{}", approved.stderr);
    bench.plue(&["resume"]).ends(0);
    let log = bench.plue(&["logs", "last", "ship"]).ends(0);
    assert_eq!(log.stdout, "to prod\n");
    let output = bench.plue(&["explain", "last", "ask"]).ends(0);
    assert!(output.stdout.contains("approved it"), "{}", output.stdout);
}

#[test]
fn rejections_fail_runs_with_name_and_reason() {
    let bench = asked(ASKS);
    bench.plue(&["reject", "last", "ask", "--comment", "not on a Friday"]).ends(0);
    assert_eq!(bench.plue(&["resume"]).code, 1);
    let shown = status(&bench);
    let ask = shown["steps"].as_array().unwrap().iter().find(|step| step["step"] == "ask").unwrap();
    assert!(ask["reason"].as_str().unwrap().ends_with(": not on a Friday"), "{ask}");
}

#[test]
fn invalid_decisions_are_refused_with_exit_codes() {
    let bench = asked(ASKS);
    let cases: [(&[&str], i32, &str); 5] = [
        (&["approve", "last", "ask"], 2, "\"env\" is a required property"),
        (&["approve", "last", "ask", "--field", "env=moon"], 2, "/env"),
        (&["approve", "last", "ask", "--field", "env"], 2, "key=value"),
        (&["approve", "last", "zz"], 4, "no step `zz`"),
        (&["approve", "last", "build"], 2, "does not wait for a decision"),
    ];
    for (args, code, expected) in cases {
        let ran = bench.plue(args);
        assert_eq!(ran.code, code, "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{args:?}: {}", ran.stderr);
    }
    bench.plue(&["approve", "last", "ask", "--field", "env=dev"]).ends(0);
    let twice = bench.plue(&["approve", "last", "ask", "--field", "env=dev"]);
    assert_eq!(twice.code, 2);
    assert!(twice.stderr.contains("answered already"), "{}", twice.stderr);
}

#[test]
fn only_approvers_may_answer() {
    let source = ASKS.replace("message=\"ship it?\"", "message=\"?\", approvers=[\"nobody-here\"]");
    let bench = asked(&source);
    let refused = bench.plue(&["approve", "last", "ask", "--field", "env=dev"]);
    assert_eq!(refused.code, 4);
    assert!(refused.stderr.contains("nobody-here"), "{}", refused.stderr);
}

#[test]
fn a_message_ends_a_wait() {
    let bench = Bench::new();
    let source = r#"
def workflow():
    return Plan(name="Listen", outputs={"n": ref("hear", "data.n")}, steps=[
        Step.wait("hear", Trigger.on_event("built", when="event.payload.n > 1")),
    ])
"#;
    bench.write(".plue.py", source);
    assert_eq!(bench.plue(&["run", "--no-input"]).code, 6);
    bench.plue(&["event", "emit", "built", "--data", "{\"n\": 1}"]).ends(0);
    assert_eq!(bench.plue(&["resume"]).code, 6);
    bench.plue(&["event", "emit", "built", "--data", "{\"n\": 2}"]).ends(0);
    bench.plue(&["resume"]).ends(0);
    assert_eq!(status(&bench)["outputs"], json!({"n": 2}));
}

#[test]
fn a_token_that_is_none_is_not_found() {
    let bench = Bench::new();
    bench.write(".plue.py", crate::support::SMALL);
    bench.plue(&["run"]).ends(0);
    let refused = bench.plue(&["callback", "0000", "--output", "{}"]);
    assert_eq!(refused.code, 4, "{}", refused.stderr);
    let long = bench.plue_reading(&["callback", "-"], &"0".repeat(2_000));
    long.ends(2).reports(&["a token has at most 1024 bytes"]);
}

#[test]
fn row_3_17_workflows_run_others_with_typed_inputs() {
    let bench = Bench::new();
    let outer = r#"
def workflow():
    return Plan(name="outer", steps=[
        Step.workflow("sub", "inner", inputs={"n": 20}),
        Step.bash("after", 'echo "got $N"', env={"N": ref("sub", "twice")}, depends_on=["sub"]),
    ])
"#;
    bench.write("outer.plue.py", outer);
    let inner = r#"
def workflow(ctx):
    n = (ctx.inputs or {}).get("n", 0)
    return Plan(name="inner", inputs={"n": Input(type="integer", required=True)},
        outputs={"twice": ref("double", "value")},
        steps=[Step.bash("double", 'echo "value=$((N * 2))" > "$PLUE_OUTPUT"', env={"N": str(n)})])
"#;
    bench.write("inner.plue.py", inner);
    bench.commit();
    let ran = bench.plue(&["run", "outer"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let runs = bench.plue(&["runs", "--output", "json"]).ends(0).json();
    let names: Vec<&str> = runs["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["workflow"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["inner", "outer"]);
    let outer = runs["runs"][1]["id"].as_str().unwrap();
    assert_eq!(bench.plue(&["logs", outer, "after"]).stdout, "got 40\n");
}

#[test]
fn retries_from_unknown_steps_are_not_found() {
    let bench = Bench::new();
    bench.write(".plue.py", crate::support::MIXED);
    assert_eq!(bench.plue(&["run"]).code, 1);
    let refused = bench.plue(&["retry", "last", "--from", "zz"]);
    assert_eq!(refused.code, 4, "{}", refused.stderr);
    assert!(refused.stderr.contains("no step `zz`"), "{}", refused.stderr);
}

/// `plue run` is killed while it waits; the decision is stored, and the next driver takes it.
#[test]
fn row_0_04_a_wait_survives_a_kill() {
    let bench = Bench::with(ASKS);
    let mut run = bench.command(&["run"]).stderr(std::process::Stdio::null()).spawn().unwrap();
    let waits = |bench: &Bench| {
        let output = bench.plue(&["status", "--output", "json"]);
        output.code == 0 && output.json()["run"]["status"] == "waiting"
    };
    while !waits(&bench) {
        assert!(run.try_wait().unwrap().is_none(), "it ended without waiting");
    }
    run.kill().unwrap();
    run.wait().unwrap();
    bench.plue(&["approve", "last", "ask", "--field", "env=dev"]).ends(0).reports(&["plue resume"]);
    bench.plue(&["resume"]).ends(0);
    assert_eq!(bench.plue(&["logs", "last", "ship"]).stdout, "to dev\n");
    assert_eq!(bench.plue(&["logs", "last", "build"]).stdout, "built\n");
}

/// A step that asks for more than the machine has, until the machine has it.
#[test]
fn row_2_05_unschedulable_steps_wait_with_a_reason() {
    let source = r#"
def workflow():
    return Plan(name="Train", steps=[
        Step.bash("train", "echo trained", resources={"gpu": 1, "memory": "1Mi"}),
        Step.bash("test", "echo tested"),
    ])
"#;
    let bench = Bench::with(source);
    let mut run = bench.command(&["run"]).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let train = |bench: &Bench| {
        let output = bench.plue(&["status", "--output", "json"]);
        let steps = if output.code == 0 { output.json()["steps"].take() } else { json!([]) };
        steps.as_array().unwrap().iter().find(|step| step["step"] == "train").cloned()
    };
    let why = "waits for a runner: asks for gpu=1; no runner of pool `default` has it";
    while train(&bench).is_none_or(|step| step["reason"] != why) {
        assert!(run.try_wait().unwrap().is_none(), "it ended without waiting");
    }
    assert_eq!(train(&bench).unwrap()["status"], "queued");
    bench.plue(&["status"]).ends(0).shows(&[why]);
    bench.plue(&["explain", "last", "train"]).ends(0).shows(&[why]);
    // It is printed a moment after it was stored.
    let mut lines = BufReader::new(run.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains(why)), "it ended and printed nothing");
    run.kill().unwrap();
    run.wait().unwrap();
    let wrong = bench.command(&["resume"]).env("PLUE_RUNNER_RESOURCES", "gpu").output().unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{}", String::from_utf8_lossy(&wrong.stderr));
    let more = bench.command(&["resume"]).env("PLUE_RUNNER_RESOURCES", "gpu=1").output().unwrap();
    assert!(more.status.success(), "{}", String::from_utf8_lossy(&more.stderr));
    assert_eq!(bench.plue(&["logs", "last", "train"]).stdout, "trained\n");
    assert_eq!(train(&bench).unwrap()["reason"], Json::Null);
}

/// A service that the step asks for, and one that no machine has.
#[test]
fn services_that_cannot_start_fail_their_step() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let source = format!(
        r#"
def workflow():
    up = Service("python3 -u -m http.server {port} --bind 127.0.0.1", {port}, env={{"A": "b"}})
    ask = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:{port}/').status)"
    return Plan(name="S", on_failure="continue", steps=[
        Step.bash("with", f'python3 -c "{{ask}}"', services=[up]),
        Step.bash("without", "touch ran", services=[Service("postgres:16", {port})], depends_on=["with"]),
    ])
"#
    );
    let bench = Bench::with(&source);
    bench.plue(&["run"]).ends(1);
    let log = bench.plue(&["logs", "last", "with"]).ends(0);
    assert!(log.stdout.contains("200\n"), "{}", log.stdout);
    assert!(
        log.stdout.contains(&format!("[python3:{port}] ready on port {port}")),
        "{}",
        log.stdout
    );
    let output = bench.plue(&["explain", "last", "without"]).ends(0);
    output.shows(&["PLUE-R0001", "postgres:16", "start no containers"]);
    assert!(!bench.repo().join("ran").exists());
}
