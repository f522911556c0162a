//! Ids of watched repositories, and deliveries that are known by their bodies.

use jiff::SignedDuration;
use plue_store::{DeliveryRow, DeliveryState, Received, RepoRow, repo::identity::Recognised};
use serde_json::json;

use crate::support::at;

fn repo(name: &str) -> RepoRow {
    RepoRow {
        name: name.to_owned(),
        forge: "github".to_owned(),
        url: format!("https://github.com/{name}"),
        hook: format!("hook of {name}"),
        default_branch: "main".to_owned(),
        added_by: "ann".to_owned(),
        added_at: at(1),
    }
}

fn delivery(hook: &str, id: &str) -> DeliveryRow {
    DeliveryRow {
        forge: "github".to_owned(),
        hook: hook.to_owned(),
        id: id.to_owned(),
        headers: json!({}),
        body: b"{}".to_vec(),
        received_at: at(2),
        state: DeliveryState::New,
        note: None,
    }
}

fn digest() -> Option<String> {
    Some("d1".to_owned())
}

on_each_store! {
    async fn the_first_id_of_a_repository_counts(world) {
        let store = &world.store;
        store.repos().add(&repo("a/b")).await.unwrap();
        let see = async |id: &str, name: &str| store.repos().recognise("a/b", id, name, at(3)).await.unwrap();
        assert_eq!(see("1", "a/b").await, Recognised::First);
        assert_eq!(see("1", "a/renamed").await, Recognised::Same);
        assert_eq!(see("2", "a/b").await, Recognised::Other { known: "1".to_owned() });
        let known = store.repos().identity("a/b").await.unwrap().unwrap();
        assert_eq!((known.forge_id.as_str(), known.forge_name.as_str()), ("1", "a/renamed"));
        assert_eq!(known.other_id.as_deref(), Some("2"));
        assert!(!store.repos().confirm_identity("a/b", "3", at(4)).await.unwrap());
        assert!(store.repos().confirm_identity("a/b", "2", at(4)).await.unwrap());
        assert!(!store.repos().confirm_identity("a/b", "2", at(4)).await.unwrap());
        assert_eq!(see("2", "a/b").await, Recognised::Same);
        assert_eq!(see("1", "a/b").await, Recognised::Other { known: "2".to_owned() });
        assert!(store.repos().remove("a/b", &[]).await.unwrap());
        assert_eq!(store.repos().identities().await.unwrap(), []);
    }

    async fn repositories_are_found_by_id_and_by_name(world) {
        let store = &world.store;
        for name in ["a/b", "c/d"] {
            store.repos().add(&repo(name)).await.unwrap();
        }
        store.repos().recognise("a/b", "7", "a/b", at(3)).await.unwrap();
        let known = async |id: Option<&str>, name: &str| {
            let found = store.repos().known_as("github", id, name).await.unwrap();
            found.into_iter().map(|repo| repo.name).collect::<Vec<_>>()
        };
        assert_eq!(known(Some("7"), "x/y").await, ["a/b"]);
        assert_eq!(known(None, "C/D").await, ["c/d"]);
        assert_eq!(known(Some("7"), "c/d").await, ["a/b", "c/d"]);
        assert_eq!(known(None, "x/y").await, [""; 0]);
        assert_eq!(store.repos().known_as("gitea", Some("7"), "a/b").await.unwrap(), []);
    }

    async fn one_body_is_one_delivery_under_any_id(world) {
        let store = &world.store;
        let receive = async |id: &str| {
            store.deliveries().receive_signed(delivery("h", id), digest()).await.unwrap()
        };
        assert_eq!(receive("one").await, Received::New);
        assert_eq!(receive("one").await, Received::Known);
        assert_eq!(receive("two").await, Received::Known);
        assert_eq!(store.deliveries().get("github", "h", "two").await.unwrap(), None);
        let other = store.deliveries().receive_signed(delivery("elsewhere", "one"), digest()).await.unwrap();
        assert_eq!(other, Received::New, "each hook has its own");
        // Nothing came of it: sent again, it is worked on again.
        let first = delivery("h", "one");
        store.deliveries().settle_one(&first, DeliveryState::Ignored, "no").await.unwrap();
        assert_eq!(receive("three").await, Received::Again);
        let again = store.deliveries().get("github", "h", "one").await.unwrap().unwrap();
        assert_eq!((again.state, again.note), (DeliveryState::New, None));
        store.deliveries().settle_one(&first, DeliveryState::Done, "run r").await.unwrap();
        assert_eq!(receive("four").await, Received::Known);
        // The digest outlives the delivery by a year.
        store.retention().prune(at(3)).await.unwrap();
        assert_eq!(store.deliveries().get("github", "h", "one").await.unwrap(), None);
        assert_eq!(receive("five").await, Received::Known);
        let later = at(3).checked_add(SignedDuration::from_hours(366 * 24)).unwrap();
        store.retention().prune(later).await.unwrap();
        assert_eq!(receive("six").await, Received::New);
    }

    async fn deliveries_without_digests_are_known_by_id(world) {
        let store = &world.store;
        let receive =
            async |id: &str| store.deliveries().receive_signed(delivery("h", id), None).await.unwrap();
        assert_eq!(receive("one").await, Received::New);
        assert_eq!(receive("one").await, Received::Known);
        assert_eq!(receive("two").await, Received::New);
    }

    async fn a_routed_delivery_counts_at_the_other_hook_too(world) {
        let store = &world.store;
        let routed = delivery("org", "one");
        store.deliveries().receive_signed(routed.clone(), digest()).await.unwrap();
        assert!(store.deliveries().route(&routed, "own", digest()).await.unwrap());
        assert!(store.deliveries().route(&routed, "own", digest()).await.unwrap(), "again");
        let same = store.deliveries().receive_signed(delivery("own", "two"), digest()).await.unwrap();
        assert_eq!(same, Received::Known);
        let listed = store.deliveries().list("own", None, 9).await.unwrap();
        assert_eq!(listed.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["one"]);
        // The other way round: its own hook was first.
        let digest = || Some("d2".to_owned());
        let late = delivery("org", "three");
        store.deliveries().receive_signed(delivery("own", "first"), digest()).await.unwrap();
        store.deliveries().receive_signed(late.clone(), digest()).await.unwrap();
        assert!(!store.deliveries().route(&late, "own", digest()).await.unwrap());
    }

    async fn of_many_that_send_one_body_at_once_one_is_new(world) {
        let stores = [world.store.clone(), world.another().await];
        let sent = (0..20).map(|n| {
            stores[n % 2].deliveries().receive_signed(delivery("h", &format!("d{n}")), digest())
        });
        let sent = futures::future::join_all(sent).await;
        let new = sent.into_iter().filter(|one| *one.as_ref().unwrap() == Received::New).count();
        assert_eq!(new, 1);
    }
}
