//! Commits of strangers that wait for a maintainer.

use jiff::Timestamp;
use plue_store::{DeliveryRow, DeliveryState, RepoRow};
use serde_json::json;

use crate::support::engine;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn delivery(id: &str) -> DeliveryRow {
    DeliveryRow {
        forge: "github".to_owned(),
        hook: "h".to_owned(),
        id: id.to_owned(),
        headers: json!({}),
        body: b"{}".to_vec(),
        received_at: at(1),
        state: DeliveryState::New,
        note: None,
    }
}

on_each_store! {
    async fn a_held_commit_is_taken_in_again_once_it_is_allowed_and_only_that_one(world) {
        let store = &world.store;
        let repo = RepoRow {
            name: "a/b".to_owned(),
            forge: "github".to_owned(),
            url: "https://github.com/a/b".to_owned(),
            hook: "h".to_owned(),
            default_branch: "main".to_owned(),
            added_by: "ann".to_owned(),
            added_at: at(1),
        };
        store.repo_add(&repo).await.unwrap();
        store.engine_start(engine("e1", 1, at(1))).await.unwrap();
        for (id, sha) in [("d1", "s1"), ("d2", "s2")] {
            store.receive(delivery(id)).await.unwrap();
            assert_eq!(store.take_deliveries("e1", 9).await.unwrap().unwrap().len(), 1);
            store.hold("a/b", sha, &delivery(id), at(2)).await.unwrap();
            assert_eq!(store.allow("a/b", sha, "ann", at(3)).await.unwrap(), 0, "too early");
            store.settle_delivery(&delivery(id), DeliveryState::Done, "held").await.unwrap();
        }
        assert_eq!(store.allowed_by("a/b", "s1").await.unwrap(), None);
        assert_eq!(store.allow("a/b", "elsewhere", "ann", at(3)).await.unwrap(), 0);
        assert_eq!(store.allow("a/b", "s1", "ann", at(3)).await.unwrap(), 1);
        let again = store.take_deliveries("e1", 9).await.unwrap().unwrap();
        assert_eq!(again.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["d1"]);
        assert_eq!(store.allowed_by("a/b", "s1").await.unwrap().as_deref(), Some("ann"));
        assert_eq!(store.allowed_by("a/b", "s2").await.unwrap(), None);
        assert_eq!(store.allowed_by("a/b", "elsewhere").await.unwrap(), None);
        // What is older than is kept goes; what somebody has just taken up or may still allow stays.
        store.settle_delivery(&delivery("d1"), DeliveryState::Done, "").await.unwrap();
        store.prune(at(2)).await.unwrap();
        let there = |id: &'static str| async move {
            store.delivery("github", "h", id).await.unwrap().is_some()
        };
        assert_eq!((there("d1").await, there("d2").await), (false, true));
        // Nothing is held any more.
        assert_eq!(store.allow("a/b", "s1", "eve", at(4)).await.unwrap(), 0);
        assert!(store.repo_remove("a/b").await.unwrap());
    }
}
