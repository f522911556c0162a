//! Sums and lists over runs: usage, queues, and runs that wait.

use plue_flow::{RunStatus, StepStatus};
use plue_plan::RunId;
use plue_store::{
    QueueRow, UsageBy, UsageRow,
    usage::claude::{NewCall, Spend, SpendLife, SpendScope, SpendUnit},
};

use crate::support::{at, commit, new_run, plan, step_view, success};

on_each_store! {
    async fn usage_is_summed_by_repository_within_its_period(world) {
        let store = &world.store;
        let claim = world.started("r1", "a1").await;
        world.end(&RunId::new("r1"), 2, success(&claim, 2)).await.unwrap();
        let sealed = plan("demo");
        store.plans().put(&sealed).await.unwrap();
        let mut other = new_run("r2", sealed.hash);
        other.repo = Some("b/c".to_owned());
        other.created_at = at(5_000);
        let first = commit(&other.id, 0, RunStatus::Failed);
        store.runs().create(other, first).await.unwrap().unwrap();
        let all = store.usage().list(UsageBy::Repository, None, at(0), at(10_000)).await.unwrap();
        let of = |repo: &str| all.iter().find(|row| row.owner.as_deref() == Some(repo)).unwrap();
        assert_eq!((of("b/c").runs, of("b/c").failed, of("b/c").attempts), (1, 1, 0));
        let mine = all.iter().find(|row| row.owner.as_deref() != Some("b/c")).unwrap();
        assert_eq!((mine.runs, mine.attempts), (1, 1));
        let by = UsageBy::Repository;
        let only = ["b/c".to_owned()];
        let one = store.usage().list(by, Some(&only), at(0), at(10_000)).await.unwrap();
        let wanted = UsageRow { owner: Some("b/c".to_owned()), runs: 1, failed: 1, ..UsageRow::default() };
        assert_eq!(one, [wanted]);
        assert_eq!(store.usage().list(by, Some(&only), at(0), at(5_000)).await.unwrap(), []);
        assert_eq!(store.usage().list(by, Some(&only), at(5_000), at(5_001)).await.unwrap().len(), 1);
    }

    async fn usage_of_claude_is_summed_by_its_owner(world) {
        let store = &world.store;
        let sealed = plan("demo");
        store.plans().put(&sealed).await.unwrap();
        for (run, repo, workflow, cost) in [
            ("r1", Some("acme/app"), "CI", 1),
            ("r2", Some("acme/app"), "Nightly", 10),
            ("r3", Some("acme/web"), "CI", 100),
            ("r4", Some("other/web"), "CI", 0),
            ("r5", None, "CI", 1_000),
        ] {
            let mut new = new_run(run, sealed.hash);
            new.repo = repo.map(str::to_owned);
            new.workflow = workflow.to_owned();
            let first = commit(&new.id, 0, RunStatus::Running);
            store.runs().create(new, first).await.unwrap().unwrap();
            let scope = SpendScope {
                name: run.to_owned(),
                life: SpendLife::Run(RunId::new(run)),
                unit: SpendUnit::Money,
                limit: None,
            };
            let call = |id: &str| NewCall {
                id: format!("{run} {id}"),
                run: RunId::new(run),
                step: "a".into(),
                attempt: plue_plan::AttemptId::new("a1"),
                model: "m".to_owned(),
                amount: cost,
                tokens: 0,
                scopes: vec![scope.clone()],
                at: at(1),
            };
            if cost > 0 {
                store.claude().reserve_call(call("c1")).await.unwrap();
                store.claude().reserve_call(call("c2")).await.unwrap();
            }
        }
        let of = async |by| {
            let rows = store.usage().list(by, None, at(0), at(10_000)).await.unwrap();
            let row = |row: UsageRow| {
                let spend = row.claude.unwrap_or_default();
                (row.owner, row.workflow, row.runs, spend.calls, spend.cost)
            };
            rows.into_iter().map(row).collect::<Vec<_>>()
        };
        let own = |text: &str| Some(text.to_owned());
        assert_eq!(
            of(UsageBy::Repository).await,
            [
                (None, None, 1, 2, 2_000),
                (own("acme/app"), None, 2, 4, 22),
                (own("acme/web"), None, 1, 2, 200),
                (own("other/web"), None, 1, 0, 0),
            ]
        );
        assert_eq!(
            of(UsageBy::Workflow).await,
            [
                (None, own("CI"), 1, 2, 2_000),
                (own("acme/app"), own("CI"), 1, 2, 2),
                (own("acme/app"), own("Nightly"), 1, 2, 20),
                (own("acme/web"), own("CI"), 1, 2, 200),
                (own("other/web"), own("CI"), 1, 0, 0),
            ]
        );
        assert_eq!(
            of(UsageBy::Organisation).await,
            [
                (None, None, 1, 2, 2_000),
                (own("acme"), None, 3, 6, 222),
                (own("other"), None, 1, 0, 0),
            ]
        );
        let mine = ["acme/web".to_owned()];
        let rows = store.usage().list(UsageBy::Organisation, Some(&mine), at(0), at(10_000)).await.unwrap();
        let spend = Spend { calls: 2, cost: 200, ..Spend::default() };
        assert_eq!((rows.len(), rows[0].claude), (1, Some(spend)));
    }

    async fn queues_count_what_nobody_and_what_somebody_has(world) {
        world.queued("r1", "a1").await;
        world.started("r2", "a2").await;
        let queues = world.store.usage().queues().await.unwrap();
        assert_eq!(queues, [QueueRow { pool: "local".to_owned(), queued: 1, held: 1 }]);
    }

    async fn runs_that_wait_are_those_with_a_step_that_waits(world) {
        let store = &world.store;
        for (run, status) in [("w1", StepStatus::Waiting), ("w2", StepStatus::Running), ("w3", StepStatus::Waiting)] {
            let id = world.created(run).await;
            let mut waits = commit(&id, 1, RunStatus::Running);
            waits.facts.push(plue_flow::Fact::RunStarted);
            waits.steps.push(step_view(status));
            store.runs().commit(waits).await.unwrap().unwrap();
        }
        let ids = |runs: Vec<RunId>| -> Vec<String> {
            runs.iter().map(ToString::to_string).collect()
        };
        assert_eq!(ids(store.usage().waiting_runs(None, None, 9).await.unwrap()), ["w1", "w3"]);
        assert_eq!(ids(store.usage().waiting_runs(None, Some(&RunId::new("w1")), 9).await.unwrap()), ["w3"]);
        assert_eq!(ids(store.usage().waiting_runs(None, None, 1).await.unwrap()), ["w1"]);
        assert!(store.usage().waiting_runs(Some(&["no/where".to_owned()]), None, 9).await.unwrap().is_empty());
    }
}
