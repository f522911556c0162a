//! `git`: status, diff, log, show and commit of the repository that the working directory is in.
//!
//! Nothing that the repository configures runs a program or leaves the machine: no hooks, filters,
//! helpers, external diffs, pagers, signatures, remotes. Must not work on a repository elsewhere.

use std::{ffi::OsStr, path::PathBuf, time::Duration};

use plue_runtime::Clock;
use tokio::process::Command;

use super::{
    super::input::{self, GitCommand},
    Outcome, Tools,
    shell::shown,
};

/// Settings that override those of the repository.
const SETTINGS: [(&str, &str); 19] = [
    ("core.fsmonitor", "false"),
    ("core.hooksPath", "/dev/null"),
    ("core.quotePath", "false"),
    ("core.alternateRefsCommand", ""),
    ("core.pager", "cat"),
    ("core.editor", "false"),
    ("core.askPass", ""),
    ("core.bare", "false"),
    ("core.bigFileThreshold", "16m"),
    ("safe.directory", "*"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("commit.gpgSign", "false"),
    ("log.showSignature", "false"),
    ("diff.external", ""),
    ("credential.helper", ""),
    ("submodule.recurse", "false"),
    ("status.submoduleSummary", "false"),
    ("color.ui", "false"),
];
/// The author of commits where none is configured.
const AUTHOR: [(&str, &str); 2] =
    [("user.name", "plue agent"), ("user.email", "agent@plue.invalid")];
const MAX_PATHS: usize = 1_000;
const MAX_REVISION_BYTES: usize = 300;
const MAX_MESSAGE_BYTES: usize = 64 * 1024;
const MAX_COMMITS: u64 = 1_000;
const DEFAULT_COMMITS: u64 = 20;
/// Filters of one repository.
const MAX_FILTERS: usize = 200;

/// The repository and the settings against it.
struct Repository {
    work_tree: PathBuf,
    settings: Vec<(String, String)>,
}

/// The tool `git` with the context of an attempt.
pub(super) struct Git<'a>(pub(super) &'a Tools);

// === impl Git ===

impl Git<'_> {
    /// Executes one call.
    ///
    /// # Errors
    /// The call or the repository is refused, in words.
    pub(super) async fn execute(&self, input: &str, timeout: Duration) -> Result<Outcome, String> {
        let input: input::Git = input::parse(input)?;
        let paths = self.paths(&input.paths)?;
        let steps = arguments(&input)?;
        let (clock, since) = (self.0.clock, self.0.clock.mark());
        let left = |clock: Clock| timeout.saturating_sub(clock.elapsed(since));
        let is_commit = input.command == GitCommand::Commit;
        let _alone = if is_commit { Some(self.0.changes.lock().await) } else { None };
        let repository = self.repository(left(clock)).await?;
        let mut last = None;
        for step in steps {
            let mut command = repository.command(&step);
            command.current_dir(self.0.jail.root());
            // A commit takes the index that `add` has filled.
            if step.first().is_none_or(|first| first != "commit") {
                command.arg("--").args(&paths);
            }
            let finished = self.0.run(command, left(clock)).await?;
            if !finished.how.is_success() {
                return Ok(shown(finished, timeout));
            }
            last = Some(finished);
        }
        last.map(|finished| shown(finished, timeout)).ok_or_else(|| "nothing to run".to_owned())
    }

    fn paths(&self, paths: &[String]) -> Result<Vec<String>, String> {
        if paths.len() > MAX_PATHS {
            return Err(format!("there are at most {MAX_PATHS} paths"));
        }
        let plain = |path: &String| {
            let plain = self.0.jail.plain(path)?;
            Ok(if plain.is_empty() { ".".to_owned() } else { plain })
        };
        paths.iter().map(plain).collect()
    }

    /// The repository around the working directory, within the workspace.
    async fn repository(&self, timeout: Duration) -> Result<Repository, String> {
        let folders = self.0.context.folder.ancestors();
        let mut inside = folders.take_while(|folder| folder.starts_with(&self.0.context.workspace));
        let found = inside.find(|folder| folder.join(".git").symlink_metadata().is_ok());
        let work_tree = found.ok_or("there is no Git repository in the workspace")?.to_owned();
        let meta = work_tree.join(".git").symlink_metadata();
        if !meta.is_ok_and(|meta| meta.is_dir()) {
            return Err("`.git` is not a folder: repositories elsewhere are not used".to_owned());
        }
        let mut repository = Repository { work_tree, settings: Vec::new() };
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        repository.settings = SETTINGS.iter().map(own).collect();
        let keys = self.keys(&repository, timeout).await?;
        let drivers = keys.iter().filter_map(|key| {
            let (driver, last) = key.rsplit_once('.')?;
            let is_program = match driver.split_once('.')?.0 {
                "filter" => matches!(last, "clean" | "smudge" | "process" | "required"),
                _ => false,
            };
            is_program
                .then(|| (key.clone(), if last == "required" { "false" } else { "" }.to_owned()))
        });
        let drivers: Vec<_> = drivers.take(MAX_FILTERS + 1).collect();
        if drivers.len() > MAX_FILTERS {
            return Err(format!("the repository configures more than {MAX_FILTERS} filters"));
        }
        repository.settings.extend(drivers);
        for (key, value) in AUTHOR {
            if !keys.iter().any(|known| known == key) {
                repository.settings.push((key.to_owned(), value.to_owned()));
            }
        }
        Ok(repository)
    }

    /// The names of all settings. Reading them runs nothing.
    async fn keys(
        &self,
        repository: &Repository,
        timeout: Duration,
    ) -> Result<Vec<String>, String> {
        let mut command = repository.command(&["config", "--name-only", "--list", "-z"]);
        // Those given here are not asked for.
        command.env("GIT_CONFIG_COUNT", "0");
        let finished = self.0.run(command, timeout).await?;
        if !finished.how.is_success() {
            return Err("the repository's configuration cannot be read".to_owned());
        }
        let text = finished.output.whole();
        let text = text.ok_or("the repository's configuration is too large")?;
        let names = text.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        Ok(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
    }
}

// === impl Repository ===

impl Repository {
    fn command(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new("git");
        command.arg("--no-pager").args(arguments).current_dir(&self.work_tree);
        for name in ["GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES"] {
            command.env_remove(name);
        }
        for name in
            ["GIT_EXTERNAL_DIFF", "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_CONFIG_PARAMETERS"]
        {
            command.env_remove(name);
        }
        command
            .env("GIT_DIR", self.work_tree.join(".git"))
            .env("GIT_WORK_TREE", &self.work_tree)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_LITERAL_PATHSPECS", "1")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_ALLOW_PROTOCOL", "none")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_PAGER", "cat")
            .env("GIT_EDITOR", "false")
            .env("GIT_CONFIG_COUNT", self.settings.len().to_string());
        for (at, (key, value)) in self.settings.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{at}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{at}"), value);
        }
        command
    }
}

/// The Git commands of a call, each to be followed by `--` and the paths.
fn arguments(input: &input::Git) -> Result<Vec<Vec<String>>, String> {
    const DIFF: [&str; 3] = ["--no-ext-diff", "--no-textconv", "--ignore-submodules=all"];
    let revision = input.revision.as_deref();
    if let Some(revision) = revision {
        check_revision(revision)?;
    }
    if input.message.is_some() && input.command != GitCommand::Commit {
        return Err("message belongs to the command commit".to_owned());
    }
    let arguments: Vec<&str> = match input.command {
        GitCommand::Status if revision.is_some() => {
            return Err("status has no revision".to_owned());
        }
        GitCommand::Status => vec!["status", "--short", "--branch", "--ignore-submodules=all"],
        GitCommand::Diff => vec!["diff"],
        GitCommand::Log => vec!["log", "--no-show-signature", "--date=iso-strict", "--stat"],
        GitCommand::Show => vec!["show", "--no-show-signature", "--date=iso-strict"],
        GitCommand::Commit => return commit(input),
    };
    let mut arguments = owned(&arguments);
    if input.command != GitCommand::Status {
        arguments.extend(owned(&DIFF));
    }
    if input.staged && input.command == GitCommand::Diff {
        arguments.push("--cached".to_owned());
    }
    if input.command == GitCommand::Log {
        let count = input.max_count.unwrap_or(DEFAULT_COMMITS).clamp(1, MAX_COMMITS);
        arguments.push(format!("--max-count={count}"));
    }
    arguments.extend(revision.map(str::to_owned));
    Ok(vec![arguments])
}

fn commit(input: &input::Git) -> Result<Vec<Vec<String>>, String> {
    let message = input.message.as_deref().unwrap_or_default();
    if message.trim().is_empty() || message.len() > MAX_MESSAGE_BYTES || message.contains('\0') {
        return Err(format!("commit needs a message of at most {MAX_MESSAGE_BYTES} bytes"));
    }
    if input.revision.is_some() {
        return Err("commit has no revision".to_owned());
    }
    let mut steps = Vec::new();
    if !input.staged {
        steps.push(owned(&["add", "--all"]));
    }
    let commit = ["commit", "--no-verify", "--no-gpg-sign", "--cleanup=whitespace", "-m", message];
    steps.push(owned(&commit));
    Ok(steps)
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A revision that is no option and names nothing outside of the repository.
fn check_revision(revision: &str) -> Result<(), String> {
    let known = |c: char| c.is_ascii_alphanumeric() || "/._-~^@{}:+=#".contains(c);
    // Git compares two files elsewhere if an argument looks like a path.
    let is_path =
        revision.starts_with(['/', '.']) || revision.contains("../") || revision.contains("/..");
    let is_good = !revision.starts_with('-')
        && !is_path
        && !revision.is_empty()
        && revision.len() <= MAX_REVISION_BYTES
        && revision.chars().all(known);
    if is_good { Ok(()) } else { Err(format!("{revision:?} is no revision")) }
}
