//! Several engines: who drives which run, and that whoever lost a run writes nothing to it.

use std::{collections::BTreeMap, time::Duration};

use plue_flow::{Fact, RunStatus};
use plue_plan::{RunId, RunnerId};
use plue_store::{Drive, DriveRequest, Refused, Store};

use crate::support::{World, at, commit, engine};

fn request(engine: &str, max: usize) -> DriveRequest {
    DriveRequest { engine: engine.to_owned(), max, per_repo: None }
}

async fn engines(store: &Store, names: &[&str]) {
    for name in names {
        store.engine_start(engine(name, 1, at(0))).await.unwrap();
    }
}

/// One fact more, by whoever has this right.
async fn write(world: &World, drive: &Drive, expect: u64) -> Result<u64, Refused> {
    let mut commit = commit(&drive.run, expect, RunStatus::Running);
    commit.facts.push(Fact::RunStarted);
    commit.drive = Some(drive.fence);
    world.store.commit(commit).await.unwrap().map(|committed| committed.seq)
}

/// Runs `r00`… of a repository.
async fn runs_of(world: &World, repo: &str, names: &[&str]) {
    for name in names {
        let (mut new, first) = world.new_run(name).await;
        new.repo = Some(repo.to_owned());
        world.store.create_run(new, first).await.unwrap().unwrap();
    }
}

async fn taken(store: &Store, request: DriveRequest) -> Vec<String> {
    let taken = store.take_drives(request).await.unwrap().unwrap();
    taken.into_iter().map(|(run, _)| run.id.to_string()).collect()
}

on_each_store! {
    async fn a_run_is_driven_by_one_engine_until_it_gives_it_back(world) {
        engines(&world.store, &["e1", "e2"]).await;
        let run = world.created("r1").await;
        let first = world.store.take_drive(&run, "e1").await.unwrap().unwrap();
        assert_eq!(world.store.take_drive(&run, "e2").await.unwrap(), None);
        assert_eq!(world.store.driver_of(&run).await.unwrap().as_deref(), Some("e1"));
        assert_eq!(write(&world, &first, 1).await, Ok(2));
        world.store.release_drive(&first).await.unwrap();
        let second = world.store.take_drive(&run, "e2").await.unwrap().unwrap();
        assert!(second.fence > first.fence);
        assert!(world.store.holds_drive(&second).await.unwrap());
        assert!(!world.store.holds_drive(&first).await.unwrap());
    }

    async fn an_engine_that_lost_its_run_does_not_write_itself_down_as_the_holder_of_its_files(world) {
        engines(&world.store, &["e1", "e2"]).await;
        let run = world.created("r1").await;
        let holder = async || world.store.run_workspace(&run).await.unwrap().map(|row| row.holder);
        let first = world.store.take_drive(&run, "e1").await.unwrap().unwrap();
        assert!(world.store.hold_run_workspace(&first, "m1").await.unwrap());
        world.store.release_drive(&first).await.unwrap();
        assert!(!world.store.hold_run_workspace(&first, "m2").await.unwrap());
        let second = world.store.take_drive(&run, "e2").await.unwrap().unwrap();
        assert!(!world.store.hold_run_workspace(&first, "m2").await.unwrap());
        assert_eq!(holder().await.as_deref(), Some("m1"));
        assert!(world.store.hold_run_workspace(&second, "m3").await.unwrap());
        assert_eq!(holder().await.as_deref(), Some("m3"));
    }

    async fn nobody_gets_a_run_for_an_engine_that_is_not_there(world) {
        let run = world.created("r1").await;
        assert_eq!(world.store.take_drive(&run, "e1").await.unwrap(), None);
        engines(&world.store, &["e1"]).await;
        assert_eq!(world.store.take_drive(&RunId::new("r2"), "e1").await.unwrap(), None);
    }

    async fn failure_case_46_an_engine_that_was_buried_writes_nothing_any_more(world) {
        engines(&world.store, &["e1", "e2"]).await;
        let run = world.created("r1").await;
        let paused = world.store.take_drive(&run, "e1").await.unwrap().unwrap();
        let beats = world.store.engines().await.unwrap()[0].beats;
        assert!(world.store.engine_seen("e1", at(1)).await.unwrap());
        assert!(!world.store.bury_engine("e1", beats).await.unwrap(), "it lives");
        assert!(world.store.bury_engine("e1", beats + 1).await.unwrap());
        // Also before anybody else has the run.
        assert_eq!(write(&world, &paused, 1).await, Err(Refused::Superseded));
        let drive = world.store.take_drive(&run, "e2").await.unwrap().unwrap();
        assert_eq!(write(&world, &paused, 1).await, Err(Refused::Superseded));
        assert_eq!(write(&world, &drive, 1).await, Ok(2));
        world.store.release_drive(&paused).await.unwrap();
        assert!(world.store.holds_drive(&drive).await.unwrap(), "what is lost cannot be given back");
    }

    async fn failure_case_01_one_run_raced_by_many_engines_has_one_driver(world) {
        let (one, two) = (world.store.clone(), world.another().await);
        let names: Vec<String> = (0..8).map(|n| format!("e{n}")).collect();
        engines(&one, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
        for round in 0..100 {
            let run = world.created(&format!("r{round}")).await;
            let tries = names.iter().enumerate().map(|(n, name)| {
                let store = if n % 2 == 0 { &one } else { &two };
                store.take_drive(&run, name)
            });
            let won = futures::future::join_all(tries).await;
            let won = won.into_iter().filter(|drive| drive.as_ref().unwrap().is_some());
            assert_eq!(won.count(), 1, "round {round}");
        }
    }
}

#[tokio::test]
async fn failure_case_01_queued_runs_raced_by_three_engines_are_each_taken_once() {
    let world = World::postgres().await;
    engines(&world.store, &["e0", "e1", "e2"]).await;
    let names: Vec<String> = (0..60).map(|n| format!("r{n:02}")).collect();
    runs_of(&world, "a/b", &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let stores = [world.store.clone(), world.another().await, world.another().await];
    let takes = stores.iter().enumerate().map(|(n, store)| async move {
        let (mut mine, mut max) = (Vec::new(), 0);
        while mine.len() < 60 && max < 60 {
            max += 3;
            mine.extend(taken(store, request(&format!("e{n}"), max)).await);
        }
        mine
    });
    let mut all: Vec<String> =
        futures::future::join_all(takes).await.into_iter().flatten().collect();
    all.sort();
    assert_eq!(all, names);
}

#[tokio::test]
async fn repositories_are_served_in_turn_and_the_oldest_run_first() {
    let world = World::postgres().await;
    engines(&world.store, &["e1"]).await;
    runs_of(&world, "a/many", &["r01", "r02", "r03", "r04"]).await;
    runs_of(&world, "b/few", &["r05"]).await;
    runs_of(&world, "c/few", &["r06", "r07"]).await;
    assert_eq!(taken(&world.store, request("e1", 4)).await, ["r01", "r05", "r06", "r02"]);
    assert_eq!(taken(&world.store, request("e1", 4)).await, [] as [&str; 0], "no more at once");
    assert_eq!(
        taken(&world.store, request("e1", 5)).await,
        ["r07"],
        "one of c is driven, two of a"
    );
    assert!(world.store.has_undriven().await.unwrap());
}

#[tokio::test]
async fn of_one_repository_all_engines_together_drive_no_more_than_its_quota() {
    let world = World::postgres().await;
    let names: Vec<String> = (0..20).map(|n| format!("r{n:02}")).collect();
    runs_of(&world, "a/b", &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    runs_of(&world, "c/d", &["s1"]).await;
    let stores = [world.store.clone(), world.another().await, world.another().await];
    engines(&world.store, &["e0", "e1", "e2"]).await;
    let takes = stores.iter().enumerate().map(|(n, store)| {
        let request = DriveRequest { per_repo: Some(4), ..request(&format!("e{n}"), 16) };
        taken(store, request)
    });
    let all: Vec<String> = futures::future::join_all(takes).await.into_iter().flatten().collect();
    let mut per_repo = BTreeMap::new();
    for run in &all {
        *per_repo.entry(&run[..1]).or_insert(0) += 1;
    }
    assert_eq!(per_repo, BTreeMap::from([("r", 4), ("s", 1)]), "{all:?}");
}

#[tokio::test]
async fn failure_case_11_a_run_that_was_cancelled_while_it_was_queued_is_given_to_nobody() {
    let world = World::postgres().await;
    engines(&world.store, &["e1"]).await;
    let run = world.created("r1").await;
    world.store.commit(commit(&run, 1, RunStatus::Cancelled)).await.unwrap().unwrap();
    assert_eq!(taken(&world.store, request("e1", 4)).await, [] as [&str; 0]);
    assert!(!world.store.has_undriven().await.unwrap());
}

/// Whatever the old session of the other engine still asks for, the runner has one engine.
#[tokio::test]
async fn failure_case_02_of_two_engines_with_one_runner_the_older_session_gets_nothing() {
    let world = World::postgres().await;
    let other = world.another().await;
    for round in 0..20 {
        let name = format!("w{round}");
        let old = world.runner(&name, None).await;
        let runner = RunnerId::new(&name);
        let new = other.runner_hello(&runner, "hash", "boot", at(4)).await.unwrap();
        assert!(!world.store.runner_ready(&runner, old, at(5)).await.unwrap());
        assert!(other.runner_ready(&runner, new, at(5)).await.unwrap());
        world.queued(&format!("r{round}"), &format!("a{round}")).await;
        let (stale, fresh) = tokio::join!(
            world.store.claim(&runner, old, 1, at(10)),
            other.claim(&runner, new, 1, at(10))
        );
        assert_eq!((stale.unwrap().len(), fresh.unwrap().len()), (0, 1), "round {round}");
    }
}

/// What pgbouncer does in transaction mode: connections go, and with them who listens.
#[tokio::test]
async fn failure_case_47_a_listener_that_was_cut_misses_nothing_and_hears_again() {
    let world = World::postgres().await;
    let other = world.another().await;
    engines(&other, &["e1"]).await;
    let run = world.created("r1").await;
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    assert_ne!(world.sql(cut).trim(), "0");
    // Nobody told it; it looks.
    assert!(other.has_undriven().await.unwrap());
    assert_eq!(taken(&other, request("e1", 1)).await, ["r1"]);
    let mut told = other.changes_of(&run);
    let mut seq = 1;
    loop {
        told.mark_unchanged();
        let mut next = commit(&run, seq, RunStatus::Running);
        next.facts.push(Fact::RunStarted);
        seq = world.store.commit(next).await.unwrap().unwrap().seq;
        let wait = Duration::from_millis(500);
        if tokio::time::timeout(wait, told.changed()).await.is_ok() {
            return;
        }
    }
}

/// Every runner of a fleet comes back at once, to whichever engine it finds.
#[tokio::test]
async fn failure_case_48_a_storm_of_runners_that_reconnect_is_taken_in_by_all_engines() {
    let world = World::postgres().await;
    let stores = [world.store.clone(), world.another().await, world.another().await];
    let runners: Vec<RunnerId> = (0..5_000).map(|n| RunnerId::new(format!("w{n}"))).collect();
    let registered = runners
        .iter()
        .enumerate()
        .map(|(n, runner)| stores[n % 3].register_runner(runner, "local", "hash", None, at(1)));
    assert!(futures::future::join_all(registered).await.iter().all(Result::is_ok));
    for session in 1..=2 {
        let hellos = runners.iter().enumerate().map(|(n, runner)| {
            stores[(n + session) % 3].runner_hello(runner, "hash", "boot", at(2))
        });
        let epochs = futures::future::join_all(hellos).await;
        let right =
            epochs.iter().filter(|epoch| matches!(epoch, Ok(epoch) if *epoch == session as u64));
        assert_eq!(right.count(), runners.len(), "session {session}");
    }
}

#[tokio::test]
async fn an_engine_without_a_row_is_told_so() {
    let world = World::postgres().await;
    assert_eq!(world.store.take_drives(request("e1", 1)).await.unwrap(), None);
    assert_eq!(world.store.take_deliveries("e1", 1).await.unwrap(), None);
}
