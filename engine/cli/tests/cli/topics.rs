//! Runs that no forge asks for: messages on topics, named webhooks, ends of runs; with a real server.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use serde_json::{Value as Json, json};

use crate::serve::Served;

const BUILT: &str = r#"
def workflow():
    return Plan(name="Ship", triggers=[Trigger.on_event("build.done", when="event.payload.n > 2")],
                steps=[Step.bash("show", "cat $PLUE_EVENT_PATH")])
"#;
const CALLED: &str = r#"
def workflow():
    return Plan(name="Called", triggers=[Trigger.on_webhook("deploy")],
                steps=[Step.bash("show", "cat $PLUE_EVENT_PATH")])
"#;
const WAITS: &str = r#"
def workflow():
    return Plan(name="Waits", triggers=[Trigger.on_manual()],
                steps=[Step.wait("told", Trigger.on_webhook("deploy"))])
"#;
const CHAIN: [(&str, &str); 4] = [
    (
        "ci.plue.py",
        r#"Plan(name="CI", triggers=[Trigger.on_event("go")],
        steps=[Step.bash("a", "true")])"#,
    ),
    (
        "deploy.plue.py",
        r#"Plan(name="Deploy", triggers=[Trigger.on_workflow("CI", outcome="success")],
        steps=[Step.bash("show", "cat $PLUE_EVENT_PATH")])"#,
    ),
    (
        "alarm.plue.py",
        r#"Plan(name="Alarm", triggers=[Trigger.on_workflow("CI", outcome="failed")],
        steps=[Step.bash("a", "true")])"#,
    ),
    (
        "loop.plue.py",
        r#"[Plan(name=a, triggers=[Trigger.on_workflow(b)] + more, steps=[Step.bash("a", "true")])
        for a, b, more in [("Ping", "Pong", [Trigger.on_event("serve")]), ("Pong", "Ping", [])]]"#,
    ),
];

impl Served {
    /// Pushes these workflow files, and waits until the server has taken them in.
    fn take_in(&self, files: &[(&str, &str)]) {
        for (path, source) in files {
            self.bench.write(path, source);
        }
        self.push();
        self.settled();
    }

    /// All deliveries once they are settled, the oldest first.
    fn settled(&self) -> Vec<Json> {
        loop {
            let mut page = self.get("/api/v1/repositories/acme%2Fapp/deliveries?limit=200");
            let items = page["items"].as_array_mut().unwrap();
            if !items.is_empty() && items.iter().all(|one| one["state"] != "new") {
                return items.drain(..).rev().collect();
            }
        }
    }

    /// The runs of a plan, once all runs have ended and nothing waits that could start another.
    fn all_of(&self, workflow: &str) -> Vec<Json> {
        loop {
            self.settled();
            let page = self.get("/api/v1/runs?limit=200");
            let runs = page["items"].as_array().unwrap();
            let has_ended = |run: &Json| run["ended_at"].is_string();
            // The end of a run is in the inbox before it is visible.
            if runs.iter().all(has_ended) && self.get("/api/v1/runs?limit=200") == page {
                self.settled();
                if self.get("/api/v1/runs?limit=200") == page {
                    return runs
                        .iter()
                        .filter(|run| run["workflow"] == workflow)
                        .cloned()
                        .collect();
                }
            }
        }
    }

    fn call(&self, name: &str, headers: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        // The server refuses a body that is too long and stops reading in its middle.
        let _refused = write!(
            stream,
            "POST /webhooks/in/{name} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\
             content-length: {length}\r\n\r\n{body}"
        );
        let mut answer = Vec::new();
        // With bytes left unread the end of the connection is a reset, after the answer.
        let _reset = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    fn event_of(&self, run: &Json, step: &str) -> Json {
        serde_json::from_str(&self.log_of(run, step)).unwrap()
    }
}

fn status_of(deliveries: &[Json], id: &str) -> String {
    let found = deliveries.iter().find(|one| one["id"].as_str().unwrap().ends_with(id));
    found.unwrap_or_else(|| panic!("{deliveries:?}"))["note"].as_str().unwrap().to_owned()
}

#[test]
fn row_0_15_messages_on_topics_start_runs() {
    let served = Served::start();
    served.take_in(&[(".plue.py", BUILT)]);
    let file = served.bench.home().join("message.json");
    std::fs::write(&file, r#"{"n": 3, "text": "$(rm -rf ~) ${x}"}"#).unwrap();
    let data = file.to_str().unwrap();
    let send = ["event", "send", "build.done", "--repo", "acme/app", "--data", data, "--id", "one"];
    served.remotely(&send).ends(0).reports(&["sent"]);
    let run = served.run(1);
    assert_eq!((&run["workflow"], &run["status"]), (&json!("Ship"), &json!("success")));
    let event = served.event_of(&run, "show");
    assert_eq!((&event["type"], &event["actor"]), (&json!("event"), &json!("token:test")));
    let payload = json!({"n": 3, "text": "$(rm -rf ~) ${x}", "topic": "build.done"});
    assert_eq!((&event["payload"], &event["branch"]), (&payload, &json!("main")));
    assert_eq!(event["sha"], run["sha"]);
    // The same message again; then others, which fire nothing and give the reason.
    served.remotely(&send).ends(0).reports(&["came before"]);
    std::fs::write(&file, r#"{"n": 2}"#).unwrap();
    let send = |topic: &str, id: &str| {
        let args = ["event", "send", topic, "--repo", "acme/app", "--data", data, "--id", id];
        served.bench.plue(&args).ends(0);
    };
    send("build.done", "small");
    send("build.other", "other");
    std::fs::write(&file, "no number").unwrap();
    send("build.done", "text");
    assert_eq!(served.all_of("Ship").len(), 1);
    let came = served.settled();
    assert!(status_of(&came, "small").contains("its condition is false: event.payload.n > 2"));
    assert!(status_of(&came, "other").contains("it is about `build.other`"), "{came:?}");
    assert!(status_of(&came, "text").contains("its condition cannot be evaluated"), "{came:?}");
    assert!(status_of(&came, "one").contains(&format!("run {}", run["id"].as_str().unwrap())));
    let list = ["event", "list", "--repo", "acme/app", "--output", "json"];
    let (here, there) = (served.bench.plue(&list).ends(0), served.remotely(&list).ends(0));
    assert_eq!(here.stdout, there.stdout);
    served
        .remotely(&["event", "send", "webhook:x", "--repo", "acme/app"])
        .reports(&["reserved for webhooks"]);
    served.bench.plue(&["event", "send", "t", "--repo", "acme/none"]).ends(4);
}

#[test]
fn row_1_09_pushed_files_change_the_triggers() {
    let served = Served::start();
    let send = |id: &str| {
        let args = ["event", "send", "build.done", "--repo", "acme/app", "--id", id];
        served.bench.plue(&args).ends(0);
        let came = served.settled();
        came.into_iter().find(|one| one["id"] == id).unwrap()
    };
    served.take_in(&[("README.md", "words")]);
    assert_eq!(send("none")["note"], "the branch main has no plans");
    let any = BUILT.replace(", when=\"event.payload.n > 2\"", "");
    served.take_in(&[("ship.plue.py", &any)]);
    assert!(send("added")["note"].as_str().unwrap().starts_with("Ship (ship.plue.py): run "));
    std::fs::remove_file(served.bench.repo().join("ship.plue.py")).unwrap();
    served.take_in(&[]);
    assert_eq!(send("removed")["note"], "the branch main has no plans");
    assert_eq!(served.all_of("Ship").len(), 1);
}

#[test]
fn row_1_27_signed_webhook_calls_count_once() {
    let served = Served::start();
    served.take_in(&[(".plue.py", CALLED), ("waits.plue.py", WAITS)]);
    let name = "acme%2Fapp/deploy";
    let id = "webhook-id: m1\r\n";
    // Requests without a signature are refused.
    assert_eq!(served.call(name, "authorization: Bearer x\r\n", "{}").0, 401);
    let made = served.bench.plue(&["repo", "webhook", "acme/app"]).ends(0);
    made.reports(&["/webhooks/in/acme%2Fapp/NAME"]);
    let secret = made.stdout.trim();
    let good = format!("{id}authorization: Bearer {secret}\r\n");
    for bad in ["", "authorization: Bearer whsec_x\r\n", id] {
        assert_eq!(served.call(name, bad, "{}").0, 401, "{bad}");
    }
    assert_eq!(served.call("acme%2Fnone/deploy", &good, "{}").0, 401);
    assert_eq!(served.call(name, &good, &"x".repeat(2 * 1024 * 1024 + 1)).0, 413);
    let waits = json!({"repository": "acme/app", "workflow": "Waits"});
    assert_eq!(served.ask("POST", "/api/v1/runs", Some(&waits)).0, 201);
    // Messages count from the start of a run.
    while served.get("/api/v1/runs")["items"][0]["status"] != "waiting" {}
    let body = r#"{"name": "other", "v": [1, "ü"]}"#;
    let (status, answer) = served.call(name, &good, body);
    assert_eq!((status, answer.as_str()), (202, r#"{"delivery":"m1","new":true}"#));
    let (status, answer) = served.call(name, &good, body);
    assert_eq!((status, answer.as_str()), (202, r#"{"delivery":"m1","new":false}"#));
    let runs = served.all_of("Called");
    assert_eq!(runs.len(), 1);
    assert_eq!(served.all_of("Waits")[0]["status"], "success");
    let event = served.event_of(&runs[0], "show");
    assert_eq!((&event["type"], &event["action"]), (&json!("webhook"), &json!("deploy")));
    assert_eq!(event["payload"], serde_json::from_str::<Json>(body).unwrap());
    // Another name, the same secret: kept, and nothing comes of it.
    let other = good.replace("m1", "m2");
    assert_eq!(served.call("acme%2Fapp/other", &other, "a=1").0, 202);
    assert!(status_of(&served.settled(), "m2").contains("it is about `other`"));
    assert_eq!(served.all_of("Called").len(), 1);
}

#[test]
fn row_1_27_ended_runs_start_followers_exactly_once() {
    let mut served = Served::start();
    let files = CHAIN.map(|(path, plan)| (path, format!("def workflow():\n    return {plan}\n")));
    let files: Vec<_> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    served.take_in(&files);
    const RUNS: usize = 9;
    for n in 0..RUNS {
        let id = format!("go{n}");
        let send = ["event", "send", "go", "--repo", "acme/app", "--id", &id, "--data", "-"];
        served.bench.plue_reading(&send, &format!("{{\"n\": {n}}}")).ends(0);
        // In the midst of whatever it does.
        if n % 3 == 2 {
            while served.get("/api/v1/runs?limit=200")["items"].as_array().unwrap().len() < 2 * n {}
            served.server.kill().unwrap();
            served.server.wait().unwrap();
            served.serve();
        }
    }
    let runs = loop {
        let runs = served.all_of("CI");
        if runs.len() == RUNS {
            break runs;
        }
    };
    let followers = served.all_of("Deploy");
    assert_eq!(followers.len(), RUNS, "{:?}", served.settled());
    assert_eq!(served.all_of("Alarm"), Vec::<Json>::new());
    let mut followed: Vec<Json> = Vec::new();
    for follower in &followers {
        let event = served.event_of(follower, "show");
        assert_eq!((&event["type"], &event["action"]), (&json!("workflow"), &json!("success")));
        let payload = &event["payload"];
        assert_eq!((&payload["workflow"], &payload["outcome"]), (&json!("CI"), &json!("success")));
        assert_eq!((&payload["sha"], &payload["branch"]), (&event["sha"], &json!("main")));
        followed.push(payload["run"].clone());
    }
    followed.sort_by_key(Json::to_string);
    let mut ids: Vec<Json> = runs.iter().map(|run| run["id"].clone()).collect();
    ids.sort_by_key(Json::to_string);
    assert_eq!(followed, ids);
}

#[test]
fn plans_that_start_each_other_are_stopped() {
    let served = Served::start();
    let files = CHAIN.map(|(path, plan)| (path, format!("def workflow():\n    return {plan}\n")));
    served.take_in(&[(files[3].0, &files[3].1)]);
    served.remotely(&["event", "send", "serve", "--repo", "acme/app"]).ends(0);
    let came = loop {
        let came = served.settled();
        if came.iter().filter(|one| one["source"] == "workflow").count() == 2 {
            break came;
        }
    };
    assert_eq!((served.all_of("Ping").len(), served.all_of("Pong").len()), (1, 1));
    let note = came.last().unwrap()["note"].as_str().unwrap();
    assert!(note.contains("Ping (") && note.contains("its own run led here"), "{note}");
}
