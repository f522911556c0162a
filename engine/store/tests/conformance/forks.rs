//! Commits of strangers that wait for a maintainer.

use jiff::Timestamp;
use plue_store::{
    DeliveryRow, DeliveryState, Received, RepoRow, Store,
    delivery::{InHand, Settlement},
};
use serde_json::json;

use crate::support::engine;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn repo() -> RepoRow {
    RepoRow {
        name: "a/b".to_owned(),
        forge: "github".to_owned(),
        url: "https://github.com/a/b".to_owned(),
        hook: "h".to_owned(),
        default_branch: "main".to_owned(),
        added_by: "ann".to_owned(),
        added_at: at(1),
    }
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

/// Settles a delivery of a commit that nobody allowed when it was looked at.
async fn held(store: &Store, delivery: impl Into<InHand<'_>>, sha: &str) -> bool {
    let held = Settlement::new(DeliveryState::Done, "held".to_owned());
    let note = (&held, false);
    store.untrusted().settle_held(delivery, ("a/b", sha), note, at(2)).await.unwrap()
}

on_each_store! {
    async fn a_held_commit_is_taken_in_again_once_it_is_allowed_and_only_that_one(world) {
        let store = &world.store;
        store.repos().add(&repo()).await.unwrap();
        store.engines().start(engine("e1", 1, at(1))).await.unwrap();
        for (id, sha) in [("d1", "s1"), ("d2", "s2")] {
            store.deliveries().receive(delivery(id)).await.unwrap();
            let claimed = store.delivery_queues().claim("h", Some("e1"), at(99)).await.unwrap().unwrap();
            assert_eq!(store.untrusted().allow("a/b", sha, "ann", at(3)).await.unwrap(), 0, "too early");
            assert!(held(store, &claimed, sha).await);
        }
        assert_eq!(store.untrusted().allowed_by("a/b", "s1").await.unwrap(), None);
        assert_eq!(store.untrusted().allow("a/b", "elsewhere", "ann", at(3)).await.unwrap(), 0);
        assert_eq!(store.untrusted().allow("a/b", "s1", "ann", at(3)).await.unwrap(), 1);
        let again = store.delivery_queues().claim("h", Some("e1"), at(99)).await.unwrap().unwrap();
        assert_eq!(again.row.id, "d1");
        assert_eq!(store.untrusted().allowed_by("a/b", "s1").await.unwrap().as_deref(), Some("ann"));
        assert_eq!(store.untrusted().allowed_by("a/b", "s2").await.unwrap(), None);
        assert_eq!(store.untrusted().allowed_by("a/b", "elsewhere").await.unwrap(), None);
        // What is older than is kept goes; what somebody has just taken up or may still allow stays.
        store.deliveries().settle_one(&again, DeliveryState::Done, "").await.unwrap();
        store.retention().prune(at(2)).await.unwrap();
        let there = |id: &'static str| async move {
            store.deliveries().get("github", "h", id).await.unwrap().is_some()
        };
        assert_eq!((there("d1").await, there("d2").await), (false, true));
        // Nothing is held any more.
        assert_eq!(store.untrusted().allow("a/b", "s1", "eve", at(4)).await.unwrap(), 0);
        assert!(store.repos().remove("a/b", &[]).await.unwrap());
    }

    async fn a_delivery_that_is_worked_on_while_its_commit_is_allowed_does_not_stay_held(world) {
        let store = &world.store;
        store.repos().add(&repo()).await.unwrap();
        for id in ["d1", "d2"] {
            store.deliveries().receive(delivery(id)).await.unwrap();
        }
        assert!(held(store, &delivery("d1"), "s1").await);
        // Somebody works on the second one, and has seen that nobody allows the commit.
        assert_eq!(store.untrusted().allowed_by("a/b", "s1").await.unwrap(), None);
        assert_eq!(store.untrusted().allow("a/b", "s1", "ann", at(3)).await.unwrap(), 1);
        assert!(!held(store, &delivery("d2"), "s1").await, "it is to be looked at again");
        let state = store.deliveries().get("github", "h", "d2").await.unwrap().unwrap().state;
        assert_eq!(state, DeliveryState::New);
        // Who knows that it is allowed may hold it for another reason.
        let no_pool = Settlement::new(DeliveryState::Done, "no pool".to_owned());
        let knew = (&no_pool, true);
        assert!(store.untrusted().settle_held(&delivery("d2"), ("a/b", "s1"), knew, at(5)).await.unwrap());
        assert_eq!(store.untrusted().allow("a/b", "s1", "ann", at(6)).await.unwrap(), 1);
    }

    async fn a_held_delivery_that_came_again_stays_with_the_engine_that_works_on_it(world) {
        let store = &world.store;
        store.repos().add(&repo()).await.unwrap();
        for name in ["e1", "e2"] {
            store.engines().start(engine(name, 1, at(1))).await.unwrap();
        }
        store.deliveries().receive(delivery("d1")).await.unwrap();
        let claim = async |engine| store.delivery_queues().claim("h", Some(engine), at(99)).await.unwrap();
        let first = claim("e1").await.unwrap();
        let refused = Settlement::new(DeliveryState::Ignored, "held".to_owned());
        assert!(store.untrusted().settle_held(&first, ("a/b", "s1"), (&refused, false), at(2)).await.unwrap());
        let again = store.deliveries().receive_signed(delivery("d1"), None).await.unwrap();
        assert_eq!(again, Received::Again);
        let second = claim("e1").await.unwrap();
        assert_eq!(store.untrusted().allow("a/b", "s1", "ann", at(3)).await.unwrap(), 1);
        assert_eq!(claim("e2").await, None, "it is in hand");
        assert!(!held(store, &second, "s1").await, "it is looked at once more");
    }

    async fn who_allows_and_who_holds_at_once_leave_nothing_held(world) {
        let store = &world.store;
        store.repos().add(&repo()).await.unwrap();
        for round in 0..40 {
            let (first, second, sha) =
                (format!("a{round}"), format!("b{round}"), format!("s{round}"));
            for id in [&first, &second] {
                store.deliveries().receive(delivery(id)).await.unwrap();
            }
            assert!(held(store, &delivery(&first), &sha).await);
            let second_row = delivery(&second);
            let (allowed, was_held) =
                tokio::join!(store.untrusted().allow("a/b", &sha, "ann", at(3)), held(store, &second_row, &sha));
            assert_eq!(allowed.unwrap(), 1 + u64::from(was_held));
            for id in [&first, &second] {
                let row = store.deliveries().get("github", "h", id).await.unwrap().unwrap();
                assert_eq!(row.state, DeliveryState::New, "{id}");
            }
        }
    }
}
