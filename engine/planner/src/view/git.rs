//! The git command line within the limits of a view: paths are read as they come, up to
//! [`MAX_PATHS`]; memory and time are bounded.

use std::{path::Path, time::Duration};

use plue_plan::budget::{Budget, Stopped, Unit};
use plue_runtime::foreign::{
    git,
    process::{ProcessError, ProcessLimits, Program},
};

use crate::view::{MAX_PATHS, ViewError};

/// The limits of one command.
const LIMITS: ProcessLimits = ProcessLimits {
    answer: Budget { bytes: 128 * 1024 * 1024, items: MAX_PATHS as u64, steps: u64::MAX },
    wall: Duration::from_secs(120),
    cpu: Duration::from_secs(60),
    memory: 512 * 1024 * 1024,
};

/// The repository in a folder, and how git is run on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Git<'a> {
    folder: &'a Path,
    is_work_tree: bool,
}

// === impl Git ===

impl<'a> Git<'a> {
    /// On commits, whosever they are.
    pub(super) const fn on_commits(folder: &'a Path) -> Self {
        Self { folder, is_work_tree: false }
    }

    /// In the work tree of the user.
    pub(super) const fn in_work_tree(folder: &'a Path) -> Self {
        Self { folder, is_work_tree: true }
    }

    /// A subcommand, not started.
    pub(super) fn program(self, name: &str, args: &[&str]) -> Program {
        let git = if self.is_work_tree {
            git::in_work_tree(LIMITS)
        } else {
            git::on_commits(LIMITS, []).env("GIT_NO_LAZY_FETCH", "1")
        };
        git.arg("-C").arg(self.folder).arg(name).args(args)
    }

    /// Runs a subcommand to its end.
    pub(super) fn run(self, name: &'static str, args: &[&str]) -> Result<Vec<u8>, ViewError> {
        self.program(name, args).read_blocking().map_err(|error| self.failed(name, &error))
    }

    /// The names, each ended by NUL, that a subcommand prints. Names that are not UTF-8 cannot be
    /// written in a workflow and are left out.
    pub(super) fn names(
        self,
        name: &'static str,
        args: &[&str],
        mut each: impl FnMut(&str),
    ) -> Result<(), ViewError> {
        let listed = self.program(name, args).records_blocking(0, |line| {
            if let Ok(line) = std::str::from_utf8(line) {
                each(line);
            }
            Ok(())
        });
        listed.map_err(|error| self.failed(name, &error))
    }

    /// The error of a subcommand.
    pub(super) fn failed(self, command: &'static str, error: &ProcessError) -> ViewError {
        if let ProcessError::Stopped(Stopped::Exhausted { unit: Unit::Items, .. }) = error {
            return ViewError::TooManyPaths(self.folder.to_owned());
        }
        self.failure(command, error.to_string())
    }

    /// The error of a subcommand in words.
    pub(super) fn failure(self, command: &'static str, reason: String) -> ViewError {
        ViewError::Git { command, folder: self.folder.to_owned(), reason }
    }
}

/// Sorts and removes duplicates.
pub(super) fn sorted(mut paths: Vec<String>) -> Vec<String> {
    paths.sort_unstable();
    paths.dedup();
    paths
}
