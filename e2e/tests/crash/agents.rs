//! Claude steps while Postgres is restarted, and their viewers while the server is killed.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
};

use plue_flow::RunStatus;
use plue_plan::RunId;
use plue_runtime::Clock;
use plue_store::{RunFilter, Store, StoreOptions};
use plue_testkit::{postgres::own::OwnServer, scripted::Scripted};
use serde_json::{Value as Json, json};

use crate::bench::{Bench, LOOK, kill, until};

/// A tool that runs until the file `go` is there.
const TOOL: &str =
    "echo x >> ran; touch up; until test -e go; do sleep 0.01; done; echo after; touch said";
/// Input tokens of each answer.
const INPUT: u64 = 100;

const SOURCE: &str = r#"
def workflow(ctx):
    step = Step.llm('ask', prompt='Look.', tools=['bash'])
    return Plan(name='Ask', triggers=[Trigger.on_manual()], steps=[step])
"#;

/// A run on a Postgres that the test may stop.
struct World {
    bench: Bench,
    claude: Scripted,
    server: OwnServer,
    engine: Child,
}

fn answer(text: &str) -> Json {
    json!({ "text": text, "usage": { "input_tokens": INPUT, "output_tokens": 5 } })
}

fn calls() -> Json {
    let mut turn = answer("Let me look.");
    turn["tool_calls"] = json!([{ "name": "bash", "input": { "command": TOOL }, "id": "toolu_A" }]);
    turn
}

fn ends() -> Json {
    let mut turn = answer("Fine.");
    turn["expect"] = json!([
        { "path": "messages", "length": 3 },
        { "path": "messages.-1.content.0.tool_use_id", "equals": "toolu_A" },
        { "path": "messages.-1.content.0", "matches": "after" },
    ]);
    turn
}

impl World {
    fn new(script: impl Fn(&Bench) -> Vec<Json>) -> Self {
        let bench = Bench::new(SOURCE);
        let claude = Scripted::new(&json!(script(&bench)));
        let server = OwnServer::start();
        let mut command = bench.command(&["run", "--database", &server.url()]);
        let log = fs::File::create(bench.home().join("run.log")).unwrap();
        let engine = claude.with_key(&mut command).stdout(Stdio::null()).stderr(log).spawn();
        Self { engine: engine.unwrap(), bench, claude, server }
    }

    fn stderr(&self) -> String {
        fs::read_to_string(self.bench.home().join("run.log")).unwrap()
    }

    async fn store(&self) -> Option<Store> {
        Store::open(StoreOptions::new(self.server.url()).existing()).await.ok()
    }

    /// Waits until money for so many calls was reserved.
    async fn reserved(&self, calls: u64) {
        loop {
            if let Some(store) = self.store().await
                && let Some(run) = store.runs().list(&RunFilter::default()).await.unwrap().first()
                && let Some(spent) = store.claude().spend_of(&run.id).await.unwrap().first()
                && spent.spend.calls >= calls
            {
                return;
            }
            Clock::real().sleep(LOOK).await;
        }
    }

    /// Stops the database until the run waits for it, and starts it again after that.
    async fn outage(&self, meanwhile: &str) {
        self.server.stop();
        self.bench.touch(meanwhile);
        until(|| self.stderr().contains("the run waits for the database")).await;
        self.server.start_again();
    }

    /// One call, two answers, each counted once, and a log without a doubled line.
    async fn ends_well(mut self) {
        let status = self.engine.wait().unwrap();
        assert!(status.success(), "{}", self.stderr());
        assert_eq!(self.bench.lines("ran"), 1, "the call once");
        let state = self.claude.state();
        assert_eq!((&state["violations"], &state["requests"]), (&json!([]), &json!(2)), "{state}");
        let store = self.store().await.unwrap();
        let run = store.runs().list(&RunFilter::default()).await.unwrap().remove(0);
        assert_eq!(run.view.status, RunStatus::Success);
        let spend = store.claude().spend_of(&run.id).await.unwrap().remove(0).spend;
        assert_eq!((spend.calls, spend.input_tokens), (2, 2 * INPUT));
        let attempt = store.attempts().list(&run.id, None).await.unwrap().remove(0).claim.attempt;
        let facts = store.transcripts().of(&attempt).await.unwrap();
        for (kind, count) in [("started", 1), ("answered", 2), ("result", 1), ("ended", 1)] {
            let found = facts.iter().filter(|fact| fact["fact"] == kind).count();
            assert_eq!(found, count, "{kind}: {facts:#?}");
        }
        let log = plue_testkit::faults::streams(&store, &attempt).await;
        let log = String::from_utf8(log["Stdout"].clone()).unwrap();
        for line in ["Let me look.\n", "✓ bash: 1 lines", "turn 1,", "Fine.\n", "2 turns"] {
            assert_eq!(log.matches(line).count(), 1, "{line:?} in {log}");
        }
        store.close().await;
        until(|| self.bench.processes().is_empty()).await;
    }
}

#[tokio::test]
async fn postgres_restarted_under_a_tool_repeats_no_call() {
    let world = World::new(|_| vec![calls(), ends()]);
    world.bench.appears("up").await;
    world.outage("go").await;
    world.bench.appears("said").await;
    world.ends_well().await;
}

#[tokio::test]
async fn a_postgres_restart_counts_the_answer_once() {
    let world = World::new(|bench| {
        let mut first = calls();
        first["gate"] = json!(bench.repo().join("answer"));
        vec![first, ends()]
    });
    world.bench.touch("go");
    world.reserved(1).await;
    world.outage("answer").await;
    world.ends_well().await;
}

/// The bytes of a log as a viewer has them.
#[derive(Default)]
struct Viewer {
    bytes: Vec<u8>,
    /// The number of the last piece.
    last: u64,
    is_over: bool,
}

/// A server on the database of a bench.
struct Served {
    process: Child,
    address: String,
}

fn serve(bench: &Bench, claude: &Scripted) -> Served {
    let mut command = bench.command(&["serve", "--listen", "127.0.0.1:0"]);
    claude.with_key(&mut command).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let (_, address) = line.trim().rsplit_once("http://").unwrap();
    Served { address: address.to_owned(), process }
}

impl Served {
    fn send(&self, token: &str, head: &str, body: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        write!(
            stream,
            "{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        BufReader::new(stream)
    }

    fn body(&self, token: &str, head: &str, body: &str) -> String {
        let mut answer = String::new();
        self.send(token, head, body).read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }
}

impl Viewer {
    /// Follows a log until the stream ends or enough was seen.
    fn follow(&mut self, served: &Served, (token, path): (&str, &str), lines: usize) {
        let head = format!("GET {path}/log/events?after={}", self.last);
        let stream = served.send(token, &head, "");
        for line in stream.lines().map_while(Result::ok) {
            if line == "event: end" {
                self.is_over = true;
                return;
            }
            let Some(data) = line.strip_prefix("data: ") else { continue };
            let piece: Json = serde_json::from_str(data).unwrap();
            if piece["stream"] != "stdout" {
                continue;
            }
            let first = usize::try_from(piece["first_byte"].as_u64().unwrap()).unwrap();
            assert!(first <= self.bytes.len(), "bytes are missing before {piece}");
            assert!(piece["seq"].as_u64().unwrap() > self.last);
            // Text of the last moment before a kill may have been stored nowhere.
            self.bytes.truncate(first);
            self.bytes.extend(piece["text"].as_str().unwrap().bytes());
            self.last = piece["seq"].as_u64().unwrap();
            if self.bytes.iter().filter(|byte| **byte == b'\n').count() >= lines {
                return;
            }
        }
    }
}

#[tokio::test]
async fn row_1_18_viewers_of_killed_servers_see_lines_once() {
    let lines: String = (0..400).map(|n| format!("line {n}\n")).collect();
    let bench = Bench::new(SOURCE);
    let long = || json!({ "text": lines, "chunk": 7, "delay_ms": 2, "usage": { "input_tokens": 1, "output_tokens": 1 } });
    let mut first = long();
    first["cut"] = json!({ "after_deltas": 300, "how": "hang" });
    first["hang_ms"] = json!(600_000);
    let claude = Scripted::new(&json!([first, long()]));
    let bare = bench.home().join("app.git");
    let bare = bare.to_str().unwrap();
    for args in
        [&["init", "-q", "--bare", "-b", "main", bare][..], &["push", "-q", bare, "HEAD:main"]]
    {
        let mut git = Command::new("git");
        git.args(args).current_dir(bench.repo()).env("HOME", bench.home());
        assert!(git.status().unwrap().success());
    }
    bench.plue(&["repo", "add", "acme/app", bare]).ends(0);
    let token = bench.plue(&["token", "create", "--name", "t", "--role", "admin"]).ends(0).stdout;
    let token = token.trim();
    let mut served = serve(&bench, &claude);
    let wanted = json!({"repository": "acme/app", "workflow": "Ask"}).to_string();
    let run = served.body(token, "POST /api/v1/runs", &wanted);
    let run: Json = serde_json::from_str(&run).unwrap();
    let run = RunId::new(run["id"].as_str().unwrap());
    let path = format!("/api/v1/runs/{run}/attempts/{run}:ask:1:1");
    let mut viewer = Viewer::default();
    while viewer.bytes.is_empty() {
        viewer.follow(&served, (token, &path), 20);
    }
    kill(&mut served.process);
    let seen = viewer.bytes.len();
    let mut served = serve(&bench, &claude);
    while !viewer.is_over {
        viewer.follow(&served, (token, &path), usize::MAX);
    }
    let stored = served.body(token, &format!("GET {path}/log/raw"), "").into_bytes();
    assert!(seen > 100 && viewer.bytes == stored, "the viewer has what is stored");
    let text = String::from_utf8(stored).unwrap();
    let (before, after) = text.split_once("[plue: another engine goes on").unwrap();
    assert!(lines.starts_with(before.trim_end()), "{before}");
    let (_, answer) = after.split_once('\n').unwrap();
    assert!(answer.starts_with(&lines), "every line once: {answer}");
    kill(&mut served.process);
}
