//! A home, a repository, and the binary.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Once,
};

use plue_testkit::postgres::{Database, LockingSession};
use serde_json::Value as Json;
use tempfile::TempDir;

/// A flow of two steps that succeed, one that fails, and one behind it.
pub(crate) const MIXED: &str = r#"
def workflow():
    return Plan(
        name="Mixed",
        on_failure="continue",
        triggers=[Trigger.on_push(branch="main")],
        steps=[
            Step.bash("test", "echo one; echo two"),
            Step.bash("build", "echo built", depends_on=["test"]),
            Step.bash("bad", "echo oops; exit 3", depends_on=["test"]),
            Step.bash("behind", "echo never", depends_on=["bad"]),
            Step.bash("asked", "echo asked", depends_on=["test"],
                      when="steps.test.status == 'failed'"),
        ],
    )
"#;

/// A plan of one step.
pub(crate) const SMALL: &str = r#"
def workflow():
    return Plan(name="Small", steps=[Step.bash("hello", "echo hello")])
"#;

/// Variables of the person who runs the tests that would change what plue does.
const FOREIGN: [&str; 55] = [
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "PLUE_CLAUDE_MODEL",
    "PLUE_CLAUDE_PRICES",
    "PLUE_CLAUDE_FETCH_HOSTS",
    "PLUE_CLAUDE_BUDGET_DAY",
    "PLUE_CLAUDE_BUDGET_MONTH",
    "PLUE_CLAUDE_WORKFLOW_BUDGET_DAY",
    "PLUE_CLAUDE_WORKFLOW_BUDGET_MONTH",
    "PLUE_CLAUDE_ORGANISATION_BUDGET_DAY",
    "PLUE_CLAUDE_ORGANISATION_BUDGET_MONTH",
    "PLUE_SERVER",
    "PLUE_TOKEN",
    "XDG_CONFIG_HOME",
    "XDG_STATE_HOME",
    "PLUE_STATE_DIR",
    "PLUE_DATABASE",
    "PLUE_COLOR",
    "PLUE_METRICS_FILE",
    "PLUE_MAX_PARALLEL",
    "PLUE_RETENTION",
    "PLUE_EVALUATOR_BINARY",
    "PLUE_EVALUATOR_ALLOW_MISSING",
    "PLUE_RUNNER_BINARY",
    "PLUE_RUNNER_GRACE",
    "PLUE_RUNNER_LOG_LIMIT_BYTES",
    "PLUE_RUNNER_RESOURCES",
    "PLUE_RUNNER_LABELS",
    "PLUE_RUNNER_ENV",
    "PLUE_LOCAL_MODE",
    "PLUE_LOCAL_NETWORK",
    "PLUE_LOCAL_READ",
    "PLUE_LOCAL_WRITE",
    "PLUE_LOCAL_HOME",
    "PLUE_UNTRUSTED_MODE",
    "PLUE_UNTRUSTED_NETWORK",
    "PLUE_UNTRUSTED_READ",
    "PLUE_UNTRUSTED_MAX_PROCESSES",
    "PLUE_UNTRUSTED_MAX_MEMORY_BYTES",
    "PLUE_LIMITS_UNTRUSTED_RUNS",
    "PLUE_LIMITS_UNTRUSTED_RUNS_PER_PULL_REQUEST",
    "PLUE_LIMITS_UNTRUSTED_TIMEOUT",
    "PLUE_LIMITS_UNTRUSTED_RETENTION",
    "PLUE_LIMITS_RUN_BYTES",
    "PLUE_LIMITS_UNTRUSTED_RUN_BYTES",
    "PLUE_LIMITS_MIN_FREE_BYTES",
    "PLUE_LIMITS_MIN_FREE_PERCENT",
    "PLUE_TRACES_ENDPOINT",
    "PLUE_TRACES_HEADERS_FILE",
    "PLUE_TRACES_SAMPLE",
    "PLUE_TRIGGERS_OPEN_TO_ANYONE",
    "PLUE_TRIGGERS_BASE_PLANS",
    "NO_COLOR",
    "CLICOLOR_FORCE",
];

/// A machine of a user: a home and a repository.
pub(crate) struct Bench {
    folder: TempDir,
    /// None: an SQLite file in its state directory.
    database: Option<Database>,
}

/// The exit code and output of a command.
#[derive(Debug)]
pub(crate) struct CliOutput {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) raw: Vec<u8>,
}

impl Bench {
    /// An empty home and an empty repository.
    pub(crate) fn new() -> Self {
        Self::on(None)
    }

    /// The same with a Postgres for its state.
    pub(crate) fn on_postgres() -> Self {
        Self::on(Some(Database::create()))
    }

    fn on(database: Option<Database>) -> Self {
        build_programs();
        let bench = Self { folder: tempfile::tempdir().unwrap(), database };
        for folder in [bench.home(), bench.repo()] {
            std::fs::create_dir(folder).unwrap();
        }
        bench.git(&["init", "-q", "-b", "main"]);
        bench
    }

    /// Runs SQL in a transaction of its own on the Postgres, and leaves it open.
    pub(crate) fn hold(&self, sql: &str) -> LockingSession<'_> {
        self.database.as_ref().expect("on Postgres").hold(sql)
    }

    /// With one workflow file, committed.
    pub(crate) fn with(source: &str) -> Self {
        let bench = Self::new();
        bench.write(".plue.py", source);
        bench.commit();
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

    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.repo().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn commit(&self) {
        self.git(&["add", "-A"]);
        self.git(&[
            "-c",
            "user.name=Ada",
            "-c",
            "user.email=ada@example.invalid",
            "commit",
            "-qm",
            "x",
        ]);
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .args(args)
            .current_dir(self.repo())
            .env("HOME", self.home())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "git {args:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// `plue` in the repository.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plue"));
        command.args(args).current_dir(self.repo()).stdin(Stdio::null());
        for name in FOREIGN {
            command.env_remove(name);
        }
        command
            .env("HOME", self.home())
            .env("USER", "ada")
            .env("TZ", "UTC")
            .env("COLUMNS", "100")
            .env("GIT_CONFIG_NOSYSTEM", "1");
        if let Some(database) = &self.database {
            command.env("PLUE_DATABASE", database.url());
        }
        command
    }

    pub(crate) fn plue(&self, args: &[&str]) -> CliOutput {
        CliOutput::of(self.command(args).output().unwrap())
    }

    /// With a text on standard input.
    pub(crate) fn plue_reading(&self, args: &[&str], input: &str) -> CliOutput {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        CliOutput::of(child.wait_with_output().unwrap())
    }
}

impl CliOutput {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            raw: output.stdout,
        }
    }

    /// The same, if it ended with this code.
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    /// That standard error holds these texts.
    #[track_caller]
    pub(crate) fn reports(&self, texts: &[&str]) {
        for text in texts {
            assert!(self.stderr.contains(text), "{text:?} is not in:\n{}", self.stderr);
        }
    }

    /// That standard output holds these texts.
    #[track_caller]
    pub(crate) fn shows(&self, texts: &[&str]) {
        for text in texts {
            assert!(self.stdout.contains(text), "{text:?} is not in:\n{}", self.stdout);
        }
    }
}

/// Every file under a folder with its bytes.
pub(crate) fn snapshot(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            } else {
                found.push((entry.path(), std::fs::read(entry.path()).unwrap_or_default()));
            }
        }
    }
    found.sort();
    found
}

/// `plue` starts `plue-runner` and `plue-evaluator` from its own folder. Cargo gives a test only
/// the binaries of its own package, and these are other packages' (a dependency on them would make
/// every build of the command line link Python), so that they are built here if they are missing.
/// If they are there they are taken as they are: `make test` builds the whole workspace first.
fn build_programs() {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let folder = Path::new(env!("CARGO_BIN_EXE_plue")).parent().unwrap();
        let packages = ["plue-runner", "plue-evaluator"];
        if packages.iter().all(|name| folder.join(name).exists()) {
            return;
        }
        let mut command = Command::new(env!("CARGO"));
        command.args(["build", "--quiet", "-p", packages[0], "-p", packages[1]]);
        command.arg("--target-dir").arg(folder.parent().unwrap());
        if folder.ends_with("release") {
            command.arg("--release");
        }
        let built = command.current_dir(env!("CARGO_MANIFEST_DIR")).status();
        assert!(built.unwrap().success(), "the runner and the evaluator do not build");
    });
}
