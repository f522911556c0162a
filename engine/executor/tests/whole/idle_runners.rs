//! Runners between two runs: kept by the engine that lives, ended after the one that died.

use std::{path::Path, sync::Arc};

use plue_executor::{Engine, Options, engine::Parts, perform::environment::GivenSecrets};
use plue_flow::RunStatus;
use plue_plan::{Plan, RunId};
use plue_pool::LocalPool;
use plue_runtime::{Clock, Ids, Stop, Tasks};
use plue_store::Store;

use super::world::{World, bash, runner_binary};

/// An engine on a world's state, with a pool that keeps runners.
fn engine(state: &Path, store: &Store, room: usize) -> (Engine, LocalPool) {
    let (clock, tasks) = (Clock::real(), Tasks::new());
    let options =
        plue_pool::Options { binary: runner_binary().to_owned(), directory: state.join("runners") };
    let pool = LocalPool::new(options, store.clone(), clock, tasks.clone()).with_idle_room(room);
    let ids = Ids::random();
    let parts = Parts { store: store.clone(), pool: pool.clone(), clock, ids, tasks };
    (Engine::new(Options::new(state.join("locks")), parts), pool)
}

async fn drive(engine: &Engine, run: &RunId) -> RunStatus {
    let secrets = Arc::new(GivenSecrets::default());
    let handle = engine.drive(run, secrets, Stop::never()).await.unwrap();
    handle.wait().await.unwrap()
}

async fn runner_of(store: &Store, run: &RunId) -> String {
    let attempts = store.attempts().list(run, None).await.unwrap();
    attempts[0].runner.clone().unwrap().as_str().to_owned()
}

/// The directories of runners; next to them lie their notes about workspaces.
fn folders(state: &Path) -> usize {
    let entries = std::fs::read_dir(state.join("runners")).unwrap().flatten();
    entries.filter(|entry| entry.path().join("token").exists()).count()
}

fn lives(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !status.is_empty() && !status.contains(") Z ")
}

/// The process that has the directory of the only runner.
fn runner_pid(state: &Path) -> u32 {
    let mut entries = std::fs::read_dir(state.join("runners")).unwrap().flatten();
    let directory = entries.find(|entry| entry.path().join("token").exists()).unwrap();
    let directory = directory.path().into_os_string().into_encoded_bytes();
    let found = std::fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        line.split(|byte| *byte == 0).any(|word| word == directory).then_some(pid)
    });
    found.unwrap()
}

#[tokio::test]
async fn idle_runners_serve_later_runs_and_leave_nothing() {
    let world = World::new().await;
    let state = world.directory.path().join("state");
    let (engine, pool) = engine(&state, &world.store, 1);
    let plan = || Plan::new("test", vec![bash("a", "echo $PPID"), bash("b", "true")]);
    let (first, second) = (world.submit(plan()).await, world.submit(plan()).await);
    assert_eq!(drive(&engine, &first).await, RunStatus::Success);
    assert_eq!(drive(&engine, &second).await, RunStatus::Success);
    assert_eq!(runner_of(&world.store, &first).await, runner_of(&world.store, &second).await);
    assert_eq!(world.log(&first, "a").await, world.log(&second, "a").await);
    // A further run of the engine looks for what dead engines left, and leaves the living alone.
    engine.tidy().await.unwrap();
    let pid = runner_pid(&state);
    assert!(lives(pid));
    pool.close().await.unwrap();
    assert!(!lives(pid));
    assert!(world.store.runners().list(None).await.unwrap().is_empty());
    assert_eq!(folders(&state), 0);
    world.check_rows(&second).await;
}

#[tokio::test]
async fn runs_side_by_side_have_a_runner_each() {
    let world = World::new().await;
    let state = world.directory.path().join("state");
    let (engine, pool) = engine(&state, &world.store, 2);
    pool.warm(&world.work(), &Ids::random(), false).await.unwrap();
    // Each waits for the other one.
    let meet = |own: &str, other: &str| {
        let text = format!("touch {own}; until test -e {other}; do sleep 0.01; done");
        Plan::new("test", vec![bash("a", &text)])
    };
    let one = world.submit(meet("one", "two")).await;
    let two = world.submit(meet("two", "one")).await;
    let (first, second) = tokio::join!(drive(&engine, &one), drive(&engine, &two));
    assert_eq!((first, second), (RunStatus::Success, RunStatus::Success));
    assert_ne!(runner_of(&world.store, &one).await, runner_of(&world.store, &two).await);
    pool.close().await.unwrap();
}

#[tokio::test]
async fn early_runners_serve_only_their_workspace() {
    let world = World::new().await;
    let state = world.directory.path().join("state");
    let (engine, pool) = engine(&state, &world.store, 0);
    let elsewhere = world.directory.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    for workspace in [&elsewhere, &world.work()] {
        pool.warm(workspace, &Ids::random(), false).await.unwrap();
    }
    assert_eq!(world.store.runners().list(None).await.unwrap().len(), 2);
    let run = world.submit(Plan::new("test", vec![bash("a", "pwd -P")])).await;
    assert_eq!(drive(&engine, &run).await, RunStatus::Success);
    let here = std::fs::canonicalize(world.work()).unwrap();
    assert_eq!(world.log(&run, "a").await.trim(), here.to_str().unwrap());
    assert_eq!(
        world.store.runners().list(None).await.unwrap().len(),
        1,
        "the one that waits elsewhere"
    );
    pool.close().await.unwrap();
    assert!(world.store.runners().list(None).await.unwrap().is_empty());
}

#[tokio::test]
async fn runners_of_dead_engines_are_ended() {
    let world = World::new().await;
    let state = world.directory.path().join("state");
    // Everything of this engine ends with its runtime, as it would with its process.
    let (of_dead, store, work) = (state.clone(), world.store.clone(), world.work());
    let run = world.submit(Plan::new("test", vec![bash("a", "true")])).await;
    let for_dead = run.clone();
    let dead = Tasks::new().spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (engine, pool) = engine(&of_dead, &store, 2);
            assert_eq!(drive(&engine, &for_dead).await, RunStatus::Success);
            pool.warm(&work.join(".."), &Ids::random(), false).await.unwrap();
        });
    });
    dead.await.unwrap();
    assert_eq!(world.store.runners().list(None).await.unwrap().len(), 2);
    world.engine.tidy().await.unwrap();
    assert!(world.store.runners().list(None).await.unwrap().is_empty());
    assert_eq!(folders(&state), 0);
}

#[tokio::test]
async fn half_made_runners_of_dead_engines_are_ended() {
    let world = World::new().await;
    let state = world.directory.path().join("state");
    // Parts of its state that exist: its row, its directory too, and its token too.
    for parts in 1..=3 {
        let (runner, store) = (Ids::random().runner(), &world.store);
        let now = Clock::real().now();
        store.runners().register(&runner, plue_pool::local::POOL, "00", None, now).await.unwrap();
        let folder = state.join("runners").join(runner.as_str());
        if parts > 1 {
            std::fs::create_dir_all(&folder).unwrap();
        }
        if parts > 2 {
            std::fs::write(folder.join("token"), "secret").unwrap();
        }
        // While any engine creates runners, it may be this one.
        std::fs::create_dir_all(state.join("runners")).unwrap();
        let making = std::fs::File::open(state.join("runners")).unwrap();
        making.lock_shared().unwrap();
        world.engine.tidy().await.unwrap();
        assert_eq!(store.runners().list(None).await.unwrap().len(), 1, "{parts}");
        drop(making);
        world.engine.tidy().await.unwrap();
        assert!(store.runners().list(None).await.unwrap().is_empty(), "{parts}");
        assert!(!folder.exists(), "{parts}");
    }
}
