//! A world that is made for one run: a store, an engine (or several, one after the other), scripted
//! runners, and a simulated clock.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use plue_executor::{
    Engine, Options, Origin, RunHandle, Submission, engine::Parts,
    perform::environment::GivenSecrets,
};
use plue_flow::{RunStatus, fact::Outcome};
use plue_plan::{Event, HashedPlan, Plan, RunId, event::EventType};
use plue_pool::LocalPool;
use plue_runtime::{Clock, Ids, Stop, Tasks};
use plue_store::{Store, StoreOptions};
use plue_testkit::faults::{
    points::{FaultPoint, Points},
    runner::Runners,
    stand::{Stand, hold_the_clock},
    streams, violations,
};

/// Longest simulated time of a run before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(2 * 3_600);

/// Rest of a run: everything that must not depend on the faults.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Left {
    pub(crate) status: String,
    /// By step: status, reason, visit, output.
    pub(crate) steps: BTreeMap<String, String>,
    /// Attempts by id: how they ended.
    pub(crate) attempts: BTreeMap<String, Option<Outcome>>,
    /// Their logs, by stream.
    pub(crate) logs: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
}

pub(crate) struct World {
    directory: tempfile::TempDir,
    options: StoreOptions,
    pub(crate) clock: Clock,
    /// Microseconds that the machine's clock was set ahead.
    ahead_us: &'static AtomicI64,
    pub(crate) tasks: Tasks,
    pub(crate) runners: Runners,
    pub(crate) points: Arc<Points>,
    engines: std::cell::Cell<u32>,
}

/// One engine of a world.
pub(crate) struct Running {
    pub(crate) engine: Engine,
    pub(crate) stand: Stand,
}

// === impl World ===

impl World {
    /// On a database that is there already: a copy of this file, or this server.
    pub(crate) fn new(database: &Database, points: Points) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = match database {
            Database::File(template) => {
                let path = directory.path().join("plue.db");
                std::fs::copy(template, &path).unwrap();
                StoreOptions::sqlite(&path)
            }
            Database::Server(url) => StoreOptions::new(url.clone()),
        };
        let ahead_us: &'static AtomicI64 = Box::leak(Box::default());
        let clock = Clock::settable("2026-11-21T12:00:00Z".parse().unwrap(), ahead_us);
        let (tasks, points) = (Tasks::new(), Arc::new(points));
        let runners = Runners::new(points.clone(), clock, tasks.clone());
        let engines = std::cell::Cell::new(0);
        Self { directory, options, clock, ahead_us, tasks, runners, points, engines }
    }

    /// From now on the SQLite file may grow by so many bytes; `None`: as the disk allows.
    pub(crate) fn leave_room(&mut self, bytes: Option<u64>) {
        let size = || std::fs::metadata(self.directory.path().join("plue.db")).unwrap().len();
        self.options.max_bytes = bytes.map(|bytes| size() + bytes);
    }

    /// A store that no fault reaches.
    pub(crate) async fn store(&self) -> Store {
        let _stands = hold_the_clock(&self.tasks);
        Store::open(self.options.clone()).await.unwrap()
    }

    /// An engine of its own, with locks of its own: the dead do not let go of theirs here.
    pub(crate) async fn engine(&self) -> Running {
        let number = self.engines.replace(self.engines.get() + 1);
        let (tasks, clock) = (self.tasks.clone(), self.clock);
        let stand = Stand::new(self.points.clone(), self.runners.clone(), clock, tasks.clone());
        let store = self.store().await.probed(Arc::new(stand.clone()));
        let state = self.directory.path();
        let options =
            plue_pool::Options { binary: "none".into(), directory: state.join("runners") };
        let pool = LocalPool::new(options, store.clone(), clock, tasks.clone());
        let pool = pool.dialed_by(Arc::new(stand.clone()));
        let parts = Parts { store, pool, clock, ids: Ids::random(), tasks };
        let mut options = Options::new(state.join(format!("locks-{number}")));
        options.driving.control_poll = Duration::from_secs(1);
        options.workspaces.checkpoints = false;
        Running { engine: Engine::new(options, parts), stand }
    }

    /// The machine's clock is set so many hours ahead, for everybody on it.
    pub(crate) fn turn_clock(&self, hours: i64) {
        self.ahead_us.fetch_add(hours * 3_600_000_000, Ordering::Relaxed);
    }

    /// Removes the engines' records of runners from the disk.
    pub(crate) fn lose_runner_directories(&self) {
        std::fs::remove_dir_all(self.directory.path().join("runners")).unwrap();
    }

    pub(crate) async fn journal_times(&self, run: &RunId) -> Vec<jiff::Timestamp> {
        let _stands = hold_the_clock(&self.tasks);
        let stored = self.store().await.runs().load(run).await.unwrap().unwrap();
        stored.journal.iter().map(|(at, _)| *at).collect()
    }

    pub(crate) fn submission(&self, plan: Plan) -> Submission {
        let problems =
            plue_plan::validate::validate(&plan, &plue_plan::validate::SourceMap::default());
        assert_eq!(problems, []);
        let here = self.directory.path().to_owned();
        Submission {
            plan: HashedPlan::new(plan).unwrap(),
            source: ".plue.py".to_owned(),
            event: Event::new(EventType::Manual),
            inputs: BTreeMap::new(),
            origin: Origin {
                workspace: here.clone(),
                repository: here,
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
        }
    }

    /// Stores a run, out of reach of faults.
    pub(crate) async fn submit(&self, plan: Plan) -> RunId {
        let _stands = hold_the_clock(&self.tasks);
        let store = self.store().await;
        let options = plue_pool::Options { binary: "none".into(), directory: "none".into() };
        let pool = LocalPool::new(options, store.clone(), self.clock, self.tasks.clone());
        let (clock, tasks) = (self.clock, self.tasks.clone());
        let parts = Parts { store, pool, clock, ids: Ids::random(), tasks };
        let engine = Engine::new(Options::new(self.directory.path().join("locks")), parts);
        engine.submit(self.submission(plan)).await.unwrap()
    }

    /// Drives a run to its end, with a new engine whenever one dies.
    pub(crate) async fn drive(&self, run: &RunId, cancel_after_ms: Option<u64>) -> RunStatus {
        let start = self.clock.mark();
        let to_cancel = cancel_after_ms.map(Duration::from_millis);
        let mut asked = false;
        loop {
            let Running { engine, stand } = self.engine().await;
            let ended_drive = async {
                let mut handle = begin(&engine, run).await;
                let canceller = handle.canceller();
                let left = to_cancel.map(|at| at.saturating_sub(self.clock.elapsed(start)));
                if let Some(left) = left.filter(|_| !asked) {
                    tokio::select! {
                        ended = handle.ended() => return ended,
                        () = self.clock.sleep(left) => {
                            // The request goes to the store: a request must outlive the engine.
                            let request = plue_store::CancelRequest { by: "test".to_owned(), kill: false };
                            let store = self.store().await;
                            let _stands = hold_the_clock(&self.tasks);
                            store.cancels().request(run, request, self.clock.now()).await.unwrap();
                            drop(canceller);
                            asked = true;
                        }
                    }
                }
                handle.wait().await
            };
            let ended_drive = tokio::time::timeout(PATIENCE, ended_drive);
            tokio::select! {
                biased;
                () = stand.died() => {}
                ended = ended_drive => return ended.expect("the run is stuck").unwrap(),
            }
        }
    }

    /// The engine dies while the retry of a step is waited for, the machine's clock is set, and another
    /// engine takes the run up: its end. Time does not run back in its journal.
    pub(crate) async fn restarted(&self, plan: Plan, hours: i64) -> (RunId, RunStatus) {
        let run = self.submit(plan).await;
        let first = self.engine().await;
        let _handle = begin(&first.engine, &run).await;
        self.clock.sleep(Duration::from_millis(100)).await;
        first.stand.die();
        self.turn_clock(hours);
        let start = self.clock.mark();
        let status = self.drive(&run, None).await;
        assert!(self.clock.elapsed(start) < Duration::from_secs(60));
        let times = self.journal_times(&run).await;
        assert!(times.is_sorted(), "time runs back in the journal: {times:?}");
        (run, status)
    }

    /// Number of greetings of runners.
    pub(crate) fn hellos(&self) -> usize {
        let hello = FaultPoint::FromRunner("Hello");
        self.points.seen().iter().filter(|at| **at == hello).count()
    }

    /// Rest of the run, checked.
    pub(crate) async fn left(&self, run: &RunId) -> Result<Left, String> {
        let _stands = hold_the_clock(&self.tasks);
        let store = self.store().await;
        let wrong = violations(&store, run).await;
        if !wrong.is_empty() {
            return Err(format!("{wrong:#?}"));
        }
        let twice: Vec<_> =
            self.runners.ran().into_iter().filter(|(_, times)| *times > 1).collect();
        if !twice.is_empty() {
            return Err(format!("fences that ran more than once: {twice:?}"));
        }
        let row = store.runs().get(run).await.unwrap().unwrap();
        let mut left = Left {
            status: format!("{:?} {:?}", row.view.status, row.view.reason),
            ..Left::default()
        };
        for row in store.runs().steps(run).await.unwrap() {
            let view = row.view;
            let text = format!("{} {:?} {} {}", view.status, view.reason, view.visit, view.output);
            left.steps.insert(view.step.to_string(), text);
        }
        for row in store.attempts().list(run, None).await.unwrap() {
            let id = row.claim.attempt.to_string().replace(run.as_str(), "RUN");
            left.logs.insert(id.clone(), streams(&store, &row.claim.attempt).await);
            left.attempts.insert(id, row.outcome);
        }
        Ok(left)
    }
}

/// An engine that meets an outage before it has the run is called again, as a person would.
pub(crate) async fn begin(engine: &Engine, run: &RunId) -> RunHandle {
    loop {
        let secrets = Arc::new(GivenSecrets::default());
        match engine.drive(run, secrets, Stop::never()).await {
            Ok(handle) => return handle,
            Err(plue_executor::Error::Store(error)) if error.is_transient() => {}
            // On a shared database a dead engine has its runs until its lease is over.
            Err(plue_executor::Error::Busy { .. }) if engine.store().is_shared() => {
                Clock::real().sleep(Duration::from_secs(1)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Database of a world.
pub(crate) enum Database {
    /// A file that is copied.
    File(std::path::PathBuf),
    /// A Postgres, by its URL.
    Server(String),
}

/// An empty database with its tables.
pub(crate) async fn template(directory: &Path) -> Database {
    let path = directory.join("template.db");
    Store::open(StoreOptions::sqlite(&path)).await.unwrap().close().await;
    Database::File(path)
}
