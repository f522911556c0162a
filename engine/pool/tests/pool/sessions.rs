//! Sessions: greeting, resumption, versions, silence, the end of a lease.

use std::time::Duration;

use plue_plan::{AttemptId, RunId, StepId};
use plue_pool::{Command, PoolEvent};
use plue_runtime::Tasks;
use plue_wire::{
    eval::Bytes,
    runner::{
        Assign, AttemptEvent, Claim, CloseCode, EventKind, Fence, FromRunner, OLDEST_PROTOCOL,
        PROTOCOL, Program, ResultVerdict, Resume, ResumeVerdict, ShutdownWhen, ToRunner, Verdict,
    },
};

use super::scripted::Bench;

fn claim() -> Claim {
    Claim { attempt: AttemptId::new("attempt"), fence: Fence(7) }
}

fn assign(program: Program) -> Box<Assign> {
    Box::new(Assign {
        claim: claim(),
        run: RunId::new("run"),
        step: StepId::new("step"),
        program,
        env: Vec::new(),
        secrets: Vec::new(),
        cwd: None,
        event_json: "{}".to_owned(),
        timeout_ms: 1_000,
        grace_ms: 1_000,
        log_cap_bytes: 1_000,
    })
}

fn shell() -> Program {
    Program::Shell { shell: "sh".to_owned(), run: "true".to_owned() }
}

#[tokio::test]
async fn greeted_runners_are_ready() {
    let mut bench = Bench::scripted().await;
    let mut lease = bench.lease().await;
    let mut runner = bench.arrival().await;
    runner.greet().await;
    let ready = lease.next().await;
    let Some(PoolEvent::Ready { epoch, owned }) = ready else { panic!("{ready:?}") };
    assert_eq!((epoch, owned), (1, Vec::new()));
    assert_eq!(lease.session(), Some(1));
}

#[tokio::test]
async fn wrong_tokens_are_refused() {
    let mut bench = Bench::scripted().await;
    let mut lease = bench.lease().await;
    let mut intruder = bench.arrival().await.with_token("guessed");
    let refused = intruder.hello().await;
    assert!(matches!(refused, ToRunner::Close(CloseCode::Auth, _)), "{refused:?}");
    assert_eq!(intruder.receive().await, None);
    // The runner itself is still welcome.
    bench.arrival().await.greet().await;
    assert!(matches!(lease.next().await, Some(PoolEvent::Ready { epoch: 1, .. })));
}

#[tokio::test]
async fn unknown_protocol_versions_are_refused() {
    let mut bench = Bench::scripted().await;
    let _lease = bench.lease().await;
    for version in [OLDEST_PROTOCOL - 1, PROTOCOL + 1] {
        let refused = bench.arrival().await.with_protocol(version).hello().await;
        assert!(matches!(refused, ToRunner::Close(CloseCode::Version, _)), "{refused:?}");
    }
}

#[tokio::test]
async fn programs_need_a_runner_that_knows_them() {
    let mut bench = Bench::scripted().await;
    let mut lease = bench.lease().await;
    let mut runner = bench.arrival().await.with_protocol(OLDEST_PROTOCOL);
    runner.greet().await;
    assert!(matches!(lease.next().await, Some(PoolEvent::Ready { .. })));
    lease.send(Command::Assign(assign(Program::Agent))).await;
    let rejected = lease.next().await;
    let Some(PoolEvent::Rejected { reason, .. }) = rejected else { panic!("{rejected:?}") };
    assert!(reason.contains("update plue-runner"), "{reason}");
    lease.send(Command::Assign(assign(shell()))).await;
    assert_eq!(runner.receive().await, Some(ToRunner::Assign(assign(shell()))));
}

#[tokio::test]
async fn unknown_attempts_are_abandoned_on_resumption() {
    let mut bench = Bench::scripted().await;
    let mut lease = bench.lease().await;
    let resume = Resume { claim: claim(), started: true, first_seq: 1, last_seq: 3, ended: false };
    let mut runner = bench.arrival().await.resuming(resume);
    let welcome = runner.hello().await;
    let ToRunner::Welcome(welcome) = welcome else { panic!("{welcome:?}") };
    let abandoned = ResumeVerdict { claim: claim(), verdict: Verdict::Abandon, acked: 0 };
    assert_eq!(welcome.resume, [abandoned]);
    runner.send(&FromRunner::Ready).await;
    let ready = lease.next().await;
    assert!(matches!(&ready, Some(PoolEvent::Ready { owned, .. }) if owned.is_empty()));
}

#[tokio::test]
async fn events_of_unknown_attempts_are_fenced() {
    let mut bench = Bench::scripted().await;
    let (_lease, mut runner) = bench.session().await;
    let kind = EventKind::Stdout(Bytes(b"late\n".to_vec()));
    let event = AttemptEvent { claim: claim(), seq: 1, at_us: 0, kind };
    runner.send(&FromRunner::Event(event)).await;
    let fenced = ToRunner::ResultAck(claim(), ResultVerdict::Fenced);
    assert_eq!(runner.receive().await, Some(fenced));
}

#[tokio::test]
async fn silent_runners_are_disconnected() {
    let mut bench = Bench::scripted().await;
    let (mut lease, mut silent) = bench.session().await;
    // The store works in real time: the clock is paused only while nothing is stored.
    tokio::time::pause();
    for _ in 0..4 {
        tokio::time::advance(Duration::from_secs(5)).await;
        tokio::task::yield_now().await;
    }
    let mut again = bench.arrival().await;
    tokio::time::resume();
    assert_eq!(silent.receive().await, None);
    again.greet().await;
    assert!(matches!(lease.next().await, Some(PoolEvent::Ready { epoch: 2, .. })));
}

#[tokio::test]
async fn commands_of_an_earlier_session_are_dropped() {
    let mut bench = Bench::scripted().await;
    let (mut lease, first) = bench.session().await;
    drop(first);
    let mut second = bench.arrival().await;
    second.greet().await;
    // The lease has not taken the new session's report yet.
    lease.send(Command::Assign(assign(shell()))).await;
    assert!(matches!(lease.next().await, Some(PoolEvent::Ready { epoch: 2, .. })));
    lease.send(Command::Stop { claim: claim(), kill: true }).await;
    let received = second.receive().await;
    assert!(matches!(received, Some(ToRunner::Cancel(..))), "{received:?}");
}

#[tokio::test]
async fn released_runners_are_shut_down() {
    let mut bench = Bench::scripted().await;
    let (lease, mut runner) = bench.session().await;
    let directory = bench.pool.directory(&lease.runner);
    let released = Tasks::new().spawn("release", lease.release());
    assert_eq!(runner.receive().await, Some(ToRunner::Shutdown(ShutdownWhen::Idle)));
    assert!(directory.exists());
    drop(runner);
    released.await.unwrap();
    assert!(!directory.exists());
}

#[tokio::test]
async fn detached_runners_keep_their_directory() {
    let mut bench = Bench::scripted().await;
    let (lease, mut runner) = bench.session().await;
    let directory = bench.pool.directory(&lease.runner);
    lease.detach().await;
    assert_eq!(runner.receive().await, None);
    assert!(directory.exists());
}
