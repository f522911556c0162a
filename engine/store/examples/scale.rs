//! The calls that everything waits for, on a database that is empty but for a page of runs, and on one
//! that is full: 100,000 ended runs, 10,000 queued ones, 1,000 that run. Prints one JSON line per call and database;
//! measures, judges nothing.
//!
//! `cargo run --release -p plue-store --example scale -- URL [ENDED] [QUEUED] [RUNNING]`. The database
//! should be empty, and keeps what is made.

use std::error::Error;

use jiff::Timestamp;
use plue_flow::{
    AttemptStatus, Fact, RunStatus, RunView, StepStatus, StepView, fact::Outcome as End,
};
use plue_plan::{AttemptId, Plan, PlanHash, RunId, RunnerId, Step, canonical::HashedPlan};
use plue_runtime::{Clock, Ids, Tasks};
use plue_store::{AttemptEnd, NewAttempt, NewRun, RunCommit, RunFilter, Store, StoreOptions};
use serde_json::json;

/// Calls that are measured of each kind.
const CALLS: usize = 400;
/// Runs made at the same time while the database is filled; their commits are grouped.
const AT_ONCE: usize = 64;
/// Runs of a page.
const PAGE: u32 = 50;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Clone)]
struct Bench {
    store: Store,
    server: &'static str,
    clock: Clock,
    ids: Ids,
    plan: PlanHash,
}

/// How far a run is brought.
#[derive(Clone, Copy, PartialEq)]
enum Upto {
    Queued,
    Running,
    Ended,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    // As a task, like everything in an engine: the main thread of Tokio costs a hop more.
    let given = std::env::args().skip(1).collect();
    Tasks::new().spawn("scale", run(given)).await?
}

async fn run(given: Vec<String>) -> Outcome<()> {
    let mut given = given.into_iter();
    let url = given.next().ok_or("usage: scale URL [ENDED] [QUEUED] [RUNNING]")?;
    let mut number = |default: usize| given.next().map_or(Ok(default), |text| text.parse());
    let (ended, queued, running) = (number(100_000)?, number(10_000)?, number(1_000)?);
    let server = if url.starts_with("postgres") { "postgres" } else { "sqlite normal" };
    let store = Store::open(StoreOptions::new(url)).await?;
    let step: Step = serde_json::from_value(json!({"id": "s", "kind": "bash", "run": "true"}))?;
    let plan = HashedPlan::new(Plan::new("bench", vec![step])).map_err(|e| e.to_string())?;
    store.plans().put(&plan).await?;
    let (clock, ids) = (Clock::real(), Ids::random());
    let bench = Bench { store, server, clock, ids, plan: plan.hash };
    // A page of nothing would be no measure for a page of runs.
    bench.fill(PAGE as usize, Upto::Ended).await?;
    bench.measure("empty").await?;
    bench.fill(ended, Upto::Ended).await?;
    bench.fill(queued, Upto::Queued).await?;
    bench.fill(running, Upto::Running).await?;
    bench.measure("full").await?;
    bench.store.close().await;
    Ok(())
}

impl Bench {
    async fn fill(&self, runs: usize, upto: Upto) -> Outcome<()> {
        let tasks = Tasks::new();
        let lanes: Vec<_> = (0..AT_ONCE)
            .map(|lane| {
                let (bench, mine) = (self.clone(), (lane..runs).step_by(AT_ONCE).count());
                tasks.spawn("fill", async move {
                    for _ in 0..mine {
                        bench.bring(upto, "elsewhere").await?;
                    }
                    Outcome::Ok(())
                })
            })
            .collect();
        for lane in lanes {
            lane.await??;
        }
        Ok(())
    }

    /// A run with one attempt. Runners are simulated: a row each, no process.
    async fn bring(&self, upto: Upto, pool: &str) -> Outcome<RunId> {
        let run = self.ids.run();
        let new = NewRun {
            id: run.clone(),
            workflow: "bench".to_owned(),
            source: "bench.plue.py".to_owned(),
            plan: self.plan,
            event: json!({"type": "manual"}),
            inputs: json!({}),
            repo: Some("owner/name".to_owned()),
            sha: None,
            branch: Some("main".to_owned()),
            fork: None,
            is_child: false,
            origin: json!({}),
            created_at: self.clock.now(),
        };
        let mut first = self.commit(&run, 0, RunStatus::Running);
        first.facts.push(Fact::RunCreated {
            plan: self.plan,
            only: Vec::new(),
            carried: Vec::new(),
        });
        self.store.runs().create(new, first).await??;
        let mut next = self.commit(&run, 1, RunStatus::Running);
        next.facts.push(Fact::RunStarted);
        next.steps.push(step(StepStatus::Queued));
        let id = AttemptId::new(self.ids.text());
        next.attempts.push(self.attempt(&id, pool));
        self.store.runs().commit(next).await??;
        if upto == Upto::Queued {
            return Ok(run);
        }
        let (runner, epoch) = self.runner(pool, Some(&run)).await?;
        let claimed = self.store.attempts().claim(&runner, epoch, 1, self.clock.now()).await?;
        let claim = claimed.first().ok_or("nothing to claim")?.claim.clone();
        if upto == Upto::Running {
            return Ok(run);
        }
        let mut last = self.commit(&run, 2, RunStatus::Success);
        last.facts.push(Fact::RunEnded { status: RunStatus::Success, reason: None });
        last.steps.push(step(StepStatus::Success));
        last.ends.push(AttemptEnd {
            claim,
            tail: Vec::new(),
            seq: Some(1),
            status: AttemptStatus::Done,
            outcome: End::Success,
            detail: None,
        });
        self.store.runs().commit(last).await??;
        self.store.runners().gone(&runner, "released", self.clock.now()).await?;
        Ok(run)
    }

    async fn runner(&self, pool: &str, run: Option<&RunId>) -> Outcome<(RunnerId, u64)> {
        let (runner, now) = (self.ids.runner(), self.clock.now());
        self.store.runners().register(&runner, pool, "t", run, now).await?;
        let epoch = self.store.runners().greet(&runner, "t", "b", now).await?;
        self.store.runners().ready(&runner, epoch, now).await?;
        Ok((runner, epoch))
    }

    async fn measure(&self, state: &str) -> Outcome<()> {
        let mut samples = Vec::new();
        for _ in 0..CALLS {
            let mark = self.clock.mark();
            let filter = RunFilter { limit: PAGE, ..RunFilter::default() };
            self.store.runs().list(&filter).await?;
            samples.push(self.clock.elapsed(mark).as_secs_f64() * 1e6);
        }
        self.line("list page", state, samples);
        let mut samples = Vec::new();
        for _ in 0..CALLS {
            self.bring(Upto::Queued, "here").await?;
            // Without a run: it takes the first of the queue.
            let (runner, epoch) = self.runner("here", None).await?;
            let mark = self.clock.mark();
            let claimed = self.store.attempts().claim(&runner, epoch, 1, self.clock.now()).await?;
            samples.push(self.clock.elapsed(mark).as_secs_f64() * 1e6);
            if claimed.is_empty() {
                return Err("nothing to claim".into());
            }
            self.store.runners().gone(&runner, "released", self.clock.now()).await?;
        }
        self.line("claim", state, samples);
        let run = self.bring(Upto::Queued, "nowhere").await?;
        let mut samples = Vec::new();
        for seq in 2..2 + CALLS as u64 {
            let mut next = self.commit(&run, seq, RunStatus::Running);
            next.facts.push(Fact::RunStarted);
            next.steps.push(step(StepStatus::Running));
            let mark = self.clock.mark();
            self.store.runs().commit(next).await??;
            samples.push(self.clock.elapsed(mark).as_secs_f64() * 1e6);
        }
        self.line("advance", state, samples);
        Ok(())
    }

    fn line(&self, case: &str, state: &str, mut samples: Vec<f64>) {
        samples.sort_by(f64::total_cmp);
        let at = |part: usize| samples.get(samples.len() * part / 100).copied().unwrap_or(0.0);
        let config = format!("{} {state}", self.server);
        let (p50, p99) = (at(50), at(99));
        println!(
            "{}",
            json!({"case": case, "config": config, "unit": "us", "p50": p50, "p99": p99})
        );
    }

    fn commit(&self, run: &RunId, seq: u64, status: RunStatus) -> RunCommit {
        let now = self.clock.now();
        let ended = status.is_terminal().then_some(now);
        let view = RunView { status, reason: None, started_at: Some(now), ended_at: ended };
        RunCommit::new(run.clone(), seq, now, view)
    }

    fn attempt(&self, id: &AttemptId, pool: &str) -> NewAttempt {
        NewAttempt {
            id: id.clone(),
            step: "s".into(),
            visit: 1,
            number: 1,
            pool: pool.to_owned(),
            priority: 0,
            not_before: self.clock.now(),
        }
    }
}

fn step(status: StepStatus) -> StepView {
    StepView {
        step: "s".into(),
        status,
        reason: None,
        visit: 1,
        attempts: 1,
        ready_at: Some(Timestamp::UNIX_EPOCH),
        started_at: None,
        ended_at: None,
        output: serde_json::Value::Null,
    }
}
