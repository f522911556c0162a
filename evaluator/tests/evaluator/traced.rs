//! System calls of a child, observed by strace.
#![expect(clippy::unwrap_used, reason = "the functions that the tests share are not seen as tests")]

use std::path::Path;
use std::process::Command;

use plue_evaluator::jail::syscalls::CHILD;

use crate::harness::{Evaluator, SEED, binary, samples};

const STRACE: &str = "/usr/bin/strace";

/// Evaluates the files under strace and gives its protocol, without the first lines up to the
/// hello frame.
fn trace(sources: &[&[u8]]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("strace.log");
    let mut command = Command::new(STRACE);
    command.args(["-f", "-qq", "-o"]).arg(&log).arg(binary());
    let mut evaluator = Evaluator::spawn(Evaluator::prepare(command));
    for source in sources {
        evaluator.evaluate(source);
    }
    assert_eq!(evaluator.close().code(), Some(0));
    let log = std::fs::read_to_string(&log).unwrap();
    let hello = log.find("write(0, ").and_then(|at| log[at..].find('\n').map(|end| at + end));
    log[hello.unwrap() + 1..].to_owned()
}

/// Names of the calls in a protocol, per process, in order.
fn calls(log: &str) -> Vec<(&str, &str)> {
    log.lines()
        .filter_map(|line| {
            let (pid, rest) = line.split_once(' ')?;
            let (name, _) = rest.trim_start().split_once('(')?;
            let is_name =
                name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
            (is_name && !name.is_empty()).then_some((pid, name))
        })
        .collect()
}

#[test]
fn after_the_lock_a_child_makes_no_call_that_is_not_on_the_list() {
    if !Path::new(STRACE).exists() {
        eprintln!("{STRACE} is not installed: nothing was watched");
        return;
    }
    let hostile = samples("hostile");
    let quick =
        hostile.iter().filter(|sample| !sample.expected.iter().any(|word| word == "killed"));
    let mut sources: Vec<&[u8]> = quick.map(|sample| sample.source.as_slice()).collect();
    sources.push(SEED.as_bytes());
    let log = trace(&sources);
    let calls = calls(&log);
    let zygote = calls.first().unwrap().0;
    // The zygote itself forks and talks; it opens, connects and starts nothing.
    for forbidden in
        ["open", "openat", "socket", "connect", "execve", "execveat", "vfork", "unlink"]
    {
        assert!(!calls.contains(&(zygote, forbidden)), "the zygote called {forbidden}");
    }
    let mut children: Vec<&str> = calls.iter().map(|(pid, _)| *pid).collect();
    children.sort_unstable();
    children.dedup();
    children.retain(|pid| *pid != zygote);
    assert_eq!(children.len(), sources.len());
    for child in children {
        let own: Vec<&str> =
            calls.iter().filter(|(pid, _)| *pid == child).map(|(_, name)| *name).collect();
        let locked = own.iter().rposition(|name| *name == "seccomp").unwrap();
        for call in &own[locked + 1..] {
            assert!(CHILD.iter().any(|allowed| allowed.name == *call), "{child} called {call}");
        }
        for call in &own[..locked] {
            assert!(!matches!(
                *call,
                "open" | "openat" | "socket" | "connect" | "execve" | "clone"
            ));
        }
    }
}

#[test]
fn no_child_outlives_its_request() {
    let mut evaluator = Evaluator::start(&[]);
    let mut pids = Vec::new();
    for _ in 0..3 {
        evaluator.send("def workflow():\n    while True:\n        pass\n");
        pids.push(evaluator.child_pid());
        evaluator.receive();
    }
    for pid in pids {
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        assert!(rustix::process::test_kill_process(pid).is_err());
    }
}
