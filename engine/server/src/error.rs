//! What can go wrong between a delivery and a run.

use plue_forge::git::GitError;
use plue_plan::Diagnostic;

/// Why nothing came of something, or not yet.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refuses; what was begun is begun again.
    #[error(transparent)]
    Store(#[from] plue_store::Error),
    /// The repository cannot be fetched or read.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The workflow file, or what was asked of it, is wrong.
    #[error("{}", first(.0))]
    Invalid(Vec<Diagnostic>),
    /// The workflow is paused.
    #[error("{0}")]
    Paused(Box<Diagnostic>),
    /// The evaluators, the commit or the machine.
    #[error(transparent)]
    Planner(#[from] plue_planner::Error),
    /// The run cannot be made or driven.
    #[error(transparent)]
    Executor(#[from] plue_executor::Error),
    /// There is no such repository, commit or workflow.
    #[error("{0}")]
    NotFound(String),
    /// What was sent cannot be taken; why.
    #[error("{0}")]
    Unfit(String),
    /// A folder of the server cannot be used.
    #[error("{path}: {source}")]
    Folder {
        /// Which.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A secret cannot be opened.
    #[error(transparent)]
    Secret(#[from] plue_store::secret::SecretError),
    /// The GitHub App that a repository is known by gets no token; why.
    #[error("{0}")]
    App(String),
    /// The forge does not show a ref yet that it has announced.
    #[error("{0}")]
    NotShown(String),
    /// A submodule or an LFS server gives no answer for now; which, and why.
    #[error("{0}")]
    Elsewhere(String),
    /// A task was ended before its answer.
    #[error("stopped")]
    Stopped,
}

impl Error {
    /// Whether it is worth trying again later: nothing is known to be wrong with what was asked.
    #[must_use]
    pub fn is_passing(&self) -> bool {
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
