//! Runs as seen from outside a server: the seven edges of the first diagram, the events in their order,
//! and the metrics that Prometheus scrapes.

use serde_json::{Value as Json, json};

use crate::serve::Served;

const WORKFLOW: &str = r#"
def workflow(ctx):
    return Plan(
        name="Watched",
        triggers=[Trigger.on_push(branch="main"), Trigger.on_schedule("0 4 1 1 *")],
        steps=[
            Step.bash("one", "echo printed; echo '{\"n\": 1}' > $PLUE_OUTPUT"),
            Step.bash("two", "echo done", depends_on=["one"]),
        ],
    )
"#;

/// The facts of a stream of server-sent events, and the number of each.
fn facts(stream: &str) -> Vec<(u64, Json)> {
    let events = stream.split("\n\n").filter(|event| event.contains("event: fact"));
    let line = |event: &str, name: &str| {
        let line = event.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
        line.unwrap()
    };
    events
        .map(|event| {
            let data: Json = serde_json::from_str(&line(event, "data: ")).unwrap();
            (line(event, "id: ").parse().unwrap(), data)
        })
        .collect()
}

/// All events of a stream by name, with the step that they are about.
fn events(stream: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (_, fact) in facts(stream) {
        for name in fact["events"].as_array().unwrap() {
            // Sent only if something else is settled before the step has started.
            if name == "step.assigned" {
                continue;
            }
            let step = fact["fact"]["step"].as_str().map(|step| format!(" {step}"));
            names.push(format!("{}{}", name.as_str().unwrap(), step.unwrap_or_default()));
        }
    }
    names
}

/// Each hand-over (row 0.02 of docs/conformance.md) leaves something that can be seen, in its order.
#[test]
fn row_0_02_each_edge_is_a_visible_record() {
    let mut served = Served::start();
    served.bench.write(".plue.py", WORKFLOW);
    served.push();
    let run = served.run(1);
    let id = run["id"].as_str().unwrap().to_owned();
    let get = |path: &str| served.get(&format!("/api/v1/runs/{id}{path}"));
    // Control plane → engine: the commit's workflow is registered.
    let registered = served.get("/api/v1/schedules");
    assert_eq!(registered[0]["workflow"], "Watched", "{registered}");
    // Engine → broker → control plane: a stream that anybody may take up where he left it.
    let (_, stream) = served.ask("GET", &format!("/api/v1/runs/{id}/events"), None);
    let sent = facts(&stream);
    let rest = format!("/api/v1/runs/{id}/events?after={}", sent[1].0);
    assert_eq!(facts(&served.ask("GET", &rest, None).1), sent[2..]);
    let place = |fact: &str| {
        let is = |(_, data): &(u64, Json)| {
            data["fact"]["fact"] == fact
                && data["fact"].get("step").is_none_or(|step| step == "one")
        };
        sent.iter().position(is).unwrap_or_else(|| panic!("no {fact} in {sent:#?}"))
    };
    // Engine → executor, and its result back.
    let (dispatched, result) = (place("attempt_queued"), place("attempt_ended"));
    assert!(place("run_started") < dispatched && dispatched < result);
    assert!(result < place("step_ended") && place("step_ended") < place("run_ended"));
    assert_eq!(sent[result].1["fact"]["output"], json!({"n": 1}));
    let attempts = get("/attempts");
    let one = attempts.as_array().unwrap().iter().find(|one| one["step"] == "one").unwrap();
    assert!(one["runner"].as_str().is_some_and(|runner| !runner.is_empty()), "{one}");
    // Control plane → store: what was persisted is inspected, also after the process has died.
    let status = get("/status");
    let journal = get("/journal");
    served.server.kill().unwrap();
    served.server.wait().unwrap();
    served.serve();
    assert_eq!(served.get(&format!("/api/v1/runs/{id}/status")), status);
    assert_eq!(served.get(&format!("/api/v1/runs/{id}/journal")), journal);
    let kept: Vec<_> = sent.iter().map(|(_, data)| data.clone()).collect();
    assert_eq!(journal["items"], json!(kept));
}

/// Row 0.03 of docs/conformance.md: started, dispatched, result, succeeded, progress.
#[test]
fn row_0_03_events_of_runs_are_ordered() {
    let served = Served::start();
    served.bench.write(".plue.py", WORKFLOW);
    served.push();
    let run = served.run(1);
    let id = run["id"].as_str().unwrap();
    let (_, stream) = served.ask("GET", &format!("/api/v1/runs/{id}/events"), None);
    let golden = [
        "run.created",
        "run.started",
        "step.dispatched one",
        "step.started one",
        "step.result one",
        "step.succeeded one",
        "run.progress one",
        "step.dispatched two",
        "step.started two",
        "step.result two",
        "step.succeeded two",
        "run.progress two",
        "run.ended",
    ];
    assert_eq!(events(&stream), golden);
}

/// Names, types, labels and buckets of what a scrape shows after a run; the values are another matter.
fn shape(metrics: &str) -> Vec<String> {
    let mut lines: Vec<String> = metrics
        .lines()
        .filter(|line| !line.starts_with("# HELP") && !line.is_empty())
        // Of machines that differ: how many evaluators were started, and whether plans were kept.
        .filter(|line| !line.contains("plue_evaluat") && !line.contains("plue_plan_cache"))
        .map(|line| match line.strip_prefix("# TYPE ") {
            Some(kind) => format!("type {kind}"),
            None => line.rsplit_once(' ').unwrap().0.to_owned(),
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn row_2_07_progress_is_live_and_metrics_are_stable() {
    let served = Served::start();
    let gated =
        WORKFLOW.replace("echo printed;", "echo printed; until test -e go; do sleep 0.01; done;");
    served.bench.write(".plue.py", gated);
    served.push();
    let id = loop {
        let runs = served.get("/api/v1/runs");
        if let Some(id) = runs["items"][0]["id"].as_str() {
            break id.to_owned();
        }
    };
    // The step waits for this test, so events received now come from a live run.
    let mut events = served.listen(&format!("/api/v1/runs/{id}/events"));
    events.until("step.started");
    let status = served.get(&format!("/api/v1/runs/{id}/status"));
    assert_eq!(status["run"]["status"], "running", "{status}");
    let workspace = served.bench.state().join("workspaces").join(&id);
    std::fs::write(workspace.join("go"), "").unwrap();
    events.until("run.ended");
    // History.
    let run = served.run(1);
    assert_eq!((&run["id"], &run["status"]), (&json!(id), &json!("success")));
    let (status, metrics) = served.ask("GET", "/metrics", None);
    assert_eq!(status, 200);
    let golden = include_str!("watched/metrics.txt");
    let found = shape(&metrics).join("\n");
    assert_eq!(found, golden.trim_end(), "found:\n{found}\n");
    let usage = served.get("/api/v1/usage");
    assert_eq!(usage[0]["attempts"], 2, "{usage}");
}
