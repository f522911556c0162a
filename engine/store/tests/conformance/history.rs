//! Histories of workflows, times of steps, the queue, days of usage, and the newest of trails and reports.

use plue_flow::{RunStatus, StepStatus, StepView};
use plue_plan::RunId;
use plue_store::{
    AuditRow, ReportKey, Store,
    run::PastRun,
    usage::claude::{NewCall, SpendLife, SpendScope, SpendUnit},
};
use serde_json::json;

use crate::support::{at, commit, new_run, plan, step_view};

fn ids(runs: &[PastRun]) -> Vec<&str> {
    runs.iter().map(|run| run.id.as_str()).collect()
}

/// A run of a workflow that ended with these steps.
async fn ended(store: &Store, run: &str, repo: &str, workflow: &str, steps: Vec<StepView>) {
    let sealed = plan("demo");
    store.plans().put(&sealed).await.unwrap();
    let mut new = new_run(run, sealed.hash);
    (new.repo, new.workflow) = (Some(repo.to_owned()), workflow.to_owned());
    let mut first = commit(&new.id, 0, RunStatus::Failed);
    first.steps = steps;
    store.runs().create(new, first).await.unwrap().unwrap();
}

/// A step that took so many seconds.
fn step(name: &str, status: StepStatus, attempts: u32, seconds: i64) -> StepView {
    let view = step_view(status);
    let (started_at, ended_at) = (Some(at(10)), Some(at(10 + seconds)));
    StepView { step: name.into(), attempts, started_at, ended_at, ..view }
}

fn key(repo: &str, workflow: &str) -> (String, String) {
    (repo.to_owned(), workflow.to_owned())
}

on_each_store! {
    async fn past_runs_are_the_last_of_each_workflow(world) {
        let store = &world.store;
        for (run, repo, workflow) in [
            ("01a", "acme/app", "CI"),
            ("01b", "acme/app", "Nightly"),
            ("01c", "acme/web", "CI"),
            ("01d", "acme/app", "CI"),
            ("01e", "acme/app", "CI"),
        ] {
            ended(store, run, repo, workflow, Vec::new()).await;
        }
        let asked = [key("acme/app", "CI"), key("x/y", "CI"), key("acme/web", "CI")];
        let past = store.run_history().runs(&asked, 2).await.unwrap();
        let found: Vec<_> = past.iter().map(|runs| ids(runs)).collect();
        assert_eq!(found, [vec!["01e", "01d"], vec![], vec!["01c"]]);
        let newest = &past[0][0];
        assert_eq!((newest.status, newest.ended_at), (RunStatus::Failed, Some(at(20))));
        assert!(store.run_history().runs(&[], 2).await.unwrap().is_empty());
    }

    async fn many_workflows_are_one_question(world) {
        let store = &world.store;
        ended(store, "01a", "acme/app", "w199", Vec::new()).await;
        ended(store, "01b", "acme/app", "w200", Vec::new()).await;
        let asked: Vec<_> = (0..201).map(|at| key("acme/app", &format!("w{at}"))).collect();
        let past = store.run_history().runs(&asked, 40).await.unwrap();
        assert_eq!((past.len(), ids(&past[199])), (200, vec!["01a"]));
    }

    async fn step_times_are_sums_over_runs(world) {
        let store = &world.store;
        use StepStatus::{Failed, Skipped, Success, TimedOut};
        ended(store, "01a", "acme/app", "CI", vec![step("build", Success, 1, 10), step("test", Failed, 1, 2)]).await;
        ended(store, "01b", "acme/app", "CI", vec![step("build", Success, 3, 20), step("test", TimedOut, 1, 4)]).await;
        ended(store, "01c", "acme/app", "CI", vec![step("build", Success, 1, 30), step("test", Skipped, 0, 0)]).await;
        let runs = ["01c", "01b", "01a"].map(RunId::new);
        let times = store.run_history().step_times(&runs).await.unwrap();
        let [build, test] = times.as_slice() else { panic!("{times:?}") };
        assert_eq!((build.step.as_str(), build.ended, build.failed, build.retried), ("build", 3, 0, 1));
        assert_eq!((build.total_us, build.timed, build.longest_us), (60_000_000, 3, 30_000_000));
        assert_eq!(build.newer, (30_000_000, 1), "the runs before the middle one");
        assert_eq!((test.step.as_str(), test.ended, test.failed, test.retried), ("test", 2, 2, 0));
        assert!(store.run_history().step_times(&[]).await.unwrap().is_empty());
    }

    async fn queued_attempts_are_listed_by_their_age(world) {
        world.queued_in("r1", "a1", "gpu").await;
        world.queued("r2", "a2").await;
        world.started("r3", "a3").await;
        let queue = world.store.usage().queued_attempts(9).await.unwrap();
        let found: Vec<_> =
            queue.iter().map(|one| (one.run.as_str(), one.pool.as_str(), one.workflow.as_str())).collect();
        assert_eq!(found, [("r1", "gpu", "demo"), ("r2", "local", "demo")]);
        assert_eq!((queue[0].repo.as_deref(), queue[0].reason.as_ref()), (Some("a/b"), None));
        assert_eq!(world.store.usage().queued_attempts(1).await.unwrap().len(), 1);
    }

    async fn usage_is_summed_by_day(world) {
        let store = &world.store;
        let sealed = plan("demo");
        store.plans().put(&sealed).await.unwrap();
        let day = 86_400;
        for (run, second, status) in [
            ("r1", 0, RunStatus::Failed),
            ("r2", 1, RunStatus::Running),
            ("r3", 2 * day, RunStatus::Running),
        ] {
            let mut new = new_run(run, sealed.hash);
            new.created_at = at(second);
            let first = commit(&new.id, 0, status);
            store.runs().create(new, first).await.unwrap().unwrap();
        }
        let scope = SpendScope {
            name: "r3".to_owned(),
            life: SpendLife::Run(RunId::new("r3")),
            unit: SpendUnit::Money,
            limit: None,
        };
        let call = NewCall {
            id: "c1".to_owned(),
            run: RunId::new("r3"),
            step: "a".into(),
            attempt: plue_plan::AttemptId::new("a1"),
            model: "m".to_owned(),
            amount: 7,
            tokens: 0,
            scopes: vec![scope],
            at: at(1),
        };
        store.claude().reserve_call(call).await.unwrap();
        let days = store.usage().by_day(None, at(0), at(9 * day)).await.unwrap();
        let found: Vec<_> =
            days.iter().map(|day| (day.date.to_string(), day.runs, day.failed, day.cost)).collect();
        assert_eq!(
            found,
            [("2027-01-15".to_owned(), 2, 1, 0), ("2027-01-17".to_owned(), 1, 0, 7)]
        );
        let other = ["x/y".to_owned()];
        assert!(store.usage().by_day(Some(&other), at(0), at(9 * day)).await.unwrap().is_empty());
    }

    async fn trails_are_read_from_their_end(world) {
        let store = &world.store;
        for subject in ["a", "b", "c"] {
            let row = AuditRow {
                seq: 0,
                at: at(1),
                principal: "ann".to_owned(),
                action: "run.cancel".to_owned(),
                subject: subject.to_owned(),
                repo: None,
                detail: json!({}),
            };
            store.audit().add(&row).await.unwrap();
        }
        let newest = store.audit().before(None, 2).await.unwrap();
        let subjects: Vec<_> = newest.iter().map(|row| row.subject.as_str()).collect();
        assert_eq!(subjects, ["c", "b"]);
        let rest = store.audit().before(Some(newest[1].seq), 9).await.unwrap();
        assert_eq!((rest.len(), rest[0].subject.as_str()), (1, "a"));
    }

    async fn pull_requests_are_listed_by_their_newest_report(world) {
        let store = &world.store;
        for repo in ["acme/app", "acme/web"] {
            crate::reports::watched_as(store, repo).await;
        }
        let key = |repo: &str, sha: &str, pull_request| ReportKey {
            repo: repo.to_owned(),
            sha: sha.to_owned(),
            pull_request,
        };
        store.reports().put(&key("acme/app", "1", 7), &json!(1), at(5)).await.unwrap();
        store.reports().put(&key("acme/app", "2", 0), &json!(2), at(6)).await.unwrap();
        store.reports().put(&key("acme/web", "3", 9), &json!(3), at(7)).await.unwrap();
        let found = async |repos: Option<&[String]>| {
            let rows = store.reports().of_pulls(repos, 9).await.unwrap();
            rows.into_iter().map(|row| row.key.sha).collect::<Vec<_>>()
        };
        assert_eq!(found(None).await, ["3", "1"], "a report of a push is none");
        assert_eq!(found(Some(&["acme/app".to_owned()])).await, ["1"]);
        assert!(found(Some(&[])).await.is_empty());
    }
}
