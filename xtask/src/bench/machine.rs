//! The programs under measurement, a repository and a state directory for them, the clock and the load.
//!
//! Must not leave anything behind but the build.

use std::{
    cell::RefCell,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value as Json;
use tempfile::TempDir;

use super::line::Line;

/// The usual workflow file.
const PYTHON_FILE: &str = ".plue.py";

/// Programs, folders and options of a measurement.
#[derive(Debug)]
pub(crate) struct Machine {
    root: PathBuf,
    programs: PathBuf,
    folder: TempDir,
    build: bool,
    pub(crate) rounds: u32,
    /// Duration of each attack of a soak.
    pub(crate) duration: Duration,
    /// Runs of a burst.
    pub(crate) runs: usize,
    /// A server to measure too.
    server: Option<String>,
    /// Database of `plue`; none: its own choice.
    database: RefCell<Option<String>>,
}

/// A database that a case is measured on.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub(crate) name: &'static str,
    pub(crate) url: Option<String>,
}

/// The document of `plue status` for one run.
#[derive(Debug)]
pub(crate) struct Ran(Json);

// === impl Machine ===

impl Machine {
    /// Builds the programs, if asked to.
    pub(crate) fn new(root: &Path, rounds: u32, build: bool) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("make a temporary directory")?;
        // xtask itself is TARGET/PROFILE/xtask.
        let here = std::env::current_exe()?;
        let target = here.ancestors().nth(2).context("xtask lies in no target directory")?;
        let machine = Self {
            root: root.to_owned(),
            programs: target.join("release"),
            folder,
            build,
            rounds,
            duration: Duration::ZERO,
            runs: 0,
            server: None,
            database: RefCell::new(None),
        };
        machine.cargo(&[
            "-p",
            "plue-cli",
            "-p",
            "plue-runner",
            "-p",
            "plue-evaluator",
            "--bins",
        ])?;
        fs::create_dir(machine.repo())?;
        let git =
            Command::new("git").args(["init", "--quiet"]).current_dir(machine.repo()).status()?;
        if !git.success() {
            bail!("git init failed");
        }
        Ok(machine)
    }

    /// The same machine with a server to measure too.
    pub(crate) fn with_database(self, server: Option<String>) -> Self {
        Self { server, ..self }
    }

    /// The same machine with programs of another folder, which must be absolute after it was found.
    pub(crate) fn with_programs(self, folder: Option<&Path>) -> anyhow::Result<Self> {
        let Some(folder) = folder else { return Ok(self) };
        let programs = folder.canonicalize().with_context(|| folder.display().to_string())?;
        Ok(Self { programs, ..self })
    }

    /// The same machine with soaks of this length.
    pub(crate) fn attacked_for(self, duration: Duration) -> Self {
        Self { duration, ..self }
    }

    /// The same machine with bursts of so many runs.
    pub(crate) fn asked_for(self, runs: usize) -> Self {
        Self { runs, ..self }
    }

    /// The databases to measure on: SQLite twice, and the server if one was named.
    pub(crate) fn databases(&self) -> Vec<Database> {
        let full = format!("sqlite:{}?synchronous=full", self.scratch().join("full.db").display());
        let mut all = vec![
            Database { name: "sqlite normal", url: None },
            Database { name: "sqlite full", url: Some(full) },
        ];
        all.extend(self.server());
        all
    }

    /// The server that was named.
    pub(crate) fn server(&self) -> Option<Database> {
        self.server.clone().map(|url| Database { name: "postgres", url: Some(url) })
    }

    /// Measures on each of these databases.
    pub(crate) fn on_each(
        &self,
        databases: Vec<Database>,
        mut measure: impl FnMut(&str) -> anyhow::Result<Vec<Line>>,
    ) -> anyhow::Result<Vec<Line>> {
        let mut lines = Vec::new();
        for database in databases {
            self.database.replace(database.url);
            let measured = measure(database.name);
            self.database.replace(None);
            lines.extend(measured?);
        }
        Ok(lines)
    }

    fn cargo(&self, what: &[&str]) -> anyhow::Result<()> {
        if !self.build {
            return Ok(());
        }
        let mut command = Command::new("cargo");
        command.args(["build", "--release", "--locked", "--quiet"]).args(what);
        command.arg("--target-dir").arg(self.programs.parent().unwrap_or(Path::new("target")));
        if !command.current_dir(&self.root).status()?.success() {
            bail!("cargo build {} failed", what.join(" "));
        }
        Ok(())
    }

    pub(crate) fn repo(&self) -> PathBuf {
        self.folder.path().join("repo")
    }

    pub(crate) fn scratch(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// An example of a crate, built and run to its end; its output.
    pub(crate) fn example(
        &self,
        package: &str,
        name: &str,
        args: &[&str],
    ) -> anyhow::Result<String> {
        self.cargo(&["-p", package, "--example", name])?;
        let mut command = Command::new(self.programs.join("examples").join(name));
        command.args(args).current_dir(self.scratch());
        let output = command.stderr(Stdio::inherit()).output().with_context(|| name.to_owned())?;
        if !output.status.success() {
            bail!("the example {name} of {package} failed: {}", output.status);
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Makes this the only workflow of the repository.
    pub(crate) fn workflow(&self, source: &str) -> anyhow::Result<()> {
        self.only_workflow(PYTHON_FILE, source)
    }

    /// The same in a file of this name.
    pub(crate) fn only_workflow(&self, name: &str, source: &str) -> anyhow::Result<()> {
        for entry in fs::read_dir(self.repo())? {
            let found = entry?.file_name();
            let found = found.to_string_lossy();
            if found != name && found.contains(".plue.") {
                fs::remove_file(self.repo().join(&*found))?;
            }
        }
        fs::write(self.repo().join(name), source).context("write the workflow")
    }

    /// `plue` in the repository.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.program("plue"));
        command.args(args).arg("--state-dir").arg(self.scratch().join("state"));
        if let Some(url) = &*self.database.borrow() {
            command.args(["--database", url]);
        }
        command.env("XDG_CONFIG_HOME", self.scratch().join("config"));
        command.current_dir(self.repo()).stdin(Stdio::null());
        command
    }

    pub(crate) fn plue(&self, args: &[&str]) -> anyhow::Result<Output> {
        let output = self.command(args).output()?;
        if !output.status.success() {
            bail!("plue {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(output)
    }

    /// Starts `plue` without reading its output.
    pub(crate) fn start(&self, args: &[&str]) -> anyhow::Result<Child> {
        let mut command = self.command(args);
        Ok(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
    }

    /// Runs the workflow and returns its end.
    pub(crate) fn run(&self) -> anyhow::Result<Ran> {
        self.plue(&["run", "--quiet"])?;
        self.last()
    }

    /// The newest run of the state directory.
    pub(crate) fn last(&self) -> anyhow::Result<Ran> {
        let output = self.plue(&["status", "last", "--output", "json"])?;
        Ok(Ran(serde_json::from_slice(&output.stdout)?))
    }

    /// The average number of running processes in the last minute.
    pub(crate) fn load(&self) -> String {
        let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        text.split(' ').next().unwrap_or_default().to_owned()
    }
}

// === impl Ran ===

impl Ran {
    /// From the start to the end of the run, in ms.
    pub(crate) fn duration_ms(&self) -> anyhow::Result<f64> {
        let run = &self.0["run"];
        let times = (micros(&run["started_at"]), micros(&run["ended_at"]));
        let (Some(start), Some(end)) = times else { bail!("the run has not ended: {run}") };
        Ok((end - start) / 1e3)
    }

    /// The output of a step.
    pub(crate) fn output(&self, step: &str) -> Option<&str> {
        let mut steps = self.0["steps"].as_array()?.iter();
        steps.find(|found| found["step"] == step)?["output"].as_str()
    }

    /// For each step the time from being ready to the start of its process, in ms.
    pub(crate) fn waits_ms(&self) -> Vec<f64> {
        let steps = self.0["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
        let wait = |step: &Json| Some(micros(&step["started_at"])? - micros(&step["ready_at"])?);
        steps.iter().filter_map(wait).map(|micros| micros / 1e3).collect()
    }
}

/// Microseconds since midnight of `2026-11-21T10:26:14.350356Z`; a run over midnight is not measured.
/// A time of this day from JSON.
pub(crate) fn micros(time: &Json) -> Option<f64> {
    let clock = time.as_str()?.split_once('T')?.1.trim_end_matches('Z');
    let mut parts = clock.splitn(3, ':').map(str::parse::<f64>);
    let mut next = || parts.next()?.ok();
    Some((next()? * 3600.0 + next()? * 60.0 + next()?) * 1e6)
}

/// The time something takes, in ms.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = mark();
    let result = work();
    (millis(start), result)
}

/// Since a mark, in ms.
pub(crate) fn millis(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

/// A point in time, for differences only.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
pub(crate) fn mark() -> Instant {
    Instant::now()
}

/// Now, in seconds since 1970, to be compared with what another process reads.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
pub(crate) fn wall_seconds() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

/// Waits a little, between two looks at another process.
#[expect(clippy::disallowed_methods, reason = "a benchmark waits for processes without a signal")]
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Raises the limit of this process to the descriptors that it may have; the limit.
pub(crate) fn raise_descriptor_limit() -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = maximum.or(Some(1 << 20));
    let _as_it_was = setrlimit(Resource::Nofile, Rlimit { current, maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(1 << 20)
}

/// A field of `/proc/PID/status` in MiB; absent if the process is gone.
pub(crate) fn memory_mib(pid: u32, field: &str) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}
