//! Drives the real evaluator over a socket pair, as the engine does.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support: a failure is a panic"
)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use plue_wire::eval::{
    Bytes, EvalHello, EvalOutcome, EvalReply, EvalRequest, Facts, Killed, MAX_REPLY_BYTES,
    MAX_REQUEST_BYTES, MAX_WALL_MS, RawPlan,
};
use plue_wire::frame::{self, PREFIX_BYTES};

/// The example of the product description.
pub(crate) const SEED: &str = r#"
def workflow():
    return Plan(
        name="CI Pipeline",
        triggers=[
            Trigger.on_push(branch="main"),
            Trigger.on_pull_request(),
        ],
        steps=[
            Step.bash("test", "npm test"),
            Step.bash("build", "npm run build", depends_on=["test"]),
            Step.llm(
                "review",
                prompt="Review the code changes",
                depends_on=["test"],
            ),
        ],
    )
"#;

/// An evaluator process with its pipes.
pub(crate) struct Evaluator {
    process: Child,
    stream: UnixStream,
    hello: EvalHello,
    next_id: u64,
}

impl Evaluator {
    /// Starts one and waits until it is ready.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = Self::command();
        command.args(arguments);
        Self::spawn(command)
    }

    /// The command as the engine builds it.
    pub(crate) fn command() -> Command {
        Self::prepare(Command::new(binary()))
    }

    /// Clears what the engine clears.
    pub(crate) fn prepare(mut command: Command) -> Command {
        command.env_clear().current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Starts a command whose standard input is the evaluator's socket.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let (mut stream, theirs) = UnixStream::pair().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let process = command.stdin(OwnedFd::from(theirs)).spawn().unwrap();
        drop(command);
        let hello = read_frame(&mut stream).expect("a hello frame");
        let hello = frame::decode(&hello).unwrap();
        Self { process, stream, hello, next_id: 0 }
    }

    pub(crate) fn hello(&self) -> &EvalHello {
        &self.hello
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Evaluates a file of one source.
    pub(crate) fn evaluate(&mut self, source: impl AsRef<[u8]>) -> EvalReply {
        self.send(source);
        self.receive()
    }

    pub(crate) fn send(&mut self, source: impl AsRef<[u8]>) {
        self.next_id += 1;
        let request = request(self.next_id, source.as_ref());
        let bytes = frame::encode(&request, MAX_REQUEST_BYTES).unwrap();
        self.send_bytes(&bytes);
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(crate) fn receive(&mut self) -> EvalReply {
        let reply = self.receive_next();
        assert_eq!(reply.id, self.next_id);
        reply
    }

    /// The next reply, to any request.
    pub(crate) fn receive_next(&mut self) -> EvalReply {
        let body = read_frame(&mut self.stream).expect("a reply frame");
        frame::decode(&body).unwrap()
    }

    /// Waits until the child has read its request and is locked.
    pub(crate) fn wait_for_locked_child(&self) {
        let path = format!("/proc/{}/status", self.child_pid());
        loop {
            let status = std::fs::read_to_string(&path).unwrap();
            // Stage 1 is two filters, stage 2 the third.
            if status.lines().any(|line| line == "Seccomp_filters:\t3") {
                return;
            }
            std::thread::yield_now();
        }
    }

    /// The end of the stream is all that is left.
    pub(crate) fn has_ended(&mut self) -> bool {
        read_frame(&mut self.stream).is_none()
    }

    /// The child that is evaluating now; waits until there is one.
    pub(crate) fn child_pid(&self) -> i32 {
        let pid = self.pid();
        let path = format!("/proc/{pid}/task/{pid}/children");
        loop {
            let children = std::fs::read_to_string(&path).unwrap();
            if let Some(child) = children.split_whitespace().next() {
                return child.parse().unwrap();
            }
            std::thread::yield_now();
        }
    }

    /// Evaluates a file that never ends, and asserts that its time ran out: its CPU time, or on a
    /// busy machine the deadline.
    #[track_caller]
    pub(crate) fn assert_time_runs_out(&mut self, source: impl AsRef<[u8]>) -> EvalReply {
        let reply = self.evaluate(source);
        match &reply.outcome {
            EvalOutcome::Killed(Killed::Cpu) => {
                assert!(reply.usage.cpu_us > 500_000, "{reply:?}");
            }
            EvalOutcome::Killed(Killed::Wall) => {
                assert!(reply.usage.wall_us >= MAX_WALL_MS * 1_000, "{reply:?}");
            }
            EvalOutcome::Killed(_)
            | EvalOutcome::Plans(_)
            | EvalOutcome::Needs(_)
            | EvalOutcome::Failed { .. }
            | EvalOutcome::Surveyed { .. } => panic!("{reply:?}"),
        }
        reply
    }

    /// Closes the socket and waits for the evaluator's end.
    pub(crate) fn close(mut self) -> ExitStatus {
        self.stream.shutdown(std::net::Shutdown::Both).unwrap();
        self.process.wait().unwrap()
    }

    /// Waits for an end that was caused otherwise.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }

    /// A benign file still gives its plan.
    #[track_caller]
    pub(crate) fn assert_healthy(&mut self) {
        let reply = self.evaluate(SEED);
        assert!(
            matches!(&reply.outcome, EvalOutcome::Plans(plans) if plans.len() == 1),
            "{reply:?}"
        );
    }
}

impl Drop for Evaluator {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Path of the evaluator's program.
pub(crate) fn binary() -> PathBuf {
    match option_env!("CARGO_BIN_EXE_plue-evaluator") {
        Some(path) => path.into(),
        None => {
            // An example: the program is one folder up.
            let example = std::env::current_exe().unwrap();
            example.parent().unwrap().parent().unwrap().join("plue-evaluator")
        }
    }
}

/// A request for one file.
pub(crate) fn request(id: u64, source: &[u8]) -> EvalRequest {
    let entry = ".plue/ci.plue.py".to_owned();
    EvalRequest {
        id,
        sources: BTreeMap::from([(entry.clone(), Bytes(source.to_vec()))]),
        entry,
        event_json: None,
        withholds_event: false,
        inputs_json: "{}".to_owned(),
        facts: Facts::default(),
        survey: false,
    }
}

fn read_frame(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut prefix = [0; PREFIX_BYTES];
    stream.read_exact(&mut prefix).ok()?;
    let mut body = vec![0; frame::length(prefix, MAX_REPLY_BYTES).unwrap()];
    stream.read_exact(&mut body).ok()?;
    Some(body)
}

/// A sample file with what its header expects.
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) source: Vec<u8>,
    pub(crate) expected: Vec<String>,
}

impl Sample {
    /// True if the header names this word.
    pub(crate) fn expects(&self, word: &str) -> bool {
        self.expected.iter().any(|expected| expected == word)
    }

    /// True if this outcome is one that the header names, after parsing and checking the plans
    /// again as the engine does.
    pub(crate) fn accepts(&self, outcome: &EvalOutcome) -> bool {
        match outcome {
            EvalOutcome::Plans(plans) => {
                let good = plans.iter().all(is_valid);
                self.expects(if good { "ok" } else { "error" })
            }
            EvalOutcome::Needs(_) => self.expects("needs"),
            EvalOutcome::Failed { .. } => self.expects("error"),
            EvalOutcome::Surveyed { .. } => false,
            EvalOutcome::Killed(Killed::Denied(_)) => {
                self.expects("denied") || self.expects("killed")
            }
            EvalOutcome::Killed(Killed::BadReply(_)) => {
                self.expects("error") || self.expects("killed")
            }
            EvalOutcome::Killed(
                Killed::Cpu | Killed::Memory | Killed::Wall | Killed::Crashed(_),
            ) => self.expects("killed"),
        }
    }
}

/// The engine's validation of a plan.
fn is_valid(raw: &RawPlan) -> bool {
    let plan = serde_json::from_str::<plue_plan::Plan>(&raw.plan_json);
    let places = serde_json::from_str::<plue_plan::validate::SourceMap>(&raw.places_json);
    let (Ok(plan), Ok(places)) = (plan, places) else {
        return false;
    };
    let problems = plue_plan::validate::validate(&plan, &places);
    problems.iter().all(|problem| problem.severity != plue_plan::Severity::Error)
}

/// The samples of one folder of `../shared/data/workflows`, next to the checkout, and of the same
/// folder here.
pub(crate) fn samples(folder: &str) -> Vec<Sample> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let shared = here.join("../../shared/data/workflows").join(folder);
    assert!(shared.is_dir(), "{} must be there", shared.display());
    let mut samples: Vec<Sample> = [shared, here.join("tests").join(folder)]
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten()
        .map(|entry| sample(&entry.unwrap().path()))
        .collect();
    samples.sort_by(|one, other| one.name.cmp(&other.name));
    samples.dedup_by(|one, other| one.name == other.name);
    samples
}

fn sample(path: &std::path::Path) -> Sample {
    let source = std::fs::read(path).unwrap();
    let text = String::from_utf8_lossy(&source).into_owned();
    let header = text.lines().take(5).find_map(|line| line.split_once("# expect:"));
    let (_, expected) = header.unwrap_or_else(|| panic!("{} has no header", path.display()));
    Sample {
        name: path.file_name().unwrap().to_string_lossy().into_owned(),
        expected: expected.trim().split('|').map(|word| word.trim().to_owned()).collect(),
        source,
    }
}
