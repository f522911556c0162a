//! A world: one state directory, one workspace, one engine.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, OnceLock},
};

use plue_executor::{
    Engine, Options, Origin, RunHandle, Submission,
    engine::Parts,
    perform::{capacity::Capacity, environment::GivenSecrets},
    reach::Guard,
};
use plue_flow::{Fact, RunStatus, StepStatus, input::Reopen};
use plue_plan::{
    Action, HashedPlan, Plan, RunId, Step, StepId,
    action::Bash,
    event::{Event, EventType},
};
use plue_pool::{LocalPool, Untrusted};
use plue_runtime::{Clock, Ids, Stop, Tasks};
use plue_store::{LogRange, Store, StoreOptions};

pub(crate) struct World {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) engine: Engine,
    pub(crate) secrets: GivenSecrets,
    /// Its runs are untrusted.
    pub(crate) untrusted: bool,
}

/// A step that runs a script in bash.
pub(crate) fn bash(id: &str, run: &str) -> Step {
    Step::new(id, Action::Bash(Bash { run: run.to_owned(), shell: "bash".to_owned() }))
}

/// A bash step behind others.
pub(crate) fn after(id: &str, run: &str, needs: &[&str]) -> Step {
    let depends_on = needs.iter().map(|need| StepId::new(*need)).collect();
    Step { depends_on, ..bash(id, run) }
}

/// An event in a repository.
pub(crate) fn in_repository(name: &str) -> Event {
    let mut event = Event::new(EventType::Manual);
    event.repository = Some(name.to_owned());
    event
}

/// A pull request from a fork to `acme/shop`.
pub(crate) fn from_fork(number: u64) -> Event {
    let pull = serde_json::json!({"number": number, "base": {}, "head": {}, "fork": true});
    let mut event = in_repository("acme/shop");
    event.kind = EventType::PullRequest;
    event.pull_request = Some(serde_json::from_value(pull).unwrap());
    event
}

/// The runner binary next to this test, built once if `cargo test -p plue-executor` was called
/// without the rest of the workspace.
pub(crate) fn runner_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let directory = test.parent().and_then(Path::parent).unwrap().to_owned();
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "plue-runner"]);
        assert!(build.status().unwrap().success(), "plue-runner does not build");
        directory.join("plue-runner")
    })
}

impl World {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("work")).unwrap();
        Self::at(directory).await
    }

    /// A new engine on an old state directory.
    pub(crate) async fn at(directory: tempfile::TempDir) -> Self {
        Self::with_runner(directory, runner_binary().to_owned()).await
    }

    /// The same with another program as runner.
    pub(crate) async fn with_runner(directory: tempfile::TempDir, binary: PathBuf) -> Self {
        Self::with(directory, binary, (Capacity::of_this_machine(), None)).await
    }

    /// Untrusted runs, on an engine with a sandbox for them, or without.
    pub(crate) async fn untrusted(sandbox: Option<Untrusted>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("work")).unwrap();
        let parts = (Capacity::of_this_machine(), sandbox);
        let world = Self::with(directory, runner_binary().to_owned(), parts).await;
        Self { untrusted: true, ..world }
    }

    /// The same with other runners: `name=amount` and labels.
    pub(crate) async fn with_capacity(
        directory: tempfile::TempDir,
        resources: &[&str],
        labels: &[&str],
    ) -> Self {
        let own = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        let capacity = Capacity::default().with(&own(resources), &own(labels)).unwrap();
        Self::with(directory, runner_binary().to_owned(), (capacity, None)).await
    }

    async fn with(
        directory: tempfile::TempDir,
        binary: PathBuf,
        (capacity, sandbox): (Capacity, Option<Untrusted>),
    ) -> Self {
        let path = directory.path().join("state/plue.db");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let store = Store::open(StoreOptions::sqlite(&path)).await.unwrap();
        let state = directory.path().join("state");
        let tasks = Tasks::new();
        let pool = LocalPool::new(
            plue_pool::Options { binary, directory: state.join("runners") },
            store.clone(),
            Clock::real(),
            tasks.clone(),
        );
        // Room for runners, which untrusted runs must not reuse.
        let pool = match sandbox {
            Some(sandbox) => pool.with_idle_room(4).with_untrusted_sandbox(sandbox),
            None => pool,
        };
        let parts =
            Parts { store: store.clone(), pool, clock: Clock::real(), ids: Ids::random(), tasks };
        let mut options = Options::new(state.join("locks"));
        options.calls = Guard::parse(&["127.0.0.1"]).unwrap();
        options.capacity = capacity;
        let engine = Engine::new(options, parts);
        Self { directory, store, engine, secrets: GivenSecrets::default(), untrusted: false }
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.directory.path().join("work")
    }

    pub(crate) async fn submit(&self, plan: Plan) -> RunId {
        self.submit_for(plan, Event::new(EventType::Manual)).await
    }

    pub(crate) async fn submit_for(&self, plan: Plan, event: Event) -> RunId {
        let problems =
            plue_plan::validate::validate(&plan, &plue_plan::validate::SourceMap::default());
        assert_eq!(problems, []);
        let submission = Submission {
            plan: HashedPlan::new(plan).unwrap(),
            source: ".plue.py".to_owned(),
            event,
            inputs: BTreeMap::new(),
            origin: Origin {
                workspace: self.work(),
                repository: self.work(),
                read_set: serde_json::Value::Null,
                max_parallel: None,
                parent: None,
                untrusted: self.untrusted,
                traceparent: None,
                max_duration_s: None,
                replay: None,
            },
            only: Vec::new(),
            carried: Vec::new(),
        };
        self.engine.submit(submission).await.unwrap()
    }

    pub(crate) async fn drive(&self, run: &RunId) -> RunStatus {
        let secrets = Arc::new(self.secrets.clone());
        let handle = self.engine.drive(run, secrets, Stop::never()).await.unwrap();
        handle.wait().await.unwrap()
    }

    pub(crate) async fn retry(
        &self,
        run: &RunId,
        from: Reopen,
    ) -> Result<RunStatus, plue_executor::Error> {
        let secrets = Arc::new(self.secrets.clone());
        let handle = self.engine.reopen(run, ("test", from), secrets, Stop::never()).await?;
        handle.wait().await
    }

    /// Runs a plan of these steps to its end.
    pub(crate) async fn run(&self, steps: Vec<Step>) -> (RunId, RunStatus) {
        let run = self.submit(Plan::new("test", steps)).await;
        let status = self.drive(&run).await;
        (run, status)
    }

    /// Starts a run, which continues next to the test.
    pub(crate) async fn begin(&self, run: &RunId) -> RunHandle {
        let secrets = Arc::new(self.secrets.clone());
        self.engine.drive(run, secrets, Stop::never()).await.unwrap()
    }

    /// Waits until the step is in this state.
    pub(crate) async fn until(&self, run: &RunId, step: &str, status: StepStatus) {
        let mut changes = self.store.changes_of(run);
        while self.step(run, step).await != status {
            changes.changed().await.unwrap();
        }
    }

    pub(crate) async fn output(&self, run: &RunId, step: &str) -> serde_json::Value {
        let steps = self.store.runs().steps(run).await.unwrap();
        steps.into_iter().find(|row| row.view.step.as_str() == step).unwrap().view.output
    }

    pub(crate) async fn why(&self, run: &RunId, step: &str) -> String {
        let steps = self.store.runs().steps(run).await.unwrap();
        let row = steps.into_iter().find(|row| row.view.step.as_str() == step).unwrap();
        row.view.reason.map_or(String::new(), |reason| reason.to_string())
    }

    pub(crate) async fn step(&self, run: &RunId, step: &str) -> StepStatus {
        let steps = self.store.runs().steps(run).await.unwrap();
        steps.iter().find(|row| row.view.step.as_str() == step).unwrap().view.status
    }

    /// The log of a step's last attempt.
    pub(crate) async fn log(&self, run: &RunId, step: &str) -> String {
        let attempts = self.store.attempts().list(run, Some(&StepId::new(step))).await.unwrap();
        let attempt = &attempts.last().unwrap().claim.attempt;
        let pieces = self.store.logs().read(attempt, LogRange::Bytes(0..u64::MAX)).await.unwrap();
        let bytes = pieces.into_iter().flat_map(|piece| piece.bytes).collect();
        String::from_utf8(bytes).unwrap()
    }

    pub(crate) async fn facts(&self, run: &RunId) -> Vec<Fact> {
        let stored = self.store.runs().load(run).await.unwrap().unwrap();
        stored.journal.into_iter().map(|(_, fact)| fact).collect()
    }

    /// Invariant 1: every row can be derived from the journal again.
    pub(crate) async fn check_rows(&self, run: &RunId) {
        let loaded = self.engine.load(run).await.unwrap();
        assert_eq!(loaded.row.view, loaded.run.view());
        for row in self.store.runs().steps(run).await.unwrap() {
            assert_eq!(Some(&row.view), loaded.run.step_view(&row.view.step).as_ref());
        }
    }
}
