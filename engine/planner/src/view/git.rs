//! The git command line, in a way that a hostile repository cannot turn into running its own
//! programs: no hooks, no file-system monitor, no lazy fetch, no prompts.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use crate::view::ViewError;

/// A `git` command in a folder.
pub(super) fn command(folder: &Path) -> Command {
    let mut command = Command::new("git");
    for name in [
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_NAMESPACE",
        "GIT_CEILING_DIRECTORIES",
        "GIT_EXTERNAL_DIFF",
    ] {
        command.env_remove(name);
    }
    command
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("LC_ALL", "C")
        .arg("-C")
        .arg(folder)
        .args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"])
        .args(["-c", "core.quotePath=false", "-c", "safe.directory=*"])
        .stdin(Stdio::null());
    command
}

/// Runs a subcommand to its end.
pub(super) fn run(folder: &Path, name: &'static str, args: &[&str]) -> Result<Vec<u8>, ViewError> {
    let output = command(folder).arg(name).args(args).output();
    let output = output.map_err(|error| failed(folder, name, error.to_string()))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim();
    let reason = match said {
        "" => output.status.to_string(),
        said => said.chars().take(1_000).collect(),
    };
    Err(failed(folder, name, reason))
}

pub(super) fn failed(folder: &Path, name: &'static str, reason: String) -> ViewError {
    ViewError::Git { command: name, folder: folder.to_owned(), reason }
}

/// Names that end with NUL; those that are no UTF-8 cannot be said by a workflow and are left out.
pub(super) fn names(output: &[u8]) -> impl Iterator<Item = &str> {
    let parts = output.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    parts.filter_map(|name| std::str::from_utf8(name).ok())
}

/// Sorted, each once.
pub(super) fn sorted(mut paths: Vec<String>) -> Vec<String> {
    paths.sort_unstable();
    paths.dedup();
    paths
}
