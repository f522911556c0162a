//! A home, a repository, real processes, and one look at all that must hold.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use plue_flow::RunStatus;
use plue_plan::{RunId, StepId};
use plue_runtime::Clock;
use plue_store::{AttemptRow, RunFilter, Store, StoreOptions};
use plue_testkit::faults::{
    processes::{Process, processes_of},
    streams, violations,
};
use rustix::process::Signal;
use tempfile::TempDir;

/// Looks until something is so; a test that waits for ever is ended by the test runner.
pub(crate) const LOOK: Duration = Duration::from_millis(2);

/// `plue` starts the two others, which lie in its folder.
const PROGRAMS: [&str; 3] = ["plue", "plue-runner", "plue-evaluator"];

/// A machine of one user, with the released programs.
pub(crate) struct Bench {
    folder: TempDir,
}

/// Exit status and output of a command.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The logs of the last attempt of each step, by stream.
pub(crate) type Logs = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

// === impl Bench ===

impl Bench {
    /// A repository with one workflow file.
    pub(crate) fn new(source: &str) -> Self {
        PROGRAMS.iter().for_each(|name| drop(program(name)));
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir_all(bench.home()).unwrap();
        fs::create_dir_all(bench.repo()).unwrap();
        fs::write(bench.repo().join(".plue.py"), source).unwrap();
        for args in [&["init", "-q", "-b", "main"][..], &["add", "-A"], &COMMIT] {
            let mut git = Command::new("git");
            git.args(args).current_dir(bench.repo()).env("HOME", bench.home());
            assert!(git.env("GIT_CONFIG_NOSYSTEM", "1").status().unwrap().success());
        }
        bench
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    pub(crate) fn repo(&self) -> PathBuf {
        self.folder.path().join("repo")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.home().join(".local/state/plue")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.state().join("plue.db")
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program("plue"));
        command.args(args).current_dir(self.repo()).stdin(Stdio::null()).env_clear();
        let path = option_env!("PATH").unwrap_or("/usr/local/bin:/usr/bin:/bin");
        command.env("PATH", path).env("HOME", self.home()).env("GIT_CONFIG_NOSYSTEM", "1");
        command
    }

    /// Starts a command in the background, without reading its output.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    pub(crate) fn plue(&self, args: &[&str]) -> Ended {
        Ended::of(self.command(args))
    }

    pub(crate) async fn store(&self) -> Store {
        Store::open(StoreOptions::sqlite(&self.database()).read_only()).await.unwrap()
    }

    /// The runs there are; none while there is no database.
    pub(crate) async fn runs(&self) -> Vec<RunId> {
        let Ok(store) = Store::open(StoreOptions::sqlite(&self.database()).read_only()).await
        else {
            return Vec::new();
        };
        let rows = store.runs().list(&RunFilter::default()).await.unwrap();
        rows.into_iter().map(|row| row.id).collect()
    }

    /// The only run there is.
    pub(crate) async fn run(&self) -> RunId {
        let runs = self.runs().await;
        assert_eq!(runs.len(), 1);
        runs.into_iter().next().unwrap()
    }

    pub(crate) async fn status(&self, run: &RunId) -> RunStatus {
        self.store().await.runs().get(run).await.unwrap().unwrap().view.status
    }

    /// The last attempt of a step.
    pub(crate) async fn attempt(&self, run: &RunId, step: &str) -> AttemptRow {
        let attempts =
            self.store().await.attempts().list(run, Some(&StepId::new(step))).await.unwrap();
        attempts.into_iter().next_back().unwrap()
    }

    pub(crate) async fn logs(&self, run: &RunId) -> Logs {
        let store = self.store().await;
        let mut logs = Logs::new();
        for attempt in store.attempts().list(run, None).await.unwrap() {
            let text = streams(&store, &attempt.claim.attempt).await;
            logs.insert(attempt.step.as_str().to_owned(), text);
        }
        logs
    }

    /// A file that a step makes.
    pub(crate) async fn appears(&self, name: &str) {
        let path = self.repo().join(name);
        until(|| path.exists()).await;
    }

    pub(crate) fn touch(&self, name: &str) {
        fs::write(self.repo().join(name), "").unwrap();
    }

    /// Lines that steps appended to a file.
    pub(crate) fn lines(&self, name: &str) -> usize {
        fs::read_to_string(self.repo().join(name)).unwrap_or_default().lines().count()
    }

    pub(crate) fn processes(&self) -> Vec<Process> {
        processes_of(self.folder.path())
    }

    pub(crate) fn runners(&self) -> Vec<Process> {
        self.processes().into_iter().filter(|process| process.name == "plue-runner").collect()
    }

    /// Waits until no step runs any more.
    pub(crate) async fn steps_end(&self) {
        let is_step = |process: &Process| matches!(process.name.as_str(), "bash" | "sleep");
        until(|| !self.processes().iter().any(is_step)).await;
    }

    /// Kills every runner and waits until it is dead.
    pub(crate) async fn kill_runners(&self) {
        for runner in self.runners() {
            runner.signal(Signal::KILL);
            until(|| !runner.lives()).await;
        }
    }

    /// Kills everything there is, runners first: they must not see how their steps die.
    pub(crate) async fn kill_all(&self) {
        self.kill_runners().await;
        while !self.processes().is_empty() {
            for process in self.processes() {
                process.signal(Signal::KILL);
            }
            Clock::real().sleep(LOOK).await;
        }
    }

    /// Everything that must hold once nothing is under way any more.
    #[track_caller]
    pub(crate) fn nothing_is_left(&self) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            assert_eq!(self.processes(), [], "{place}: processes are left");
            for folder in ["runners", "locks"] {
                let left = names(&self.state().join(folder));
                let inner = left.iter().map(|name| names(&self.state().join(folder).join(name)));
                let inner: Vec<_> = inner.collect();
                assert_eq!(left, [] as [String; 0], "{place}: files are left: {inner:?}");
            }
            let store = self.store().await;
            for run in self.runs().await {
                let wrong = violations(&store, &run).await;
                assert!(wrong.is_empty(), "{place}: {wrong:#?}");
            }
        }
    }
}

// === impl Ended ===

impl Ended {
    pub(crate) fn of(mut command: Command) -> Self {
        let output = command.output().unwrap();
        Self {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The last words on standard error.
    pub(crate) fn end(&self) -> &str {
        let from = self.stderr.len().saturating_sub(500);
        self.stderr.get(from..).unwrap_or(&self.stderr)
    }

    /// The same, if it ended with this code.
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{}", self.end());
        self
    }
}

const COMMIT: [&str; 6] =
    ["-c", "user.name=Ada", "-c", "user.email=ada@example.invalid", "commit", "-qmx"];

/// Names of a folder's entries; none if it is no folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Waits until something is so.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        Clock::real().sleep(LOOK).await;
    }
}

/// Children of a process that it has not waited for.
pub(crate) fn children(child: &Child) -> Vec<Process> {
    let pid = child.id();
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| Process::of(pid.parse().ok()?)).collect()
}

/// Kills a process as `kill -9` does and waits until it is gone.
pub(crate) fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A built program. Cargo puts tests into `deps` next to the programs of the same profile.
///
/// # Panics
/// The program is not built: Cargo builds programs only for tests of their own package.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join(name);
    assert!(
        path.exists(),
        "{} is not built; run `cargo build --workspace --bins`, or `cargo nextest run --workspace`",
        path.display()
    );
    path
}
