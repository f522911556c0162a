//! Processes end on order, and none outlives its step.

use plue_wire::runner::{CancelMode, Exit, FromRunner, ShutdownWhen, ToRunner};
use rustix::process::Signal;

use crate::engine::{Log, TOKEN, World, bash, lives, with_claim};

#[test]
fn timed_out_steps_that_ignore_term_are_killed() {
    let (_world, mut session) = World::start(&[]);
    let mut assign = bash("trap 'echo TERM' TERM; echo ready; while true; do sleep 0.02; done");
    assign.timeout_ms = 400;
    assign.grace_ms = 200;
    let log = session.run(&assign);
    assert_eq!(log.exit(), &Exit::TimedOut);
    assert!(log.text().starts_with("ready\nTERM"), "{log:?}");
}

#[test]
fn a_step_may_clean_up_when_it_is_cancelled() {
    let (_world, mut session) = World::start(&[]);
    let assign = bash("trap 'echo bye; exit 0' TERM; echo ready; while true; do sleep 0.02; done");
    session.assign(&assign);
    let mut log = Log::default();
    session.until_stdout(&mut log, "ready");
    session.send(&ToRunner::Cancel(assign.claim.clone(), CancelMode::Term));
    session.collect(&assign.claim, &mut log);
    assert_eq!(log.exit(), &Exit::Cancelled);
    assert_eq!(log.text(), "ready\nbye\n");
}

#[test]
fn a_kill_has_no_grace() {
    let (_world, mut session) = World::start(&[]);
    let assign = bash("trap 'echo bye' TERM; echo ready; while true; do sleep 0.02; done");
    session.assign(&assign);
    let mut log = Log::default();
    session.until_stdout(&mut log, "ready");
    session.send(&ToRunner::Cancel(assign.claim.clone(), CancelMode::Kill));
    session.collect(&assign.claim, &mut log);
    assert_eq!(log.exit(), &Exit::Cancelled);
    assert_eq!(log.text(), "ready\n");
}

#[test]
fn failure_case_10_a_cancel_after_the_end_changes_nothing() {
    let (_world, mut session) = World::start(&[]);
    let assign = bash("exit 7");
    session.assign(&assign);
    let mut log = Log::default();
    while log.result.is_none() {
        let message = session.receive();
        log.take(message);
    }
    session.send(&ToRunner::Cancel(assign.claim.clone(), CancelMode::Kill));
    session.send(&ToRunner::ResultAck(
        assign.claim.clone(),
        plue_wire::runner::ResultVerdict::Need(1),
    ));
    let mut again = Log::default();
    session.collect(&assign.claim, &mut again);
    assert_eq!(again, log);
}

#[test]
fn failure_case_33_background_processes_end_with_the_step() {
    let (_world, mut session) = World::start(&[]);
    let cases = [
        // Holds the pipes open.
        "sleep 1000 & echo $!",
        // Does not.
        "sleep 1000 >/dev/null 2>&1 & echo $!",
        // In its own session, adopted by the runner.
        "setsid sleep 1000 >/dev/null 2>&1 & echo $!",
        // The same without anything in its environment.
        "env -i $(command -v setsid) sleep 1000 >/dev/null 2>&1 & echo $!",
        // The classical daemon: two forks, its own session, and deaf.
        "(setsid bash -c 'trap \"\" TERM HUP; (trap \"\" TERM; while true; do sleep 1; done) & echo $!' &)",
    ];
    for (fence, text) in (1..).zip(cases) {
        let log = session.run(&with_claim("a", fence, bash(text)));
        assert_eq!(log.exit(), &Exit::Code(0), "{text}");
        let pid: i32 = log.text().trim().parse().unwrap_or_else(|_| panic!("{text}: {log:?}"));
        assert!(!lives(pid), "{text}");
        assert!(log.result.unwrap().leaked >= 1, "{text}");
    }
}

#[test]
fn failure_case_33_killed_processes_release_their_ports_first() {
    let (_world, mut session) = World::start(&[]);
    // Giving this many small pages back takes a kernel tens of milliseconds.
    let hold = r#"import mmap, os, time
held = mmap.mmap(-1, 1 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
held.madvise(mmap.MADV_NOHUGEPAGE)
for page in range(0, 1 << 30, 4096):
    held[page] = 1
print(os.getpid(), flush=True)
time.sleep(1000)"#;
    let text = format!(
        "setsid python3 -c '{hold}' >$$ 2>&1 & until test -s $$; do sleep 0.01; done; cat $$"
    );
    for fence in 1..=3 {
        let log = session.run(&with_claim("a", fence, bash(&text)));
        assert!(!lives(log.text().trim().parse().unwrap()), "{log:?}");
    }
}

#[test]
fn failure_case_33_a_cancelled_tree_leaves_nothing() {
    let (_world, mut session) = World::start(&[]);
    let mut assign = bash(
        "trap '' TERM; setsid bash -c 'trap \"\" TERM; echo $$; while true; do sleep 0.05; done' & wait",
    );
    assign.grace_ms = 100;
    session.assign(&assign);
    let mut log = Log::default();
    session.until_stdout(&mut log, "\n");
    session.send(&ToRunner::Cancel(assign.claim.clone(), CancelMode::Term));
    session.collect(&assign.claim, &mut log);
    assert!(!lives(log.text().trim().parse().unwrap()));
}

#[test]
fn leftovers_of_one_step_do_not_touch_another() {
    let (_world, mut session) = World::start(&[]);
    let long = with_claim("long", 1, bash("sleep 1000 & echo $!; wait"));
    session.assign(&long);
    let mut log = Log::default();
    session.until_stdout(&mut log, "\n");
    let other = session.run(&with_claim("short", 2, bash("setsid sleep 1000 & sleep 1000 &")));
    assert_eq!(other.result.unwrap().leaked, 2);
    assert!(lives(log.text().trim().parse().unwrap()));
    session.send(&ToRunner::Cancel(long.claim.clone(), CancelMode::Kill));
    session.collect(&long.claim, &mut log);
    assert_eq!(log.exit(), &Exit::Cancelled);
}

#[test]
fn failure_case_34_the_token_is_not_where_a_step_can_read_it() {
    let (world, mut session) = World::start(&[]);
    let text = "tr '\\0' '\\n' < /proc/$PPID/environ; tr '\\0' '\\n' < /proc/$PPID/cmdline; ls -l /proc/self/fd";
    let log = session.run(&bash(text)).text();
    assert!(log.contains("plue-runner") && !log.contains(TOKEN));
    assert!(!log.contains("socket"), "a step inherits descriptors: {log}");
    assert!(lives(i32::try_from(world.pid()).unwrap()));
}

#[test]
fn interrupts_are_ignored_and_term_drains() {
    let (mut world, mut session) = World::start(&[]);
    let assign = bash("echo ready; until test -e go; do sleep 0.01; done; echo done");
    session.assign(&assign);
    let mut log = Log::default();
    session.until_stdout(&mut log, "ready");
    world.signal(Signal::INT);
    world.signal(Signal::TERM);
    assert!(matches!(session.receive(), FromRunner::Draining(_, 10_000)));
    let refused = with_claim("late", 9, bash("true"));
    session.send(&ToRunner::Assign(Box::new(refused.clone())));
    assert!(matches!(session.receive(), FromRunner::Reject(claim, _) if claim == refused.claim));
    std::fs::write(world.workspace().join("go"), "").unwrap();
    session.collect(&assign.claim, &mut log);
    assert_eq!(log.exit(), &Exit::Code(0));
    assert!(world.wait().success());
}

#[test]
fn orphans_of_unknown_steps_end_with_the_runner() {
    let (mut world, mut session) = World::start(&[]);
    let long = with_claim("long", 1, bash("echo ready; until test -e go; do sleep 0.01; done"));
    session.assign(&long);
    let mut first = Log::default();
    session.until_stdout(&mut first, "ready");
    // With another step, an orphan without session and environment could be of either.
    let text = "env -i $(command -v setsid) sleep 1000 >/dev/null 2>&1 & echo $!";
    let stray = session.run(&with_claim("short", 2, bash(text)));
    let stray: i32 = stray.text().trim().parse().unwrap();
    std::fs::write(world.workspace().join("go"), "").unwrap();
    session.collect(&long.claim, &mut first);
    session.send(&ToRunner::Shutdown(ShutdownWhen::Idle));
    assert!(world.wait().success(), "it promises that nothing is left");
    assert!(!lives(stray));
}

#[test]
fn a_drain_has_an_end() {
    let (mut world, mut session) = World::start(&["--drain-grace", "0.2"]);
    let assign = bash("echo ready; while true; do sleep 0.02; done");
    session.assign(&assign);
    let mut log = Log::default();
    session.until_stdout(&mut log, "ready");
    world.signal(Signal::TERM);
    assert!(matches!(session.receive(), FromRunner::Draining(_, 200)));
    session.collect(&assign.claim, &mut log);
    // Not cancelled: the step may run again on another machine.
    assert_eq!(log.exit(), &Exit::Infra("the runner was stopped".to_owned()));
    assert!(world.wait().success());
}
