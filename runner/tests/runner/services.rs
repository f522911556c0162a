//! Services of a step: up before it, gone with it.

use std::{net::TcpListener, path::Path};

use plue_wire::{
    eval::Bytes,
    runner::{Assign, CancelMode, Exit, Program, Service, ToRunner},
};

use crate::engine::{Log, World, bash, with_claim};

/// Answers every connection with a text, in the foreground.
const SERVER: &str = r#"
import os, socket, sys
print("up as", os.getpid(), flush=True)
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    with listener.accept()[0] as peer:
        peer.sendall(os.environ.get("SAYS", "nothing").encode())
"#;

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn service(run: impl Into<String>, port: u16) -> Service {
    Service { run: run.into(), port, env: Vec::new(), secrets: Vec::new() }
}

fn server(world: &World) -> Service {
    std::fs::write(world.workspace().join("server.py"), SERVER).unwrap();
    let port = free_port();
    service(format!("python3 server.py {port}"), port)
}

fn with_services(mut assign: Assign, services: Vec<Service>) -> Assign {
    let program = Box::new(assign.program);
    assign.program = Program::WithServices { program, services };
    assign
}

/// A step that prints the greeting of the service.
fn ask(port: u16) -> String {
    format!("exec 3<>/dev/tcp/127.0.0.1/{port}; cat <&3; echo; echo done >&2")
}

/// Whether any process has the attempt's files in its environment.
fn is_left(folder: &Path) -> bool {
    let mark = folder.join("state/io").canonicalize().unwrap();
    let mark = mark.to_str().unwrap().as_bytes().to_vec();
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let environ = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        environ.windows(mark.len()).any(|part| part == mark)
    })
}

#[test]
fn services_are_up_only_during_the_step() {
    let (world, mut session) = World::start(&[]);
    let mut first = server(&world);
    first.env = vec![("SAYS".to_owned(), "hello".to_owned())];
    first.secrets = vec![("HIDDEN".to_owned(), Bytes(b"hunter22".to_vec()))];
    first.run = format!("echo $HIDDEN ${{TOKEN-none}} >&2; exec {}", first.run);
    let port = first.port;
    let mut assign = bash(&ask(port));
    assign.secrets = vec![("TOKEN".to_owned(), Bytes(b"s3cret-of-the-step".to_vec()))];
    let log = session.run(&with_services(assign, vec![first]));
    assert_eq!(log.exit(), &Exit::Code(0), "{}", String::from_utf8_lossy(&log.stderr));
    assert_eq!((log.text().as_str(), log.output()), ("hello\n", "hello".into()));
    let printed = String::from_utf8(log.stderr).unwrap();
    for line in
        [format!("[echo:{port}] *** none"), format!("[echo:{port}] up as "), "done".to_owned()]
    {
        assert!(printed.contains(&line), "{line:?} is not in {printed}");
    }
    assert_eq!(log.result.unwrap().leaked, 0, "the attendant has ended it in order");
    assert!(!is_left(world.folder()));
    assert_eq!(world.kept_files(), [""; 0]);
}

#[test]
fn steps_with_services_have_their_own_status() {
    let (world, mut session) = World::start(&[]);
    let mut up = server(&world);
    let log = session.run(&with_services(bash("exit 7"), vec![up.clone()]));
    assert_eq!(log.exit(), &Exit::Code(7));
    up.port = free_port();
    up.run = format!("python3 server.py {}", up.port);
    let mut python = with_claim("b", 2, bash(""));
    let code = format!(
        "import socket\ndef f():\n    return socket.create_connection(('127.0.0.1', {})).recv(99).decode()\n",
        up.port
    );
    python.program = Program::PythonCode { code, call: Some("f".to_owned()), args: Vec::new() };
    let log = session.run(&with_services(python, vec![up]));
    assert_eq!(log.output(), "nothing", "{}", String::from_utf8_lossy(&log.stderr));
}

#[test]
fn services_that_never_open_fail_the_step() {
    let (world, mut session) = World::start(&[]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().port();
    let cases = [
        (service("postgres:16", free_port()), "start no containers"),
        (service("exit 3", free_port()), "ended (exit status: 3) before its port"),
        (service("sleep 60", taken), "something else on this machine has it"),
    ];
    for (fence, (wrong, expected)) in (1..).zip(cases) {
        let step = with_claim("a", fence, bash("touch ran"));
        // One that gets ready is ended too.
        let good = server(&world);
        let log = session.run(&with_services(step, vec![good, wrong]));
        let Exit::Refused(why) = log.exit() else { panic!("{:?}", log.exit()) };
        assert!(why.starts_with("PLUE-R0001: ") && why.contains(expected), "{why}");
        assert!(!is_left(world.folder()), "{expected}");
    }
    assert!(!world.workspace().join("ran").exists());
}

#[test]
fn stopped_steps_leave_no_service() {
    let (world, mut session) = World::start(&[]);
    // Deaf to TERM, with a child in a session of its own.
    let deaf = "trap '' TERM; setsid sleep 600 & ";
    for (fence, mode) in [(1, Some(CancelMode::Term)), (2, Some(CancelMode::Kill)), (3, None)] {
        let mut up = server(&world);
        up.run = format!("{deaf}{}", up.run);
        let mut step = with_claim("a", fence, bash("echo started; sleep 600"));
        step.grace_ms = 50;
        if mode.is_none() {
            step.timeout_ms = 2_000;
        }
        let step = with_services(step, vec![up]);
        session.assign(&step);
        let mut log = Log::default();
        session.until_stdout(&mut log, "started");
        if let Some(mode) = mode {
            session.send(&ToRunner::Cancel(step.claim.clone(), mode));
        }
        session.collect(&step.claim, &mut log);
        let expected = if mode.is_some() { Exit::Cancelled } else { Exit::TimedOut };
        assert_eq!(log.exit(), &expected);
        assert!(!is_left(world.folder()), "{mode:?}");
    }
}

#[test]
fn restarted_runners_kill_orphaned_services() {
    let (mut world, mut session) = World::start(&[]);
    let up = server(&world);
    let step = with_services(bash("echo started; sleep 600"), vec![up]);
    session.assign(&step);
    let mut log = Log::default();
    session.until_stdout(&mut log, "started");
    world.kill_and_restart();
    let (mut session, _) = world.accept();
    assert!(!is_left(world.folder()), "the next runner begins with an empty machine");
    session.welcome(&[]);
}
