//! Runs that are kept from going on: by their concurrency group, or for want of a place. Every view of
//! such a run names what it waits for.

use serde_json::{Value as Json, json};

use crate::{serve::Served, stopping::RunningCommand, support::Bench};

/// A plan that holds its group until it is answered.
const GROUPED: &str = r#"
def workflow():
    return Plan(
        name="Deploy",
        triggers=[Trigger.on_push(), Trigger.on_manual()],
        concurrency=Concurrency(group="production"),
        steps=[Step.approval("go", message="Go?")],
    )
"#;

/// A step that lasts until its run is cancelled.
const LONG: &str = r#"
def workflow():
    return Plan(name="Long", triggers=[Trigger.on_push(), Trigger.on_manual()], steps=[
        Step.bash("work", "echo up; sleep 3000"),
    ])
"#;

/// A run of a server that has this status, once there is one.
fn run_with(served: &Served, status: &str) -> String {
    loop {
        let runs = served.get(&format!("/api/v1/runs?status={status}"));
        if let Some(id) = runs["items"][0]["id"].as_str() {
            return id.to_owned();
        }
    }
}

/// The obstacles of a run, once one of this kind is among them.
fn waits(served: &Served, run: &str, kind: &str) -> Json {
    loop {
        let document = served.get(&format!("/api/v1/runs/{run}/status"));
        let waiting = document["waiting"].as_array().unwrap();
        if let Some(found) = waiting.iter().find(|waiting| waiting["for"] == kind) {
            assert_eq!(waiting.len(), 1, "{document}");
            return found.clone();
        }
    }
}

/// Lines that a command prints until one has this text, and how many before it have another.
fn counted(command: &mut RunningCommand, until: &str, text: &str) -> usize {
    let mut count = 0;
    for line in &mut command.lines {
        let line = line.unwrap();
        if line.contains(until) {
            return count;
        }
        count += usize::from(line.contains(text));
    }
    panic!("not printed: {until}");
}

#[test]
fn queued_runs_of_groups_list_the_run_ahead() {
    let served = Served::start();
    served.bench.write(".plue.py", GROUPED);
    served.push();
    let first = run_with(&served, "waiting");
    let mut follow = RunningCommand::of(served.remote(&["run", "Deploy", "--repo", "acme/app"]));
    let why = format!("waits for its turn in the group `production` behind run {first}");
    assert!(follow.until("waits for its turn").ends_with(&format!("run {why}")));
    let second = run_with(&served, "queued");
    let expected = json!({"for": "turn", "words": why, "group": "production", "behind": first,
               "approvers": [], "until": null});
    assert_eq!(waits(&served, &second, "turn"), expected);
    let here = served.bench.plue(&["status", &second, "--output", "json"]).ends(0);
    assert_eq!(here.json()["waiting"], json!([expected]));
    let page = served.page(&format!("/runs/{second}"));
    let link =
        format!("behind run </bdi><a href=\"/runs/{first}\"><code dir=\"auto\">{first}</code></a>");
    assert_eq!(page.matches("waits for its turn").count(), 1, "{page}");
    assert!(page.contains(&link), "{page}");
    served.remotely(&["approve", &first, "go"]).ends(0);
    assert_eq!(counted(&mut follow, "plue approve", "waits for its turn"), 0, "printed once");
    served.remotely(&["approve", &second, "go"]).ends(0);
    follow.until("run success");
    assert_eq!(follow.child.wait().unwrap().code(), Some(0));
    let ended = served.get(&format!("/api/v1/runs/{second}/status"));
    assert_eq!(ended["waiting"], json!([]));
}

#[test]
fn runs_without_a_place_list_the_bound() {
    let served = Served::with(&["--max-runs", "1"]);
    served.bench.write(".plue.py", LONG);
    served.push();
    let first = run_with(&served, "running");
    let mut follow = RunningCommand::of(served.remote(&["run", "Long", "--repo", "acme/app"]));
    follow.until("run waits for a place: ");
    let second = run_with(&served, "queued");
    let waits = waits(&served, &second, "place");
    assert!(waits["words"].as_str().unwrap().starts_with("waits for a place: "), "{waits}");
    assert!(waits.get("step").is_none(), "{waits}");
    let page = served.page(&format!("/runs/{second}"));
    assert_eq!(page.matches("waits for a place: ").count(), 1, "{page}");
    served.remotely(&["cancel", &first, "--kill"]).ends(0);
    assert_eq!(counted(&mut follow, "| up", "waits for a place"), 0, "printed once");
    served.remotely(&["cancel", &second, "--kill"]).ends(0);
    assert_eq!(follow.child.wait().unwrap().code(), Some(1));
}

#[test]
fn queued_local_runs_print_that_they_wait() {
    let bench = Bench::with(
        &LONG.replace("name=\"Long\"", "name=\"Long\", concurrency=Concurrency('one')"),
    );
    let mut first = RunningCommand::of(bench.command(&["run"]));
    first.until("| up");
    let front = bench.plue(&["status", "last", "--output", "json"]).ends(0).json();
    let front = front["run"]["id"].as_str().unwrap();
    let mut second = RunningCommand::of(bench.command(&["run"]));
    second.until(&format!("waits for its turn in the group `one` behind run {front}"));
    bench.plue(&["cancel", front, "--kill"]);
    assert_eq!(counted(&mut second, "| up", "waits for its turn"), 0, "printed once");
    bench.plue(&["cancel", "last", "--kill"]);
    assert_eq!(first.child.wait().unwrap().code(), Some(1));
    assert_eq!(second.child.wait().unwrap().code(), Some(1));
}
