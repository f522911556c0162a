//! Connections break, engines and runners die: each fence runs once and each result is delivered.

use plue_wire::runner::{
    Claim, CloseCode, EventKind, Exit, FromRunner, ResultVerdict, ToRunner, Verdict,
};
use rustix::process::Signal;

use crate::engine::{Log, World, bash, lives, verdict, with_claim};

/// Appends a line to a file of the workspace, so that a second execution shows.
const ONCE: &str = "echo run >> runs; echo out";

fn runs(world: &World) -> usize {
    std::fs::read_to_string(world.workspace().join("runs")).unwrap_or_default().lines().count()
}

/// Everything up to the result, nothing acknowledged.
fn to_the_end(session: &mut crate::engine::Session) -> Log {
    let mut log = Log::default();
    while log.result.is_none() {
        let message = session.receive();
        log.take(message);
    }
    log
}

#[test]
fn failure_case_03_the_same_fence_resent_after_a_lost_accept_runs_once() {
    let (mut world, mut session) = World::start(&[]);
    let assign = bash(ONCE);
    session.send(&ToRunner::Assign(Box::new(assign.clone())));
    assert!(matches!(session.receive(), FromRunner::Accept(_)));
    drop(session);
    let mut session = world.welcome(&[verdict(&assign.claim, Verdict::Continue, 0)]);
    session.send(&ToRunner::Assign(Box::new(assign.clone())));
    let mut log = Log::default();
    while log.result.is_none() {
        match session.receive() {
            FromRunner::Accept(claim) => assert_eq!(claim, assign.claim),
            message => log.take(message),
        }
    }
    assert_eq!(log.exit(), &Exit::Code(0));
    assert_eq!(runs(&world), 1);
}

#[test]
fn failure_case_04_a_duplicated_or_stale_assignment_is_ignored() {
    let (world, mut session) = World::start(&[]);
    let current = with_claim("a", 5, bash(ONCE));
    session.run(&current);
    for fence in [5, 4] {
        session.send(&ToRunner::Assign(Box::new(with_claim("a", fence, bash(ONCE)))));
    }
    let next = session.run(&with_claim("a", 6, bash(ONCE)));
    assert_eq!(next.exit(), &Exit::Code(0));
    assert_eq!(runs(&world), 2);
}

#[test]
fn restarted_runners_keep_their_identity() {
    let mut world = World::spawn(&[]);
    let (session, first) = world.accept();
    drop(session);
    world.kill_and_restart();
    let (_session, second) = world.accept();
    assert!(!first.boot.is_empty());
    assert_eq!(first.boot, second.boot);
}

#[test]
fn removed_state_directories_stay_removed() {
    let (world, _session) = World::start(&[]);
    let state = world.folder().join("state");
    std::fs::remove_dir_all(&state).unwrap();
    let (status, message) = world.second_runner();
    assert!(!status.success());
    assert!(message.contains("state"), "{message}");
    assert!(!state.exists());
}

#[test]
fn failure_case_05_a_runner_that_died_after_accepting_does_not_run_the_fence_again() {
    let (mut world, mut session) = World::start(&[]);
    let assign = bash(&format!("{ONCE}; sleep 1000"));
    session.assign(&assign);
    let mut log = Log::default();
    let pid = session.started(&mut log);
    session.until_stdout(&mut log, "out");
    session.send(&ToRunner::Ack(assign.claim.clone(), log.last));
    world.kill_and_restart();
    let (mut session, hello) = world.accept();
    assert_eq!(hello.resume.len(), 1);
    assert!(hello.resume[0].ended && !lives(pid));
    session.welcome(&[verdict(&assign.claim, Verdict::Continue, log.last)]);
    session.send(&ToRunner::Assign(Box::new(assign.clone())));
    let mut accepts = 0;
    while log.result.is_none() {
        match session.receive() {
            FromRunner::Accept(_) => accepts += 1,
            message => log.take(message),
        }
    }
    assert!(accepts <= 1);
    assert!(matches!(log.exit(), Exit::Infra(why) if why.contains("restarted")));
    assert!(log.others.iter().any(|kind| matches!(kind, EventKind::Gap { .. })));
    assert_eq!(runs(&world), 1);
}

#[test]
fn failure_case_06_a_late_result_is_fenced_and_forgotten() {
    let (mut world, mut session) = World::start(&[]);
    let assign = bash("true");
    session.assign(&assign);
    to_the_end(&mut session);
    session.send(&ToRunner::ResultAck(assign.claim.clone(), ResultVerdict::Fenced));
    session.run(&with_claim("b", 2, bash("true")));
    drop(session);
    assert!(world.accept().1.resume.is_empty());
}

#[test]
fn failure_case_07_an_attempt_that_was_given_to_another_is_abandoned() {
    let (mut world, mut session) = World::start(&[]);
    let assign = bash("echo ready; sleep 1000");
    session.assign(&assign);
    let mut log = Log::default();
    let pid = session.started(&mut log);
    session.until_stdout(&mut log, "ready");
    drop(session);
    let mut session = world.welcome(&[verdict(&assign.claim, Verdict::Abandon, 1)]);
    // A newer fence of the same attempt starts when the old one is gone.
    let again = session.run(&with_claim("a", 2, bash("echo again")));
    assert_eq!(again.stdout, b"again\n");
    assert!(!lives(pid));
}

#[test]
fn a_newer_fence_replaces_an_older_one() {
    let (_world, mut session) = World::start(&[]);
    session.assign(&bash("echo ready; sleep 1000"));
    let mut log = Log::default();
    let pid = session.started(&mut log);
    session.until_stdout(&mut log, "ready");
    let text = format!("kill -0 {pid} 2>/dev/null && exit 9; echo new");
    let newer = session.run(&with_claim("a", 2, bash(&text)));
    assert_eq!(newer.stdout, b"new\n");
}

#[test]
fn a_newer_fence_replaces_an_unrecorded_result() {
    let (mut world, mut session) = World::start(&[]);
    session.assign(&bash("echo old"));
    to_the_end(&mut session);
    let newer = session.run(&with_claim("a", 2, bash("echo new")));
    assert_eq!(newer.stdout, b"new\n");
    drop(session);
    assert!(world.accept().1.resume.is_empty());
}

#[test]
fn failure_case_08_a_result_is_sent_again_until_it_is_recorded() {
    let (mut world, mut session) = World::start(&[]);
    let assign = bash("echo out");
    session.assign(&assign);
    let first = to_the_end(&mut session);
    drop(session);
    let (mut session, hello) = world.accept();
    assert!(hello.resume[0].ended);
    assert_eq!((hello.resume[0].first_seq, hello.resume[0].last_seq), (1, first.last));
    // Everything but the result was committed.
    session.welcome(&[verdict(&assign.claim, Verdict::Continue, first.last - 1)]);
    let FromRunner::Result(again) = session.receive() else {
        panic!("no result");
    };
    assert_eq!(Some(again), first.result);
    session.send(&ToRunner::ResultAck(assign.claim.clone(), ResultVerdict::Duplicate));
    session.run(&with_claim("b", 2, bash("true")));
    assert_eq!(world.kept_files(), [""; 0]);
    drop(session);
    assert!(world.accept().1.resume.is_empty());
}

#[test]
fn failure_case_09_missing_events_are_sent_again_before_the_result() {
    let (_world, mut session) = World::start(&[]);
    let assign = bash("echo one; echo two >&2");
    session.assign(&assign);
    let first = to_the_end(&mut session);
    session.send(&ToRunner::ResultAck(assign.claim.clone(), ResultVerdict::Need(1)));
    let second = to_the_end(&mut session);
    assert_eq!(first, second);
    session.send(&ToRunner::Ack(assign.claim.clone(), first.last));
    session.send(&ToRunner::ResultAck(assign.claim.clone(), ResultVerdict::Need(first.last)));
    assert!(
        matches!(session.receive(), FromRunner::Result(result) if Some(&result) == first.result.as_ref())
    );
}

#[test]
fn failure_case_09_events_that_are_gone_are_marked_never_left_out() {
    let (mut world, mut session) = World::start(&[]);
    let assign = bash("echo one; sleep 0.2; echo two");
    session.assign(&assign);
    let mut log = Log::default();
    session.until_stdout(&mut log, "one");
    session.send(&ToRunner::Ack(assign.claim.clone(), log.last));
    session.until_stdout(&mut log, "two");
    drop(session);
    // The engine lost commits that it had acknowledged.
    let mut session = world.welcome(&[verdict(&assign.claim, Verdict::Continue, 0)]);
    let log = to_the_end(&mut session);
    assert_eq!(log.text(), "two\n");
    assert_eq!(log.others.iter().filter(|kind| matches!(kind, EventKind::Gap { .. })).count(), 2);
}

#[test]
fn failure_case_13_a_silent_connection_is_given_up() {
    let (mut world, session) = World::start(&["--silence-after", "0.3"]);
    // The old connection stays open, as after a lost network: no peer closes it.
    let (_second, hello) = world.accept();
    assert!(hello.resume.is_empty());
    drop(session);
}

#[test]
fn failure_case_14_a_result_survives_the_death_of_engine_and_runner() {
    let (mut world, mut session) = World::start(&[]);
    let assign = bash("head -c 2000000 /dev/zero; echo end");
    session.assign(&assign);
    let mut log = Log::default();
    let message = session.receive();
    log.take(message);
    drop(session);
    // The engine is away while the step ends.
    let (session, hello) = loop {
        let (session, hello) = world.accept();
        if hello.resume[0].ended {
            break (session, hello);
        }
    };
    drop(session);
    let last = hello.resume[0].last_seq;
    world.kill_and_restart();
    let (mut session, hello) = world.accept();
    assert!(hello.resume[0].ended);
    assert_eq!(hello.resume[0].last_seq, last);
    session.welcome(&[verdict(&assign.claim, Verdict::Continue, log.last)]);
    session.collect(&assign.claim, &mut log);
    assert_eq!(log.stdout.len(), 2_000_004);
    assert_eq!(log.exit(), &Exit::Code(0));
    session.run(&with_claim("b", 2, bash("true")));
    assert_eq!(world.kept_files(), [""; 0]);
}

#[test]
fn failure_case_50_a_runner_killed_at_any_moment_runs_each_fence_at_most_once() {
    let (mut world, mut session) = World::start(&[]);
    for round in 0..24_u64 {
        let text =
            format!("echo run >> runs-{round}; echo one; head -c 300000 /dev/zero; echo end");
        let assign = with_claim(&format!("a{round}"), round + 1, bash(&text));
        session.send(&ToRunner::Assign(Box::new(assign.clone())));
        let mut log = Log::default();
        // As many messages as come before anything is acknowledged: lines may travel together.
        for _ in 0..round % 5 {
            match session.receive() {
                FromRunner::Accept(_) => {}
                message => log.take(message),
            }
            if log.result.take().is_some() {
                log.last -= 1;
                break;
            }
        }
        world.kill_and_restart();
        let (fresh, hello) = world.accept();
        session = fresh;
        let holds = |claim: &Claim| hello.resume.iter().any(|held| held.claim == *claim);
        let mut verdicts = vec![verdict(&assign.claim, Verdict::Continue, log.last)];
        // An earlier result was recorded, but the runner died before the verdict arrived.
        let others = hello.resume.iter().map(|held| &held.claim);
        let others = others.filter(|claim| **claim != assign.claim);
        verdicts.extend(others.map(|claim| verdict(claim, Verdict::Abandon, 0)));
        session.welcome(&verdicts);
        if !holds(&assign.claim) {
            // It never took the claim, so the same fence is sent again.
            session.assign(&assign);
        }
        session.collect(&assign.claim, &mut log);
        let runs = std::fs::read_to_string(world.workspace().join(format!("runs-{round}")));
        assert!(runs.unwrap_or_default().lines().count() <= 1);
        match log.exit() {
            Exit::Code(0) => assert_eq!(log.stdout.len(), 300_008),
            Exit::Infra(_) => {}
            other => panic!("round {round}: {other:?}"),
        }
    }
}

#[test]
fn a_fence_is_remembered_across_restarts() {
    let (mut world, mut session) = World::start(&[]);
    let assign = with_claim("a", 5, bash(ONCE));
    session.run(&assign);
    drop(session);
    assert!(world.accept().1.resume.is_empty());
    world.kill_and_restart();
    let mut session = world.welcome(&[]);
    session.send(&ToRunner::Assign(Box::new(assign)));
    session.run(&with_claim("c", 7, bash("true")));
    assert_eq!(runs(&world), 1);
}

#[test]
fn a_runner_without_engine_and_work_goes_home() {
    let (mut world, session) = World::start(&["--orphan-after", "0.1"]);
    std::fs::remove_file(world.folder().join("engine")).unwrap();
    drop(session);
    assert!(world.wait().success());
}

#[test]
fn leaving_runners_do_not_wait_for_dead_engines() {
    let (mut world, mut session) = World::start(&["--orphan-after", "0.1"]);
    session.assign(&bash("true"));
    to_the_end(&mut session);
    session.send(&ToRunner::Shutdown(plue_wire::runner::ShutdownWhen::Idle));
    std::fs::remove_file(world.folder().join("engine")).unwrap();
    drop(session);
    assert!(world.wait().success());
    assert_eq!(world.kept_files().len(), 1, "the result is kept");
}

#[test]
fn a_listener_that_never_answers_is_no_engine() {
    let mut world = World::spawn(&["--orphan-after", "0.3"]);
    // Connects, greets, and waits in vain; the connection is never closed.
    let (_session, _) = world.accept();
    assert!(world.wait().success());
}

#[test]
fn orphaned_runners_finish_and_store_results() {
    let (mut world, mut session) = World::start(&["--orphan-after", "0.1"]);
    let socket = world.folder().join("engine");
    let assign = bash("until test -e go; do sleep 0.01; done; echo done");
    session.assign(&assign);
    std::fs::rename(&socket, world.folder().join("away")).unwrap();
    drop(session);
    std::fs::write(world.workspace().join("go"), "").unwrap();
    assert!(world.wait().success());
    std::fs::rename(world.folder().join("away"), &socket).unwrap();
    world.kill_and_restart();
    let mut session = world.welcome(&[verdict(&assign.claim, Verdict::Continue, 0)]);
    let mut log = Log::default();
    session.collect(&assign.claim, &mut log);
    assert_eq!(log.text(), "done\n");
}

#[test]
fn silent_engines_fence_attempts() {
    let (mut world, mut session) = World::start(&["--self-fence-after", "0.2"]);
    let assign = bash("echo ready; sleep 1000");
    session.assign(&assign);
    let mut log = Log::default();
    session.until_stdout(&mut log, "ready");
    drop(session);
    let mut session = loop {
        let (session, hello) = world.accept();
        if hello.resume[0].ended {
            break session;
        }
        // Not answered, and closed: the runner receives nothing.
        drop(session);
    };
    session.welcome(&[verdict(&assign.claim, Verdict::Continue, log.last)]);
    session.collect(&assign.claim, &mut log);
    assert!(matches!(log.exit(), Exit::Infra(why) if why.contains("silent")));
}

#[test]
fn dismissed_runners_do_not_reconnect() {
    for code in [CloseCode::Auth, CloseCode::Unknown, CloseCode::Superseded, CloseCode::Version] {
        let (mut world, mut session) = World::start(&[]);
        session.send(&ToRunner::Close(code, "no".to_owned()));
        assert_eq!(world.wait().code(), Some(4));
    }
    let (mut world, mut session) = World::start(&[]);
    session.send(&ToRunner::Close(CloseCode::Overload, "later".to_owned()));
    world.accept();
}

#[test]
fn a_state_directory_has_one_runner() {
    let (world, _session) = World::start(&[]);
    let (status, message) = world.second_runner();
    assert_eq!(status.code(), Some(3));
    assert!(message.contains("another runner"), "{message}");
}

#[test]
fn a_shutdown_waits_for_the_work_or_does_not() {
    let (mut world, mut session) = World::start(&[]);
    let assign = bash("sleep 0.2; echo done");
    session.assign(&assign);
    session.send(&ToRunner::Shutdown(plue_wire::runner::ShutdownWhen::Idle));
    let mut log = Log::default();
    session.collect(&assign.claim, &mut log);
    assert_eq!(log.text(), "done\n");
    assert!(world.wait().success());

    let (mut world, mut session) = World::start(&[]);
    session.assign(&bash("sleep 1000"));
    let pid = session.started(&mut Log::default());
    session.send(&ToRunner::Shutdown(plue_wire::runner::ShutdownWhen::Now));
    assert!(world.wait().success());
    assert!(!lives(pid));
}

#[test]
fn a_second_term_does_not_wait() {
    let (mut world, mut session) = World::start(&[]);
    session.assign(&bash("echo; sleep 1000"));
    let mut log = Log::default();
    session.until_stdout(&mut log, "\n");
    world.signal(Signal::TERM);
    assert!(matches!(session.receive(), FromRunner::Draining(..)));
    world.signal(Signal::TERM);
    assert!(world.wait().success());
}
