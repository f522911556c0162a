//! The plan and the run of an example without the parts that differ between runs: the texts of its
//! `expected/` folder. Used by the tests, which compare, and by `bless_examples`, which writes.
//!
//! Must not know the examples by name, except for the programs they need.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use plue_plan::{Plan, graph::Graph};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// The files of an `expected/` folder.
pub(crate) const FILES: [&str; 3] = ["plan.json", "levels.txt", "run.txt"];

/// Programs that steps need besides bash: the example, the program, the Debian packages.
const NEEDS: [(&str, &str, &str); 7] = [
    ("seed", "node", "nodejs"),
    ("seed", "npm", "npm"),
    ("ci-node", "node", "nodejs"),
    ("ci-node", "npm", "npm"),
    ("ci-python", "python3", "python3"),
    ("ci-rust", "cargo-fmt", "rustfmt (rustup component add rustfmt)"),
    ("ci-rust", "cargo-clippy", "clippy (rustup component add clippy)"),
];

/// Variables of the person who runs the tests that would change what plue does.
const FOREIGN: [&str; 12] = [
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "PLUE_COLOR",
    "PLUE_DATABASE",
    "PLUE_EVALUATOR_ALLOW_MISSING",
    "PLUE_EVALUATOR_BINARY",
    "PLUE_MAX_PARALLEL",
    "PLUE_RETENTION",
    "PLUE_RUNNER_BINARY",
    "PLUE_RUNNER_GRACE",
    "PLUE_RUNNER_LOG_LIMIT_BYTES",
];

/// A copy of an example in a repository of its own, and a state directory of its own.
pub(crate) struct Copy {
    folder: TempDir,
    plue: PathBuf,
}

/// The folder of the examples.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// The names of all examples, sorted.
pub(crate) fn names() -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root()).unwrap() {
        let path = entry.unwrap().path();
        if path.join(".plue.py").exists() {
            names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    names.sort();
    names
}

/// Panics with the missing package, so that no example is skipped silently.
pub(crate) fn check_needs(name: &str) {
    for (_, program, package) in NEEDS.iter().filter(|(example, ..)| *example == name) {
        let status = Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "examples/{name} runs `{program}`, which is not there; install the package {package}, \
             or let `scripts/setup.sh test` do it"
        );
    }
}

// === impl Copy ===

impl Copy {
    /// Copies an example without what it is compared with, and commits it.
    pub(crate) fn of(plue: &Path, name: &str) -> Self {
        let copy = Self { folder: tempfile::tempdir().unwrap(), plue: plue.to_owned() };
        copy_folder(&root().join(name), &copy.repo());
        copy.git(&["init", "--quiet", "--initial-branch", "main"]);
        copy.commit();
        copy
    }

    pub(crate) fn repo(&self) -> PathBuf {
        self.folder.path().join("repo")
    }

    /// Commits everything. The dates are fixed, so that the commit's id is.
    pub(crate) fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", "an example"]);
    }

    pub(crate) fn git(&self, args: &[&str]) {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=Ada", "-c", "user.email=ada@example.invalid"]);
        command.args(["-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null"]).args(args);
        for date in ["GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"] {
            command.env(date, "2026-01-01T00:00:00Z");
        }
        for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
            command.env_remove(variable);
        }
        let status = command.current_dir(self.repo()).status().unwrap();
        assert!(status.success(), "git {args:?}");
    }

    /// `plue` in the copy: with the person's home and path, which Cargo and Node need, but without
    /// her configuration of plue.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.plue);
        command.args(args).arg("--state-dir").arg(self.folder.path().join("state"));
        for name in FOREIGN {
            command.env_remove(name);
        }
        command.env("XDG_CONFIG_HOME", self.folder.path().join("config"));
        command.current_dir(self.repo()).stdin(Stdio::null());
        command
    }

    pub(crate) fn plue(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// The canonical plan, as `plue plan --output json` prints it.
    pub(crate) fn plan(&self, more: &[&str]) -> Vec<u8> {
        let output = self.plue(&[["plan", "--output", "json"].as_slice(), more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// The status of the workflow's run, its steps and its output.
    pub(crate) fn run(&self) -> String {
        let output = self.plue(&["run"]);
        let code = output.status.code().unwrap_or(-1);
        let status = self.plue(&["status", "last", "--output", "json"]);
        let document: Option<Json> = serde_json::from_slice(&status.stdout).ok();
        assert!(
            document.is_some(),
            "plue run printed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        self.normalised(code, &document.unwrap())
    }

    /// Statuses in the order of the plan, reasons, and last lines of standard output; no times, no
    /// ids, no folder of this machine.
    fn normalised(&self, code: i32, document: &Json) -> String {
        let run = &document["run"];
        let mut text = format!("run {}, exit code {code}\n", word(&run["status"]));
        for step in document["steps"].as_array().unwrap() {
            text.push_str(&format!("\n{} {}", word(&step["step"]), word(&step["status"])));
            for count in ["visit", "attempts"] {
                if step[count].as_u64().is_some_and(|n| n > 1) {
                    text.push_str(&format!(", {count} {}", step[count]));
                }
            }
            if let Some(reason) = step["reason"].as_str() {
                text.push_str(&format!("\n  reason: {reason}"));
            }
            let output = match &step["output"] {
                Json::Null => None,
                Json::String(printed) => printed.lines().last().map(without_times),
                object => Some(object.to_string()),
            };
            if let Some(output) = output {
                text.push_str(&format!("\n  output: {output}"));
            }
        }
        text.push('\n');
        let folder = std::fs::canonicalize(self.repo()).unwrap();
        text.replace(folder.to_str().unwrap(), "REPO")
    }
}

/// The hash, then what runs after what.
pub(crate) fn levels(plan: &[u8]) -> String {
    let mut text = format!("sha256:{}\n", hex::encode(Sha256::digest(plan)));
    let plan: Plan = serde_json::from_slice(plan).unwrap();
    for (number, level) in Graph::new(&plan).levels().iter().enumerate() {
        let ids: Vec<&str> = level.iter().map(plue_plan::StepId::as_str).collect();
        text.push_str(&format!("{} {}\n", number + 1, ids.join(", ")));
    }
    text
}

/// All texts of one example, in the order of [`FILES`].
pub(crate) fn take(plue: &Path, name: &str) -> [Vec<u8>; 3] {
    check_needs(name);
    let copy = Copy::of(plue, name);
    let plan = copy.plan(&[]);
    let levels = levels(&plan);
    [plan, levels.into_bytes(), copy.run().into_bytes()]
}

/// A line without measured times: a decimal number, with or without a unit, becomes `TIME`.
fn without_times(line: &str) -> String {
    let is_time = |word: &str| {
        let number = word.trim_end_matches(|c: char| c.is_ascii_alphabetic() || ",;)".contains(c));
        number.contains('.') && number.parse::<f64>().is_ok()
    };
    let words = line.split(' ').map(|word| if is_time(word) { "TIME" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

fn word(value: &Json) -> &str {
    value.as_str().unwrap_or("?")
}

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (name, target) = (entry.file_name(), to.join(entry.file_name()));
        if entry.file_type().unwrap().is_dir() {
            // Leftovers of a user's own run are not part of the example.
            if !["expected", "target", "dist", "node_modules", "__pycache__"]
                .iter()
                .any(|n| name == *n)
            {
                copy_folder(&entry.path(), &target);
            }
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
