//! Listing, finding and deleting runs; wake-ups; the closed sets of statuses.

use jiff::Timestamp;
use plue_flow::{AttemptStatus, RunStatus, StepStatus};
use plue_plan::{AttemptId, RunId, RunnerId};
use plue_store::{LogStream, RunFilter, RunnerState, plan::CachedPlans, portable};

use crate::support::{at, commit, plan, stdout, success};

fn ids(rows: &[plue_store::RunRow]) -> Vec<&str> {
    rows.iter().map(|row| row.id.as_str()).collect()
}

on_each_store! {
    async fn runs_are_listed_newest_first_in_pages(world) {
        for n in 0..5 {
            world.created(&format!("01r{n}")).await;
        }
        let mut filter = RunFilter { limit: 2, ..RunFilter::default() };
        let first = world.store.runs().list(&filter).await.unwrap();
        assert_eq!(ids(&first), ["01r4", "01r3"]);
        filter.before = Some(first[1].id.clone());
        let second = world.store.runs().list(&filter).await.unwrap();
        assert_eq!(ids(&second), ["01r2", "01r1"]);
        filter.workflow = Some("other".to_owned());
        assert_eq!(world.store.runs().list(&filter).await.unwrap(), []);
    }

    async fn runs_are_filtered_by_status(world) {
        let ended = world.created("r1").await;
        world.created("r2").await;
        world.store.runs().commit(commit(&ended, 1, RunStatus::Failed)).await.unwrap().unwrap();
        let filter = RunFilter {
            status: vec![RunStatus::Failed, RunStatus::Success],
            workflow: Some("demo".to_owned()),
            ..RunFilter::default()
        };
        assert_eq!(ids(&world.store.runs().list(&filter).await.unwrap()), ["r1"]);
        assert_eq!(ids(&world.store.runs().unfinished().await.unwrap()), ["r2"]);
    }

    async fn a_run_is_found_by_the_start_of_its_id(world) {
        for id in ["01ab", "01ac", "02aa"] {
            world.created(id).await;
        }
        let find = async |text| {
            let rows = world.store.runs().find(text, None).await.unwrap();
            rows.into_iter().map(|row| row.id.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(find("01ab").await, ["01ab"]);
        assert_eq!(find("01").await, ["01ac", "01ab"]);
        assert_eq!(find("02A").await, ["02aa"]);
        assert_eq!(find("last").await, ["02aa"]);
        for none in ["03", "", "01a%", "'"] {
            assert!(find(none).await.is_empty(), "{none}");
        }
    }

    async fn a_deleted_run_leaves_nothing(world) {
        let claim = world.started("r1", "a1").await;
        let run = RunId::new("r1");
        assert!(!world.store.retention().delete_run(&run).await.unwrap(), "it still runs");
        let mut end = success(&claim, 3);
        end.tail.push(stdout(&claim, 2, b"text"));
        world.end(&run, 2, end).await.unwrap();
        assert!(world.store.retention().delete_run(&run).await.unwrap());
        assert!(!world.store.retention().delete_run(&run).await.unwrap());
        for table in ["run", "run_source", "journal", "step", "attempt", "log_chunk", "plan"] {
            let rows = world.sql(&format!("SELECT count(*) FROM {table}"));
            assert_eq!(rows.trim(), "0", "{table}");
        }
    }

    async fn old_runs_are_pruned_and_their_shared_plan_stays(world) {
        for n in 0..45 {
            let run = world.created(&format!("r{n:02}")).await;
            world.store.runs().commit(commit(&run, 1, RunStatus::Success)).await.unwrap().unwrap();
        }
        world.created("young").await;
        assert_eq!(world.store.retention().prune(at(20)).await.unwrap(), 0);
        assert_eq!(world.store.retention().prune(at(21)).await.unwrap(), 45);
        assert_eq!(ids(&world.store.runs().list(&RunFilter::default()).await.unwrap()), ["young"]);
        assert!(world.store.plans().get(&plan("demo").hash).await.unwrap().is_some());
    }

    async fn a_commit_wakes_who_watches_the_run(world) {
        let run = world.created("r1").await;
        let (mut any, mut mine) = (world.store.changes(), world.store.changes_of(&run));
        any.mark_unchanged();
        mine.mark_unchanged();
        world.store.runs().commit(commit(&run, 1, RunStatus::Running)).await.unwrap().unwrap();
        any.changed().await.unwrap();
        mine.changed().await.unwrap();
        assert!(world.store.runs().commit(commit(&run, 9, RunStatus::Running)).await.unwrap().is_err());
        assert!(!mine.has_changed().unwrap(), "a refusal changes nothing");
    }

    async fn events_wake_who_follows_the_log(world) {
        let claim = world.started("r1", "a1").await;
        let mut mine = world.store.changes_of(&RunId::new("r1"));
        mine.mark_unchanged();
        let events = vec![(claim.clone(), vec![stdout(&claim, 2, b"x")])];
        world.store.journal().append(events).await.unwrap();
        mine.changed().await.unwrap();
    }

    async fn the_sets_of_statuses_in_the_schema_are_those_of_the_program(world) {
        let claim = world.started("r1", "a1").await;
        let mut tail = success(&claim, 3);
        tail.tail.push(stdout(&claim, 2, b"x"));
        world.end(&RunId::new("r1"), 2, tail).await.unwrap();
        fn texts<T: Copy>(all: &[T], text: fn(T) -> &'static str) -> Vec<&'static str> {
            all.iter().map(|one| text(*one)).collect()
        }
        let mut streams = texts(LogStream::ALL, LogStream::as_str);
        streams.push("block");
        for (table, column, values) in [
            ("run", "status", texts(RunStatus::ALL, RunStatus::as_str)),
            ("step", "status", texts(StepStatus::ALL, StepStatus::as_str)),
            ("attempt", "state", texts(AttemptStatus::ALL, AttemptStatus::as_str)),
            ("runner", "state", texts(RunnerState::ALL, RunnerState::as_str)),
            ("log_chunk", "stream", streams),
        ] {
            for value in &values {
                let _accepted = world.sql(&format!("UPDATE {table} SET {column} = '{value}'"));
            }
            let ddl = world.check_of(table, column);
            // Checks of columns that were added later follow.
            let ddl = ddl.split("))").next().unwrap();
            assert_eq!(ddl.matches('\'').count(), 2 * values.len(), "{table}: {ddl}");
        }
    }

    async fn an_attempt_that_is_not_there_is_none(world) {
        let none = AttemptId::new("nope");
        assert_eq!(world.store.attempts().get(&none).await.unwrap(), None);
        assert_eq!(world.store.logs().stat(&none).await.unwrap(), None);
        assert_eq!(world.store.runs().get(&RunId::new("nope")).await.unwrap(), None);
        assert_eq!(world.store.runs().load(&RunId::new("nope")).await.unwrap(), None);
    }

    async fn pruning_forgets_runners_that_are_gone_and_old_evaluations(world) {
        let (gone, alive) = (RunnerId::new("gone"), RunnerId::new("alive"));
        world.runner("gone", None).await;
        world.runner("alive", None).await;
        world.store.runners().gone(&gone, "released", at(30)).await.unwrap();
        let cached = CachedPlans { plans: Vec::new(), read_set: serde_json::json!({}) };
        world.store.plans().cache("key", &cached).await.unwrap();
        world.store.retention().prune(at(30)).await.unwrap();
        assert!(world.store.runners().get(&gone).await.unwrap().is_some(), "not old enough");
        world.store.retention().prune(Timestamp::MAX).await.unwrap();
        assert_eq!(world.store.runners().get(&gone).await.unwrap(), None);
        assert!(world.store.runners().get(&alive).await.unwrap().is_some());
        assert_eq!(world.store.plans().cached("key").await.unwrap(), None);
    }

    async fn a_plan_is_kept_as_long_as_one_run_uses_it(world) {
        let (first, second) = (world.created("r1").await, world.created("r2").await);
        let hash = plan("demo").hash;
        for (run, kept) in [(first, true), (second, false)] {
            world.store.runs().commit(commit(&run, 1, RunStatus::Success)).await.unwrap().unwrap();
            assert!(world.store.retention().delete_run(&run).await.unwrap());
            assert_eq!(world.store.plans().get(&hash).await.unwrap().is_some(), kept);
        }
    }

    async fn only_logs_that_are_worth_it_wait_to_be_packed(world) {
        let texts = [("a1", 10), ("a2", 5_000), ("a3", 100)];
        for (n, (attempt, length)) in (1..).zip(texts) {
            let claim = world.started(&format!("r{n}"), attempt).await;
            let mut end = success(&claim, 3);
            end.tail.push(stdout(&claim, 2, &vec![b'x'; length]));
            let waiting = world.store.packed_logs().unpacked(9).await.unwrap();
            assert!(!waiting.contains(&claim.attempt), "it has not ended");
            world.end(&RunId::new(format!("r{n}")), 2, end).await.unwrap();
        }
        let waiting = world.store.packed_logs().unpacked(9).await.unwrap();
        assert_eq!(waiting, [AttemptId::new("a2")]);
        world.store.packed_logs().pack(&waiting[0]).await.unwrap();
        assert_eq!(world.store.packed_logs().unpacked(9).await.unwrap(), []);
    }

    async fn a_runner_that_comes_back_still_works_for_its_run(world) {
        let run = world.queued("r1", "a1").await;
        let epoch = world.runner("w1", None).await;
        let runner = RunnerId::new("w1");
        world.store.attempts().claim(&runner, epoch, 1, at(10)).await.unwrap();
        let epoch = world.store.runners().greet(&runner, "hash", "boot", at(11)).await.unwrap();
        assert!(world.store.runners().ready(&runner, epoch, at(12)).await.unwrap());
        let row = world.store.runners().get(&runner).await.unwrap().unwrap();
        assert_eq!((row.state, row.group.as_ref()), (RunnerState::Claimed, Some(&run)));
        assert_eq!(world.store.runners().list(Some(&run)).await.unwrap(), [row]);
    }

    async fn a_run_from_a_file_is_not_there_before_all_of_it_is(world) {
        let run = world.created("r1").await;
        world.store.runs().commit(commit(&run, 1, RunStatus::Success)).await.unwrap().unwrap();
        let mut tables = Vec::new();
        for table in portable::TABLES {
            tables.push((table, world.store.archive().rows(table, &run, 0).await.unwrap()));
        }
        assert!(world.store.retention().delete_run(&run).await.unwrap());
        for (table, rows) in tables {
            if !rows.is_empty() {
                world.store.archive().import(table, &run, rows).await.unwrap();
            }
            assert_eq!(world.store.runs().get(&run).await.unwrap(), None, "{}", table.name);
            assert_eq!(world.store.runs().list(&RunFilter::default()).await.unwrap(), []);
            assert_eq!(world.store.runs().find("r1", None).await.unwrap(), []);
            assert_eq!(world.store.runs().find("last", None).await.unwrap(), []);
        }
        world.store.archive().finish_import(&run, "{}").await.unwrap();
        let row = world.store.runs().get(&run).await.unwrap().unwrap();
        assert_eq!(row.view.status, RunStatus::Success);
        assert_eq!(world.store.runs().list(&RunFilter::default()).await.unwrap(), std::slice::from_ref(&row));
        assert_eq!(world.store.runs().find("r1", None).await.unwrap(), [row]);
        // It ended long ago, and somebody has just opened it.
        let _changed = world.sql("UPDATE run SET ended_at = 5");
        let long_ago = Timestamp::from_second(1_000).unwrap();
        assert_eq!(world.store.retention().prune(long_ago).await.unwrap(), 0);
        assert_eq!(world.store.retention().prune(Timestamp::MAX).await.unwrap(), 1);
    }
}
