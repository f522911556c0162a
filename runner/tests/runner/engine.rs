//! The engine, played by the test, message by message.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use plue_plan::{AttemptId, RunId, StepId};
use plue_wire::{
    Splitter, encode,
    runner::{
        Assign, AttemptEvent, AttemptResult, Claim, EventKind, Exit, Fence, FromRunner, Hello,
        MAX_FRAME_BYTES, Program, ResultVerdict, ResumeVerdict, ToRunner, Verdict, Welcome,
    },
};
use serde_json::Value;

pub(crate) const TOKEN: &str = "token-of-this-test";
/// A test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A runner process and the directories it works in.
pub(crate) struct World {
    folder: tempfile::TempDir,
    listener: UnixListener,
    child: Child,
}

/// The connection of a runner.
pub(crate) struct Session {
    pub(crate) stream: UnixStream,
    splitter: Splitter,
}

/// Everything that one attempt sent.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Log {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// Both, in the order of their events.
    pub(crate) both: Vec<u8>,
    pub(crate) others: Vec<EventKind>,
    pub(crate) last: u64,
    pub(crate) result: Option<AttemptResult>,
}

// === impl World ===

impl World {
    /// A runner with these further arguments, connected and welcome.
    pub(crate) fn start(arguments: &[&str]) -> (Self, Session) {
        let mut world = Self::spawn(arguments);
        let session = world.welcome(&[]);
        (world, session)
    }

    /// A runner that has not been answered yet.
    pub(crate) fn spawn(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("work")).unwrap();
        std::fs::create_dir(folder.path().join("state")).unwrap();
        let listener = UnixListener::bind(folder.path().join("engine")).unwrap();
        let child = spawn(folder.path(), arguments);
        Self { folder, listener, child }
    }

    /// Kills the runner and starts another one with the same directories.
    pub(crate) fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(self.folder.path(), &[]);
    }

    /// The next connection and its greeting.
    pub(crate) fn accept(&mut self) -> (Session, Hello) {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut session = Session { stream, splitter: Splitter::new(MAX_FRAME_BYTES) };
        let Some(FromRunner::Hello(hello)) = session.try_receive() else {
            panic!("no Hello");
        };
        assert_eq!(hello.token, TOKEN);
        (session, hello)
    }

    /// The next connection, with these verdicts; ready to work.
    pub(crate) fn welcome(&mut self, resume: &[ResumeVerdict]) -> Session {
        let (mut session, _) = self.accept();
        session.welcome(resume);
        session
    }

    pub(crate) fn workspace(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Files that the runner keeps for attempts.
    pub(crate) fn kept_files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path().join("state/io")).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with("event-"))
            .collect()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Starts a second runner with the same directories and waits for its end.
    pub(crate) fn second_runner(&self) -> (ExitStatus, String) {
        let output = spawn(self.folder.path(), &[]).wait_with_output().unwrap();
        (output.status, String::from_utf8(output.stderr).unwrap())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn spawn(folder: &Path, arguments: &[&str]) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_plue-runner"))
        .arg("--connect")
        .arg(format!("unix:{}", folder.join("engine").display()))
        .arg("--workspace")
        .arg(folder.join("work"))
        .arg("--state")
        .arg(folder.join("state"))
        .args(["--runner", "r1"])
        .args(arguments)
        .env("NOT_FOR_STEPS", "1")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let line = format!("{TOKEN}\n");
    child.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
    child
}

// === impl Session ===

impl Session {
    pub(crate) fn welcome(&mut self, resume: &[ResumeVerdict]) {
        self.send(&ToRunner::Welcome(Welcome { epoch: 1, resume: resume.to_vec() }));
        assert_eq!(self.receive(), FromRunner::Ready);
    }

    pub(crate) fn send(&mut self, message: &ToRunner) {
        let frame = encode(message, MAX_FRAME_BYTES).unwrap();
        self.stream.write_all(&frame).unwrap();
    }

    /// The next message that is no heartbeat; `None` when the connection is closed.
    pub(crate) fn try_receive(&mut self) -> Option<FromRunner> {
        loop {
            if let Some(message) = self.splitter.next_frame().unwrap() {
                if !matches!(message, FromRunner::Heartbeat(_)) {
                    return Some(message);
                }
                continue;
            }
            let mut piece = vec![0; 64 * 1024];
            let count = self.stream.read(&mut piece).unwrap();
            if count == 0 {
                return None;
            }
            self.splitter.buffer().extend_from_slice(&piece[..count]);
        }
    }

    /// Reads at most this many bytes, or up to the result.
    pub(crate) fn read_some(&mut self, mut count: usize, log: &mut Log) {
        while count > 0 && log.result.is_none() {
            let mut piece = vec![0; count.min(4_096)];
            let got = self.stream.read(&mut piece).unwrap();
            if got == 0 {
                return;
            }
            count -= got;
            self.splitter.buffer().extend_from_slice(&piece[..got]);
            while let Some(message) = self.splitter.next_frame().unwrap() {
                if matches!(message, FromRunner::Event(_) | FromRunner::Result(_)) {
                    log.take(message);
                }
            }
        }
    }

    pub(crate) fn receive(&mut self) -> FromRunner {
        self.try_receive().expect("the runner closed the connection")
    }

    /// Assigns, and waits until the runner has taken it.
    pub(crate) fn assign(&mut self, assign: &Assign) {
        self.send(&ToRunner::Assign(Box::new(assign.clone())));
        assert_eq!(self.receive(), FromRunner::Accept(assign.claim.clone()));
    }

    /// Takes events of one attempt, acknowledging each, until its result.
    pub(crate) fn collect(&mut self, claim: &Claim, log: &mut Log) {
        while log.result.is_none() {
            let message = self.receive();
            log.take(message);
            self.send(&ToRunner::Ack(claim.clone(), log.last));
        }
        self.send(&ToRunner::ResultAck(claim.clone(), ResultVerdict::Recorded));
    }

    /// Assigns, collects and records.
    pub(crate) fn run(&mut self, assign: &Assign) -> Log {
        self.assign(assign);
        let mut log = Log::default();
        self.collect(&assign.claim, &mut log);
        log
    }

    /// Runs several attempts at once.
    pub(crate) fn run_all(&mut self, assigns: &[Assign]) -> Vec<Log> {
        for assign in assigns {
            self.send(&ToRunner::Assign(Box::new(assign.clone())));
        }
        let mut logs: BTreeMap<AttemptId, Log> = BTreeMap::new();
        while logs.len() < assigns.len() || logs.values().any(|log| log.result.is_none()) {
            let message = self.receive();
            let claim = match &message {
                FromRunner::Event(event) => event.claim.clone(),
                FromRunner::Result(result) => result.claim.clone(),
                _ => continue,
            };
            let log = logs.entry(claim.attempt.clone()).or_default();
            log.take(message);
            self.send(&ToRunner::Ack(claim.clone(), log.last));
            if log.result.is_some() {
                self.send(&ToRunner::ResultAck(claim, ResultVerdict::Recorded));
            }
        }
        let claims = assigns.iter().map(|assign| &assign.claim.attempt);
        claims.map(|attempt| logs.remove(attempt).unwrap()).collect()
    }

    /// The process id of an attempt that has just been assigned.
    pub(crate) fn started(&mut self, log: &mut Log) -> i32 {
        let message = self.receive();
        log.take(message);
        match log.others.last() {
            Some(EventKind::Started { pid }) => i32::try_from(*pid).unwrap(),
            other => panic!("not started: {other:?}"),
        }
    }

    /// Takes events until standard output has this text.
    pub(crate) fn until_stdout(&mut self, log: &mut Log, text: &str) {
        while !String::from_utf8_lossy(&log.stdout).contains(text) {
            assert_eq!(log.result, None);
            let message = self.receive();
            log.take(message);
        }
    }
}

// === impl Log ===

impl Log {
    /// Takes an event as an engine does: duplicates are dropped, a gap is a fault.
    pub(crate) fn take(&mut self, message: FromRunner) {
        match message {
            FromRunner::Event(AttemptEvent { seq, kind, .. }) => {
                if seq <= self.last {
                    return;
                }
                assert_eq!(seq, self.last + 1, "the sequence has a gap before {kind:?}");
                self.last = seq;
                if let EventKind::Stdout(bytes) | EventKind::Stderr(bytes) = &kind {
                    self.both.extend_from_slice(&bytes.0);
                }
                match kind {
                    EventKind::Stdout(bytes) => self.stdout.extend(bytes.0),
                    EventKind::Stderr(bytes) => self.stderr.extend(bytes.0),
                    other => self.others.push(other),
                }
            }
            FromRunner::Result(result) => {
                if result.seq == self.last + 1 || result.seq == self.last {
                    self.last = result.seq;
                    self.result = Some(result);
                } else {
                    panic!("result {} after event {}", result.seq, self.last);
                }
            }
            other => panic!("unexpected {other:?}"),
        }
    }

    pub(crate) fn exit(&self) -> &Exit {
        &self.result.as_ref().expect("no result").exit
    }

    pub(crate) fn output(&self) -> Value {
        serde_json::from_str(&self.result.as_ref().unwrap().output_json).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }
}

pub(crate) fn claim(attempt: &str, fence: u64) -> Claim {
    Claim { attempt: AttemptId::new(attempt), fence: Fence(fence) }
}

pub(crate) fn program(program: Program) -> Assign {
    Assign {
        claim: claim("a", 1),
        run: RunId::new("run"),
        step: StepId::new("step"),
        program,
        env: Vec::new(),
        secrets: Vec::new(),
        cwd: None,
        event_json: "{\"type\":\"push\"}".to_owned(),
        timeout_ms: 60_000,
        grace_ms: 10_000,
        log_cap_bytes: u64::MAX,
    }
}

pub(crate) fn bash(run: &str) -> Assign {
    program(Program::Shell { shell: "bash".to_owned(), run: run.to_owned() })
}

pub(crate) fn with_claim(attempt: &str, fence: u64, mut assign: Assign) -> Assign {
    assign.claim = claim(attempt, fence);
    assign
}

pub(crate) fn verdict(claim: &Claim, verdict: Verdict, acked: u64) -> ResumeVerdict {
    ResumeVerdict { claim: claim.clone(), verdict, acked }
}

/// Whether a process lives (a zombie does not).
pub(crate) fn lives(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').unwrap().1.starts_with(" Z"))
}
