//! What forges are to be told.

use jiff::Timestamp;
use plue_store::{ForgeReporterRow, RepoRow, ReportKey, SettledReport, Store};
use serde_json::json;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn key(sha: &str, pull_request: u64) -> ReportKey {
    ReportKey { repo: "a/b".to_owned(), sha: sha.to_owned(), pull_request }
}

async fn watched(store: &Store) {
    watched_as(store, "a/b").await;
}

/// A watched repository of this name.
pub(crate) async fn watched_as(store: &Store, name: &str) {
    let repo = RepoRow {
        name: name.to_owned(),
        forge: "gitea".to_owned(),
        url: "https://forge.example/a/b".to_owned(),
        hook: format!("hook of {name}"),
        default_branch: "main".to_owned(),
        added_by: "ann".to_owned(),
        added_at: at(1),
    };
    store.repos().add(&repo).await.unwrap();
}

on_each_store! {
    async fn where_a_forge_is_told_is_kept_and_goes_with_the_repository(world) {
        let store = &world.store;
        watched(store).await;
        let outlet = ForgeReporterRow {
            repo: "a/b".to_owned(),
            api: "https://forge.example/api/v1".to_owned(),
            allow_http: true,
            form: "status".to_owned(),
        };
        store.reports().set_forge_reporter("a/b", Some(&outlet)).await.unwrap();
        let moved = ForgeReporterRow { allow_http: false, form: "check".to_owned(), ..outlet };
        store.reports().set_forge_reporter("a/b", Some(&moved)).await.unwrap();
        assert_eq!(store.reports().forge_reporter("a/b").await.unwrap(), Some(moved));
        store.reports().put(&key("1", 0), &json!(1), at(5)).await.unwrap();
        assert!(store.repos().remove("a/b", &[]).await.unwrap());
        assert_eq!(store.reports().forge_reporter("a/b").await.unwrap(), None);
        assert_eq!(store.reports().get(&key("1", 0)).await.unwrap(), None);
    }

    async fn a_report_is_claimed_by_one_and_settled_by_the_same(world) {
        let store = &world.store;
        watched(store).await;
        store.reports().put(&key("1", 7), &json!({"n": 1}), at(5)).await.unwrap();
        assert!(store.reports().due(at(4), 9).await.unwrap().is_empty());
        let row = store.reports().due(at(5), 9).await.unwrap().remove(0);
        assert_eq!((&row.content, &row.told), (&json!({"n": 1}), &json!({})));
        let (one, two) =
            tokio::join!(store.reports().claim(&row, at(60)), store.reports().claim(&row, at(60)));
        assert!(one.unwrap() ^ two.unwrap());
        assert!(store.reports().due(at(59), 9).await.unwrap().is_empty());
        // Its claim ends by itself.
        assert_eq!(store.reports().due(at(60), 9).await.unwrap().len(), 1);
        let told = SettledReport { told: json!({"said": true}), next_at: at(6), done: true };
        assert!(store.reports().settle(&row, &told).await.unwrap());
        assert!(!store.reports().settle(&row, &told).await.unwrap());
        assert!(store.reports().due(at(99), 9).await.unwrap().is_empty());
        assert_eq!(store.reports().get(&key("1", 7)).await.unwrap().unwrap().told, json!({"said": true}));
    }

    async fn a_report_that_became_another_is_looked_at_again(world) {
        let store = &world.store;
        watched(store).await;
        store.reports().put(&key("1", 7), &json!(1), at(5)).await.unwrap();
        let row = store.reports().due(at(5), 9).await.unwrap().remove(0);
        assert!(store.reports().claim(&row, at(60)).await.unwrap());
        store.reports().put(&key("1", 7), &json!(2), at(8)).await.unwrap();
        let told = SettledReport { told: json!(1), next_at: at(6), done: true };
        assert!(!store.reports().settle(&row, &told).await.unwrap());
        assert_eq!(store.reports().due(at(8), 9).await.unwrap()[0].content, json!(2));
        store.reports().put(&key("2", 7), &json!(3), at(9)).await.unwrap();
        let newest = store.reports().newest("a/b", 7).await.unwrap().unwrap();
        assert_eq!(newest.key.sha, "2");
    }
}
