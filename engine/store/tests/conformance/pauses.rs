//! Pauses of workflows, what deliveries did for each workflow, and what runs wait for.

use jiff::{SignedDuration, Timestamp};
use plue_plan::RunId;
use plue_store::{
    DeliveryRow, DeliveryState, Obstacle, ObstacleKind, RepoRow, Store,
    delivery::{Dispatch, DispatchResult, Dispatches, Settlement},
    repo::pause::{PauseRow, PauseScope},
};
use serde_json::json;

use crate::support::at;

async fn with_repo(store: &Store) {
    let repo = RepoRow {
        name: "a/b".to_owned(),
        forge: "github".to_owned(),
        url: "https://github.com/a/b".to_owned(),
        hook: "h".to_owned(),
        default_branch: "main".to_owned(),
        added_by: "ann".to_owned(),
        added_at: at(1),
    };
    store.repos().add(&repo).await.unwrap();
}

fn pause(scope: PauseScope, by: &str, paused_at: Timestamp) -> PauseRow {
    PauseRow {
        repo: "a/b".to_owned(),
        workflow: "CI".to_owned(),
        scope,
        paused_by: by.to_owned(),
        paused_at,
        reason: Some("flaky".to_owned()),
        resumed_at: None,
    }
}

on_each_store! {
    async fn pauses_hold_until_they_are_resumed(world) {
        let store = &world.store;
        with_repo(store).await;
        let workflow = PauseScope::Workflow;
        assert!(!store.pauses().remove("a/b", "CI", workflow, at(2)).await.unwrap());
        assert!(store.pauses().add(pause(workflow, "ann", at(3))).await.unwrap());
        assert!(!store.pauses().add(pause(workflow, "bob", at(4))).await.unwrap(), "it is paused");
        assert!(store.pauses().add(pause(PauseScope::Schedule, "bob", at(4))).await.unwrap());
        let expected = [pause(PauseScope::Schedule, "bob", at(4)), pause(workflow, "ann", at(3))];
        assert_eq!(store.pauses().list(None).await.unwrap(), expected);
        assert_eq!(store.pauses().list(Some(&["other".to_owned()])).await.unwrap(), []);
        assert!(store.pauses().remove("a/b", "CI", workflow, at(5)).await.unwrap());
        let ended = store.pauses().list(Some(&["a/b".to_owned()])).await.unwrap().remove(1);
        assert_eq!((ended.resumed_at, ended.is_paused()), (Some(at(5)), false));
        assert!(store.pauses().add(pause(workflow, "bob", at(6))).await.unwrap());
        assert_eq!(store.pauses().list(None).await.unwrap()[1], pause(workflow, "bob", at(6)));
        assert!(store.repos().remove("a/b", &[]).await.unwrap());
        assert_eq!(store.pauses().list(None).await.unwrap(), []);
    }

    async fn of_two_pauses_at_once_one_counts(world) {
        let (store, another) = (&world.store, world.another().await);
        with_repo(store).await;
        for round in 0..20 {
            let row = |by| pause(PauseScope::Workflow, by, at(round));
            let (one, other) = tokio::join!(store.pauses().add(row("ann")), another.pauses().add(row("bob")));
            assert!(one.unwrap() ^ other.unwrap());
            assert!(store.pauses().remove("a/b", "CI", PauseScope::Workflow, at(round)).await.unwrap());
        }
    }

    async fn dispatches_are_kept_until_a_retry(world) {
        let store = &world.store;
        with_repo(store).await;
        let delivery = DeliveryRow {
            forge: "github".to_owned(),
            hook: "h".to_owned(),
            id: "d1".to_owned(),
            headers: json!({}),
            body: b"{}".to_vec(),
            received_at: at(1),
            state: DeliveryState::New,
            note: None,
        };
        store.deliveries().receive(delivery.clone()).await.unwrap();
        let dispatches = Dispatches {
            workflows: vec![Dispatch {
                workflow: "CI".to_owned(),
                file: ".plue.py".to_owned(),
                result: DispatchResult::Run,
                reason: None,
                run: Some(RunId::new("r1")),
            }],
            without_trigger: vec!["Nightly".to_owned()],
        };
        let settlement = Settlement {
            dispatches: Some(dispatches.clone()),
            ..Settlement::new(DeliveryState::Failed, "CI: run r1".to_owned())
        };
        store.deliveries().settle(&delivery, &settlement).await.unwrap();
        let listed = store.deliveries().list("h", None, 9).await.unwrap().remove(0);
        assert_eq!((listed.state, listed.dispatches), (DeliveryState::Failed, Some(dispatches)));
        assert!(store.delivery_queues().retry("h", "d1").await.unwrap());
        assert_eq!(store.deliveries().list("h", None, 9).await.unwrap().remove(0).dispatches, None);
    }

    async fn obstacles_that_nobody_meets_are_over(world) {
        let (store, run) = (&world.store, RunId::new("r1"));
        world.started("r1", "a1").await;
        let now = plue_runtime::Clock::real().now();
        let obstacle = |kind, words: &str| Obstacle { kind, words: words.to_owned() };
        let (other, key) = (
            obstacle(ObstacleKind::Engine, "no folder"),
            obstacle(ObstacleKind::Secret, "no key"),
        );
        store.runs().put_obstacle(&run, &other, now).await.unwrap();
        store.runs().put_obstacle(&run, &key, now).await.unwrap();
        assert_eq!(store.runs().obstacle(&run).await.unwrap().as_ref(), Some(&key));
        let long_ago = now - SignedDuration::from_mins(2);
        store.runs().put_obstacle(&run, &key, long_ago).await.unwrap();
        assert_eq!(store.runs().obstacle(&run).await.unwrap(), None);
        let without = store.runs().steps_without_runner(&run).await.unwrap();
        assert!(without.is_empty(), "{without:?}");
        let statuses = store.runs().statuses(&[run.clone(), RunId::new("gone")]).await.unwrap();
        assert_eq!(statuses.len(), 1);
    }
}
