//! Runners of a server, as its API shows them.

use std::{path::PathBuf, process::Command};

use serde_json::{Value as Json, json};

use crate::{serve::Served, support::Bench};

const GATED: &str = r#"
def workflow():
    return Plan(name="CI", triggers=[Trigger.on_push(branch="main")], steps=[
        Step.bash("gate", "touch up.$PLUE_ATTEMPT; while ! test -e go; do sleep 0.05; done",
                  retry=Retry(max_attempts=2, delay="0s", on=["infra"])),
        Step.bash("last", "true", depends_on=["gate"]),
    ])
"#;

/// The file that a step makes in the workspace of the only run.
fn appears(bench: &Bench, name: &str) -> PathBuf {
    loop {
        let folders = std::fs::read_dir(bench.state().join("workspaces")).into_iter().flatten();
        let mut files = folders.flatten().map(|entry| entry.path().join(name));
        if let Some(file) = files.find(|file| file.exists()) {
            return file;
        }
        std::thread::yield_now();
    }
}

/// The process of the only runner.
fn process(bench: &Bench, runner: &str) -> String {
    let folder = bench.state().join("runners").join(runner);
    // An isolated runner has a part of its folder.
    let marks = ["", "/cell"].map(|part| format!("--state\0{}{part}\0", folder.display()));
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let mut found = all.filter(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        // Not the sandbox around it, whose command line contains its own.
        let program = line.split('\0').next().unwrap_or_default();
        program.ends_with("plue-runner") && marks.iter().any(|mark| line.contains(mark))
    });
    found.next().unwrap().file_name().into_string().unwrap()
}

#[test]
fn row_1_23_killed_runners_are_replaced_and_steps_repeated() {
    let served = Served::start();
    let bench = &served.bench;
    bench.write(".plue.py", GATED);
    served.push();
    appears(bench, "up.1");
    let attempts = |wanted: &str| loop {
        let runs = served.get("/api/v1/runs");
        let id = runs["items"][0]["id"].as_str().unwrap().to_owned();
        let attempts = served.get(&format!("/api/v1/runs/{id}/attempts"));
        let last = attempts.as_array().unwrap().last().unwrap().clone();
        if last["status"] == wanted {
            return attempts;
        }
    };
    // Its start has to be stored: before that a loss is free, and the same attempt goes on.
    attempts("running");
    let runners = served.get("/api/v1/runners");
    let (runner, state) = (runners[0]["id"].as_str().unwrap(), &runners[0]["state"]);
    assert_eq!((state, &runners[0]["pool"]), (&json!("ready"), &json!("local")));
    let killed = process(bench, runner);
    let kill = Command::new("kill").args(["-9", &killed]).status().unwrap();
    assert!(kill.success());
    let second = appears(bench, "up.2");
    // Its replacement is alive, and another process.
    let runners = served.get("/api/v1/runners");
    let now = runners[0]["id"].as_str().unwrap();
    assert_eq!(runners.as_array().unwrap().len(), 1, "{runners}");
    assert!(["ready", "claimed"].contains(&runners[0]["state"].as_str().unwrap()), "{runners}");
    assert_ne!(process(bench, now), killed);
    std::fs::write(second.with_file_name("go"), "").unwrap();
    let run = served.run(1);
    assert_eq!(run["status"], "success", "{run}");
    let id = run["id"].as_str().unwrap();
    let attempts = served.get(&format!("/api/v1/runs/{id}/attempts"));
    let gate: Vec<Json> = attempts
        .as_array()
        .unwrap()
        .iter()
        .filter(|attempt| attempt["step"] == "gate")
        .cloned()
        .collect();
    let numbers: Vec<_> = gate.iter().map(|one| &one["number"]).collect();
    assert_eq!(numbers, [&json!(1), &json!(2)], "{gate:?}");
    // The first attempt is lost, and the step's retry rule covers that.
    let outcomes: Vec<_> = gate.iter().map(|one| one["outcome"].as_str().unwrap()).collect();
    assert!(outcomes[0].starts_with("infrastructure: "), "{outcomes:?}");
    assert_eq!(outcomes[1], "success");
}
