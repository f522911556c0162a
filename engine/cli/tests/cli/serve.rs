//! `plue serve` on this machine, from a push to a log: real git, real programs, real sockets.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
};

use serde_json::{Value as Json, json};

use crate::support::Bench;

pub(crate) const WORKFLOW: &str = r#"
def workflow(ctx):
    who = ctx.inputs.get("who", "nobody")
    return Plan(
        name="CI",
        triggers=[Trigger.on_push(branch="main", paths=["src/**"]), Trigger.on_manual()],
        inputs={"who": Input(type="string", default="nobody")},
        steps=[
            Step.bash("test", "cat src/app.txt; echo for " + who, secrets=["TOKEN"],
                      artifacts=["src/*.txt"]),
            Step.bash("build", 'test -n "$PLUE_SHA"; echo built', depends_on=["test"]),
        ],
    )
"#;

/// A server, its bare repository, and a token.
pub(crate) struct Served {
    pub(crate) bench: Bench,
    pub(crate) server: Child,
    pub(crate) address: String,
    pub(crate) token: String,
    /// For tests that poll: the rate limit is per token.
    watcher: String,
    /// Additional flags of the server.
    flags: Vec<String>,
    /// Additional variables of the server.
    variables: Vec<(String, String)>,
}

impl Served {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(flags: &[&str]) -> Self {
        Self::of(Bench::new(), flags, &[])
    }

    pub(crate) fn on(bench: Bench, flags: &[&str]) -> Self {
        Self::of(bench, flags, &[])
    }

    /// With these variables for the server alone.
    pub(crate) fn in_environment(variables: &[(&str, &str)]) -> Self {
        Self::of(Bench::new(), &[], variables)
    }

    pub(crate) fn of(bench: Bench, flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let bare = bench.home().join("app.git");
        let bare = bare.to_str().unwrap();
        bench.git(&["init", "-q", "--bare", "-b", "main", bare]);
        bench.git(&["remote", "add", "origin", bare]);
        bench.plue_reading(&["secret", "set", "TOKEN", "--global"], "hunter22hunter").ends(0);
        bench.plue(&["repo", "add", "acme/app", bare]).ends(0).reports(&["pushes to"]);
        let made = |name| {
            let made = bench.plue(&["token", "create", "--name", name, "--role", "admin"]).ends(0);
            made.stdout.trim().to_owned()
        };
        let (token, watcher) = (made("test"), made("watcher"));
        let mut served = Self {
            server: bench.command(&["--version"]).stdout(Stdio::null()).spawn().unwrap(),
            bench,
            address: String::new(),
            token,
            watcher,
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            variables: variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        };
        served.server.wait().unwrap();
        served.serve();
        served
    }

    /// The process of the server.
    pub(crate) fn pid(&self) -> u32 {
        self.server.id()
    }

    pub(crate) fn serve(&mut self) {
        // The address that it had, if it had one: clients come back to it.
        let listen = if self.address.is_empty() { "127.0.0.1:0" } else { &self.address };
        let mut command = self.bench.command(&["serve", "--listen", listen]);
        command.args(&self.flags).envs(self.variables.iter().map(|(name, value)| (name, value)));
        let mut server = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        self.address = line.trim().rsplit("http://").next().unwrap().to_owned();
        self.server = server;
    }

    /// The answer to a request: status and body. A stream is read to its end.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Json>) -> (u16, String) {
        self.ask_as(&self.token, method, path, body)
    }

    fn ask_as(&self, token: &str, method: &str, path: &str, body: Option<&Json>) -> (u16, String) {
        loop {
            let answer = self.ask_once(token, method, path, body);
            if answer.0 != 429 {
                return answer;
            }
        }
    }

    fn ask_once(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Option<&Json>,
    ) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let body = body.map(Json::to_string).unwrap_or_default();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            token,
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, unchunked(head, body))
    }

    /// A stream, read as it comes.
    pub(crate) fn listen(&self, path: &str) -> EventStream {
        let token = &self.token;
        loop {
            let mut stream = TcpStream::connect(&self.address).unwrap();
            write!(
                stream,
                "GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n"
            )
            .unwrap();
            let (mut events, mut first) = (EventStream(BufReader::new(stream)), String::new());
            events.0.read_line(&mut first).unwrap();
            // As in `ask`.
            if !first.contains(" 429 ") {
                return events;
            }
        }
    }

    /// A page as a browser with a session gets it.
    pub(crate) fn page(&self, path: &str) -> String {
        let ask = |head: String| {
            let mut stream = TcpStream::connect(&self.address).unwrap();
            let head =
                format!("{head} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
            stream.write_all(head.as_bytes()).unwrap();
            stream
        };
        let answer = |mut stream: TcpStream| {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        let mut login = ask("POST /api/v1/session".to_owned());
        write!(login, "authorization: Bearer {}\r\ncontent-length: 0\r\n\r\n", self.token).unwrap();
        let response = answer(login);
        let cookie = response.lines().find_map(|line| line.strip_prefix("set-cookie: "));
        let cookie = cookie.unwrap_or_else(|| panic!("{response}")).split(';').next().unwrap();
        let mut page = ask(format!("GET {path}"));
        write!(page, "cookie: {cookie}\r\n\r\n").unwrap();
        answer(page)
    }

    pub(crate) fn get(&self, path: &str) -> Json {
        let (status, body) = self.ask_as(&self.watcher, "GET", path, None);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    pub(crate) fn push(&self) {
        self.bench.commit();
        self.bench.git(&["push", "-q", "origin", "HEAD:main"]);
    }

    /// The newest run once there are so many, ended: its stream ends with it.
    pub(crate) fn run(&self, count: usize) -> Json {
        let runs = loop {
            let runs = self.get("/api/v1/runs");
            if runs["items"].as_array().unwrap().len() >= count {
                break runs;
            }
        };
        let id = runs["items"][0]["id"].as_str().unwrap();
        let (status, events) = self.ask("GET", &format!("/api/v1/runs/{id}/events"), None);
        assert_eq!(status, 200);
        assert!(events.contains("event: end"), "{events}");
        self.get(&format!("/api/v1/runs/{id}"))
    }

    pub(crate) fn log_of(&self, run: &Json, step: &str) -> String {
        let id = run["id"].as_str().unwrap();
        let attempts = self.get(&format!("/api/v1/runs/{id}/attempts"));
        let attempts = attempts.as_array().unwrap();
        let attempt = attempts.iter().find(|one| one["step"] == step).unwrap();
        let attempt = attempt["id"].as_str().unwrap();
        self.ask("GET", &format!("/api/v1/runs/{id}/attempts/{attempt}/log/raw"), None).1
    }
}

/// An open stream of server-sent events.
pub(crate) struct EventStream(BufReader<TcpStream>);

impl EventStream {
    /// Reads until a line has this text; it must come before the stream ends.
    pub(crate) fn until(&mut self, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "{text} never came");
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ended = self.server.kill();
        let _reaped = self.server.wait();
    }
}

/// The body of an answer that may come in chunks (RFC 9112 §7.1).
fn unchunked(head: &str, body: &str) -> String {
    if !head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        return body.to_owned();
    }
    let (mut rest, mut whole) = (body, String::new());
    while let Some((size, more)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            break;
        }
        whole.push_str(&more[..size]);
        rest = &more[size + 2..];
    }
    whole
}

#[test]
fn pushes_run_only_the_triggered_workflows() {
    let served = Served::start();
    let bench = &served.bench;
    bench.write(".plue.py", WORKFLOW);
    bench.write("src/app.txt", "version one\n");
    served.push();
    let run = served.run(1);
    assert_eq!((&run["status"], &run["workflow"]), (&json!("success"), &json!("CI")), "{run}");
    assert_eq!((&run["repository"], &run["branch"]), (&json!("acme/app"), &json!("main")));
    assert_eq!(served.log_of(&run, "test"), "version one\nfor nobody\n");
    // A path that no trigger asks for, then one that it does.
    bench.write("README.md", "words");
    served.push();
    bench.write("src/app.txt", "version two\n");
    served.push();
    let second = served.run(2);
    assert_eq!(served.log_of(&second, "test"), "version two\nfor nobody\n");
    assert_eq!(served.get("/api/v1/runs")["items"].as_array().unwrap().len(), 2);
    let plan = served.get(&format!("/api/v1/runs/{}/plan", run["id"].as_str().unwrap()));
    assert_eq!(plan["steps"][0]["id"], "test");
}

#[test]
fn pushes_without_a_server_are_not_lost() {
    let mut served = Served::start();
    served.server.kill().unwrap();
    served.server.wait().unwrap();
    served.bench.write(".plue.py", WORKFLOW);
    served.bench.write("src/app.txt", "late\n");
    served.push();
    served.serve();
    let run = served.run(1);
    assert_eq!(run["status"], "success");
}

#[test]
fn submitted_runs_take_inputs_and_idempotency_keys() {
    let served = Served::start();
    served.bench.write(".plue.py", WORKFLOW);
    served.bench.write("src/app.txt", "by hand\n");
    served.push();
    served.run(1);
    let wanted = json!({"repository": "acme/app", "workflow": "CI", "inputs": {"who": "ada"}});
    let (status, body) = served.ask("POST", "/api/v1/runs", Some(&wanted));
    assert_eq!(status, 201, "{body}");
    let run = served.run(2);
    assert_eq!(served.log_of(&run, "test"), "by hand\nfor ada\n");
    let unknown = json!({"repository": "acme/app", "workflow": "CD"});
    assert_eq!(served.ask("POST", "/api/v1/runs", Some(&unknown)).0, 404);
    let elsewhere = json!({"repository": "acme/none", "workflow": "CI"});
    assert_eq!(served.ask("POST", "/api/v1/runs", Some(&elsewhere)).0, 404);
}

#[test]
fn inputs_are_validated_before_a_run_exists() {
    let source = r#"
def workflow():
    return Plan(
        name="CI",
        triggers=[Trigger.on_manual()],
        inputs={"n": Input("integer", required=True), "env": Input(default="dev", choices=["dev", "prod"])},
        steps=[Step.bash("show", "echo shown", when="inputs.env == 'dev'")],
    )
"#;
    let served = Served::start();
    served.bench.write(".plue.py", source);
    served.push();
    let ask = |inputs: Json| {
        let wanted = json!({"repository": "acme/app", "workflow": "CI", "inputs": inputs});
        let (status, body) = served.ask("POST", "/api/v1/runs", Some(&wanted));
        (status, serde_json::from_str::<Json>(&body).unwrap())
    };
    let mut asked = ask(json!({"n": 1}));
    // The push may not be fetched yet.
    while asked.0 == 404 {
        asked = ask(json!({"n": 1}));
    }
    let (status, body) = ask(json!({"n": "3.5", "env": "moon", "nn": 1}));
    assert_eq!((status, &body["code"]), (422, &json!("PLUE-C0006")), "{body}");
    let errors: Vec<_> =
        body["errors"].as_array().unwrap().iter().map(|one| one["message"].clone()).collect();
    let expected = [
        "the input `env` is \"moon\", which is none of its choices",
        "the input `n` is \"3.5\", expected a whole number",
        "the plan has no input `nn`",
    ];
    assert_eq!(errors, expected);
    let (status, body) = ask(json!({}));
    assert_eq!((status, &body["detail"]), (422, &json!("the input `n` is required")), "{body}");
    assert_eq!(served.get("/api/v1/runs")["items"].as_array().unwrap().len(), 1);
    // The default is there when the run reads it.
    let run = served.run(1);
    assert_eq!(served.log_of(&run, "show"), "shown\n");
}

#[test]
fn the_first_signal_stops_a_server_gracefully() {
    let mut served = Served::start();
    let pid = served.server.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(served.server.wait().unwrap().code(), Some(0));
}

#[test]
fn foreign_hooks_are_not_changed() {
    let bench = Bench::new();
    let bare = bench.home().join("app.git");
    bench.git(&["init", "-q", "--bare", bare.to_str().unwrap()]);
    std::fs::create_dir_all(bare.join("hooks")).unwrap();
    std::fs::write(bare.join("hooks/post-receive"), "#!/bin/sh\ntrue\n").unwrap();
    let output = bench.plue(&["repo", "add", "acme/app", bare.to_str().unwrap()]).ends(2);
    output.reports(&["is there already", "repo received"]);
    let kept = std::fs::read_to_string(bare.join("hooks/post-receive")).unwrap();
    assert_eq!(kept, "#!/bin/sh\ntrue\n");
    bench.plue(&["repo", "add", "acme/app", "/nowhere"]).ends(2).reports(&["/nowhere"]);
    bench.plue(&["repo", "add", "../x", bare.to_str().unwrap()]).ends(2).reports(&["owner/name"]);
}

/// Broken workflows are never registered, hide no others, and cannot be started.
#[test]
fn row_3_13_workflows_are_checked_at_registration() {
    let served = Served::start();
    let bench = &served.bench;
    bench.write(".plue.py", WORKFLOW);
    bench.write("src/app.txt", "one\n");
    let lost = "name: Lost\ntriggers: [push]\ntasks: [{id: a, run: x, dependencies: [nobody]}]\n";
    bench.write("lost.plue.yaml", lost);
    served.push();
    assert_eq!(served.run(1)["workflow"], "CI");
    let start = |workflow: &str| {
        let wanted = json!({"repository": "acme/app", "workflow": workflow});
        served.ask("POST", "/api/v1/runs", Some(&wanted))
    };
    let (status, body) = start("lost.plue.yaml");
    assert_eq!(status, 422, "{body}");
    assert!(body.contains("nobody") && body.contains("PLUE-P0012"), "{body}");
    assert_eq!(start("Lost").0, 404);
    // A good workflow that a later commit breaks is no workflow any more; then it is one again.
    bench.write("lost.plue.yaml", lost.replace(", dependencies: [nobody]", ""));
    bench.write(".plue.py", "def workflow(:\n");
    served.push();
    assert_eq!(served.run(2)["workflow"], "Lost");
    assert_eq!(start("CI").0, 404);
    assert_eq!(served.get("/api/v1/runs")["items"].as_array().unwrap().len(), 2);
}

/// Every answer about a run whose step prints its secret in several forms, fails, and hands it on.
#[test]
fn row_2_18_no_answer_of_a_server_holds_a_secret() {
    let served = Served::start();
    let shouts = r#"
def workflow():
    say = "echo is $TOKEN; printf %s $TOKEN | base64; printf '{\"leak\": \"%s\"}' $TOKEN > $PLUE_OUTPUT"
    return Plan(name="Shouts", triggers=[Trigger.on_push(branch="main")], on_failure="continue", steps=[
        Step.bash("says", say, secrets=["TOKEN"]),
        Step.bash("is-told", "echo got $GOT; exit 3", env={"GOT": ref("says", "leak")}, depends_on=["says"]),
        Step.bash("traces", "set -x; test $TOKEN = no", secrets=["TOKEN"]),
    ])
"#;
    served.bench.write(".plue.py", shouts);
    served.push();
    let run = served.run(1);
    assert_eq!(run["status"], "failed");
    let id = run["id"].as_str().unwrap();
    assert_eq!(served.log_of(&run, "says"), "is ***\n***\n");
    let mut paths: Vec<String> = ["", "/steps", "/attempts", "/plan", "/journal", "/events"]
        .map(|part| format!("/api/v1/runs/{id}{part}"))
        .to_vec();
    for attempt in served.get(&format!("/api/v1/runs/{id}/attempts")).as_array().unwrap() {
        let attempt = attempt["id"].as_str().unwrap();
        for part in ["log", "log/raw", "log/search?text=is", "log/events"] {
            paths.push(format!("/api/v1/runs/{id}/attempts/{attempt}/{part}"));
        }
    }
    paths.extend(["/api/v1/runs", "/api/v1/audit"].map(str::to_owned));
    let mut masked = 0;
    for path in paths {
        let (status, body) = served.ask("GET", &path, None);
        assert_eq!(status, 200, "{path}: {body}");
        masked += usize::from(body.contains("***"));
        for form in ["hunter22", "aHVudGVyMjJodW50ZXI", "22hunter"] {
            assert!(!body.contains(form), "{path}: {body}");
        }
    }
    assert!(masked >= 5, "only {masked} answers had something to hide");
}

#[test]
fn retention_deletes_old_runs_and_their_workspaces() {
    let mut served = Served::start();
    served.server.kill().unwrap();
    served.server.wait().unwrap();
    let workspaces = served.bench.state().join("workspaces");
    let (old, new) = (workspaces.join("gone"), workspaces.join("just-made"));
    std::fs::create_dir_all(&old).unwrap();
    std::fs::create_dir_all(&new).unwrap();
    std::fs::write(old.join("file"), "").unwrap();
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    std::fs::File::open(&old).unwrap().set_modified(long_ago).unwrap();
    served.serve();
    while old.exists() {
        assert_eq!(served.get("/api/v1/runs")["items"], json!([]));
    }
    assert!(new.exists());
}
