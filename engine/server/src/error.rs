//! Errors between a delivery and a run.

use plue_forge::git::GitError;
use plue_plan::Diagnostic;

/// The reason that a delivery or command has no result, or none yet.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed; the work is repeated.
    #[error(transparent)]
    Store(#[from] plue_store::Error),
    /// The repository cannot be fetched or read.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The workflow file or its inputs are invalid.
    #[error("{}", first(.0))]
    Invalid(Vec<Diagnostic>),
    /// The workflow is paused.
    #[error("{0}")]
    Paused(Box<Diagnostic>),
    /// The evaluator or the machine failed.
    #[error(transparent)]
    Planner(#[from] plue_planner::Error),
    /// The run cannot be made or driven.
    #[error(transparent)]
    Executor(#[from] plue_executor::Error),
    /// There is no such repository, commit or workflow.
    #[error("{0}")]
    NotFound(String),
    /// The request is malformed; the reason.
    #[error("{0}")]
    Unfit(String),
    /// A folder of the server cannot be used.
    #[error("{path}: {source}")]
    Folder {
        /// Path of the folder.
        path: String,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// A secret cannot be opened.
    #[error(transparent)]
    Secret(#[from] plue_store::secret::SecretError),
    /// GitHub refuses a token for the App of a repository; the reason.
    #[error("{0}")]
    App(String),
    /// The forge does not serve an announced ref yet.
    #[error("{0}")]
    NotShown(String),
    /// The server of a submodule or of LFS contents fails for now; its address and the reason.
    #[error("{0}")]
    Elsewhere(String),
    /// A task was aborted by the shutdown.
    #[error("stopped")]
    Stopped,
}

impl Error {
    /// Whether a retry may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Git(error) => !error.is_final(),
            Self::Planner(error) => !error.is_final(),
            Self::Executor(error) => !matches!(error, plue_executor::Error::Refused { .. }),
            Self::Store(_) | Self::Stopped => true,
            Self::Folder { .. } | Self::Secret(_) | Self::App(_) => true,
            Self::NotShown(_) | Self::Elsewhere(_) => true,
            Self::Invalid(_) | Self::Paused(_) | Self::NotFound(_) | Self::Unfit(_) => false,
        }
    }
}

impl From<plue_planner::PlanError> for Error {
    fn from(error: plue_planner::PlanError) -> Self {
        match error {
            plue_planner::PlanError::Invalid(problems) => Self::Invalid(problems),
            plue_planner::PlanError::Infrastructure(error) => Self::Planner(error),
        }
    }
}

fn first(problems: &[Diagnostic]) -> String {
    let first = problems.first().map_or_else(|| "it is invalid".to_owned(), ToString::to_string);
    match problems.len() {
        0 | 1 => first,
        more => format!("{first} (and {} more)", more - 1),
    }
}
