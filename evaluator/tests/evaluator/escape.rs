//! The kernel alone: files run without the language layer and without the audit hook.
//! Each mechanism is also removed in turn, to show what that
//! one stops.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the functions that the tests share are not seen as tests"
)]

use std::os::unix::process::CommandExt;
use std::path::Path;

use crate::harness::{Evaluator, samples};
use plue_wire::eval::{EvalOutcome, EvalReply, Killed};

/// Longest a file may take, in microseconds, with some room for a busy machine.
const LONGEST_US: u64 = 3_200_000;

fn raw(dropped: &[&str]) -> Evaluator {
    let mut arguments = vec!["--raw"];
    for layer in dropped {
        arguments.extend(["--drop-layer", layer]);
    }
    Evaluator::start(&arguments)
}

/// A file that reports `SUCCESS` when the attack gave something.
fn attack(body: &str) -> String {
    let body: String = body.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "import posix, time, sys\n\
         def attack():\n{body}\n\
         def workflow():\n    \
             return Plan(name='SUCCESS ' + repr(attack()))\n"
    )
}

#[derive(Debug, PartialEq, Eq)]
enum Result {
    /// The attack gave this.
    Through(String),
    /// The child was ended.
    Ended(Killed),
    /// The text of a Python exception.
    Raised(String),
}

fn result(reply: EvalReply) -> Result {
    match reply.outcome {
        EvalOutcome::Plans(plans) => Result::Through(plans[0].plan_json.clone()),
        EvalOutcome::Failed { diagnostics_json } => Result::Raised(diagnostics_json),
        EvalOutcome::Killed(killed) => Result::Ended(killed),
        EvalOutcome::Needs(needs) => panic!("{needs:?}"),
        EvalOutcome::Surveyed { diagnostics_json, .. } => panic!("{diagnostics_json}"),
    }
}

fn run(dropped: &[&str], body: &str) -> Result {
    let mut evaluator = raw(dropped);
    let result = result(evaluator.evaluate(attack(body)));
    evaluator.assert_healthy();
    result
}

#[track_caller]
fn assert_through(dropped: &[&str], body: &str) {
    let result = run(dropped, body);
    assert!(matches!(result, Result::Through(_)), "without {dropped:?}: {body}: {result:?}");
}

#[track_caller]
fn assert_killed(dropped: &[&str], body: &str, expected: fn(&Killed) -> bool) {
    let result = run(dropped, body);
    assert!(
        matches!(&result, Result::Ended(killed) if expected(killed)),
        "without {dropped:?}: {body}: {result:?}"
    );
}

#[track_caller]
fn assert_raised(dropped: &[&str], body: &str) {
    let result = run(dropped, body);
    assert!(matches!(result, Result::Raised(_)), "without {dropped:?}: {body}: {result:?}");
}

fn by_seccomp(killed: &Killed) -> bool {
    matches!(killed, Killed::Denied(what) if what.starts_with("seccomp"))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Files that an attack would change or create, and their sight before it.
struct Canaries(Vec<(&'static str, Option<Vec<u8>>)>);

impl Canaries {
    fn set() -> Self {
        let victim = "/tmp/plue_pwned_victim";
        // Other tests may be looking: it must never be seen half written.
        let fresh = format!("{victim}.{}", std::process::id());
        std::fs::write(&fresh, "untouched").unwrap();
        std::fs::rename(&fresh, victim).unwrap();
        let paths = [victim, "/etc/passwd", "/tmp/plue_pwned", "/tmp/plue_pwned_dir"];
        Self(paths.map(|path| (path, std::fs::read(path).ok())).to_vec())
    }

    #[track_caller]
    fn assert_untouched(&self) {
        for (path, before) in &self.0 {
            assert_eq!(&std::fs::read(path).ok(), before, "{path}");
            assert_eq!(Path::new(path).exists(), before.is_some(), "{path}");
        }
    }
}

#[test]
fn the_raw_corpus_is_held_by_the_kernel_alone() {
    let canaries = Canaries::set();
    let mut evaluator = raw(&["audit_hook"]);
    for sample in samples("raw") {
        let reply = evaluator.evaluate(&sample.source);
        let name = &sample.name;
        assert!(reply.usage.wall_us < LONGEST_US, "{name}: {reply:?}");
        assert!(is_contained(&sample.expected, &reply.outcome), "{name}: {reply:?}");
        evaluator.assert_healthy();
        canaries.assert_untouched();
    }
}

/// True if the outcome is one of the header; a native crash counts as denied, since a clock read
/// ends that way.
fn is_contained(expected: &[String], outcome: &EvalOutcome) -> bool {
    let is = |word: &str| expected.iter().any(|expected| expected == word);
    match outcome {
        EvalOutcome::Plans(_) => is("ok"),
        EvalOutcome::Needs(_) | EvalOutcome::Surveyed { .. } => false,
        EvalOutcome::Failed { .. } => is("error"),
        EvalOutcome::Killed(_) => !is("ok"),
    }
}

#[test]
fn the_hostile_corpus_reaches_nothing_even_without_the_language_layer() {
    let canaries = Canaries::set();
    let mut evaluator = raw(&["audit_hook"]);
    for sample in samples("hostile") {
        let reply = evaluator.evaluate(&sample.source);
        assert!(reply.usage.wall_us < LONGEST_US, "{}: {reply:?}", sample.name);
        if let EvalOutcome::Plans(plans) = &reply.outcome {
            let leak = ["root:x:", "uid=", "/usr/lib/python", "vmlinuz"];
            let found = leak.iter().find(|leak| plans[0].plan_json.contains(**leak));
            assert_eq!(found, None, "{}: {plans:?}", sample.name);
        }
        evaluator.assert_healthy();
        canaries.assert_untouched();
    }
}

#[test]
fn seccomp_stops_what_needs_no_file() {
    for call in [
        "posix.getppid()",
        "posix.uname()",
        "posix.getrandom(8)",
        "posix.fork()",
        "posix.pipe()",
        "posix.kill(posix.getppid(), 9)",
        "posix.sched_setaffinity(0, {0})",
        "posix.memfd_create('x')",
    ] {
        assert_killed(&["audit_hook"], &format!("return {call}"), by_seccomp);
    }
    let dropped = ["audit_hook", "seccomp"];
    assert_through(&dropped, "return posix.getppid()");
    assert_through(&dropped, "return posix.uname()");
    assert_through(&dropped, "return posix.getrandom(8)");
}

#[test]
fn landlock_stops_files_when_seccomp_is_gone() {
    let dropped = ["audit_hook", "seccomp", "rlimits"];
    assert_raised(&dropped, "return open('/etc/passwd').read()");
    assert_raised(&dropped, "return posix.listdir('/')");
    assert_raised(&dropped, "return posix.mkdir('/tmp/plue_pwned_dir')");
    assert_raised(&dropped, "return posix.symlink('/etc', '/tmp/plue_pwned')");
    assert_raised(&dropped, "return posix.execv('/usr/bin/id', ['id'])");
    let dropped = ["audit_hook", "seccomp", "rlimits", "landlock"];
    assert_through(&dropped, "return open('/etc/passwd').read()");
    assert_through(&dropped, "return posix.listdir('/')");
}

#[test]
fn landlock_keeps_signals_inside_when_seccomp_is_gone() {
    let victim = Evaluator::start(&[]);
    let signal = format!("return posix.kill({}, 0)", victim.pid());
    let dropped = ["audit_hook", "seccomp"];
    assert_raised(&dropped, &signal);
    assert_through(&["audit_hook", "seccomp", "landlock"], &signal);
}

#[test]
fn the_user_stops_what_is_left_to_root() {
    if !is_root() {
        eprintln!("not root: there is no user to drop to");
        return;
    }
    let dropped = ["audit_hook", "seccomp", "rlimits", "landlock"];
    assert_raised(&dropped, "return open('/etc/shadow').read()");
    assert_raised(&dropped, "return posix.setuid(0)");
    // A root that stays root keeps its capabilities, and with them reads anybody's memory.
    let root = ["uid", "bounding_set", "dumpable"];
    assert_through(&[&dropped[..], &root].concat(), "return open('/etc/shadow').read()");
}

#[test]
fn an_empty_bounding_set_and_no_new_privs_are_seen_by_the_kernel() {
    let open = ["audit_hook", "seccomp", "rlimits", "landlock"];
    let status = |dropped: &[&str], field: &str| {
        let body = "return [l for l in open('/proc/self/status') if l.startswith(('CapBnd', 'NoNewPrivs'))]";
        let Result::Through(plan) = run(dropped, body) else { panic!("{dropped:?}") };
        let (_, rest) = plan.split_once(field).unwrap();
        rest.split("\\n").next().unwrap().trim_start_matches([':', '\\', 't']).to_owned()
    };
    assert_eq!(status(&open, "NoNewPrivs").trim_matches('\\'), "1");
    if is_root() {
        assert!(status(&open, "CapBnd").contains("0000000000000000"));
        let without = [&open[..], &["bounding_set"]].concat();
        assert!(!status(&without, "CapBnd").contains("0000000000000000"));
    }
    let without = [&open[..], &["no_new_privs"]].concat();
    assert_eq!(status(&without, "NoNewPrivs").trim_matches('\\'), "0");
}

#[test]
fn being_undumpable_closes_proc_to_processes_of_the_same_user() {
    let body = "return open('/proc/self/mem', 'rb')";
    let run = |dropped: &[&str]| {
        let mut command = Evaluator::command();
        command.arg("--raw");
        for layer in dropped {
            command.args(["--drop-layer", layer]);
        }
        if is_root() {
            // Leaving root makes a process undumpable by itself, so the test starts unprivileged.
            command.uid(65_534).gid(65_534);
        }
        result(Evaluator::spawn(command).evaluate(attack(body)))
    };
    let dropped = ["audit_hook", "seccomp", "rlimits", "landlock"];
    assert!(matches!(run(&dropped), Result::Raised(_)));
    let dropped = ["audit_hook", "seccomp", "rlimits", "landlock", "dumpable"];
    assert!(matches!(run(&dropped), Result::Through(_)));
}

#[test]
fn rlimits_stop_memory() {
    let body = "return len(b'x' * (400 << 20))";
    assert_killed(&["audit_hook"], body, |killed| *killed == Killed::Memory);
    assert_through(&["audit_hook", "rlimits"], body);
}

#[test]
fn the_allocator_makes_a_full_memory_the_end_and_not_a_choice() {
    let body = "try:\n    return len(b'x' * (400 << 20))\nexcept MemoryError:\n    return 'caught'";
    assert_killed(&["audit_hook"], body, |killed| *killed == Killed::Memory);
    assert_through(&["audit_hook", "allocator"], body);
}

#[test]
fn the_timer_strikes_after_one_second_and_what_is_behind_it_after_two() {
    let spin = "while True: pass";
    let reply = raw(&["audit_hook"]).assert_time_runs_out(attack(spin));
    assert!(reply.usage.cpu_us < 1_300_000, "{reply:?}");
    let reply = raw(&["audit_hook", "timer"]).assert_time_runs_out(attack(spin));
    assert!(reply.usage.cpu_us < 2_300_000, "{reply:?}");
    // The resource limit, or the deadline of the same length.
    let deadline_us = plue_wire::eval::MAX_WALL_MS * 1_000;
    assert!(reply.usage.cpu_us > 1_300_000 || reply.usage.wall_us >= deadline_us, "{reply:?}");
}

#[test]
fn the_clock_is_out_of_reach_although_it_needs_no_system_call() {
    assert_raised(&["audit_hook"], "return time.time()");
    let lock = "import _thread\nreturn _thread.allocate_lock().acquire()";
    assert_through(&["audit_hook"], lock);
    let fresh = "del sys.modules['time']\nimport time\nreturn time.";
    for clock in ["time()", "clock_gettime(5)", "process_time()"] {
        let body = format!("{fresh}{clock}");
        assert_killed(&["audit_hook"], &body, |_| true);
        assert_through(&["audit_hook", "tsc", "seccomp"], &body);
    }
}

#[test]
fn the_engines_socket_is_closed_in_a_child() {
    // A character device, which is /dev/null; without the layer it is the socket.
    let body = "import stat\nassert stat.S_ISSOCK(posix.fstat(0).st_mode)";
    assert_raised(&["audit_hook", "seccomp"], body);
    assert_through(&["audit_hook", "seccomp", "descriptors"], body);
}

#[test]
fn the_audit_hook_names_what_it_caught() {
    let caught = |body: &str, event: &str| {
        let result = run(&[], body);
        assert_eq!(result, Result::Ended(Killed::Denied(format!("audit: {event}"))));
    };
    caught("sys.addaudithook(print)", "sys.addaudithook");
    caught("return open('/etc/passwd')", "open");
    caught("return posix.listdir('/')", "os.listdir");
    caught("return exec('1')", "exec");
    caught("return (x for x in ()).gi_frame", "object.__getattr__:gi_frame");
    assert_through(&["audit_hook"], "return exec('1')");
}

#[test]
fn a_reply_over_the_limit_is_cut_off() {
    let mut evaluator = raw(&["audit_hook"]);
    let reply = evaluator.evaluate(attack("return 'x' * (30 << 20)"));
    assert!(matches!(reply.outcome, EvalOutcome::Killed(Killed::BadReply(_))), "{:?}", reply.usage);
    evaluator.assert_healthy();
}

#[test]
fn forged_reports_are_bad_replies_and_the_next_file_is_not_touched_by_them() {
    for bytes in [
        "b''",
        "b'R'",
        "b'R\\x00\\xff\\xff\\xff\\xff\\x0f'",
        "b'R\\x01\\x00\\x00junk'",
        "b'R\\x03\\x00'",
        "b'Aopen'",
        "b'Pplace'",
        "b'\\x00' * 100000",
    ] {
        let body = format!("posix.write(4, {bytes})\nposix._exit(0)");
        assert_killed(&["audit_hook"], &body, |killed| matches!(killed, Killed::BadReply(_)));
    }
}

#[test]
fn exit_statuses_of_ours_can_be_forged_and_gain_nothing() {
    for status in [1, 77, 91, 92, 93, 94, 255] {
        let body = format!("posix._exit({status})");
        assert_killed(&["audit_hook"], &body, |killed| matches!(killed, Killed::Crashed(_)));
    }
}
