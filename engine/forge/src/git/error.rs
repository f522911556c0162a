//! Errors of a mirror.

use std::path::PathBuf;

use plue_plan::{Diagnostic, budget::Stopped};

use crate::codes;

/// A git command that did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// Git cannot be started.
    #[error("cannot start git")]
    Start(#[source] std::io::Error),
    /// Git exited with an error.
    #[error("`git {command}` failed: {reason}")]
    Failed {
        /// The failed subcommand of git.
        command: &'static str,
        /// The end of what it wrote to its standard error, without credentials.
        reason: String,
    },
    /// It took too long.
    #[error("`git {command}` took longer than {seconds} s")]
    TimedOut {
        /// The failed subcommand of git.
        command: &'static str,
        /// Timeout in seconds.
        seconds: u64,
    },
    /// The answer is larger than its budget. It will be the next time.
    #[error("`git {command}` was stopped: {stopped}")]
    TooLarge {
        /// The stopped subcommand of git.
        command: &'static str,
        /// The limit that stopped it.
        stopped: Stopped,
    },
    /// A pipe to git broke.
    #[error("the pipe to `git {command}` broke")]
    Pipe {
        /// The failed subcommand of git.
        command: &'static str,
        /// Cause of the error.
        #[source]
        source: std::io::Error,
    },
    /// A folder of the mirror cannot be used.
    #[error("cannot use the mirror {}", path.display())]
    Folder {
        /// Path of the file.
        path: PathBuf,
        /// Cause of the error.
        #[source]
        source: std::io::Error,
    },
    /// An address that is not fetched from.
    #[error("{0}")]
    BadRemote(String),
    /// A text that names no ref or commit.
    #[error("`{0}` is no full ref or commit id")]
    BadName(String),
    /// The commit is not in the mirror.
    #[error("there is no commit {0} in the mirror")]
    NoCommit(String),
    /// The commit has a path that git does not check out.
    #[error("git does not check out this commit: {0}")]
    BadTree(String),
    /// A submodule that is not checked out; which, and why.
    #[error("{0}")]
    BadSubmodule(String),
    /// A content of Git LFS that is not checked out; which, and why.
    #[error("{0}")]
    BadLfs(String),
    /// A patch that does not apply, or changes what it may not.
    #[error("{0}")]
    BadPatch(String),
    /// The engine is stopping.
    #[error("waiting for the mirror was cut off")]
    Interrupted,
}

// === impl GitError ===

impl GitError {
    /// True if a ref to fetch does not exist.
    #[must_use]
    pub fn is_missing_ref(&self) -> bool {
        matches!(self, Self::Failed { reason, .. } if reason.contains("couldn't find remote ref"))
    }

    /// True if the remote does not answer any request. Errors that a pull request can cause, such
    /// as a missing ref, do not count.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::TimedOut { command, .. } => *command == "fetch",
            // Git prints this for a failed connection, before any message about refs.
            Self::Failed { command, reason } => {
                *command == "fetch" && reason.contains("unable to access")
            }
            Self::Start(_)
            | Self::TooLarge { .. }
            | Self::Pipe { .. }
            | Self::Folder { .. }
            | Self::BadRemote(_)
            | Self::BadName(_)
            | Self::NoCommit(_)
            | Self::BadTree(_)
            | Self::BadSubmodule(_)
            | Self::BadLfs(_)
            | Self::BadPatch(_)
            | Self::Interrupted => false,
        }
    }

    /// The problem for people.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        match self {
            Self::BadRemote(_) => Diagnostic::error(codes::BAD_REMOTE, self.to_string())
                .hint("an address is https://host/path, or an absolute path on this machine"),
            Self::TooLarge { .. } => Diagnostic::error(codes::GIT_TOO_LARGE, self.to_string()),
            Self::BadSubmodule(_) => Diagnostic::error(codes::BAD_SUBMODULE, self.to_string())
                .hint("correct .gitmodules, or leave out `submodules` of the checkout"),
            Self::BadLfs(_) => Diagnostic::error(codes::BAD_LFS, self.to_string())
                .hint("push it with `git lfs push --all`, or leave out `lfs` of the checkout"),
            Self::Start(_)
            | Self::Failed { .. }
            | Self::TimedOut { .. }
            | Self::Pipe { .. }
            | Self::Folder { .. }
            | Self::BadName(_)
            | Self::NoCommit(_)
            | Self::BadTree(_)
            | Self::BadPatch(_)
            | Self::Interrupted => Diagnostic::error(codes::GIT_FAILED, self.to_string()),
        }
    }

    /// True if the same call fails until the repository changes.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::TooLarge { .. }
                | Self::BadRemote(_)
                | Self::BadName(_)
                | Self::NoCommit(_)
                | Self::BadTree(_)
                | Self::BadSubmodule(_)
                | Self::BadLfs(_)
                | Self::BadPatch(_)
        )
    }

    /// True if the same call may succeed a little later.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::Failed { .. } | Self::TimedOut { .. } | Self::Interrupted => true,
            Self::Start(_)
            | Self::TooLarge { .. }
            | Self::Pipe { .. }
            | Self::Folder { .. }
            | Self::BadRemote(_)
            | Self::BadName(_)
            | Self::BadTree(_)
            | Self::BadSubmodule(_)
            | Self::BadLfs(_)
            | Self::BadPatch(_)
            | Self::NoCommit(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_refs_do_not_make_a_remote_unreachable() {
        let failed =
            |command, reason: &str| GitError::Failed { command, reason: reason.to_owned() };
        let refused = "fatal: unable to access 'https://git.example/a/b/': Connection refused";
        assert!(failed("fetch", refused).is_unreachable());
        assert!(GitError::TimedOut { command: "fetch", seconds: 900 }.is_unreachable());
        let gone = failed("fetch", "fatal: couldn't find remote ref refs/pull/7/head");
        assert!(gone.is_missing_ref() && !gone.is_unreachable());
        assert!(!GitError::TimedOut { command: "rev-parse", seconds: 120 }.is_unreachable());
    }
}
