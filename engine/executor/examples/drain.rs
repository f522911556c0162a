//! Throughput of one engine, in queued one-step runs a second: `cargo run --release -p plue-executor
//! --example drain -- PATH/TO/plue-runner [RUNS] [AT_ONCE] [DATABASE]`.
//!
//! A new SQLite file with `synchronous=NORMAL` unless a database is named, a step process per run and
//! a runner that goes from run to run in each lane. Prints one JSON line. Must not judge: `cargo xtask bench drain1000` repeats it and writes it down.

use std::{collections::BTreeMap, error::Error, path::PathBuf, sync::Arc};

use plue_executor::{
    Engine, Options, Origin, Submission, engine::Parts, perform::environment::GivenSecrets,
};
use plue_flow::RunStatus;
use plue_plan::{
    Action, HashedPlan, Plan, RunId, Step,
    action::Bash,
    event::{Event, EventType},
};
use plue_pool::LocalPool;
use plue_runtime::{Clock, Ids, Stop, Tasks};
use plue_store::{Store, StoreOptions};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Outcome<()> {
    let mut given = std::env::args().skip(1);
    let runner = PathBuf::from(given.next().ok_or("usage: drain PLUE-RUNNER [RUNS] [AT_ONCE]")?);
    let runs: usize = given.next().map_or(Ok(1_000), |n| n.parse())?;
    let at_once: usize = given.next().map_or(Ok(8), |n| n.parse())?;
    let database = given.next();
    let folder = tempfile::tempdir()?;
    let state = folder.path().join("state");
    std::fs::create_dir_all(&state)?;
    let (clock, tasks) = (Clock::real(), Tasks::new());
    let options = match database {
        Some(url) => StoreOptions::new(url),
        None => StoreOptions::sqlite(&state.join("plue.db")),
    };
    let store = Store::open(options).await?;
    let options = plue_pool::Options { binary: runner, directory: state.join("runners") };
    let pool = LocalPool::new(options, store.clone(), clock, tasks.clone());
    let pool = pool.with_idle_room(at_once);
    let parts =
        Parts { store, pool: pool.clone(), clock, ids: Ids::random(), tasks: tasks.clone() };
    let engine = Engine::new(Options::new(state.join("locks")), parts);
    let mut queued = Vec::with_capacity(runs);
    for _ in 0..runs {
        queued.push(engine.submit(submission(folder.path().to_owned())?).await?);
    }
    let first = queued.clone();
    let start = clock.mark();
    let share = runs.div_ceil(at_once.max(1)).max(1);
    let lanes: Vec<_> = queued
        .chunks(share)
        .map(|lane| tasks.spawn("lane", drain(engine.clone(), lane.to_vec())))
        .collect();
    for lane in lanes {
        lane.await??;
    }
    let seconds = clock.elapsed(start).as_secs_f64();
    let waits = waits_ms(engine.store(), &first).await?;
    let line = serde_json::json!({
        "case": "drain", "ready_to_started_ms": waits, "runs": runs, "at_once": at_once, "seconds": seconds,
        "per_s": runs as f64 / seconds,
    });
    println!("{line}");
    pool.close().await?;
    Ok(())
}

/// From ready to started: half of the steps are faster than the first number, 99 % than the second.
async fn waits_ms(store: &Store, runs: &[RunId]) -> Outcome<[f64; 2]> {
    let mut waits = Vec::with_capacity(runs.len());
    for run in runs {
        for row in store.runs().steps(run).await? {
            if let (Some(ready), Some(started)) = (row.view.ready_at, row.view.started_at) {
                waits.push(started.duration_since(ready).as_secs_f64() * 1e3);
            }
        }
    }
    waits.sort_by(f64::total_cmp);
    let at = |percent: usize| waits.get(waits.len() * percent / 100).copied().unwrap_or(f64::NAN);
    Ok([at(50), at(99)])
}

async fn drain(engine: Engine, runs: Vec<RunId>) -> Outcome<()> {
    for run in runs {
        let secrets = Arc::new(GivenSecrets::default());
        let handle = engine.drive(&run, secrets, Stop::never()).await?;
        let status = handle.wait().await?;
        if status != RunStatus::Success {
            return Err(format!("run {} ended {status:?}", run.as_str()).into());
        }
    }
    Ok(())
}

fn submission(folder: PathBuf) -> Outcome<Submission> {
    let action = Action::Bash(Bash { run: "true".to_owned(), shell: "bash".to_owned() });
    let plan = Plan::new("drain", vec![Step::new("only", action)]);
    Ok(Submission {
        plan: HashedPlan::new(plan).map_err(|problem| problem.to_string())?,
        source: ".plue.py".to_owned(),
        event: Event::new(EventType::Manual),
        inputs: BTreeMap::new(),
        origin: Origin {
            workspace: folder.clone(),
            repository: folder,
            read_set: serde_json::Value::Null,
            max_parallel: None,
            parent: None,
            untrusted: false,
            traceparent: None,
            max_duration_s: None,
            replay: None,
        },
        only: Vec::new(),
        carried: Vec::new(),
    })
}
