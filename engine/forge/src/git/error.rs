//! What can go wrong with a mirror.

use std::path::PathBuf;

use plue_plan::Diagnostic;

use crate::codes;

/// A git command that did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// Git cannot be started.
    #[error("cannot start git")]
    Start(#[source] std::io::Error),
    /// Git said no.
    #[error("`git {command}` failed: {reason}")]
    Failed {
        /// The subcommand.
        command: &'static str,
        /// The end of what it wrote to its standard error, without credentials.
        reason: String,
    },
    /// It took too long.
    #[error("`git {command}` took longer than {seconds} s")]
    TimedOut {
        /// The subcommand.
        command: &'static str,
        /// The limit.
        seconds: u64,
    },
    /// The answer is larger than the limit.
    #[error("`git {command}` answered with more than {limit} bytes")]
    TooLarge {
        /// The subcommand.
        command: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A pipe to git broke.
    #[error("the pipe to `git {command}` broke")]
    Pipe {
        /// The subcommand.
        command: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A folder of the mirror cannot be used.
    #[error("cannot use the mirror {}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
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
    /// The engine is stopping.
    #[error("waiting for the mirror was cut off")]
    Interrupted,
}

// === impl GitError ===

impl GitError {
    /// Whether a ref that was to be fetched is not there.
    #[must_use]
    pub fn is_missing_ref(&self) -> bool {
        matches!(self, Self::Failed { reason, .. } if reason.contains("couldn't find remote ref"))
    }

    /// The problem for people.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        match self {
            Self::BadRemote(_) => Diagnostic::error(codes::BAD_REMOTE, self.to_string())
                .hint("an address is https://host/path, or an absolute path on this machine"),
            Self::Start(_)
            | Self::Failed { .. }
            | Self::TimedOut { .. }
            | Self::TooLarge { .. }
            | Self::Pipe { .. }
            | Self::Folder { .. }
            | Self::BadName(_)
            | Self::NoCommit(_)
            | Self::Interrupted => Diagnostic::error(codes::GIT_FAILED, self.to_string()),
        }
    }

    /// Whether the same call may succeed a little later.
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
            | Self::NoCommit(_) => false,
        }
    }
}
