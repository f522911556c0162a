//! Logins and sessions of people.

use plue_store::{LoginRow, PersonSession, RunFilter, SavedView};
use serde_json::json;

use crate::support::at;

fn login(state: &str, end: i64) -> LoginRow {
    LoginRow {
        state_hash: state.to_owned(),
        browser_hash: "browser".to_owned(),
        return_to: Some("/runs/1".to_owned()),
        expires_at: at(end),
    }
}

on_each_store! {
    async fn a_login_is_taken_once_by_its_own_browser_and_in_time(world) {
        let store = &world.store;
        for (state, end) in [("a", 20), ("b", 30), ("c", 40)] {
            store.sessions().begin_login(&login(state, end), at(10)).await.unwrap();
        }
        assert!(store.sessions().begin_login(&login("a", 20), at(10)).await.is_err(), "a state is one login's");
        assert_eq!(store.sessions().take_login("a", "other", at(11)).await.unwrap(), None);
        assert_eq!(store.sessions().take_login("x", "browser", at(11)).await.unwrap(), None);
        let taken = store.sessions().take_login("a", "browser", at(11)).await.unwrap();
        assert_eq!(taken, Some(login("a", 20)), "who came with a wrong cookie took nothing away");
        assert_eq!(store.sessions().take_login("a", "browser", at(11)).await.unwrap(), None);
        assert_eq!(store.sessions().take_login("b", "browser", at(30)).await.unwrap(), None, "too late");
        store.sessions().begin_login(&login("d", 90), at(50)).await.unwrap();
        assert_eq!(store.sessions().take_login("c", "browser", at(11)).await.unwrap(), None, "forgotten");
    }

    async fn of_many_who_come_with_a_state_at_once_one_gets_it(world) {
        let store = &world.store;
        store.sessions().begin_login(&login("a", 20), at(10)).await.unwrap();
        let tries = (0..8).map(|_| store.sessions().take_login("a", "browser", at(11)));
        let got = futures::future::join_all(tries).await;
        let won = got.into_iter().filter(|one| matches!(one, Ok(Some(_)))).count();
        assert_eq!(won, 1);
    }

    async fn the_session_of_a_person_ends_in_time_or_when_he_says_so(world) {
        let store = &world.store;
        let session = |hash: &str, end: i64| PersonSession {
            hash: hash.to_owned(),
            issuer: "https://id.example".to_owned(),
            subject: "1".to_owned(),
            name: "ada".to_owned(),
            claims: json!({"groups": ["dev"]}),
            created_at: at(10),
            expires_at: at(end),
        };
        for (hash, end) in [("a", 20), ("b", 90)] {
            store.sessions().create_for_person(&session(hash, end)).await.unwrap();
        }
        assert_eq!(store.sessions().of_person("a", at(19)).await.unwrap(), Some(session("a", 20)));
        assert_eq!(store.sessions().of_person("a", at(20)).await.unwrap(), None);
        store.sessions().remove("b").await.unwrap();
        assert_eq!(store.sessions().of_person("b", at(11)).await.unwrap(), None);
    }

    async fn saved_views_belong_to_one_principal(world) {
        let view = |principal: &str, name: &str, query: &str| SavedView {
            principal: principal.to_owned(),
            name: name.to_owned(),
            query: query.to_owned(),
            created_at: at(10),
        };
        let views = || world.store.saved_views();
        for row in [view("token:ada", "b", "q=1"), view("token:ada", "a", "q=2"), view("token:bob", "a", "q=3")] {
            assert!(views().save(row, 2).await.unwrap());
        }
        let third = view("token:ada", "c", "q=4");
        assert!(!views().save(third.clone(), 2).await.unwrap(), "two are the most");
        let newer = view("token:ada", "a", "q=5");
        assert!(views().save(newer.clone(), 2).await.unwrap(), "a view may be replaced");
        assert_eq!(views().list("token:ada").await.unwrap(), [newer, view("token:ada", "b", "q=1")]);
        views().remove("token:ada", "b").await.unwrap();
        views().remove("token:ada", "none").await.unwrap();
        assert!(views().save(third, 2).await.unwrap());
        assert_eq!(views().list("token:bob").await.unwrap(), [view("token:bob", "a", "q=3")]);
    }

    async fn who_may_see_no_repository_sees_no_run_and_not_all_of_them(world) {
        let store = &world.store;
        let none = RunFilter { repos: Some(Vec::new()), ..RunFilter::default() };
        assert_eq!(store.runs().list(&none).await.unwrap(), []);
        assert_eq!(store.repos().registered(Some(&[])).await.unwrap(), []);
        assert_eq!(store.usage().list(plue_store::UsageBy::Repository, Some(&[]), at(0), at(99)).await.unwrap(), []);
        assert!(store.usage().waiting_runs(Some(&[]), None, 9).await.unwrap().is_empty());
    }
}
