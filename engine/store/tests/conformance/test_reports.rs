//! Test results of attempts: from the holder, once, and compared within their own history.

use plue_plan::{AttemptId, RunId, StepId};
use plue_reports::{Format, Judged, ReportFile, TestCase, TestCounts, TestResult, TestStatus};
use plue_store::{
    Recorded,
    keep::test_report::{NewTestReport, TestHistoryKey},
    portable,
};
use plue_wire::runner::Claim;

use crate::support::{World, at, stale, success};

fn key(branch: &str, fork: Option<u64>) -> TestHistoryKey {
    TestHistoryKey {
        repo: "a/b".to_owned(),
        workflow: "demo".to_owned(),
        step: StepId::new("build"),
        branch: branch.to_owned(),
        fork,
        sha: Some("c0ffee".to_owned()),
    }
}

fn report(claim: &Claim, key: TestHistoryKey, failed: u64, seconds: i64) -> NewTestReport {
    let case = TestCase {
        suite: "s".to_owned(),
        name: "nö".to_owned(),
        status: TestStatus::Failed,
        duration_us: Some(5),
        message: "m".to_owned(),
        output: "o".to_owned(),
        file: Some("f".to_owned()),
        line: Some(7),
    };
    let judged = Judged {
        counts: TestCounts { passed: 2, failed: 1, skipped: 3, flaky: 0, new: 1 },
        duration_us: 9,
        results: vec![TestResult { case, is_new: true, is_flaky: false }],
        left_out: 4,
        passed: vec![1, u64::MAX],
        failed: vec![failed],
    };
    let file =
        ReportFile { path: "r.xml".to_owned(), format: Format::Junit, tests: 6, problem: None };
    NewTestReport { claim: claim.clone(), key, judged, files: vec![file], at: at(seconds) }
}

/// The failed keys of each earlier attempt, newest first.
async fn history(world: &World, run: &str, key: &TestHistoryKey) -> Vec<u64> {
    let past =
        world.store.test_reports().history(&RunId::new(run), 1, key, Some("main")).await.unwrap();
    past.iter().flat_map(|past| past.failed.clone()).collect()
}

on_each_store! {
    async fn reports_of_tests_are_stored_once(world) {
        let claim = world.started("r1", "r1:build:1:1").await;
        let (run, new) = (RunId::new("r1"), || report(&claim, key("main", None), 7, 1));
        let refused = NewTestReport { claim: stale(&claim), ..new() };
        assert_eq!(world.store.test_reports().put(refused).await.unwrap(), Recorded::Stale);
        assert!(world.store.test_reports().list(&run).await.unwrap().is_empty());
        for _ in 0..2 {
            assert_eq!(world.store.test_reports().put(new()).await.unwrap(), Recorded::Yes);
        }
        let reports = world.store.test_reports().list(&run).await.unwrap();
        assert_eq!(reports.len(), 1);
        let expected = new();
        assert_eq!((reports[0].counts, &reports[0].files), (expected.judged.counts, &expected.files));
        assert_eq!((reports[0].duration_us, reports[0].left_out, reports[0].visit), (9, 4, 1));
        let attempts = [claim.attempt.clone()];
        let results = world.store.test_reports().results(&attempts, true, 10).await.unwrap();
        assert_eq!(results.len(), 1);
        assert_eq!(results[0].result, expected.judged.results[0]);
        let brief = world.store.test_reports().results(&attempts, false, 10).await.unwrap();
        assert_eq!((brief[0].result.case.output.as_str(), brief[0].result.case.line), ("", Some(7)));
        world.end(&run, 2, success(&claim, 2)).await.unwrap();
        assert!(world.store.retention().delete_run(&run).await.unwrap());
        assert!(world.store.test_reports().results(&attempts, true, 10).await.unwrap().is_empty());
    }

    async fn histories_of_forks_are_their_own(world) {
        let runs = [
            ("r1", key("main", None), 1), ("r2", key("main", None), 2), ("r3", key("x", None), 3),
            ("r4", key("main", Some(8)), 4), ("r5", key("main", Some(9)), 5), ("r6", key("main", Some(0)), 6),
        ];
        for (run, key, failed) in runs {
            let claim = world.started(run, &format!("{run}:build:1:1")).await;
            let seconds = i64::try_from(failed).unwrap();
            let kept = world.store.test_reports().put(report(&claim, key, failed, seconds)).await;
            assert_eq!(kept.unwrap(), Recorded::Yes);
        }
        assert_eq!(history(&world, "new", &key("main", None)).await, [2, 1]);
        assert_eq!(history(&world, "new", &key("x", None)).await, [3, 2, 1]);
        assert_eq!(history(&world, "new", &key("main", Some(8))).await, [4, 2, 1]);
        assert_eq!(history(&world, "new", &key("main", Some(0))).await, [2, 1]);
        assert_eq!(history(&world, "r2", &key("main", None)).await, [2, 1], "its own attempts too");
        let other = TestHistoryKey { repo: "c/d".to_owned(), ..key("main", None) };
        assert!(history(&world, "new", &other).await.is_empty());
    }
    async fn histories_have_a_limit(world) {
        for number in 0..25_u64 {
            let run = format!("r{number:02}");
            let claim = world.started(&run, &format!("{run}:build:1:1")).await;
            let new = report(&claim, key("main", None), number, i64::try_from(number).unwrap());
            world.store.test_reports().put(new).await.unwrap();
        }
        let newest: Vec<u64> = (5..25).rev().collect();
        assert_eq!(history(&world, "new", &key("main", None)).await, newest);
    }

    async fn results_are_read_up_to_a_limit(world) {
        let claim = world.started("r1", "r1:build:1:1").await;
        let mut new = report(&claim, key("main", None), 1, 1);
        let first = new.judged.results[0].clone();
        new.judged.results = (0..300)
            .map(|at| {
                let mut result = first.clone();
                result.case.name = format!("t{at:03}");
                result.case.status =
                    if at % 2 == 0 { TestStatus::Failed } else { TestStatus::Flaky };
                result.case.duration_us = None;
                result.case.file = None;
                result
            })
            .collect();
        let expected = new.judged.results.clone();
        world.store.test_reports().put(new).await.unwrap();
        let attempts = [claim.attempt.clone(), AttemptId::new("r2:build:1:1")];
        let all = world.store.test_reports().results(&attempts, true, 1_000).await.unwrap();
        assert!(all.iter().map(|row| &row.result).eq(&expected), "in the order of the report");
        assert!(all.iter().enumerate().all(|(at, row)| row.seq as usize == at));
        let some = world.store.test_reports().results(&attempts, true, 7).await.unwrap();
        assert_eq!(some, all[..7]);
        assert!(world.store.test_reports().results(&[], true, 7).await.unwrap().is_empty());
    }

    async fn results_of_imported_runs_are_no_history(world) {
        let claim = world.started("r1", "r1:build:1:1").await;
        let new = report(&claim, key("main", None), 7, 1);
        let expected = new.judged.results.clone();
        world.store.test_reports().put(new).await.unwrap();
        let run = RunId::new("r1");
        world.end(&run, 2, success(&claim, 2)).await.unwrap();
        let before = world.store.test_reports().list(&run).await.unwrap();
        let mut tables = Vec::new();
        for table in portable::TABLES {
            tables.push((table, world.store.archive().rows(table, &run, 0).await.unwrap()));
        }
        assert!(world.store.retention().delete_run(&run).await.unwrap());
        assert!(history(&world, "new", &key("main", None)).await.is_empty());
        for (table, rows) in tables {
            if !rows.is_empty() {
                world.store.archive().import(table, &run, rows).await.unwrap();
            }
        }
        world.store.archive().finish_import(&run, "{}").await.unwrap();
        assert_eq!(world.store.test_reports().list(&run).await.unwrap(), before);
        let results = world.store.test_reports().results(&[claim.attempt], true, 10).await.unwrap();
        assert_eq!(results.len(), 1);
        assert_eq!(results[0].result, expected[0]);
        assert!(history(&world, "new", &key("main", None)).await.is_empty());
    }
    async fn results_are_kept_for_each_attempt(world) {
        let run = RunId::new("r1");
        let first = world.started("r1", "r1:build:1:1").await;
        let kept = world.store.test_reports().put(report(&first, key("x", None), 7, 1)).await;
        assert_eq!(kept.unwrap(), Recorded::Yes);
        let other = world.started("r2", "r2:build:1:1").await;
        let kept = world.store.test_reports().put(report(&other, key("x", None), 8, 2)).await;
        assert_eq!(kept.unwrap(), Recorded::Yes);
        let reports = world.store.test_reports().list(&run).await.unwrap();
        assert_eq!(reports.len(), 1);
        assert_eq!(reports[0].attempt, first.attempt);
        assert_eq!(reports[0].at, at(1));
        let both = [first.attempt.clone(), other.attempt.clone()];
        let results = world.store.test_reports().results(&both, true, 10).await.unwrap();
        let attempts: Vec<_> = results.iter().map(|row| row.attempt.clone()).collect();
        assert_eq!(attempts, both);
        let of_one = world.store.test_reports().results(&both[1..], true, 10).await.unwrap();
        assert_eq!(of_one, results[1..]);
        assert_eq!(of_one[0].result.case.name, "nö");
        assert_eq!(history(&world, "r2", &key("x", None)).await, [8, 7]);
    }
}
