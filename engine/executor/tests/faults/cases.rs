//! Failure cases by their number, on both databases: what goes wrong is made here, what must hold is the
//! one checker's.

use std::{collections::BTreeMap, time::Duration};

use plue_executor::RunHandle;
use plue_flow::{RunStatus, fact::Outcome};
use plue_plan::{Plan, RunId};
use plue_testkit::{
    faults::{
        points::{Fault, FaultPoint, Points},
        runner::Habits,
    },
    postgres::Database as Server,
};
use plue_wire::runner::{OLDEST_PROTOCOL, PROTOCOL};

use super::{
    scenarios::{self, Scenario},
    sweep::run,
    world::{Database, Left, Running, World, begin, template},
};

/// Makes of each function two tests, `sqlite::NAME` and `postgres::NAME`.
macro_rules! on_each_database {
    ($(fn $name:ident($database:ident) $body:block)+) => {
        mod sqlite {
            use super::*;
            $(#[test] fn $name() {
                let directory = tempfile::tempdir().unwrap();
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let $database = &runtime.unwrap().block_on(template(directory.path()));
                $body
            })+
        }
        mod postgres {
            use super::*;
            $(#[test] fn $name() {
                let server = Server::create();
                let $database = &Database::Server(server.url());
                $body
            })+
        }
    };
}

fn with(name: &str) -> Scenario {
    scenarios::all().into_iter().find(|scenario| scenario.name == name).unwrap()
}

/// The scenario ends as without the fault, which did happen.
#[track_caller]
fn unchanged(name: &str, database: &Database, fault: (FaultPoint, usize, Fault)) {
    let scenario = with(name);
    let (expected, ..) = run(&scenario, database, None).unwrap();
    let place = format!("{fault:?}");
    let (left, _, hit) = run(&scenario, database, Some(fault)).unwrap();
    assert!(hit, "{place} did not happen");
    assert_eq!(left, expected, "{place}");
}

/// A world, in a runtime whose clock jumps.
fn in_a_world<T>(database: &Database, points: Points, test: impl AsyncFnOnce(World) -> T) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async { test(World::new(database, points)).await })
}

async fn drive(running: &Running, run: &RunId) -> RunHandle {
    begin(&running.engine, run).await
}

/// One attempt per step of the chain, each with one fence that ran once.
async fn ran_once(world: &World, run: &RunId) {
    let left = world.left(run).await.unwrap();
    assert_eq!(left.attempts.len(), 3, "{left:#?}");
    assert!(left.status.starts_with("Success"), "{left:#?}");
}

on_each_database! {
    fn failure_case_03_a_death_between_claim_and_assign_costs_nothing(database) {
        for times in 0..3 {
            unchanged("chain", database, (FaultPoint::ToRunner("Assign"), times, Fault::EngineDies));
            unchanged("chain", database, (FaultPoint::ToRunner("Assign"), times, Fault::Fails));
        }
    }

    fn failure_case_04_an_assignment_that_comes_twice_runs_once(database) {
        for times in 0..3 {
            unchanged("chain", database, (FaultPoint::ToRunner("Assign"), times, Fault::Duplicated));
        }
    }

    fn failure_case_05_a_runner_that_dies_before_the_start_is_stored_is_free(database) {
        let fault = Points::new(Some((FaultPoint::FromRunner("Accept"), 0, Fault::RunnerDies)));
        in_a_world(database, fault, async |world| {
            let run = world.submit(scenarios::chain().plan()).await;
            assert_eq!(world.drive(&run, None).await, RunStatus::Success);
            assert!(world.points.was_hit());
            // The same number, another fence.
            ran_once(&world, &run).await;
            assert_eq!(world.runners.ran().len(), 4);
        });
    }

    fn failure_case_06_a_zombie_that_returns_after_the_re_run_changes_nothing(database) {
        zombie(database, true);
    }

    fn failure_case_07_a_zombie_that_returns_during_the_re_run_is_sent_away(database) {
        zombie(database, false);
    }

    fn failure_case_08_a_result_that_comes_twice_counts_once(database) {
        for times in 0..3 {
            unchanged("chain", database, (FaultPoint::FromRunner("Result"), times, Fault::Duplicated));
            unchanged("chain", database, (FaultPoint::ToRunner("ResultAck"), times, Fault::Fails));
            // To two engines: the first one dies with its answer.
            unchanged("chain", database, (FaultPoint::ToRunner("ResultAck"), times, Fault::EngineDies));
        }
    }

    fn failure_case_09_a_result_before_its_events_counts_once_they_are_there(database) {
        for name in ["chain", "diamond", "retry"] {
            let scenario = with(name);
            let (expected, ..) = run(&scenario, database, None).unwrap();
            in_a_world(database, Points::new(None), async |world| {
                world.runners.accustom(Habits { results_first: true, ..Habits::default() });
                let run = world.submit(scenario.plan()).await;
                assert_eq!(world.drive(&run, None).await, scenario.ends);
                assert_eq!(world.left(&run).await.unwrap(), expected);
                let passed = world.points.seen();
                let results = passed.iter().filter(|at| **at == FaultPoint::FromRunner("Result"));
                // Each once too early and once after the engine had asked for the rest.
                assert_eq!(results.count(), 2 * expected.attempts.len(), "{name}");
            });
        }
    }

    fn failure_case_10_a_cancel_and_a_result_in_any_order_make_one_outcome(database) {
        let steps = serde_json::json!({"version": 1, "name": "test", "steps": [
            {"id": "a", "kind": "bash", "run": "say a; wait 300"},
            {"id": "b", "kind": "bash", "run": "say b", "depends_on": ["a"]},
        ]});
        let mut ends = std::collections::BTreeSet::new();
        for after in [0, 5, 290, 295, 298, 299, 300, 301, 302, 305, 310, 320, 400] {
            in_a_world(database, Points::new(None), async |world| {
                let run = world.submit(serde_json::from_value(steps.clone()).unwrap()).await;
                let running = world.engine().await;
                let handle = drive(&running, &run).await;
                let canceller = handle.canceller();
                world.clock.sleep(Duration::from_millis(after)).await;
                canceller.cancel("test", false).await;
                let status = handle.wait().await.unwrap();
                world.left(&run).await.unwrap();
                ends.insert(status);
            });
        }
        assert_eq!(Vec::from_iter(ends), [RunStatus::Success, RunStatus::Cancelled]);
    }

    fn failure_case_12_connections_that_break_every_k_bytes_lose_no_byte(database) {
        let short = [600, 777, 1_500, 2_500].map(|bytes| (many_lines(), bytes));
        let long = [4_001, 5_000].map(|bytes| (many_lines_in_a_long_text(), bytes));
        for (plan, bytes) in short.into_iter().chain(long) {
            in_a_world(database, Points::new(None), async |world| {
                world.runners.accustom(Habits { cut_every: Some(bytes), ..Habits::default() });
                let run = world.submit(plan).await;
                assert_eq!(world.drive(&run, None).await, RunStatus::Success);
                assert_eq!(world.left(&run).await.unwrap(), every_line(), "every {bytes}");
                assert!(world.hellos() > 2, "the connection broke: every {bytes}");
            });
        }
    }

    fn failure_case_12_connections_too_short_for_a_frame_lose_nothing_either(database) {
        // Shorter than a greeting and the step's assignment, which holds its text: nothing can get on
        // before connections last for longer.
        let short = [100, 300].map(|bytes| (many_lines(), bytes));
        let long = [1_500, 2_500].map(|bytes| (many_lines_in_a_long_text(), bytes));
        for (plan, bytes) in short.into_iter().chain(long) {
            in_a_world(database, Points::new(None), async |world| {
                world.runners.accustom(Habits { cut_every: Some(bytes), ..Habits::default() });
                let run = world.submit(plan).await;
                let running = world.engine().await;
                let handle = drive(&running, &run).await;
                world.clock.sleep(Duration::from_secs(60)).await;
                assert!(!handle.is_over(), "every {bytes}");
                assert!(world.hellos() > 100, "the runner comes again and again");
                world.runners.accustom(Habits::default());
                assert_eq!(handle.wait().await.unwrap(), RunStatus::Success);
                assert_eq!(world.left(&run).await.unwrap(), every_line(), "every {bytes}");
            });
        }
    }

    fn failure_case_13_a_connection_that_falls_silent_is_given_up(database) {
        for bytes in [1, 150, 700] {
            in_a_world(database, Points::new(None), async |world| {
                let habits = Habits { silent_after: Some(bytes), ..Habits::default() };
                world.runners.accustom(habits);
                let run = world.submit(scenarios::chain().plan()).await;
                assert_eq!(world.drive(&run, None).await, RunStatus::Success);
                ran_once(&world, &run).await;
            });
        }
    }

    fn failure_case_14_a_death_in_the_middle_of_a_batch_doubles_and_drops_nothing(database) {
        for place in [FaultPoint::Before("Append"), FaultPoint::After("Append"), FaultPoint::After("Apply")] {
            let (_, places, _) = run(&with("chain"), database, None).unwrap();
            let count = places.iter().filter(|passed| **passed == place).count();
            assert!(count > 0, "{place} is passed");
            for times in 0..count {
                unchanged("chain", database, (place.clone(), times, Fault::EngineDies));
            }
        }
    }

    fn failure_case_16_a_database_that_is_away_for_a_minute_is_waited_for(database) {
        for after in [0, 5, 25, 40] {
            in_a_world(database, Points::new(None), async |world| {
                let run = world.submit(scenarios::chain().plan()).await;
                let running = world.engine().await;
                let handle = drive(&running, &run).await;
                let mut trouble = handle.trouble();
                world.clock.sleep(Duration::from_millis(after)).await;
                running.stand.goes_away();
                let obstacle = trouble.wait_for(Option::is_some).await.unwrap().clone();
                assert!(obstacle.is_some(), "the run reports its obstacle");
                world.clock.sleep(Duration::from_secs(60)).await;
                running.stand.comes_back();
                assert_eq!(handle.wait().await.unwrap(), RunStatus::Success);
                assert_eq!(*trouble.borrow(), None);
                ran_once(&world, &run).await;
            });
        }
    }

    fn failure_case_16_a_database_that_never_comes_back_ends_the_wait_and_not_the_run(database) {
        in_a_world(database, Points::new(None), async |world| {
            let run = world.submit(scenarios::chain().plan()).await;
            let running = world.engine().await;
            let handle = drive(&running, &run).await;
            running.stand.goes_away();
            let error = handle.wait().await.unwrap_err();
            assert!(matches!(error, plue_executor::Error::Store(_) | plue_executor::Error::Pool(_)));
            running.stand.die();
            assert_eq!(world.drive(&run, None).await, RunStatus::Success);
            ran_once(&world, &run).await;
        });
    }

    fn failure_case_18_a_slow_database_slows_down_and_loses_nothing(database) {
        for name in ["Append", "Apply"] {
            let scenario = with("chain");
            let (expected, ..) = run(&scenario, database, None).unwrap();
            in_a_world(database, Points::always(FaultPoint::Before(name), Fault::Delayed), async |world| {
                let run = world.submit(scenario.plan()).await;
                assert_eq!(world.drive(&run, None).await, RunStatus::Success);
                assert_eq!(world.left(&run).await.unwrap(), expected);
            });
        }
    }

    fn failure_case_22_the_version_before_is_served_and_others_are_sent_away(database) {
        for protocol in OLDEST_PROTOCOL..=PROTOCOL {
            in_a_world(database, Points::new(None), async |world| {
                world.runners.accustom(Habits { protocol, ..Habits::default() });
                let run = world.submit(scenarios::chain().plan()).await;
                assert_eq!(world.drive(&run, None).await, RunStatus::Success);
                ran_once(&world, &run).await;
            });
        }
        for protocol in [OLDEST_PROTOCOL - 1, PROTOCOL + 1] {
            in_a_world(database, Points::new(None), async |world| {
                world.runners.accustom(Habits { protocol, ..Habits::default() });
                let run = world.submit(scenarios::chain().plan()).await;
                let running = world.engine().await;
                let handle = drive(&running, &run).await;
                world.clock.sleep(Duration::from_secs(5)).await;
                assert!(!handle.is_over());
                assert!(world.points.seen().contains(&FaultPoint::ToRunner("Close")));
                assert!(world.runners.ran().is_empty());
                // Another program under the same name does the work.
                world.runners.accustom(Habits::default());
                assert_eq!(handle.wait().await.unwrap(), RunStatus::Success);
                ran_once(&world, &run).await;
            });
        }
    }

    fn failure_case_44_clocks_that_jump_an_hour_have_no_effect(database) {
        let undisturbed = clocks_jump(database, 0, 0);
        for (runner, engine) in [(1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (-1, 1)] {
            let disturbed = clocks_jump(database, runner, engine);
            assert_eq!(disturbed, undisturbed, "runner {runner} h, engine {engine} h");
        }
    }

    fn failure_case_44_over_a_restart_time_runs_on_and_never_back(database) {
        let mut plan = with("retry").plan();
        plan.timeout = Some(plue_plan::DurationText::new("3h"));
        let (expected, ..) = run(&with("retry"), database, None).unwrap();
        for hours in [-1, 1] {
            in_a_world(database, Points::new(None), async |world| {
                let (run, status) = world.restarted(plan.clone(), hours).await;
                assert_eq!(status, RunStatus::Success);
                assert_eq!(world.left(&run).await.unwrap(), expected);
            });
        }
        // A changed clock looks like an hour without an engine.
        in_a_world(database, Points::new(None), async |world| {
            let (_, status) = world.restarted(with("retry").plan(), 1).await;
            assert_eq!(status, RunStatus::TimedOut, "a run may take an hour");
        });
    }

    fn failure_case_46_an_engine_that_stood_still_while_another_went_on_writes_nothing(database) {
        in_a_world(database, Points::new(None), async |world| {
            let run = world.submit(scenarios::chain().plan()).await;
            let first = world.engine().await;
            let handle = drive(&first, &run).await;
            world.clock.sleep(Duration::from_millis(10)).await;
            first.stand.stands_still();
            let second = world.engine().await;
            world.runners.cut_all();
            assert_eq!(drive(&second, &run).await.wait().await.unwrap(), RunStatus::Success);
            let left = world.left(&run).await.unwrap();
            first.stand.continues();
            came_back(database, handle.wait().await);
            assert_eq!(world.left(&run).await.unwrap(), left);
        });
    }
}

/// Without root and without a disk that is really full; `plue` with one: the crash suite of plue-e2e.
#[test]
fn failure_case_20_full_databases_end_the_drive_without_loss() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let database = runtime.block_on(template(directory.path()));
    for room in [16_384, 65_536, 131_072] {
        in_a_world(&database, Points::new(None), async |mut world| {
            let run = world.submit(one_step("count 20000".to_owned())).await;
            world.leave_room(Some(room));
            let running = world.engine().await;
            let error = drive(&running, &run).await.wait().await.unwrap_err();
            assert!(format!("{error:?}").contains("DiskFull"), "{error:?}");
            running.stand.die();
            world.leave_room(None);
            assert_eq!(world.drive(&run, None).await, RunStatus::Success);
            let left = world.left(&run).await.unwrap();
            let text: String = (0..20_000).map(|n| format!("line {n} of many\n")).collect();
            assert_eq!(left.attempts.len(), 1, "{room}");
            assert!(left.logs["RUN:a:1:1"]["Stdout"] == text.as_bytes(), "{room}");
        });
    }
}

/// A step with 150 lines, which a short text asks for.
fn many_lines() -> Plan {
    one_step("count 150".to_owned())
}

/// The same lines; the text of the step, and so its assignment, has more than 3,000 bytes.
fn many_lines_in_a_long_text() -> Plan {
    let lines: Vec<String> = (0..150).map(|n| format!("say line {n} of many")).collect();
    one_step(lines.join("; "))
}

fn one_step(run: String) -> Plan {
    let steps = serde_json::json!([{"id": "a", "kind": "bash", "run": run}]);
    let plan = serde_json::json!({"version": 1, "name": "test", "steps": steps});
    serde_json::from_value(plan).unwrap()
}

/// Expected rest of either run.
fn every_line() -> Left {
    let text: String = (0..150).map(|n| format!("line {n} of many\n")).collect();
    let attempt = "RUN:a:1:1".to_owned();
    let log = BTreeMap::from([("Stdout".to_owned(), text.into_bytes())]);
    Left {
        status: "Success None".to_owned(),
        steps: BTreeMap::from([("a".to_owned(), "success None 1 null".to_owned())]),
        attempts: BTreeMap::from([(attempt.clone(), Some(Outcome::Success))]),
        logs: BTreeMap::from([(attempt, log)]),
    }
}

/// Clocks are set while a retry, a wait and a step with a timeout are under way: what is left of the run,
/// and how long it took by its journal and in truth.
fn clocks_jump(database: &Database, runner: i64, engine: i64) -> (Left, Vec<Duration>) {
    let steps = serde_json::json!({"version": 1, "name": "test", "steps": [
        {"id": "flaky", "kind": "bash", "run": "say a try; fail_before 2; say it worked",
         "retry": {"max_attempts": 3, "delay": "3s"}},
        {"id": "rest", "kind": "wait", "duration": "20s", "depends_on": ["flaky"]},
        {"id": "slow", "kind": "bash", "run": "say begun; wait 30000; say done", "timeout": "40s"},
        {"id": "last", "kind": "bash", "run": "say last", "depends_on": ["rest", "slow"]},
    ]});
    in_a_world(database, Points::new(None), async |world| {
        let run = world.submit(serde_json::from_value(steps).unwrap()).await;
        let running = world.engine().await;
        let start = world.clock.mark();
        let handle = drive(&running, &run).await;
        // Forth while the retry is due, back while the wait goes on.
        for (after, sign) in [(1, 1), (9, -1)] {
            world.clock.sleep(Duration::from_secs(after)).await;
            let clock_ahead_us = if sign > 0 { runner * 3_600_000_000 } else { 0 };
            world.runners.accustom(Habits { clock_ahead_us, ..Habits::default() });
            world.turn_clock(sign * engine);
        }
        assert_eq!(handle.wait().await.unwrap(), RunStatus::Success);
        let took = world.clock.elapsed(start);
        let times = world.journal_times(&run).await;
        assert!(times.is_sorted(), "time runs back in the journal: {times:?}");
        let span = times.last().unwrap().duration_since(times[0]).unsigned_abs();
        let whole_seconds = |took: Duration| Duration::from_secs(took.as_secs());
        (world.left(&run).await.unwrap(), vec![whole_seconds(took), whole_seconds(span)])
    })
}

/// An engine that stood still while another one took over its run: on a shared database it has lost the
/// run.
fn came_back(database: &Database, result: Result<RunStatus, plue_executor::Error>) {
    match (database, result) {
        (Database::File(_), Ok(RunStatus::Success))
        | (Database::Server(_), Err(plue_executor::Error::Superseded { .. })) => {}
        (_, result) => panic!("{result:?}"),
    }
}

/// An engine stands still with its runner; another gives the runner up and runs the step again. Then the
/// first two are back, after or before that has ended.
fn zombie(database: &Database, afterwards: bool) {
    let steps = serde_json::json!({"version": 1, "name": "test", "steps": [
        {"id": "a", "kind": "bash", "run": "say begin; wait 5000; say end",
         "retry": {"max_attempts": 3, "delay": "0s", "on": ["infra"]}},
    ]});
    in_a_world(database, Points::new(None), async |world| {
        world.runners.accustom(Habits { survive_discards: true, ..Habits::default() });
        let run = world.submit(serde_json::from_value(steps).unwrap()).await;
        let first = world.engine().await;
        let handle = drive(&first, &run).await;
        world.clock.sleep(Duration::from_secs(1)).await;
        first.stand.stands_still();
        // Its directory is gone, so no engine can adopt the runner; but it lives, out of reach.
        world.lose_runner_directories();
        let second = world.engine().await;
        let again = drive(&second, &run).await;
        let wait = if afterwards { Duration::from_secs(20) } else { Duration::from_secs(2) };
        world.clock.sleep(wait).await;
        assert_eq!(again.is_over(), afterwards);
        first.stand.continues();
        world.runners.accustom(Habits::default());
        let (one, other) = tokio::join!(again.wait(), handle.wait());
        assert_eq!(one.unwrap(), RunStatus::Success);
        came_back(database, other);
        let left = world.left(&run).await.unwrap();
        assert_eq!(left.attempts.len(), 2, "{left:#?}");
        assert_eq!(left.logs["RUN:a:1:1"]["Stdout"], b"begin\n");
        assert_eq!(left.logs["RUN:a:1:2"]["Stdout"], b"begin\nend\n");
    });
}
