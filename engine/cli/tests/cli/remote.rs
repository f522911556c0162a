//! `plue --server`: the command line against a real server shows what it shows without one.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::Stdio,
};

use serde_json::{Value as Json, json};

use crate::{
    serve::{Served, WORKFLOW},
    support::CliOutput,
};

/// Asks, and then takes its time until a file is there.
const SLOW: &str = r#"
def workflow(ctx):
    return Plan(
        name="Slow",
        triggers=[Trigger.on_manual()],
        steps=[
            Step.approval("ask", message="go?", approvers=["test"],
                          fields={"type": "object", "properties": {"n": {"type": "integer"}}}),
            Step.bash("work", "echo begun; while ! test -e \"$GO\"; do sleep 0.05; done; echo done",
                      env={"GO": ctx.inputs["go"]}, depends_on=["ask"]),
        ],
        inputs={"go": Input(type="string")},
    )
"#;

/// A folder of this machine that steps may read: a file in it lets them go on.
struct Gate(tempfile::TempDir);

impl Gate {
    fn new() -> Self {
        let gate = Self(tempfile::tempdir().unwrap());
        // As root, the steps are another user.
        std::fs::create_dir(gate.folder()).unwrap();
        gate
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("gate")
    }

    fn go(&self) -> PathBuf {
        self.folder().join("go")
    }

    fn served(&self) -> Served {
        let folder = self.folder();
        Served::in_environment(&[("PLUE_LOCAL_READ", folder.to_str().unwrap())])
    }
}

impl Served {
    /// A command with the server, and its token in the environment.
    pub(crate) fn remotely(&self, args: &[&str]) -> CliOutput {
        CliOutput::of(self.remote(args).output().unwrap())
    }

    pub(crate) fn remote(&self, args: &[&str]) -> std::process::Command {
        let server = format!("http://{}", self.address);
        let mut command = self.bench.command(&[&["--server", &server], args].concat());
        command.env("PLUE_TOKEN", &self.token);
        command
    }
}

#[test]
fn row_0_23_commands_print_the_same_with_servers() {
    let served = Served::start();
    served.bench.write(".plue.py", WORKFLOW);
    served.bench.write("src/app.txt", "one\ntwo <b>\x1b[31mred\n");
    served.push();
    let run = served.run(1)["id"].as_str().unwrap().to_owned();
    for args in [
        &["runs"][..],
        &["runs", "--output", "json"],
        &["runs", "--output", "jsonl", "--status", "success", "-n", "1"],
        &["runs", "--status", "failed"],
        &["status"],
        &["status", &run, "--output", "json"],
        &["status", &run[..12], "--output", "jsonl"],
        &["logs", "last"],
        &["logs", &run, "test"],
        &["logs", &run, "test", "--tail", "1"],
        &["logs", &run, "--output", "json"],
        &["logs", &run, "build", "--output", "jsonl"],
        &["logs", &run, "--search", "<b>"],
        &["logs", &run, "--search", "nowhere", "--output", "json"],
        &["logs", &run, "--search", "o", "--output", "jsonl"],
        &["logs", &run, "test", "--search", "o"],
        &["explain", &run],
        &["explain", &run, "build", "--output", "json"],
        &["explain", &run, "biuld"],
        &["doc", "generate", &run],
        &["doc", "generate", "CI"],
        &["plan", "list", "--output", "json"],
        &["plan", "status", "CI"],
        &["plan", "status", "CD"],
        &["export", &run, "../there/none/run.plue"],
        &["logs", &run, "--follow"],
        &["logs", &run, "test", "--follow"],
        &["logs", &run, "tset"],
        &["status", "nothing"],
        &["runs", "--status", "broken"],
        &["repo", "list", "--output", "json"],
        &["artifacts", &run],
        &["artifacts", &run, "--all", "--output", "json"],
        &["artifacts", &run, "--get", "src/app.txt"],
        &["artifacts", &run, "--get", "src/none.txt"],
    ] {
        let (here, there) = (served.bench.plue(args), served.remotely(args));
        assert_eq!(there.code, here.code, "{args:?}: {}{}", there.stdout, there.stderr);
        assert_eq!(there.stdout, here.stdout, "{args:?}");
        assert_eq!(there.stderr, here.stderr, "{args:?}");
    }
}

#[test]
fn runs_of_servers_are_submitted_answered_and_cancelled() {
    let gate = Gate::new();
    let mut served = gate.served();
    served.bench.write("ci.plue.py", WORKFLOW);
    served.bench.write("slow.plue.py", SLOW);
    served.bench.write("src/app.txt", "x\n");
    served.push();
    served.run(1);
    let output = served.remotely(&["run", "CI", "--input", "who=ada"]).ends(0);
    output.reports(&["test", "for ada", "run success", "2 succeeded, 0 failed"]);
    let output = served.remotely(&["rerun", "last", "-v"]).ends(0);
    output.reports(&["repeats", "for ada", "run success"]);
    let output = served.remotely(&["run", "CI", "--input", "hwo=ada"]).ends(3);
    output.reports(&["PLUE-C0006", "no input `hwo`", "did you mean `who`"]);
    served.remotely(&["run", "None"]).ends(4).reports(&["no workflow `None`"]);
    served.remotely(&["run", "CI", "--step", "test"]).ends(2).reports(&["--step"]);
    let go = gate.go();
    let input = format!("go={}", go.display());
    let args = ["run", "Slow", "--input", &input, "--no-wait", "--output", "json"];
    let output = served.remotely(&args).ends(6);
    output.reports(&["plue approve"]);
    assert_eq!(output.json()["exit_code"], 6);
    let run = output.json()["run"].as_str().unwrap().to_owned();
    let unasked = served.remotely(&["run", "Slow", "--input", &input, "--no-input"]).ends(6);
    unasked.reports(&["plue approve"]);
    served.remotely(&["cancel", "last"]).ends(0);
    while served.get("/api/v1/approvals")["items"] == json!([]) {}
    served.remotely(&["status", &run]).ends(0).reports(&["answer with: plue approve"]);
    served.remotely(&["approve", &run, "ask", "--field", "n=many"]).ends(2);
    served.remotely(&["approve", &run, "ask", "--field", "n=3"]).ends(0).reports(&["approved"]);
    served.remotely(&["approve", &run, "ask"]).ends(2);
    // Its log is followed over the death of the server.
    let mut follow = served.remote(&["logs", "-f", &run, "work"]);
    let mut follow = follow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "begun");
    served.server.kill().unwrap();
    served.server.wait().unwrap();
    served.serve();
    std::fs::write(&go, "").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "done");
    assert!(lines.next().is_none() && follow.wait().unwrap().success());
    let document = served.remotely(&["status", &run, "--output", "json"]).ends(0).json();
    assert_eq!(
        (&document["run"]["status"], &document["steps"][0]["output"]),
        (&json!("success"), &json!({"n": 3}))
    );
}

#[test]
fn cancelled_runs_of_servers_can_be_retried() {
    let gate = Gate::new();
    let served = gate.served();
    served.bench.write("slow.plue.py", SLOW);
    served.push();
    let go = gate.go();
    let input = format!("go={}", go.display());
    let start = || {
        let args = ["run", "slow", "--input", &input, "--no-wait", "--output", "json"];
        let output = served.remotely(&args);
        (output.code == 6).then(|| output.json()["run"].as_str().unwrap().to_owned())
    };
    // The push is taken in by and by.
    let run = loop {
        if let Some(run) = start() {
            break run;
        }
    };
    while served.get("/api/v1/approvals")["items"] == json!([]) {}
    served.remotely(&["approve", &run, "ask"]).ends(0);
    // The answer is kept at once and taken in by and by; a stop that comes before it undoes it.
    while served.get("/api/v1/approvals")["items"] != json!([]) {}
    served.remotely(&["cancel", &run]).ends(0).reports(&["cancelled"]);
    served.remotely(&["cancel", &run]).ends(2).reports(&["has ended"]);
    std::fs::write(&go, "").unwrap();
    let output = served.remotely(&["retry", &run]).ends(0);
    output.reports(&["goes on", "done", "run success"]);
    let trail = served.get("/api/v1/audit");
    let actions: Vec<&Json> = trail["items"].as_array().unwrap().iter().collect();
    for action in ["run.create", "run.decide", "run.cancel", "run.retry"] {
        assert!(actions.iter().any(|row| row["action"] == action), "{action}: {trail}");
    }
}

#[test]
fn servers_store_secrets_and_no_token_is_printed() {
    let served = Served::start();
    let set = ["secret", "set", "DEPLOY", "--repo", "acme/app", "--from-file", "text"];
    served.bench.write("text", "swordfish-22");
    served.remotely(&set).ends(0).reports(&["DEPLOY is set"]);
    let list = served.remotely(&["secret", "list", "--repo", "acme/app", "--output", "json"]);
    let list = list.ends(0).json();
    let names: Vec<_> =
        list["secrets"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, [&json!("TOKEN"), &json!("DEPLOY")]);
    served.remotely(&["secret", "rm", "DEPLOY", "--repo", "acme/app"]).ends(0);
    served.remotely(&["secret", "rm", "DEPLOY", "--repo", "acme/app"]).ends(4);
    served.remotely(&["secret", "set", "A", "--repo", "acme/none", "--from-file", "text"]).ends(4);
    served.remotely(&["secret", "list"]).ends(2).reports(&["--repo OWNER/NAME"]);
    let config = served.remotely(&["config", "show", "--origin"]).ends(0);
    config.shows(&["***", "$PLUE_TOKEN", "--server"]);
    assert!(!config.stdout.contains(&served.token));
}

#[test]
fn bad_tokens_and_missing_servers_are_reported() {
    let served = Served::start();
    let mut bare = served.remote(&["runs"]);
    bare.env_remove("PLUE_TOKEN");
    let output = CliOutput::of(bare.output().unwrap()).ends(4);
    output.reports(&["does not know who asks", "PLUE_TOKEN"]);
    let mut wrong = served.remote(&["runs"]);
    wrong.env("PLUE_TOKEN", "plue_wrong");
    assert_eq!(wrong.output().unwrap().status.code(), Some(4));
    let output = served.bench.plue(&["--server", "http://127.0.0.1:1", "runs"]).ends(5);
    output.reports(&["does not answer", "plue serve"]);
    served.bench.plue(&["--server", "ftp://x", "runs"]).ends(2).reports(&["is no server"]);
    let output = served.bench.plue(&["--server", "http://me:pw@x", "runs"]).ends(2);
    assert!(!output.stderr.contains("pw"), "{}", output.stderr);
    // Commands about local files stay local.
    served.bench.write(".plue.py", WORKFLOW);
    served.remotely(&["validate"]).ends(0);
    // Neither the address nor the token may come from a repository.
    served.bench.write("plue.toml", "server = \"https://evil.example\"\n");
    served.bench.plue(&["runs"]).ends(2).reports(&["cannot be set by a repository"]);
}

#[test]
fn hundreds_of_idle_streams_block_no_requests() {
    use std::{
        io::{Read as _, Write as _},
        net::TcpStream,
    };
    const STREAMS: usize = 400;
    let gate = Gate::new();
    let served = gate.served();
    served.bench.write("slow.plue.py", SLOW);
    served.bench.write("ci.plue.py", WORKFLOW);
    served.bench.write("src/app.txt", "x\n");
    served.push();
    served.run(1);
    let go = gate.go();
    let input = format!("go={}", go.display());
    let args = ["run", "Slow", "--input", &input, "--no-wait", "--output", "json"];
    let run = served.remotely(&args).ends(6).json()["run"].as_str().unwrap().to_owned();
    let head = format!(
        "GET /api/v1/runs/{run}/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n",
        served.token
    );
    let streams: Vec<TcpStream> = (0..STREAMS)
        .map(|_| {
            let mut stream = TcpStream::connect(&served.address).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    served.remotely(&["status", &run]).ends(0).shows(&["waiting"]);
    served.remotely(&["cancel", &run]).ends(0);
    for mut stream in streams {
        let (mut text, mut part) = (Vec::new(), [0; 4096]);
        // The connection stays open behind the end of the stream.
        while !text.ends_with(b"\r\n0\r\n\r\n") {
            let count = stream.read(&mut part).unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&text));
            text.extend_from_slice(&part[..count]);
        }
        let text = String::from_utf8_lossy(&text);
        assert!(text.contains("run_ended") && text.contains("event: end"), "{text}");
    }
}
