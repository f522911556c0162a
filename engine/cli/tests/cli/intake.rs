//! Deliveries that cannot be worked off: forges that hang, and work that kills the process.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{TcpListener, TcpStream},
};

use serde_json::{Value as Json, json};

use crate::{forge::hmac, serve::Served};

const SECRET: &str = "shared with the forge";
const SMALL: &str = r#"
def workflow():
    return Plan(name="Small", triggers=[Trigger.on_push(branch="main")],
                steps=[Step.bash("hello", "echo hello")])
"#;

/// A forge that accepts connections and never answers.
struct Silent {
    listener: TcpListener,
    open: Vec<TcpStream>,
}

impl Silent {
    fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").unwrap(), open: Vec::new() }
    }

    /// Waits for a request and keeps its connection open.
    fn is_asked(&mut self) {
        let (mut stream, _) = self.listener.accept().unwrap();
        let _head = stream.read(&mut [0; 1024]).unwrap();
        self.open.push(stream);
    }

    /// Connections that the other side has not closed.
    fn waiting(&mut self) -> usize {
        let is_open = |stream: &mut TcpStream| {
            stream.set_nonblocking(true).unwrap();
            let read = stream.read(&mut [0; 1024]).map_err(|error| error.kind());
            !matches!(read, Ok(0)) && !matches!(read, Err(kind) if kind != ErrorKind::WouldBlock)
        };
        self.open.iter_mut().map(is_open).filter(|open| *open).count()
    }
}

impl Served {
    /// Watches a repository of a forge; the path of its webhook.
    fn watch(&self, name: &str, forge: &Silent) -> String {
        self.bench.write("secret", SECRET);
        let url = format!("http://{}/{name}.git", forge.listener.local_addr().unwrap());
        let args = ["repo", "add", name, &url, "--forge", "github", "--report", "none"];
        let more = ["--allow-http", "--webhook-secret", "secret"];
        let output = self.bench.plue(&[&args[..], &more[..]].concat()).ends(0);
        let path = output.stderr.split(' ').find(|word| word.starts_with("/hooks/"));
        path.unwrap_or_else(|| panic!("no hook in {}", output.stderr)).to_owned()
    }

    /// Delivers a push to `main`.
    fn deliver(&self, hook: &str, name: &str, id: &str) {
        let body = json!({
            "ref": "refs/heads/main", "before": "1".repeat(40), "after": "2".repeat(40),
            "created": false, "deleted": false, "forced": false, "commits": [],
            "repository": {"id": id_of(name), "full_name": name, "default_branch": "main"},
            "sender": {"login": "ada"}, "pusher": {"name": "ada"}, "nonce": id,
        })
        .to_string();
        let signature = hex::encode(hmac(SECRET.as_bytes(), body.as_bytes()));
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "POST {hook} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-github-event: push\r\n\
             x-github-delivery: {id}\r\nx-hub-signature-256: sha256={signature}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    }

    fn deliveries(&self, name: &str) -> Json {
        let path = format!("/api/v1/repositories/{}/deliveries", name.replace('/', "%2F"));
        self.get(&path)["items"].take()
    }

    fn dies_and_another_begins(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
        self.serve();
    }
}

/// The forge's id of a repository.
fn id_of(name: &str) -> u32 {
    name.bytes().map(u32::from).sum()
}

#[test]
fn silent_forges_delay_only_their_own_repositories() {
    let served = Served::start();
    let mut forge = Silent::start();
    let names: Vec<String> = (0..5).map(|n| format!("acme/slow{n}")).collect();
    for name in &names {
        let hook = served.watch(name, &forge);
        for n in 0..10 {
            served.deliver(&hook, name, &format!("{name}-{n}"));
        }
    }
    names.iter().for_each(|_| forge.is_asked());
    served.bench.write(".plue.py", SMALL);
    served.push();
    let run = served.run(1);
    assert_eq!(run["status"], "success", "{run}");
    assert_eq!(forge.waiting(), names.len(), "it ran while each of them was asked");
    // The metrics count waiting deliveries, each repository under its name.
    loop {
        let (status, metrics) = served.ask("GET", "/metrics", None);
        assert_eq!(status, 200);
        let counted = |name: &str| format!("plue_deliveries_waiting{{repository=\"{name}\"}} 10");
        if names.iter().all(|name| metrics.contains(&counted(name))) {
            assert!(metrics.contains("plue_deliveries_oldest_seconds{repository=\"acme/slow0\"}"));
            break;
        }
    }
}

#[test]
fn unreachable_forges_are_tried_again_later() {
    let served = Served::start();
    let forge = Silent::start();
    let hook = served.watch("acme/gone", &forge);
    drop(forge);
    served.deliver(&hook, "acme/gone", "one");
    let deferred = loop {
        let deliveries = served.deliveries("acme/gone");
        if deliveries[0]["tries"] == 1 {
            break deliveries[0].clone();
        }
    };
    assert_eq!(deferred["state"], "new");
    assert!(deferred["next_at"].is_string(), "{deferred}");
    assert!(deferred["note"].as_str().unwrap().contains("git fetch"), "{deferred}");
    let list = served.bench.plue(&["event", "list", "--repo", "acme/gone"]).ends(0);
    list.shows(&["one", "try 1 failed", "next try at"]);
}

#[test]
fn work_that_dies_three_times_is_set_aside() {
    let mut served = Served::start();
    let mut forge = Silent::start();
    let hook = served.watch("acme/deadly", &forge);
    served.deliver(&hook, "acme/deadly", "deadly");
    for _ in 0..3 {
        forge.is_asked();
        served.dies_and_another_begins();
    }
    let aside = loop {
        let deliveries = served.deliveries("acme/deadly");
        if deliveries[0]["state"] != "new" {
            break deliveries[0].clone();
        }
    };
    assert_eq!(aside["state"], "failed");
    assert!(aside["note"].as_str().unwrap().starts_with("set aside"), "{aside}");
    let retry = ["event", "retry", "--repo", "acme/deadly"];
    let list = served.bench.plue(&["event", "list", "--repo", "acme/deadly"]).ends(0);
    list.shows(&["set aside", "plue event retry"]);
    served.bench.plue(&[&retry[..], &["unknown"]].concat()).ends(4);
    served.bench.plue(&[&retry[..], &["deadly"]].concat()).ends(0);
    forge.is_asked();
    let path = "/api/v1/repositories/acme%2Fdeadly/deliveries/deadly/retry";
    assert_eq!(served.ask("POST", path, None).0, 404, "it is in hand");
    let (_, audit) = served.ask("GET", "/api/v1/audit", None);
    assert!(audit.contains("event.retry"), "{audit}");
}
