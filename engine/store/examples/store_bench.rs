//! What a transition and a log cost, per database. Prints one JSON line per case; measures, judges
//! nothing.
//!
//! `cargo run --release -p plue-store --example store_bench -- [sqlite:PATH] [postgres://…]`. Without
//! arguments: a new SQLite file in the current directory and the Postgres of the tests (which does not
//! wait for the disk).

use std::{error::Error, path::PathBuf, time::Duration};

use jiff::Timestamp;
use plue_flow::{Fact, RunStatus, RunView, StepStatus, StepView};
use plue_plan::{AttemptId, Plan, RunId, RunnerId, Step, canonical::HashedPlan};
use plue_runtime::{Clock, Ids, TaskSet, Tasks};
use plue_store::{
    Assign, Durability, LogRange, NewAttempt, NewRun, RunCommit, Store, StoreOptions,
};
use plue_testkit::postgres::Database;
use plue_wire::{
    eval::Bytes,
    runner::{AttemptEvent, Claim, EventKind},
};
use serde_json::json;

/// Commits of one case.
const COMMITS: usize = 2_000;
/// Commits under way at once in the grouped case.
const AT_ONCE: usize = 32;
/// Bytes of the log.
const LOG_BYTES: usize = 100_000_000;
/// Bytes of one event.
const CHUNK: usize = 64 * 1024;
/// Events of one call.
const BATCH: usize = 8;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Clone)]
struct Bench {
    store: Store,
    config: String,
    clock: Clock,
    ids: Ids,
    plan: HashedPlan,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let file = PathBuf::from(format!("bench-{}.db", std::process::id()));
    let server = given.is_empty().then(Database::create);
    let urls = match &server {
        Some(server) => vec![format!("sqlite:{}", file.display()), server.url()],
        None => given,
    };
    // As a task, like everything in an engine: the main thread of Tokio costs a hop more.
    Tasks::new().spawn("bench", run_all(urls)).await?
}

async fn run_all(urls: Vec<String>) -> Outcome<()> {
    for url in urls {
        if url.starts_with("postgres") {
            run(StoreOptions::new(url), "postgres").await?;
            continue;
        }
        for (durability, name) in
            [(Durability::Normal, "sqlite normal"), (Durability::Full, "sqlite full")]
        {
            run(StoreOptions::new(url.clone()).durability(durability), name).await?;
            for end in ["", "-wal", "-shm"] {
                let path = format!("{}{end}", url.trim_start_matches("sqlite:"));
                let _may_not_exist = std::fs::remove_file(path);
            }
        }
    }
    Ok(())
}

async fn run(options: StoreOptions, config: &str) -> Outcome<()> {
    let store = Store::open(options.clone()).await?;
    let step: Step = serde_json::from_value(json!({"id": "s", "kind": "bash", "run": "true"}))?;
    let plan = HashedPlan::new(Plan::new("bench", vec![step])).map_err(|e| e.to_string())?;
    store.plans().put(&plan).await?;
    let config = config.to_owned();
    let bench = Bench { store, config, clock: Clock::real(), ids: Ids::random(), plan };
    bench.transitions("transition", false, 1).await?;
    bench.transitions("transition_with_attempt", true, 1).await?;
    bench.transitions("transition_grouped", true, AT_ONCE).await?;
    bench.log().await?;
    let mark = bench.clock.mark();
    let again = Store::open(options).await?;
    again.runs().unfinished().await?;
    bench.timed("open_and_first_read", micros(bench.clock.elapsed(mark)) / 1e3);
    again.close().await;
    bench.store.close().await;
    Ok(())
}

impl Bench {
    fn line(&self, case: &str, n: usize, unit: &str, mut samples: Vec<f64>, per_s: f64) {
        samples.sort_by(f64::total_cmp);
        let at = |part: usize| samples.get(samples.len() * part / 100).copied().unwrap_or(0.0);
        let line = json!({
            "case": case, "n": n, "unit": unit, "p50": at(50), "p99": at(99),
            "per_s": per_s, "config": self.config,
        });
        println!("{line}");
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn new_run(&self) -> Outcome<RunId> {
        let id = self.ids.run();
        let new = NewRun {
            id: id.clone(),
            workflow: "bench".to_owned(),
            source: "bench.plue.py".to_owned(),
            plan: self.plan.hash,
            event: json!({"type": "manual"}),
            inputs: json!({}),
            repo: None,
            sha: None,
            branch: None,
            fork: None,
            is_child: false,
            origin: json!({}),
            created_at: self.now(),
        };
        let first = RunCommit::new(id.clone(), 0, self.now(), view());
        self.store.runs().create(new, first).await??;
        Ok(id)
    }

    /// One fact and one step per commit, and an attempt if asked for; `at_once` runs side by side.
    async fn transitions(&self, case: &str, attempt: bool, at_once: usize) -> Outcome<()> {
        let mut runs = Vec::new();
        for _ in 0..at_once {
            runs.push(self.new_run().await?);
        }
        let each = COMMITS / at_once;
        let start = self.clock.mark();
        let mut work = TaskSet::new(&Tasks::new(), "commits");
        for run in runs {
            let (bench, id) = (self.clone(), run.clone());
            work.spawn(run, async move { bench.commits(&id, each, attempt).await });
        }
        let mut samples = Vec::new();
        while let Some((_, done)) = work.next().await {
            samples.extend(done??);
        }
        let per_s = (each * at_once) as f64 / self.clock.elapsed(start).as_secs_f64();
        self.line(case, each * at_once, "us", samples, per_s);
        Ok(())
    }

    async fn commits(&self, run: &RunId, count: usize, attempt: bool) -> Outcome<Vec<f64>> {
        let mut samples = Vec::with_capacity(count);
        for seq in 0..count {
            let mut commit = RunCommit::new(run.clone(), seq as u64, self.now(), view());
            let id = AttemptId::new(self.ids.text());
            let (step, visit, number) = ("s".into(), 1, 1);
            commit.facts.push(Fact::AttemptQueued { step, visit, number, attempt: id.clone() });
            commit.steps.push(step_view());
            if attempt {
                commit.attempts.push(new_attempt(id, self.now()));
            }
            let mark = self.clock.mark();
            self.store.runs().commit(commit).await??;
            samples.push(micros(self.clock.elapsed(mark)));
        }
        Ok(samples)
    }

    async fn log(&self) -> Outcome<()> {
        let claim = self.claimed().await?;
        let mut text = Vec::with_capacity(CHUNK);
        while text.len() + 100 <= CHUNK {
            text.extend_from_slice(&[b'x'; 99]);
            text.push(b'\n');
        }
        let (mut seq, mut written, mut samples) = (0, 0, Vec::new());
        let start = self.clock.mark();
        while written < LOG_BYTES {
            let events: Vec<_> = (0..BATCH)
                .map(|_| {
                    seq += 1;
                    written += text.len();
                    let kind = EventKind::Stdout(Bytes(text.clone()));
                    AttemptEvent { claim: claim.clone(), seq, at_us: 1, kind }
                })
                .collect();
            let mark = self.clock.mark();
            self.store.journal().append(vec![(claim.clone(), events)]).await?;
            samples.push(micros(self.clock.elapsed(mark)));
        }
        let seconds = self.clock.elapsed(start).as_secs_f64();
        self.line("log_append_batch", samples.len(), "us", samples, written as f64 / seconds / 1e6);
        self.timed("log_100mb_store", seconds * 1e3);
        let mark = self.clock.mark();
        self.store.logs().read(&claim.attempt, LogRange::Tail(100)).await?;
        self.timed("log_tail", micros(self.clock.elapsed(mark)) / 1e3);
        let mark = self.clock.mark();
        self.store.log_search().hits(&claim.attempt, b"not in there", 10).await?;
        self.timed("log_search", micros(self.clock.elapsed(mark)) / 1e3);
        let mark = self.clock.mark();
        let (mut after, mut read) = (0, 0);
        loop {
            let pieces =
                self.store.logs().read(&claim.attempt, LogRange::After(after, 4 << 20)).await?;
            let Some(last) = pieces.last() else { break };
            after = last.seq;
            read += pieces.iter().map(|piece| piece.bytes.len()).sum::<usize>();
        }
        assert_eq!(read, written);
        self.timed("log_read_all", micros(self.clock.elapsed(mark)) / 1e3);
        Ok(())
    }

    fn timed(&self, case: &str, ms: f64) {
        self.line(case, 1, "ms", vec![ms], 1e3 / ms);
    }

    async fn claimed(&self) -> Outcome<Claim> {
        let run = self.new_run().await?;
        let runner = RunnerId::new(self.ids.text());
        self.store.runners().register(&runner, "local", "t", &run, self.now()).await?;
        let epoch = self.store.runners().greet(&runner, "t", "b", self.now()).await?;
        self.store.runners().ready(&runner, epoch, self.now()).await?;
        let mut commit = RunCommit::new(run, 0, self.now(), view());
        commit.attempts.push(new_attempt(AttemptId::new(self.ids.text()), self.now()));
        commit.assign_to = Some(Assign { runner, epoch, max: 1 });
        let committed = self.store.runs().commit(commit).await??;
        committed.assigned.into_iter().next().ok_or_else(|| "not assigned".into())
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn view() -> RunView {
    RunView { status: RunStatus::Running, reason: None, started_at: None, ended_at: None }
}

fn step_view() -> StepView {
    StepView {
        step: "s".into(),
        status: StepStatus::Queued,
        reason: None,
        visit: 1,
        attempts: 1,
        ready_at: None,
        started_at: None,
        ended_at: None,
        output: json!(null),
    }
}

fn new_attempt(id: AttemptId, at: Timestamp) -> NewAttempt {
    let (step, pool) = ("s".into(), "local".to_owned());
    NewAttempt { id, step, visit: 1, number: 1, pool, priority: 0, not_before: at }
}
