//! `plue serve --role`: one process answers, another one drives, and only the database is between them.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
};

use plue_testkit::postgres::Database;
use serde_json::{Value as Json, json};

use crate::{forge::hmac, support::Bench};

const SECRET: &str = "It's a Secret to Everybody";
const WORKFLOW: &str = r#"
def workflow(ctx):
    return Plan(
        name="CI",
        triggers=[Trigger.on_push(branch="main")],
        steps=[Step.bash("once", "echo tried; test -e again || { touch again; exit 3; }")],
    )
"#;

/// A process of `plue serve`.
struct Process {
    child: Child,
    /// The first line of its output.
    line: String,
}

/// A machine with a database and processes of several roles.
struct World {
    bench: Bench,
    database: Database,
    token: String,
    /// The route of the repository's webhook.
    hook: String,
}

// === impl Process ===

impl Process {
    fn address(&self) -> &str {
        self.line.trim().rsplit_once("http://").unwrap().1
    }

    /// Asks it to end, and waits until it has.
    fn end(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

// === impl World ===

impl World {
    fn new() -> Self {
        let (bench, database) = (Bench::new(), Database::create());
        let mut world = Self { bench, database, token: String::new(), hook: String::new() };
        let bare = world.bench.home().join("app.git");
        let bare = bare.to_str().unwrap();
        world.bench.git(&["init", "-q", "--bare", "-b", "main", bare]);
        world.bench.git(&["remote", "add", "origin", bare]);
        let secret = world.bench.home().join("secret");
        std::fs::write(&secret, SECRET).unwrap();
        let secret = secret.to_str().unwrap();
        let forge = ["--forge", "github", "--report", "none", "--webhook-secret", secret];
        world.plue(&[&["repo", "add", "acme/app", bare][..], &forge].concat());
        let list: Json =
            serde_json::from_str(&world.plue(&["repo", "list", "--output", "json"])).unwrap();
        world.hook = list["repos"][0]["webhook"].as_str().unwrap().to_owned();
        let made = world.plue(&["token", "create", "--name", "test", "--role", "admin"]);
        world.token = made.trim().to_owned();
        world
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.bench.command(args);
        command.env("PLUE_DATABASE", self.database.url());
        command
    }

    fn plue(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn serve(&self, args: &[&str]) -> Process {
        let mut child =
            self.command(&[&["serve"][..], args].concat()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Process { child, line }
    }

    /// Status and body of an answer.
    fn ask(
        &self,
        process: &Process,
        method: &str,
        path: &str,
        more: &str,
        body: &str,
    ) -> (u16, String) {
        let mut stream = TcpStream::connect(process.address()).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\n\
             {more}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn get(&self, process: &Process, path: &str) -> (u16, String) {
        loop {
            let answer = self.ask(process, "GET", path, "", "");
            // This loop polls faster than the rate limit allows.
            if answer.0 != 429 {
                return answer;
            }
        }
    }

    /// The only run once it has ended so.
    fn run(&self, process: &Process, status: &str) -> String {
        loop {
            let (_, body) = self.get(process, "/api/v1/runs");
            let runs: Json = serde_json::from_str(&body).unwrap();
            if runs["items"][0]["status"] == status {
                assert_eq!(runs["items"].as_array().unwrap().len(), 1);
                return runs["items"][0]["id"].as_str().unwrap().to_owned();
            }
        }
    }

    fn deliver_push(&self, process: &Process) {
        let head = self.bench.git(&["rev-parse", "HEAD"]);
        let body = json!({
            "ref": "refs/heads/main", "before": "0".repeat(40), "after": head.trim(),
            "created": true, "deleted": false, "forced": false, "commits": [],
            "head_commit": {"id": head.trim(), "message": "x"},
            "repository": {"full_name": "acme/app", "default_branch": "main"},
            "pusher": {"name": "ada"}, "sender": {"login": "ada", "type": "User"},
        })
        .to_string();
        let signature = hex::encode(hmac(SECRET.as_bytes(), body.as_bytes()));
        let more = format!(
            "x-github-event: push\r\nx-github-delivery: d1\r\nx-hub-signature-256: sha256={signature}\r\n"
        );
        let (status, answer) = self.ask(process, "POST", &self.hook, &more, &body);
        assert_eq!(status, 202, "{answer}");
    }
}

/// Runs that a process has driven to their end: the series of `plue_runs_ended_total`.
fn driven(metrics: &str) -> Vec<&str> {
    let mut lines: Vec<_> =
        metrics.lines().filter(|line| line.starts_with("plue_runs_ended_total")).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn row_0_01_engines_run_submissions_of_other_processes() {
    let world = World::new();
    world.bench.write(".plue.py", WORKFLOW);
    world.bench.commit();
    world.bench.git(&["push", "-q", "origin", "HEAD:main"]);
    let api = world.serve(&["--role", "api", "--listen", "127.0.0.1:0"]);
    world.deliver_push(&api);
    let engine = world.serve(&["--role", "engine,pool", "--listen", "127.0.0.1:0"]);
    let id = world.run(&api, "failed");
    let log = format!("/api/v1/runs/{id}/attempts/{id}:once:1:1/log/raw");
    assert_eq!(world.get(&api, &log), (200, "tried\n".to_owned()));
    // The engine executes the requests that the API server accepts.
    let retry = format!("/api/v1/runs/{id}/retry");
    // The step succeeds by the file of its first attempt.
    let (status, answer) = world.ask(&api, "POST", &retry, "", r#"{"files": "keep"}"#);
    assert!(status < 300, "{status} {answer}");
    world.run(&api, "success");
    let both = [
        "plue_runs_ended_total{status=\"failed\"} 1",
        "plue_runs_ended_total{status=\"success\"} 1",
    ];
    assert_eq!(driven(&world.get(&engine, "/metrics").1), both);
    assert_eq!(driven(&world.get(&api, "/metrics").1), [""; 0]);
    // The engine answers health checks and no requests about runs.
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/api/v1/runs", 404)] {
        assert_eq!(world.get(&engine, path).0, status, "{path}");
    }
    assert_eq!(world.ask(&engine, "POST", &world.hook, "", "{}").0, 404);
    engine.end();
    api.end();
}

#[test]
fn engines_need_no_listener_and_pools_an_engine() {
    let world = World::new();
    let engine = world.serve(&["--role", "engine"]);
    assert_eq!(engine.line, "plue drives runs\n");
    engine.end();
    for roles in ["pool", "api,pool"] {
        world.bench.plue(&["serve", "--role", roles]).ends(2).reports(&["--role engine"]);
    }
    world.bench.plue(&["serve", "--role", "broker"]).ends(2).reports(&["api", "engine", "pool"]);
}
