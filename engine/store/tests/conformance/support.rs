//! A fresh store per test, and short words for what tests say again and again.

use std::path::PathBuf;

use jiff::Timestamp;
use plue_flow::{AttemptStatus, Fact, RunStatus, RunView, StepStatus, StepView, fact::Outcome};
use plue_plan::{Action, AttemptId, Plan, PlanHash, RunId, RunnerId, Step, canonical::HashedPlan};
use plue_store::{
    Assign, AttemptEnd, Committed, NewAttempt, NewEngine, NewRun, Refused, RunCommit, Store,
    StoreOptions,
    blob::{BlobFuture, BlobStore, Draft},
};
use plue_testkit::postgres::Database;
use plue_wire::{
    eval::Bytes,
    runner::{AttemptEvent, Claim, EventKind, Fence},
};
use serde_json::json;

/// Makes of each function two tests, `sqlite::NAME` and `postgres::NAME`.
macro_rules! on_each_store {
    ($($(#[$meta:meta])* async fn $name:ident($world:ident) $body:block)+) => {
        mod sqlite {
            use super::*;
            $($(#[$meta])* #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let $world = crate::support::World::sqlite().await;
                $body
            })+
        }
        mod postgres {
            use super::*;
            $($(#[$meta])* #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let $world = crate::support::World::postgres().await;
                $body
            })+
        }
    };
}

/// A store and what it stands on.
pub(crate) struct World {
    pub(crate) store: Store,
    options: StoreOptions,
    place: Place,
}

enum Place {
    Directory(tempfile::TempDir),
    Server(Database, tempfile::TempDir),
}

/// A shelf on which everything is old: the time of a change cannot be set.
#[derive(Debug)]
pub(crate) struct Aged<S>(pub(crate) S);

impl<S: BlobStore> BlobStore for Aged<S> {
    fn draft(&self) -> BlobFuture<'_, Box<dyn Draft>> {
        self.0.draft()
    }

    fn read<'a>(&'a self, name: &'a str, offset: u64, most: usize) -> BlobFuture<'a, Vec<u8>> {
        self.0.read(name, offset, most)
    }

    fn remove<'a>(&'a self, name: &'a str) -> BlobFuture<'a, ()> {
        self.0.remove(name)
    }

    fn older_than(&self, seconds: u64) -> BlobFuture<'_, Vec<String>> {
        assert!(seconds >= 3_600, "whoever writes a row has that long");
        self.0.older_than(0)
    }

    fn has_owner(&self) -> bool {
        self.0.has_owner()
    }

    fn is_owned_by<'a>(&'a self, owner: &'a str) -> BlobFuture<'a, bool> {
        self.0.is_owned_by(owner)
    }
}

// === impl World ===

impl World {
    pub(crate) async fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = StoreOptions::sqlite(&directory.path().join("plue.db"));
        Self::open(options, Place::Directory(directory)).await
    }

    pub(crate) async fn postgres() -> Self {
        let database = Database::create();
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions::new(database.url()).blobs(folder.path().join("blobs"));
        Self::open(options, Place::Server(database, folder)).await
    }

    async fn open(options: StoreOptions, place: Place) -> Self {
        let store = Store::open(options.clone()).await.unwrap();
        Self { store, options, place }
    }

    /// A second engine on the same database.
    pub(crate) async fn another(&self) -> Store {
        Store::open(self.options.clone()).await.unwrap()
    }

    pub(crate) fn options(&self) -> StoreOptions {
        self.options.clone()
    }

    /// The SQLite file.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        match &self.place {
            Place::Directory(directory) => Some(directory.path().join("plue.db")),
            Place::Server(..) => None,
        }
    }

    /// The folder of larger blobs.
    pub(crate) fn blobs(&self) -> PathBuf {
        match &self.place {
            Place::Directory(folder) | Place::Server(_, folder) => folder.path().join("blobs"),
        }
    }

    /// Runs SQL behind the store's back.
    pub(crate) fn sql(&self, sql: &str) -> String {
        match &self.place {
            Place::Server(database, _) => database.psql(sql),
            Place::Directory(directory) => {
                let mut shell = std::process::Command::new("sqlite3");
                shell.args(["-cmd", ".timeout 10000"]).arg(directory.path().join("plue.db"));
                let output = shell.arg(sql).output().expect("sqlite3 is installed");
                let errors = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{sql}: {errors}");
                String::from_utf8(output.stdout).unwrap()
            }
        }
    }

    /// The text of the CHECK constraint of a column.
    pub(crate) fn check_of(&self, table: &str, column: &str) -> String {
        let ddl = match &self.place {
            Place::Directory(_) => {
                self.sql(&format!("SELECT sql FROM sqlite_master WHERE name = '{table}'"))
            }
            Place::Server(..) => self.sql(&format!(
                "SELECT 'CHECK (' || pg_get_constraintdef(oid) || ')' FROM pg_constraint \
                 WHERE contype = 'c' AND conrelid = '{table}'::regclass"
            )),
        };
        let text = ddl.replace("::text", "");
        let found = text.split("CHECK").find(|part| part.contains(column) && part.contains('\''));
        found.unwrap_or_else(|| panic!("no CHECK for {table}.{column}: {ddl}")).to_owned()
    }

    /// A run with a queued attempt of step `build`; its journal has 2 facts.
    pub(crate) async fn queued(&self, run: &str, attempt: &str) -> RunId {
        self.queued_in(run, attempt, "local").await
    }

    /// The same in another pool.
    pub(crate) async fn queued_in(&self, run: &str, attempt: &str, pool: &str) -> RunId {
        let id = self.created(run).await;
        let mut commit = commit(&id, 1, RunStatus::Running);
        commit.facts.push(queued_fact(attempt));
        commit.steps.push(step_view(StepStatus::Queued));
        commit.attempts.push(NewAttempt { pool: pool.to_owned(), ..new_attempt(attempt) });
        self.store.runs().commit(commit).await.unwrap().unwrap();
        id
    }

    /// A run whose journal has one fact.
    pub(crate) async fn created(&self, run: &str) -> RunId {
        let (new, first) = self.new_run(run).await;
        self.store.runs().create(new, first).await.unwrap().unwrap();
        RunId::new(run)
    }

    pub(crate) async fn new_run(&self, run: &str) -> (NewRun, RunCommit) {
        let sealed = plan("demo");
        self.store.plans().put(&sealed).await.unwrap();
        let new = new_run(run, sealed.hash);
        let mut first = commit(&new.id, 0, RunStatus::Queued);
        first.facts.push(Fact::RunCreated {
            plan: sealed.hash,
            only: Vec::new(),
            carried: Vec::new(),
        });
        (new, first)
    }

    /// A runner in session: its epoch.
    pub(crate) async fn runner(&self, id: &str, group: Option<&RunId>) -> u64 {
        let runner = RunnerId::new(id);
        self.store.runners().register(&runner, "local", "hash", group, at(1)).await.unwrap();
        let epoch = self.store.runners().greet(&runner, "hash", "boot", at(2)).await.unwrap();
        assert!(self.store.runners().ready(&runner, epoch, at(3)).await.unwrap());
        epoch
    }

    /// An attempt that a runner has started: its claim.
    pub(crate) async fn started(&self, run: &str, attempt: &str) -> Claim {
        let run = self.queued(run, attempt).await;
        let runner = format!("runner-of-{attempt}");
        let epoch = self.runner(&runner, Some(&run)).await;
        let claimed =
            self.store.attempts().claim(&RunnerId::new(runner), epoch, 1, at(10)).await.unwrap();
        let claim = claimed[0].claim.clone();
        let events = vec![event(&claim, 1, EventKind::Started { pid: 77 })];
        let appended = self.store.journal().append(vec![(claim.clone(), events)]).await.unwrap();
        assert_eq!(appended[0].ack_seq, Some(1));
        claim
    }

    /// Ends an attempt that has reported `last` events.
    pub(crate) async fn end(
        &self,
        run: &RunId,
        expect_seq: u64,
        end: AttemptEnd,
    ) -> Result<Committed, Refused> {
        let mut commit = commit(run, expect_seq, RunStatus::Success);
        commit.facts.push(Fact::RunStarted);
        commit.steps.push(step_view(StepStatus::Success));
        commit.ends.push(end);
        self.store.runs().commit(commit).await.unwrap()
    }
}

pub(crate) fn engine(id: &str, pid: u32, at: Timestamp) -> NewEngine {
    let text = |text: &str| text.to_owned();
    NewEngine { id: text(id), host: text("host"), pid, version: text("1"), place: text("p"), at }
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

pub(crate) fn plan(name: &str) -> HashedPlan {
    let step: Step =
        serde_json::from_value(json!({"id": "build", "kind": "bash", "run": "true"})).unwrap();
    assert!(matches!(step.action, Action::Bash { .. }));
    HashedPlan::new(Plan::new(name, vec![step])).unwrap()
}

pub(crate) fn new_run(run: &str, plan: PlanHash) -> NewRun {
    NewRun {
        id: RunId::new(run),
        workflow: "demo".to_owned(),
        source: "demo.plue.py".to_owned(),
        plan,
        event: json!({"type": "manual"}),
        inputs: json!({"who": "wörld\u{0}"}),
        repo: Some("a/b".to_owned()),
        sha: Some("c0ffee".to_owned()),
        branch: None,
        fork: None,
        is_child: false,
        origin: json!({"build": "3.11"}),
        created_at: at(0),
    }
}

pub(crate) fn commit(run: &RunId, expect_seq: u64, status: RunStatus) -> RunCommit {
    let ended_at = status.is_terminal().then(|| at(20));
    let view = RunView { status, reason: None, started_at: Some(at(5)), ended_at };
    RunCommit::new(run.clone(), expect_seq, at(6), view)
}

pub(crate) fn queued_fact(attempt: &str) -> Fact {
    let attempt = AttemptId::new(attempt);
    Fact::AttemptQueued { step: "build".into(), visit: 1, number: 1, attempt }
}

pub(crate) fn step_view(status: StepStatus) -> StepView {
    StepView {
        step: "build".into(),
        status,
        reason: None,
        visit: 1,
        attempts: 1,
        ready_at: Some(at(5)),
        started_at: None,
        ended_at: None,
        output: json!({"n": 1}),
    }
}

pub(crate) fn new_attempt(id: &str) -> NewAttempt {
    NewAttempt {
        id: AttemptId::new(id),
        step: "build".into(),
        visit: 1,
        number: 1,
        pool: "local".to_owned(),
        priority: 0,
        not_before: at(5),
    }
}

pub(crate) fn assign(runner: &str, epoch: u64) -> Assign {
    Assign { runner: RunnerId::new(runner), epoch, max: 8 }
}

pub(crate) fn event(claim: &Claim, seq: u64, kind: EventKind) -> AttemptEvent {
    let at_us = at(11).as_microsecond();
    AttemptEvent { claim: claim.clone(), seq, at_us, kind }
}

pub(crate) fn stdout(claim: &Claim, seq: u64, text: &[u8]) -> AttemptEvent {
    event(claim, seq, EventKind::Stdout(Bytes(text.to_vec())))
}

pub(crate) fn success(claim: &Claim, seq: u64) -> AttemptEnd {
    AttemptEnd {
        claim: claim.clone(),
        tail: Vec::new(),
        seq: Some(seq),
        status: AttemptStatus::Done,
        outcome: Outcome::Success,
        detail: Some(json!({"wall_us": 5})),
    }
}

pub(crate) fn stale(claim: &Claim) -> Claim {
    Claim { attempt: claim.attempt.clone(), fence: Fence(claim.fence.0 - 1) }
}
