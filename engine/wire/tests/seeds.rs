//! The seeds of the fuzz target `wire` are streams of today's messages, one of each kind at least.
//! After a change of the messages the failing test prints the copy command.

use std::{collections::BTreeMap, path::PathBuf};

use plue_plan::{AttemptId, RunId, RunnerId, StepId, artifacts::ArtifactRules};
use plue_wire::{
    encode,
    eval::{
        Bytes, EvalOutcome, EvalReply, EvalRequest, Facts, FileFact, Killed, Need, RawPlan, Usage,
    },
    outputs::{Answer, BlobHash, CacheSpec, OutputSpec, PureSpec, Question, Record},
    runner::{
        AgentOrder, Assign, AttemptEvent, AttemptResult, CancelMode, Claim, CloseCode, EventKind,
        Exit, Fence, FromRunner, Hello, McpServer, Program, ResultVerdict, Resume, ResumeVerdict,
        RunnerVitals, RunnerWorkspace, Service, ShutdownWhen, ToRunner, ToolCall, ToolResult,
        Verdict, Welcome, WorkspaceArchive, WorkspaceReport, WorkspaceSpec,
    },
};
use serde::Serialize;

/// As in the target.
const CAP: usize = 64 * 1024;

fn claim() -> Claim {
    Claim { attempt: AttemptId::new("r:a:1:1"), fence: Fence(3) }
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn bytes(text: &str) -> Bytes {
    Bytes(text.as_bytes().to_vec())
}

fn event(seq: u64, kind: EventKind) -> FromRunner {
    FromRunner::Event(AttemptEvent { claim: claim(), seq, at_us: -5, kind })
}

fn from_runner() -> Vec<FromRunner> {
    let result = |exit| {
        FromRunner::Result(AttemptResult {
            claim: claim(),
            seq: 4,
            at_us: 9,
            exit,
            output_json: text("{\"a\":[1]}"),
            wall_us: 1,
            cpu_us: 2,
            max_rss_kib: 3,
            leaked: 0,
        })
    };
    let resume = Resume { claim: claim(), started: true, first_seq: 1, last_seq: 2, ended: false };
    vec![
        FromRunner::Hello(Hello {
            protocol: 3,
            runner: RunnerId::new("r1"),
            boot: text("b"),
            token: text("t"),
            facts: vec![(text("os"), text("linux"))],
            resume: vec![resume],
        }),
        FromRunner::Ready,
        FromRunner::Accept(claim()),
        FromRunner::Reject(claim(), text("no")),
        event(1, EventKind::Started { pid: 7 }),
        event(2, EventKind::Stdout(bytes("out\n"))),
        event(3, EventKind::Stderr(bytes("err\n"))),
        event(4, EventKind::Gap { bytes: 5, reason: text("cap") }),
        event(5, EventKind::Note(text("note"))),
        event(
            6,
            EventKind::Tool(ToolResult { id: text("t1"), content: bytes("ok"), is_error: true }),
        ),
        result(Exit::Code(-1)),
        result(Exit::Signal(9)),
        result(Exit::Refused(text("why"))),
        FromRunner::Heartbeat(RunnerVitals { running: vec![claim()], rss_kib: 1 }),
        FromRunner::Draining(text("TERM"), 10),
        FromRunner::Left(true),
        FromRunner::Ask(Question::Missing(vec![BlobHash([7; 32])])),
        FromRunner::Ask(Question::PutPart {
            blob: BlobHash([1; 32]),
            size: 2,
            offset: 0,
            bytes: bytes("xy"),
        }),
        FromRunner::Ask(Question::Record(claim(), Record::Note(text("n")))),
        FromRunner::Workspace(WorkspaceReport { run: RunId::new("r"), error: Some(text("no")) }),
    ]
}

fn programs() -> [Program; 7] {
    let shell = Program::Shell { shell: text("bash"), run: text("true") };
    let service = Service {
        run: text("server"),
        port: 80,
        env: vec![(text("A"), text("b"))],
        secrets: vec![(text("S"), bytes("s"))],
    };
    [
        shell.clone(),
        Program::PythonCode { code: text("pass"), call: Some(text("f")), args: vec![text("a")] },
        Program::PythonScript { script: text("x.py"), args: Vec::new() },
        Program::WithServices { program: Box::new(Program::Agent), services: Vec::new() },
        Program::Agent,
        Program::McpAgent {
            servers: vec![McpServer {
                name: text("docs"),
                command: vec![text("server")],
                env: vec![(text("A"), text("b"))],
                secrets: vec![(text("S"), bytes("s"))],
            }],
        },
        Program::WithServices { program: Box::new(shell), services: vec![service] },
    ]
}

fn to_runner() -> Vec<ToRunner> {
    let assign = |program| {
        ToRunner::Assign(Box::new(Assign {
            claim: claim(),
            run: RunId::new("r"),
            step: StepId::new("a"),
            program,
            env: vec![(text("CI"), text("true"))],
            secrets: vec![(text("KEY"), bytes("k"))],
            cwd: Some(text("sub")),
            event_json: text("{}"),
            timeout_ms: 1_000,
            grace_ms: 10,
            log_cap_bytes: 99,
        }))
    };
    let spec = OutputSpec {
        artifacts: vec![text("*.txt")],
        cache: Some(CacheSpec { key: text("k"), restore: Vec::new(), paths: vec![text("p")] }),
        pure: Some(PureSpec { base: BlobHash([2; 32]) }),
        checkpoint: true,
        rules: ArtifactRules::default(),
    };
    let verdict = ResumeVerdict { claim: claim(), verdict: Verdict::Abandon, acked: 1 };
    let mut messages = vec![
        ToRunner::Welcome(Welcome { epoch: 1, resume: vec![verdict] }),
        ToRunner::Ack(claim(), 3),
        ToRunner::Credit(claim(), 4),
        ToRunner::ResultAck(claim(), ResultVerdict::Need(2)),
        ToRunner::Cancel(claim(), CancelMode::Kill),
        ToRunner::Heartbeat,
        ToRunner::Shutdown(ShutdownWhen::Idle),
        ToRunner::Close(CloseCode::Version, text("old")),
        ToRunner::Outputs(claim(), Box::new(spec)),
        ToRunner::Answer(Answer::Done),
        ToRunner::Mask(vec![Bytes(b"s3cret".to_vec())]),
        ToRunner::Rules(claim(), ArtifactRules::default()),
        ToRunner::Leave,
        ToRunner::Enter(RunnerWorkspace {
            workspace: text("/w"),
            index: text("/i"),
            scratch: vec![text("/tmp")],
        }),
    ];
    let call = ToolCall {
        id: text("t1"),
        name: text("bash"),
        input_json: text("{\"command\":\"true\"}"),
        timeout_ms: 1_000,
    };
    let orders = [
        AgentOrder::Call(call),
        AgentOrder::Print(bytes("text")),
        AgentOrder::End { output_json: text("{}"), status: 7 },
    ];
    messages.extend(orders.map(|order| ToRunner::Agent(claim(), Box::new(order))));
    messages.push(ToRunner::Workspace(WorkspaceSpec {
        run: RunId::new("r"),
        archive: Some(WorkspaceArchive { blob: BlobHash([3; 32]), bytes: 9 }),
    }));
    messages.push(ToRunner::Redirect(text("stops")));
    messages.extend(programs().map(assign));
    messages
}

fn requests() -> Vec<EvalRequest> {
    let facts = Facts {
        files: BTreeMap::from([
            (text("a"), FileFact::Text(text("x"))),
            (text("b"), FileFact::Absent),
        ]),
        globs: BTreeMap::from([(text("*"), vec![text("a")])]),
        changed_files: Some(vec![text("a")]),
    };
    vec![EvalRequest {
        id: 1,
        entry: text(".plue.py"),
        sources: BTreeMap::from([(text(".plue.py"), bytes("def workflow(): ..."))]),
        event_json: Some(text("{}")),
        withholds_event: true,
        inputs_json: text("{}"),
        facts,
        survey: false,
    }]
}

fn replies() -> Vec<EvalReply> {
    let plan = RawPlan { plan_json: text("{}"), places_json: text("{}") };
    let outcomes = [
        EvalOutcome::Plans(vec![plan]),
        EvalOutcome::Needs(vec![Need::Read(text("a")), Need::ChangedFiles, Need::Event]),
        EvalOutcome::Failed { diagnostics_json: text("[]") },
        EvalOutcome::Killed(Killed::Denied(text("seccomp"))),
    ];
    let reply = |outcome| EvalReply { id: 1, outcome, printed: text("p"), usage: Usage::default() };
    outcomes.map(reply).into()
}

/// The first byte selects the sender of the messages and the length of the pieces.
fn stream<T: Serialize>(first: u8, messages: &[T]) -> Vec<u8> {
    // One that cannot be written would be missing from the seed, which is compared.
    let frames = messages.iter().flat_map(|message| encode(message, CAP)).flatten();
    std::iter::once(first).chain(frames).collect()
}

fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("from_runner", stream(13 << 2, &from_runner())),
        ("to_runner", stream((63 << 2) | 1, &to_runner())),
        ("request", stream((1 << 2) | 2, &requests())),
        ("reply", stream((7 << 2) | 3, &replies())),
        ("cut", stream(0, &from_runner()).into_iter().take(40).collect()),
        ("long", [&[1_u8][..], &u32::MAX.to_le_bytes(), b"x"].concat()),
    ]
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/wire")
}

#[test]
fn every_kind_of_message_is_a_seed() {
    let today = std::env::temp_dir().join("plue-wire-seeds");
    std::fs::create_dir_all(&today).unwrap();
    for (name, bytes) in seeds() {
        std::fs::write(today.join(name), bytes).unwrap();
    }
    for (name, bytes) in seeds() {
        let kept = std::fs::read(folder().join(name)).unwrap_or_default();
        let (today, folder) = (today.display(), folder().display().to_string());
        assert!(kept == bytes, "{name} is of other messages: cp {today}/* {folder}/");
    }
}

/// Nested messages cannot exhaust the stack: services of services are no message.
#[test]
fn programs_are_not_nested() {
    let mut body = encode(&to_runner().pop().unwrap(), CAP).unwrap().split_off(4);
    // `WithServices` is the fourth program, `Shell` the first.
    let at = body.windows(2).position(|pair| pair == [3, 0]).unwrap();
    body[at + 1] = 3;
    assert!(plue_wire::decode::<ToRunner>(&body).is_err());
}
