//! Sums and lists over runs: usage, queues, and runs that wait.

use plue_flow::{RunStatus, StepStatus};
use plue_plan::RunId;
use plue_store::{QueueRow, UsageRow};

use crate::support::{at, commit, new_run, plan, step_view, success};

on_each_store! {
    async fn usage_is_summed_by_repository_within_its_period(world) {
        let store = &world.store;
        let claim = world.started("r1", "a1").await;
        world.end(&RunId::new("r1"), 2, success(&claim, 2)).await.unwrap();
        let sealed = plan("demo");
        store.put_plan(&sealed).await.unwrap();
        let mut other = new_run("r2", sealed.hash);
        other.repo = Some("b/c".to_owned());
        other.created_at = at(5_000);
        let first = commit(&other.id, 0, RunStatus::Failed);
        store.create_run(other, first).await.unwrap().unwrap();
        let all = store.usage(None, at(0), at(10_000)).await.unwrap();
        let of = |repo: &str| all.iter().find(|row| row.repo.as_deref() == Some(repo)).unwrap();
        assert_eq!((of("b/c").runs, of("b/c").failed, of("b/c").attempts), (1, 1, 0));
        let mine = all.iter().find(|row| row.repo.as_deref() != Some("b/c")).unwrap();
        assert_eq!((mine.runs, mine.attempts), (1, 1));
        let one = store.usage(Some(&["b/c".to_owned()]), at(0), at(10_000)).await.unwrap();
        let wanted = UsageRow { repo: Some("b/c".to_owned()), runs: 1, failed: 1, ..UsageRow::default() };
        assert_eq!(one, [wanted]);
        assert_eq!(store.usage(Some(&["b/c".to_owned()]), at(0), at(5_000)).await.unwrap(), []);
        assert_eq!(store.usage(Some(&["b/c".to_owned()]), at(5_000), at(5_001)).await.unwrap().len(), 1);
    }

    async fn queues_count_what_nobody_and_what_somebody_has(world) {
        world.queued("r1", "a1").await;
        world.started("r2", "a2").await;
        let queues = world.store.queues().await.unwrap();
        assert_eq!(queues, [QueueRow { pool: "local".to_owned(), queued: 1, held: 1 }]);
    }

    async fn runs_that_wait_are_those_with_a_step_that_waits(world) {
        let store = &world.store;
        for (run, status) in [("w1", StepStatus::Waiting), ("w2", StepStatus::Running), ("w3", StepStatus::Waiting)] {
            let id = world.created(run).await;
            let mut waits = commit(&id, 1, RunStatus::Running);
            waits.facts.push(plue_flow::Fact::RunStarted);
            waits.steps.push(step_view(status));
            store.commit(waits).await.unwrap().unwrap();
        }
        let ids = |runs: Vec<RunId>| -> Vec<String> {
            runs.iter().map(ToString::to_string).collect()
        };
        assert_eq!(ids(store.runs_that_wait(None, None, 9).await.unwrap()), ["w1", "w3"]);
        assert_eq!(ids(store.runs_that_wait(None, Some(&RunId::new("w1")), 9).await.unwrap()), ["w3"]);
        assert_eq!(ids(store.runs_that_wait(None, None, 1).await.unwrap()), ["w1"]);
        assert!(store.runs_that_wait(Some(&["no/where".to_owned()]), None, 9).await.unwrap().is_empty());
    }
}
