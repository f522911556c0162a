//! `plue webhook`: a receiver on this machine gets the events of runs, even if the server is killed.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
};

use plue_server::webhooks::sign::Secret;
use serde_json::{Value as Json, json};

use crate::serve::Served;

const ASKS: &str = r#"
def workflow():
    return Plan(name="Ships", triggers=[Trigger.on_push(branch="main")], steps=[
        Step.bash("make", "echo canary; echo '{\"word\": \"canary\"}' > $PLUE_OUTPUT"),
        Step.approval("ship", message="canary?", approvers=["test"], depends_on=["make"]),
    ])
"#;
const SMALL: &str = r#"
def workflow():
    return Plan(name="Small", steps=[Step.bash("hello", "echo hello")])
"#;

struct Receiver(TcpListener);

/// A received request; the test decides on its answer.
struct Came {
    stream: TcpStream,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Receiver {
    fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn url(&self) -> String {
        format!("http://{}/hook", self.0.local_addr().unwrap())
    }

    fn next(&self) -> Came {
        let (stream, _) = self.0.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut headers = BTreeMap::new();
        reader.read_line(&mut String::new()).unwrap();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim().split_once(": ") else { break };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let mut body = vec![0; headers["content-length"].parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        Came { stream, headers, body }
    }

    /// Takes messages until one of each of these types has come.
    fn until(&self, types: &[&str], secret: &Secret) -> BTreeMap<String, Json> {
        let mut all = BTreeMap::new();
        while !types.iter().all(|wanted| all.contains_key(*wanted)) {
            let came = self.next();
            let message = came.believed(secret);
            all.insert(message["type"].as_str().unwrap().to_owned(), message);
            came.answer();
        }
        all
    }
}

impl Came {
    fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    fn believed(&self, secret: &Secret) -> Json {
        let at = self.headers["webhook-timestamp"].parse().unwrap();
        assert_eq!(self.headers["webhook-signature"], secret.sign(self.id(), at, &self.body));
        serde_json::from_slice(&self.body).unwrap()
    }

    fn answer(mut self) {
        self.stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").unwrap();
    }
}

/// A server that may reach this machine.
fn served() -> Served {
    let mut served = Served::start();
    let folder = served.bench.home().join(".config/plue");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("config.toml"), "[calls]\nallow = [\"127.0.0.1\"]\n").unwrap();
    stop(&mut served);
    served.serve();
    served
}

/// As `kill -9` does.
fn stop(served: &mut Served) {
    served.server.kill().unwrap();
    served.server.wait().unwrap();
}

#[test]
fn row_0_04_webhooks_report_waits_and_outcomes() {
    let (served, receiver) = (served(), Receiver::start());
    let wanted = ["approval.requested", "approval.decided", "step.ended", "run.ended"];
    let mut args = vec!["webhook", "add", "--repo", "acme/app"];
    let url = receiver.url();
    args.push(&url);
    args.extend(wanted.iter().flat_map(|event| ["--event", *event]));
    let made = served.bench.plue(&args).ends(0);
    let secret = Secret::read(made.stdout.trim()).unwrap();
    served.bench.write(".plue.py", ASKS);
    served.push();
    let asked = receiver.until(&["approval.requested"], &secret);
    let data = &asked["approval.requested"]["data"];
    assert_eq!((&data["step"]["id"], &data["run"]["workflow"]), (&json!("ship"), &json!("Ships")));
    assert_eq!(data["request"]["approvers"], json!(["test"]));
    let run = data["run"]["id"].as_str().unwrap().to_owned();
    let path = data["request"]["api_url"].as_str().unwrap();
    assert_eq!(path, format!("/api/v1/runs/{run}/steps/ship/decision"));
    served.remotely(&["approve", &run, "ship"]).ends(0);
    let received = receiver.until(&["approval.decided", "run.ended"], &secret);
    let decision = &received["approval.decided"]["data"]["decision"];
    assert_eq!(decision["approve"], true);
    assert_eq!(received["run.ended"]["data"]["status"], "success");
    for message in asked.values().chain(received.values()) {
        assert!(!message.to_string().contains("canary"), "{message}");
    }
}

#[test]
fn committed_events_are_sent_despite_killed_servers() {
    let (mut served, receiver) = (served(), Receiver::start());
    let made = served.bench.plue(&["webhook", "add", &receiver.url(), "--event", "run.ended"]);
    let secret = Secret::read(made.ends(0).stdout.trim()).unwrap();
    // Between the commit and the sending, no server runs.
    stop(&mut served);
    served.bench.write(".plue.py", SMALL);
    served.bench.commit();
    served.bench.plue(&["run"]).ends(0);
    served.serve();
    let first = receiver.next();
    let message = first.believed(&secret);
    assert_eq!(
        (&message["type"], &message["data"]["status"]),
        (&json!("run.ended"), &json!("success"))
    );
    // Between the sending and the answer.
    stop(&mut served);
    served.serve();
    let again = receiver.next();
    assert_eq!((again.id(), &again.body), (first.id(), &first.body));
    again.believed(&secret);
    again.answer();
    let list = served.bench.plue(&["webhook", "list", "--output", "json"]).ends(0).json();
    let id = list["webhooks"][0]["id"].as_str().unwrap();
    loop {
        let all = ["webhook", "deliveries", id, "--output", "json"];
        let all = served.bench.plue(&all).ends(0).json();
        assert_eq!(all["deliveries"].as_array().unwrap().len(), 1);
        if all["deliveries"][0]["state"] == "delivered" {
            break;
        }
    }
}

#[test]
fn webhooks_are_managed_with_and_without_servers() {
    let (served, receiver) = (served(), Receiver::start());
    let url = receiver.url();
    for inner in ["http://10.0.0.1/x", "http://[::ffff:169.254.169.254]/", "http://0xa000001/"] {
        let args = ["webhook", "add", inner, "--event", "run.ended"];
        served.remotely(&args).ends(2).reports(&["PLUE-R0002"]);
        served.bench.plue(&args).ends(2).reports(&["PLUE-R0002", "calls.allow"]);
    }
    served.remotely(&["webhook", "add", "https://a:b@c.example", "--event", "run.ended"]).ends(2);
    served.remotely(&["webhook", "add", &url, "--event", "run.exploded"]).ends(2);
    let made = served.remotely(&["webhook", "add", &url, "--event", "run.ended"]).ends(0);
    let secret = made.stdout.trim().to_owned();
    let list = ["webhook", "list", "--output", "json"];
    let (far, near) = (served.remotely(&list).ends(0), served.bench.plue(&list).ends(0));
    assert_eq!(far.stdout, near.stdout);
    assert!(!far.stdout.contains(&secret));
    let id = far.json()["webhooks"][0]["id"].as_str().unwrap().to_owned();
    let ping = served.remotely(&["webhook", "test", &id]).ends(0).stdout.trim().to_owned();
    let came = receiver.next();
    assert_eq!(
        (came.id(), &came.believed(&Secret::read(&secret).unwrap())["type"]),
        (&*ping, &json!("ping"))
    );
    came.answer();
    served.remotely(&["webhook", "replay", &id, "msg_none"]).ends(4);
    served.remotely(&["webhook", "replay", &id, &ping]).ends(0);
    let came = receiver.next();
    assert_eq!(came.id(), ping);
    came.answer();
    let rotated = served.remotely(&["webhook", "rotate", &id]).ends(0).stdout.trim().to_owned();
    assert_ne!(rotated, secret);
    served.bench.plue(&["webhook", "test", &id]).ends(0);
    let came = receiver.next();
    let both = came.headers["webhook-signature"].split(' ').count();
    came.answer();
    assert_eq!(both, 2);
    served.remotely(&["webhook", "enable", &id]).ends(0);
    served.remotely(&["webhook", "remove", &id]).ends(0);
    served.bench.plue(&["webhook", "deliveries", &id]).ends(4);
}
