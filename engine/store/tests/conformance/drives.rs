//! Several engines: who drives which run, and that whoever lost a run writes nothing to it.

use std::{collections::BTreeMap, time::Duration};

use plue_flow::{Fact, RunStatus, quotas::Quotas};
use plue_plan::{RunId, RunnerId};
use plue_store::{
    CancelRequest, Drive, DriveRequest, Refused, Store, capacity::EngineCapacity,
    deaths::MAX_DEATHS,
};

use crate::support::{World, at, commit, engine};

fn request(engine: &str, max: usize) -> DriveRequest {
    request_within(engine, Quotas { per_repo: usize::MAX, ..Quotas::of(max) })
}

fn request_within(engine: &str, quotas: Quotas) -> DriveRequest {
    DriveRequest { engine: engine.to_owned(), quotas, children: 0, low_disk: None }
}

async fn engines(store: &Store, names: &[&str]) {
    for name in names {
        store.engines().start(engine(name, 1, at(0))).await.unwrap();
    }
}

/// One fact more, by whoever has this right.
async fn write(world: &World, drive: &Drive, expect: u64) -> Result<u64, Refused> {
    let mut commit = commit(&drive.run, expect, RunStatus::Running);
    commit.facts.push(Fact::RunStarted);
    commit.drive = Some(drive.fence);
    world.store.runs().commit(commit).await.unwrap().map(|committed| committed.seq)
}

/// Runs `r00`… of a repository.
async fn runs_of(world: &World, repo: &str, names: &[&str]) {
    for name in names {
        let (mut new, first) = world.new_run(name).await;
        // `a/b#7`: of its pull request 7, from a fork.
        let (repo, fork) = repo.split_once('#').map_or((repo, None), |(repo, n)| (repo, Some(n)));
        new.repo = Some(repo.to_owned());
        new.fork = fork.map(|number| number.parse().unwrap());
        world.store.runs().create(new, first).await.unwrap().unwrap();
    }
}

async fn cancel(world: &World, run: &str) {
    let request = CancelRequest { by: "ada".to_owned(), kill: false };
    world.store.cancels().request(&RunId::new(run), request, at(9)).await.unwrap();
}

async fn taken(store: &Store, request: DriveRequest) -> Vec<String> {
    let taken = store.drives().take_all(request).await.unwrap().unwrap();
    taken.into_iter().map(|(run, _)| run.id.to_string()).collect()
}

on_each_store! {
    async fn stored_children_count_before_they_begin(world) {
        engines(&world.store, &["e1", "e2"]).await;
        let shared = world.store.is_shared();
        let engine = shared.then_some("e1");
        for (name, is_child, status) in [
            ("c1", true, None),
            ("c2", true, Some(RunStatus::Running)),
            ("c3", true, Some(RunStatus::Waiting)),
            ("r1", false, Some(RunStatus::Running)),
            ("r2", false, None),
        ] {
            let (mut new, first) = world.new_run(name).await;
            (new.is_child, new.repo) = (is_child, Some("a/b".to_owned()));
            world.store.runs().create(new, first).await.unwrap().unwrap();
            let run = RunId::new(name);
            if let Some(status) = status {
                world.store.runs().commit(commit(&run, 1, status)).await.unwrap().unwrap();
                if shared {
                    world.store.drives().take(&run, "e1").await.unwrap().unwrap();
                }
            }
        }
        let found = world.store.capacity().running_beside(engine, Some("a/b")).await.unwrap();
        assert_eq!((found.without_parent, found.of_repo), (1, 3));
        let other = world.store.capacity().running_beside(Some("e2"), Some("a/c")).await.unwrap();
        assert_eq!((other.without_parent, other.of_repo), (0, 0));
    }

    async fn a_run_is_driven_by_one_engine_until_it_gives_it_back(world) {
        engines(&world.store, &["e1", "e2"]).await;
        let run = world.created("r1").await;
        let first = world.store.drives().take(&run, "e1").await.unwrap().unwrap();
        assert_eq!(world.store.drives().take(&run, "e2").await.unwrap(), None);
        assert_eq!(world.store.drives().driver_of(&run).await.unwrap().as_deref(), Some("e1"));
        assert_eq!(write(&world, &first, 1).await, Ok(2));
        world.store.drives().release(&first).await.unwrap();
        let second = world.store.drives().take(&run, "e2").await.unwrap().unwrap();
        assert!(second.fence > first.fence);
        assert!(world.store.drives().holds(&second).await.unwrap());
        assert!(!world.store.drives().holds(&first).await.unwrap());
    }

    async fn runs_driven_from_the_start_are_taken_by_nobody(world) {
        engines(&world.store, &["e1", "e2"]).await;
        if !world.store.is_shared() {
            return;
        }
        let (new, first) = world.new_run("r1").await;
        let gone = world.store.runs().create_driven(new.clone(), first.clone(), "e3").await.unwrap();
        assert_eq!(gone, Err(Refused::Superseded));
        assert!(world.store.runs().get(&new.id).await.unwrap().is_none());
        let engine = "e1";
        world.store.runs().create_driven(new.clone(), first, engine).await.unwrap().unwrap();
        assert_eq!(world.store.drives().take(&new.id, "e2").await.unwrap(), None);
        assert!(!world.store.drives().has_undriven().await.unwrap());
        let drive = Drive { run: new.id, engine: engine.to_owned(), fence: Drive::FIRST_FENCE };
        assert!(world.store.drives().holds(&drive).await.unwrap());
        assert_eq!(write(&world, &drive, 1).await, Ok(2));
        world.store.drives().release(&drive).await.unwrap();
        assert!(world.store.drives().has_undriven().await.unwrap());
    }

    async fn an_engine_that_lost_its_run_does_not_write_itself_down_as_the_holder_of_its_files(world) {
        engines(&world.store, &["e1", "e2"]).await;
        let run = world.created("r1").await;
        let holder = async || world.store.run_files().get(&run).await.unwrap().map(|row| row.holder);
        let first = world.store.drives().take(&run, "e1").await.unwrap().unwrap();
        assert!(world.store.run_files().take_over(&first, "m1").await.unwrap());
        world.store.drives().release(&first).await.unwrap();
        assert!(!world.store.run_files().take_over(&first, "m2").await.unwrap());
        let second = world.store.drives().take(&run, "e2").await.unwrap().unwrap();
        assert!(!world.store.run_files().take_over(&first, "m2").await.unwrap());
        assert_eq!(holder().await.as_deref(), Some("m1"));
        assert!(world.store.run_files().take_over(&second, "m3").await.unwrap());
        assert_eq!(holder().await.as_deref(), Some("m3"));
    }

    async fn older_heads_of_a_fork_are_asked_to_stop(world) {
        for (name, fork, sha) in
            [("r1", Some(7), "old"), ("r2", Some(7), "new"), ("r3", Some(8), "old"), ("r4", None, "old")]
        {
            let (mut new, first) = world.new_run(name).await;
            (new.fork, new.sha) = (fork, Some(sha.to_owned()));
            world.store.runs().create(new, first).await.unwrap().unwrap();
        }
        let cancel = async || world.store.cancels().request_for_superseded("a/b", 7, "new", "plue").await.unwrap();
        assert_eq!(cancel().await, 1);
        assert_eq!(cancel().await, 0, "once");
        assert_eq!(world.store.cancels().runs(9).await.unwrap(), [RunId::new("r1")]);
        let asked = world.store.cancels().get(&RunId::new("r1")).await.unwrap().unwrap();
        assert_eq!((asked.by.as_str(), asked.kill), ("plue", false));
    }

    async fn queued_runs_say_what_they_wait_for(world) {
        runs_of(&world, "a/b#7", &["r1"]).await;
        runs_of(&world, "a/b", &["r2"]).await;
        let waits = async |run: &str| {
            let row = world.store.runs().get(&RunId::new(run)).await.unwrap().unwrap();
            let waits = world.store.capacity().waits(&row).await.unwrap();
            waits.map(|waits| waits.to_string()).unwrap_or_default()
        };
        assert_eq!(waits("r1").await, "", "no engine drives runs");
        let seen_at = plue_runtime::Clock::real().now();
        let mut places =
            EngineCapacity { engine: "e1".to_owned(), quotas: Quotas::of(4), low_disk: None, seen_at };
        world.store.capacity().put(&places).await.unwrap();
        assert_eq!(waits("r1").await, "");
        places.low_disk = Some("1 GiB free".to_owned());
        world.store.capacity().put(&places).await.unwrap();
        assert!(waits("r1").await.contains("1 GiB free"));
        assert_eq!(waits("r2").await, "");
        places.seen_at = jiff::Timestamp::UNIX_EPOCH;
        world.store.capacity().put(&places).await.unwrap();
        assert_eq!(waits("r1").await, "", "an engine that is silent counts no more");
    }

    async fn deaths_with_a_run_in_hand_set_it_aside(world) {
        let (run, store) = (world.created("r1").await, &world.store);
        let row = async || store.runs().get(&run).await.unwrap().unwrap();
        for deaths in 0..MAX_DEATHS {
            assert!(store.drives().begin(&run).await.unwrap());
            assert_eq!((row().await.deaths, row().await.in_hand), (deaths, true));
        }
        assert!(!row().await.is_set_aside());
        assert!(!store.drives().begin(&run).await.unwrap());
        assert!(row().await.is_set_aside() && !row().await.in_hand);
        cancel(&world, "r1").await;
        assert!(row().await.is_suspect(false), "tried once more, to end");
        store.drives().revive(&run).await.unwrap();
        assert!(store.drives().begin(&run).await.unwrap());
        store.drives().end(&run, None).await.unwrap();
        assert_eq!((row().await.deaths, row().await.in_hand), (0, false));
    }

    async fn nobody_gets_a_run_for_an_engine_that_is_not_there(world) {
        let run = world.created("r1").await;
        assert_eq!(world.store.drives().take(&run, "e1").await.unwrap(), None);
        engines(&world.store, &["e1"]).await;
        assert_eq!(world.store.drives().take(&RunId::new("r2"), "e1").await.unwrap(), None);
    }

    async fn failure_case_46_an_engine_that_was_buried_writes_nothing_any_more(world) {
        engines(&world.store, &["e1", "e2"]).await;
        let run = world.created("r1").await;
        let paused = world.store.drives().take(&run, "e1").await.unwrap().unwrap();
        let beats = world.store.engines().list().await.unwrap()[0].beats;
        assert!(world.store.engines().seen("e1", at(1)).await.unwrap());
        assert!(!world.store.engines().expire("e1", beats).await.unwrap(), "it lives");
        assert!(world.store.engines().expire("e1", beats + 1).await.unwrap());
        // Also before anybody else has the run.
        assert_eq!(write(&world, &paused, 1).await, Err(Refused::Superseded));
        let drive = world.store.drives().take(&run, "e2").await.unwrap().unwrap();
        assert_eq!(write(&world, &paused, 1).await, Err(Refused::Superseded));
        assert_eq!(write(&world, &drive, 1).await, Ok(2));
        world.store.drives().release(&paused).await.unwrap();
        assert!(world.store.drives().holds(&drive).await.unwrap(), "what is lost cannot be given back");
    }

    async fn failure_case_01_one_run_raced_by_many_engines_has_one_driver(world) {
        let (one, two) = (world.store.clone(), world.another().await);
        let names: Vec<String> = (0..8).map(|n| format!("e{n}")).collect();
        engines(&one, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
        for round in 0..100 {
            let run = world.created(&format!("r{round}")).await;
            let tries = names.iter().enumerate().map(|(n, name)| {
                let store = if n % 2 == 0 { &one } else { &two };
                store.drives().take(&run, name)
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
    assert!(world.store.drives().has_undriven().await.unwrap());
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
        let quotas = Quotas { per_repo: 4, ..Quotas::of(16) };
        taken(store, request_within(&format!("e{n}"), quotas))
    });
    let all: Vec<String> = futures::future::join_all(takes).await.into_iter().flatten().collect();
    let mut per_repo = BTreeMap::new();
    for run in &all {
        *per_repo.entry(&run[..1]).or_insert(0) += 1;
    }
    assert_eq!(per_repo, BTreeMap::from([("r", 4), ("s", 1)]), "{all:?}");
}

#[tokio::test]
async fn runs_that_kill_their_engines_are_set_aside() {
    let world = World::postgres().await;
    let store = &world.store;
    runs_of(&world, "a/b", &["r1", "r2"]).await;
    for engine in ["e1", "e2"] {
        engines(store, &[engine]).await;
        assert_eq!(taken(store, request(engine, 4)).await, ["r1", "r2"]);
        assert!(store.engines().end(engine).await.unwrap());
    }
    for (engine, suspect) in [("e3", "r1"), ("e4", "r2")] {
        engines(store, &[engine]).await;
        assert_eq!(taken(store, request(engine, 4)).await, [suspect], "one suspect at a time");
        assert_eq!(taken(store, request(engine, 4)).await, [] as [&str; 0]);
        assert!(store.engines().end(engine).await.unwrap());
    }
    engines(store, &["e5"]).await;
    assert!(!store.drives().has_undriven().await.unwrap());
    assert_eq!(taken(store, request("e5", 4)).await, [] as [&str; 0], "both are set aside");
    store.drives().revive(&RunId::new("r2")).await.unwrap();
    assert_eq!(taken(store, request("e5", 4)).await, ["r2"]);
}

#[tokio::test]
async fn floods_of_forks_leave_places_to_others() {
    let world = World::postgres().await;
    let names: Vec<String> = (0..200).map(|n| format!("f{n:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    runs_of(&world, "a/b#7", &names).await;
    runs_of(&world, "a/b#8", &["g1", "g2", "g3"]).await;
    runs_of(&world, "a/b", &["h1", "h2"]).await;
    runs_of(&world, "c/d#1", &["i1"]).await;
    engines(&world.store, &["e1", "e2"]).await;
    let first = taken(&world.store, request("e1", 16)).await;
    assert_eq!(first, ["h1", "f000", "i1", "h2", "f001"], "two of pull request 7 hide no other");
    let second = taken(&world.store, request("e2", 16)).await;
    assert_eq!(second, ["g1"], "four of forks in all engines together");
    assert_eq!(taken(&world.store, request("e2", 16)).await, [""; 0]);
    cancel(&world, "f100").await;
    assert_eq!(taken(&world.store, request("e2", 16)).await, ["f100"], "its end needs no place");
}

#[tokio::test]
async fn a_full_disk_holds_only_runs_of_forks() {
    let world = World::postgres().await;
    runs_of(&world, "a/b#7", &["r1"]).await;
    runs_of(&world, "a/b", &["r2"]).await;
    engines(&world.store, &["e1"]).await;
    let full = DriveRequest { low_disk: Some("1 GiB free".to_owned()), ..request("e1", 16) };
    assert_eq!(taken(&world.store, full).await, ["r2"]);
    assert_eq!(taken(&world.store, request("e1", 16)).await, ["r1"]);
}

#[tokio::test]
async fn child_runs_take_no_place_of_their_engine() {
    let world = World::postgres().await;
    engines(&world.store, &["e1"]).await;
    for n in 0..4 {
        let (mut new, first) = world.new_run(&format!("child{n}")).await;
        new.is_child = true;
        world.store.runs().create(new, first).await.unwrap().unwrap();
        let run = RunId::new(format!("child{n}"));
        assert!(world.store.drives().take(&run, "e1").await.unwrap().is_some());
    }
    runs_of(&world, "c/d", &["r1", "r2", "r3"]).await;
    let placed = DriveRequest { children: 1, ..request("e1", 2) };
    assert_eq!(taken(&world.store, placed).await, ["r1"], "one child has a place of its own");
    assert_eq!(taken(&world.store, request("e1", 2)).await, ["r2"]);
}

#[tokio::test]
async fn failure_case_11_a_run_that_was_cancelled_while_it_was_queued_is_given_to_nobody() {
    let world = World::postgres().await;
    engines(&world.store, &["e1"]).await;
    let run = world.created("r1").await;
    world.store.runs().commit(commit(&run, 1, RunStatus::Cancelled)).await.unwrap().unwrap();
    assert_eq!(taken(&world.store, request("e1", 4)).await, [] as [&str; 0]);
    assert!(!world.store.drives().has_undriven().await.unwrap());
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
        let new = other.runners().greet(&runner, "hash", "boot", at(4)).await.unwrap();
        assert!(!world.store.runners().ready(&runner, old, at(5)).await.unwrap());
        assert!(other.runners().ready(&runner, new, at(5)).await.unwrap());
        world.queued(&format!("r{round}"), &format!("a{round}")).await;
        let (stale, fresh) = tokio::join!(
            world.store.attempts().claim(&runner, old, 1, at(10)),
            other.attempts().claim(&runner, new, 1, at(10))
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
    let cut = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    assert_ne!(world.sql(cut).trim(), "0");
    // Nobody told it; it looks.
    assert!(other.drives().has_undriven().await.unwrap());
    assert_eq!(taken(&other, request("e1", 1)).await, ["r1"]);
    let mut told = other.changes_of(&run);
    let mut seq = 1;
    loop {
        told.mark_unchanged();
        let mut next = commit(&run, seq, RunStatus::Running);
        next.facts.push(Fact::RunStarted);
        seq = world.store.runs().commit(next).await.unwrap().unwrap().seq;
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
        .map(|(n, runner)| stores[n % 3].runners().register(runner, "local", "hash", None, at(1)));
    assert!(futures::future::join_all(registered).await.iter().all(Result::is_ok));
    for session in 1..=2 {
        let hellos = runners.iter().enumerate().map(|(n, runner)| {
            stores[(n + session) % 3].runners().greet(runner, "hash", "boot", at(2))
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
    assert_eq!(world.store.drives().take_all(request("e1", 1)).await.unwrap(), None);
    assert_eq!(world.store.delivery_queues().claim("h", Some("e1"), at(9)).await.unwrap(), None);
}
