//! Programs: those of the machine, and the runner.

use std::{path::Path, time::Duration};

use plue_plan::budget::Budget;
use plue_runtime::foreign::process::{ProcessError, ProcessLimits, Program};

use crate::{app::App, records::Check};

/// The limits of asking a program about itself.
const LIMITS: ProcessLimits = ProcessLimits {
    answer: Budget { bytes: 64 * 1024, items: 1_000, steps: u64::MAX },
    wall: Duration::from_secs(30),
    cpu: Duration::from_secs(30),
    memory: 512 * 1024 * 1024,
};

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
    let fix = "plue-runner belongs in the folder of plue; install both from one release, or set runner.binary";
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
            Check::ok("plue-runner", "starts; it does not print its version", how)
        }
        Err(error) => Check::fail("plue-runner", error, how, fix),
    }
}

/// The first line that a program prints about itself, or why there is none.
pub(super) fn first_line(program: impl AsRef<Path>, argument: &str) -> Result<String, String> {
    let answer = match Program::new(program.as_ref(), LIMITS).arg(argument).read_blocking() {
        Ok(answer) => answer,
        Err(ProcessError::Start { source, .. }) => {
            return Err(format!("cannot be started: {source}"));
        }
        Err(error) => return Err(format!("ended with a failure: {error}")),
    };
    let text = String::from_utf8_lossy(&answer);
    match text.lines().next().unwrap_or_default().trim() {
        "" => Err("prints no version".to_owned()),
        first => Ok(first.chars().take(200).collect()),
    }
}
