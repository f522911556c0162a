//! Watched repositories, what is registered of them, and ticks of schedules.

use jiff::Timestamp;
use plue_plan::Trigger;
use plue_store::{RegisteredRow, RepoRow, Tick};
use serde_json::json;

use crate::support::plan;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn repo(name: &str) -> RepoRow {
    RepoRow {
        name: name.to_owned(),
        forge: "local".to_owned(),
        url: "/srv/git/app.git".to_owned(),
        hook: format!("hook-of-{name}"),
        default_branch: "main".to_owned(),
        added_by: "ann".to_owned(),
        added_at: at(1),
    }
}

fn registered(repo: &str, workflow: &str, sha: &str) -> RegisteredRow {
    let trigger: Trigger =
        serde_json::from_value(json!({"on": "push", "branches": ["main"]})).unwrap();
    RegisteredRow {
        repo: repo.to_owned(),
        file: "ci.plue.py".to_owned(),
        workflow: workflow.to_owned(),
        sha: sha.to_owned(),
        plan: plan(workflow).hash,
        triggers: vec![trigger],
    }
}

on_each_store! {
    async fn a_repository_is_found_by_name_and_by_hook_and_keeps_its_hook(world) {
        let store = &world.store;
        store.repos().add(&repo("a/b")).await.unwrap();
        let moved = RepoRow { url: "/elsewhere".to_owned(), hook: "new".to_owned(), ..repo("a/b") };
        store.repos().add(&moved).await.unwrap();
        let found = store.repos().by_hook("hook-of-a/b").await.unwrap().unwrap();
        assert_eq!((found.name.as_str(), found.url.as_str()), ("a/b", "/elsewhere"));
        assert_eq!(store.repos().by_hook("new").await.unwrap(), None);
        assert!(store.repos().remove("a/b", &[]).await.unwrap());
        assert!(!store.repos().remove("a/b", &[]).await.unwrap());
        assert_eq!(store.repos().list().await.unwrap(), []);
    }

    async fn of_two_commits_that_are_registered_at_once_the_plans_of_one_are_left(world) {
        let (here, there) = (&world.store, world.another().await);
        here.repos().add(&repo("a/b")).await.unwrap();
        for round in 0..20 {
            let (one, two) = (format!("{round}-1"), format!("{round}-2"));
            let first = vec![registered("a/b", "ci", &one), registered("a/b", "cd", &one)];
            let second = vec![registered("a/b", "ci", &two), registered("a/b", "docs", &two)];
            let (one, two) = tokio::join!(
                here.repos().register_plans("a/b", first, at(2)),
                there.repos().register_plans("a/b", second, at(2)),
            );
            one.and(two).unwrap();
            let left = here.repos().registered(None).await.unwrap();
            assert_eq!(left.len(), 2, "{left:?}");
            assert_eq!(left[0].sha, left[1].sha);
        }
    }

    async fn row_1_09_the_plans_of_a_commit_replace_those_of_the_one_before(world) {
        let store = &world.store;
        store.repos().add(&repo("a/b")).await.unwrap();
        store.repos().add(&repo("c/d")).await.unwrap();
        let first = vec![registered("a/b", "ci", "1"), registered("a/b", "cd", "1")];
        store.repos().register_plans("a/b", first, at(2)).await.unwrap();
        let other = vec![registered("c/d", "ci", "9")];
        store.repos().register_plans("c/d", other.clone(), at(2)).await.unwrap();
        let second = vec![registered("a/b", "ci", "2")];
        store.repos().register_plans("a/b", second.clone(), at(3)).await.unwrap();
        assert_eq!(store.repos().registered(Some(&["a/b".to_owned()])).await.unwrap(), second);
        assert_eq!(store.repos().registered(None).await.unwrap(), [second, other].concat());
        // Two plans of one name in one file: nothing of it is registered.
        let broken = vec![registered("a/b", "x", "3"), registered("a/b", "x", "3")];
        assert!(store.repos().register_plans("a/b", broken, at(4)).await.is_err());
        assert_eq!(store.repos().registered(Some(&["a/b".to_owned()])).await.unwrap()[0].sha, "2");
    }

    async fn of_three_engines_one_takes_a_tick(world) {
        world.store.repos().add(&repo("a/b")).await.unwrap();
        let stores = [world.store.clone(), world.another().await, world.another().await];
        let tick = |due| Tick {
            repo: "a/b".to_owned(),
            file: "ci.plue.py".to_owned(),
            workflow: "ci".to_owned(),
            cron: "0 3 * * *".to_owned(),
            tz: "UTC".to_owned(),
            due_at: at(due),
        };
        for due in [100, 200] {
            let tries = stores.iter().map(|store| store.repos().take_tick(tick(due), at(due + 1)));
            let taken = futures::future::join_all(tries).await;
            assert_eq!(taken.into_iter().filter(|taken| *taken.as_ref().unwrap()).count(), 1);
        }
        assert_eq!(world.store.repos().last_tick(&tick(0)).await.unwrap(), Some(at(200)));
        let other = Tick { tz: "Europe/Berlin".to_owned(), ..tick(0) };
        assert_eq!(world.store.repos().last_tick(&other).await.unwrap(), None);
        // Old ones go, except the one that says from when on ticks are due.
        world.store.retention().prune(at(900)).await.unwrap();
        assert_eq!(world.store.repos().last_tick(&tick(0)).await.unwrap(), Some(at(200)));
        assert_eq!(world.sql("SELECT count(*) FROM tick").trim(), "1");
    }
}
