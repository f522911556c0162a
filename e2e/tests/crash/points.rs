//! Kills at chosen points, found by what stands in the store or what a step has made.

use std::{process::Child, time::Duration};

use plue_flow::{AttemptStatus, RunStatus};
use plue_runtime::Clock;
use plue_testkit::faults::processes::Process;
use rustix::process::{Pid, Signal, kill_process};

use plue_wire::{
    Splitter,
    runner::{FromRunner, MAX_FRAME_BYTES},
};

use crate::bench::{Bench, children, kill, until};

/// A step that prints `before`, waits for the file `go`, and prints `after`.
const GATED: &str = r#"
def workflow():
    gate = "echo x >> ran; echo before; touch up; until test -e go; do sleep 0.01; done; echo after"
    return Plan(name="Gated", steps=[
        Step.bash("gate", gate),
        Step.bash("last", "echo last; echo x >> ran.last", depends_on=["gate"]),
    ])
"#;

/// The same, tried again when its runner is lost.
const KEPT: &str = r#"
def workflow():
    gate = "echo x >> ran; echo before; touch up; until test -e go; do sleep 0.01; done; echo after"
    keep = Retry(max_attempts=5, delay="0s", on=["infra"])
    return Plan(name="Kept", steps=[
        Step.bash("gate", gate, retry=keep),
        Step.bash("last", "echo last; echo x >> ran.last", depends_on=["gate"], retry=keep),
    ])
"#;

/// Whether the frames that a runner keeps on disk hold the result of an attempt.
fn ends(frames: &[u8]) -> bool {
    let mut splitter = Splitter::new(MAX_FRAME_BYTES);
    splitter.buffer().extend_from_slice(frames);
    let mut kept = std::iter::from_fn(|| splitter.next_frame().ok().flatten());
    kept.any(|frame| matches!(frame, FromRunner::Result(_)))
}

#[tokio::test]
async fn a_step_outlives_its_engine_and_runs_once() {
    let bench = Bench::new(GATED);
    let mut engine = bench.start(&["run"]);
    bench.appears("up").await;
    kill(&mut engine);
    let run = bench.run().await;
    assert_eq!(bench.status(&run).await, RunStatus::Running);
    let status = bench.plue(&["status"]).ends(0).stderr;
    assert!(status.contains("no process drives this run"), "{status}");
    bench.touch("go");
    bench.plue(&["resume"]).ends(0);
    assert_eq!(bench.status(&run).await, RunStatus::Success);
    assert_eq!((bench.lines("ran"), bench.lines("ran.last")), (1, 1));
    let logs = bench.logs(&run).await;
    assert_eq!(logs["gate"]["Stdout"], b"before\nafter\n");
    bench.nothing_is_left().await;
}

#[tokio::test]
async fn results_without_a_driver_wait_on_runner_disk() {
    let bench = Bench::new(GATED);
    let mut engine = bench.start(&["run"]);
    bench.appears("up").await;
    kill(&mut engine);
    bench.touch("go");
    bench.steps_end().await;
    // The runner writes a result that waits to its disk; then it may die as well.
    let folder = bench.runners()[0]
        .line
        .rsplit(' ')
        .find(|word| word.contains("/runners/"))
        .unwrap()
        .to_owned();
    let spilled = || {
        let entries = std::fs::read_dir(format!("{folder}/io")).into_iter().flatten().flatten();
        entries.filter_map(|entry| std::fs::read(entry.path()).ok()).any(|frames| ends(&frames))
    };
    until(spilled).await;
    bench.kill_runners().await;
    bench.plue(&["resume"]).ends(0);
    let run = bench.run().await;
    assert_eq!(bench.lines("ran"), 1);
    assert_eq!(bench.logs(&run).await["gate"]["Stdout"], b"before\nafter\n");
    bench.nothing_is_left().await;
}

#[tokio::test]
async fn failure_case_05_row_1_23_dead_runners_are_restarted() {
    let bench = Bench::new(KEPT);
    let mut engine = bench.start(&["run"]);
    bench.appears("up").await;
    let run = bench.run().await;
    bench.kill_runners().await;
    bench.touch("go");
    assert!(engine.wait().unwrap().success());
    assert_eq!(bench.status(&run).await, RunStatus::Success);
    // The second attempt: the first one's output may be cut short, but is not mixed in.
    let gate = bench.attempt(&run, "gate").await;
    assert_eq!((gate.number, gate.state), (2, AttemptStatus::Done));
    assert_eq!(bench.logs(&run).await["gate"]["Stdout"], b"before\nafter\n");
    bench.nothing_is_left().await;
}

#[tokio::test]
async fn row_1_23_killed_runners_fail_steps_without_a_policy() {
    let bench = Bench::new(GATED);
    let mut engine = bench.start(&["run"]);
    bench.appears("up").await;
    let run = bench.run().await;
    // Its start has to be stored: before that a loss is free.
    while bench.attempt(&run, "gate").await.state != AttemptStatus::Running {
        Clock::real().sleep(Duration::from_millis(2)).await;
    }
    bench.kill_runners().await;
    assert_eq!(engine.wait().unwrap().code(), Some(1));
    assert_eq!(bench.status(&run).await, RunStatus::Failed);
    assert_eq!((bench.lines("ran"), bench.lines("ran.last")), (1, 0));
    let why = bench.plue(&["status", run.as_str()]).ends(0).stdout;
    assert!(why.contains("the runner was restarted while the step ran"), "{why}");
    bench.nothing_is_left().await;
}

#[tokio::test]
async fn failure_case_14_runs_survive_a_kill_of_all_processes() {
    let bench = Bench::new(KEPT);
    let mut engine = bench.start(&["run"]);
    bench.appears("up").await;
    bench.kill_all().await;
    engine.wait().unwrap();
    let run = bench.run().await;
    bench.touch("go");
    bench.plue(&["resume"]).ends(0);
    assert_eq!(bench.status(&run).await, RunStatus::Success);
    assert_eq!(bench.logs(&run).await["gate"]["Stdout"], b"before\nafter\n");
    bench.nothing_is_left().await;
}

#[tokio::test]
async fn failure_case_33_steps_die_with_their_killed_runner() {
    let bench = Bench::new(
        r#"
def workflow():
    keep = Retry(max_attempts=5, delay="0s", on=["infra"])
    hide = "(trap '' TERM; setsid sleep 600 & sleep 600) & touch up; test -e go || sleep 600; kill -9 0"
    return Plan(name="Daemons", steps=[Step.bash("gate", "test -e go || { " + hide + "; }", retry=keep)])
"#,
    );
    let mut engine = bench.start(&["run"]);
    bench.appears("up").await;
    bench.touch("go");
    bench.kill_runners().await;
    assert!(engine.wait().unwrap().success());
    bench.nothing_is_left().await;
}

#[tokio::test]
async fn failure_case_10_stored_cancels_reach_the_next_engine() {
    let bench = Bench::new(
        r#"
def workflow():
    run = "trap 'touch asked; until test -e never; do sleep 0.01; done' TERM; touch up; sleep 600 & wait"
    return Plan(name="Stubborn", steps=[Step.bash("gate", run)])
"#,
    );
    let mut engine = bench.start(&["run"]);
    bench.appears("up").await;
    let pid = Pid::from_child(&engine);
    kill_process(pid, Signal::INT).unwrap();
    bench.appears("asked").await;
    kill(&mut engine);
    let run = bench.run().await;
    bench.plue(&["cancel", run.as_str(), "--kill"]).ends(0);
    assert_eq!(bench.status(&run).await, RunStatus::Cancelled);
    bench.nothing_is_left().await;
}

#[tokio::test]
async fn unsent_stops_are_sent_by_the_next_engine() {
    let bench = Bench::new(
        r#"
def workflow():
    return Plan(name="Long", steps=[Step.bash("gate", "touch up; sleep 600 & wait")])
"#,
    );
    let mut engine = bench.start(&["run"]);
    bench.appears("up").await;
    let runner = bench.runners().remove(0);
    // A runner that stands still takes nothing: the stop is committed and goes nowhere.
    runner.signal(Signal::STOP);
    let run = bench.run().await;
    kill_process(Pid::from_child(&engine), Signal::INT).unwrap();
    loop {
        let stored = bench.store().await.runs().load(&run).await.unwrap().unwrap();
        let asked =
            |fact: &plue_flow::Fact| matches!(fact, plue_flow::Fact::CancelRequested { .. });
        if stored.journal.iter().any(|(_, fact)| asked(fact)) {
            break;
        }
        Clock::real().sleep(Duration::from_millis(2)).await;
    }
    kill(&mut engine);
    // The connection dies with what was in it only if the runner is a new process.
    bench.kill_runners().await;
    bench.plue(&["resume"]).ends(1);
    assert_eq!(bench.status(&run).await, RunStatus::Cancelled);
    bench.nothing_is_left().await;
}

#[tokio::test]
async fn failure_case_46_paused_engines_continue() {
    let bench = Bench::new(GATED);
    let mut engine = bench.start(&["run"]);
    bench.appears("up").await;
    let pid = Pid::from_child(&engine);
    kill_process(pid, Signal::STOP).unwrap();
    let run = bench.run().await;
    // It lives, so no other engine may take its run.
    let refused = bench.plue(&["resume", run.as_str()]);
    assert_ne!(refused.status.code(), Some(0), "{}", refused.stderr);
    bench.touch("go");
    bench.steps_end().await;
    kill_process(pid, Signal::CONT).unwrap();
    assert!(engine.wait().unwrap().success());
    assert_eq!(bench.lines("ran"), 1);
    assert_eq!(bench.logs(&run).await["gate"]["Stdout"], b"before\nafter\n");
    bench.nothing_is_left().await;
}

#[tokio::test]
async fn driven_runs_are_left_alone() {
    let bench = Bench::new(GATED);
    let mut engine = bench.start(&["run"]);
    bench.appears("up").await;
    let status = bench.plue(&["status"]).ends(0).stderr;
    assert_eq!(status, "");
    let ended = bench.plue(&["resume"]).ends(0);
    assert!(ended.stderr.contains("no run was left behind"), "{}", ended.stderr);
    bench.touch("go");
    assert!(engine.wait().unwrap().success());
    bench.nothing_is_left().await;
}

/// The evaluator of a command that plans.
async fn evaluator(engine: &Child) -> Process {
    loop {
        let found = children(engine).into_iter().find(|child| child.name == "plue-evaluator");
        if let Some(found) = found {
            return found;
        }
        Clock::real().sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn kills_during_evaluation_leave_no_process_or_run() {
    let bench = Bench::new("def workflow():\n    while True:\n        pass\n");
    let mut engine = bench.start(&["run"]);
    let evaluator = evaluator(&engine).await;
    kill(&mut engine);
    until(|| !evaluator.lives() && bench.processes().is_empty()).await;
    assert_eq!(bench.runs().await, []);
}

#[tokio::test]
async fn killed_evaluators_end_only_their_command() {
    let bench = Bench::new("def workflow():\n    while True:\n        pass\n");
    let mut engine = bench.start(&["run"]);
    let evaluator = evaluator(&engine).await;
    evaluator.signal(Signal::KILL);
    assert!(matches!(engine.wait().unwrap().code(), Some(3 | 5)));
    until(|| bench.processes().is_empty()).await;
    assert_eq!(bench.runs().await, []);
}

#[tokio::test]
async fn failure_case_50_concurrent_runs_share_a_state_directory() {
    let bench = Bench::new(GATED);
    let mut engines = [bench.start(&["run"]), bench.start(&["run"])];
    until(|| bench.lines("ran") == 2).await;
    kill(&mut engines[0]);
    bench.touch("go");
    assert!(engines[1].wait().unwrap().success());
    bench.plue(&["resume"]).ends(0);
    assert_eq!(bench.lines("ran"), 2);
    assert_eq!(bench.runs().await.len(), 2);
    for run in bench.runs().await {
        assert_eq!(bench.status(&run).await, RunStatus::Success);
    }
    bench.nothing_is_left().await;
}

#[tokio::test]
async fn unreleased_runners_are_ended_by_the_next_command() {
    let bench = Bench::new(
        "def workflow():\n    return Plan(name=\"Short\", steps=[Step.bash(\"a\", \"true\")])\n",
    );
    let mut engine = bench.start(&["run"]);
    // As soon as the run has ended: the engine is about to release its runner.
    let run = loop {
        if let [run] = &bench.runs().await[..] {
            break run.clone();
        }
    };
    while bench.status(&run).await != RunStatus::Success {}
    kill(&mut engine);
    bench.plue(&["run"]).ends(0);
    bench.nothing_is_left().await;
}
