//! Many runs asked of one `plue serve` over HTTP at the same time, with default options: each of them ends.

use serde_json::{Value as Json, json};

use crate::{serve::Served, support::Bench};

/// Clients that ask at the same time.
const CLIENTS: usize = 8;
const WORKFLOW: &str = r#"
def workflow():
    return Plan(name="CI", triggers=[Trigger.on_manual()], steps=[Step.bash("one", "echo done")])
"#;

/// Runs of the largest burst; `PLUE_BURST=5000` asks for more than fits CI.
fn largest() -> usize {
    #[expect(clippy::disallowed_methods, reason = "says how much the test does, to nobody else")]
    let asked = std::env::var("PLUE_BURST");
    asked.map_or(500, |text| text.parse().expect("PLUE_BURST is a number"))
}

/// Asks for one run; its id.
fn submit(served: &Served) -> String {
    let wanted = json!({"repository": "acme/app", "workflow": "CI"});
    let (status, body) = served.ask("POST", "/api/v1/runs", Some(&wanted));
    assert_eq!(status, 201, "{body}");
    let run: Json = serde_json::from_str(&body).unwrap();
    run["id"].as_str().unwrap().to_owned()
}

/// All clients ask for their share of the runs first, and follow each of them to its end afterwards.
fn burst(served: &Served, runs: usize) {
    served.bench.write(".plue.py", WORKFLOW);
    served.push();
    let follow = |id: &String| {
        let (status, events) = served.ask("GET", &format!("/api/v1/runs/{id}/events"), None);
        assert_eq!(status, 200, "{events}");
        assert!(events.contains("event: end"), "{events}");
    };
    let client = |place: usize| {
        let ids: Vec<_> = (place..runs).step_by(CLIENTS).map(|_| submit(served)).collect();
        ids.iter().for_each(follow);
        ids
    };
    let ids: Vec<_> = std::thread::scope(|scope| {
        let clients: Vec<_> =
            (0..CLIENTS).map(|place| scope.spawn(move || client(place))).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    assert_eq!(ids.len(), runs);
    for id in ids {
        assert_eq!(served.get(&format!("/api/v1/runs/{id}"))["status"], "success");
    }
    let health = served.ask("GET", "/readyz", None);
    assert_eq!(health.0, 200, "{}", health.1);
}

#[test]
fn fifty_runs_at_once_all_end() {
    burst(&Served::start(), 50);
}

#[test]
fn fifty_runs_at_once_all_end_on_postgres() {
    burst(&Served::on(Bench::on_postgres(), &[]), 50);
}

#[test]
fn five_hundred_runs_at_once_all_end() {
    burst(&Served::start(), largest());
}

#[test]
fn five_hundred_concurrent_runs_end_on_postgres() {
    burst(&Served::on(Bench::on_postgres(), &[]), largest());
}

#[test]
fn stalled_loops_of_a_server_are_named() {
    let served = Served::on(Bench::on_postgres(), &[]);
    let locked = served.bench.hold("LOCK TABLE registered IN ACCESS EXCLUSIVE MODE");
    let named = |path: &str| {
        let (status, body) = served.ask("GET", path, None);
        status == 503 && body.contains("PLUE-C0020") && body.contains("`follow schedules`")
    };
    while !(named("/healthz") && named("/readyz")) {}
    drop(locked);
    while served.ask("GET", "/healthz", None).0 != 200 {}
}
