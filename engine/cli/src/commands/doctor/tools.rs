//! Programs: those of the machine, and the runner.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use crate::{app::App, records::Check};

/// Git is asked which files belong to a work tree.
pub(super) fn git() -> Check {
    match first_line("git", "--version") {
        Ok(version) => Check::ok("git", version, "git --version"),
        Err(error) => Check::fail("git", error, "git --version", "install git"),
    }
}

/// Every `bash` step needs it.
pub(super) fn bash() -> Check {
    match first_line("bash", "--version") {
        Ok(version) => Check::ok("bash", version, "bash --version"),
        Err(error) => Check::fail("bash", error, "bash --version", "install bash"),
    }
}

/// Only `python` steps need it; workflow files bring their own.
pub(super) fn python() -> Check {
    match first_line("python3", "--version") {
        Ok(version) => Check::ok("python3", version, "python3 --version"),
        Err(error) => {
            let fix = "install python3 if a workflow has python steps";
            Check::warn("python3", error, "python3 --version", fix)
        }
    }
}

/// The runner: found, and of this version.
pub(super) fn runner(app: &App) -> Check {
    let path = app.program(app.loaded.config.runner.binary.as_deref(), "plue-runner");
    let how = format!("{} --version", path.display());
    let fix =
        "plue-runner belongs beside plue; install both from one release, or set runner.binary";
    let ours = env!("CARGO_PKG_VERSION");
    match first_line(&path, "--version") {
        Ok(version) if version.split(' ').any(|word| word == ours) => {
            Check::ok("plue-runner", version, how)
        }
        Ok(version) => {
            Check::fail("plue-runner", format!("{version}, but plue is {ours}"), how, fix)
        }
        // It started, and does not know the option.
        Err(error) if error.contains("plue-runner: ") => {
            Check::ok("plue-runner", "starts; it does not tell its version", how)
        }
        Err(error) => Check::fail("plue-runner", error, how, fix),
    }
}

/// The first line that a program prints about itself, or why there is none.
pub(super) fn first_line(program: impl AsRef<Path>, argument: &str) -> Result<String, String> {
    let output = Command::new(program.as_ref())
        .arg(argument)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot be started: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let first = text.lines().next().unwrap_or_default().trim();
    if output.status.success() && !first.is_empty() {
        return Ok(first.chars().take(200).collect());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or_default();
    Err(format!("ended with {}: {said}", output.status))
}
