//! Errors between a source and its plan.

use std::{path::PathBuf, time::Duration};

use plue_plan::{Code, Diagnostic};

use crate::{codes, view::ViewError};

/// Something of ours failed; the workflow file is not to blame.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The evaluator could not be started.
    #[error("cannot start the evaluator {}", path.display())]
    Start {
        /// Path of the program.
        path: PathBuf,
        /// Cause of the error.
        #[source]
        source: std::io::Error,
    },
    /// The evaluator ended or hung before it was ready.
    #[error("the evaluator is not ready: {reason}{}", printed(stderr))]
    NotReady {
        /// Cause of the error.
        reason: String,
        /// The end of what it wrote to its standard error.
        stderr: String,
    },
    /// A layer of the jail does not hold here and was not allowed to be absent.
    #[error("the evaluator refuses to work without these layers of its jail: {}", .0.join(", "))]
    JailMissing(Vec<String>),
    /// The evaluator speaks another version of the protocol.
    #[error(
        "the evaluator speaks protocol {found}, this engine {wanted}; install both from one release"
    )]
    Protocol {
        /// Version of the evaluator.
        found: u32,
        /// Version of the engine.
        wanted: u32,
    },
    /// Too many evaluations wait for an evaluator.
    #[error("{waiting} evaluations are waiting already")]
    Busy {
        /// Number of waiting requests.
        waiting: usize,
    },
    /// The repository used up its evaluations.
    #[error("the repository may evaluate again in {} s", retry_after.as_secs().max(1))]
    TooOften {
        /// Delay before the next attempt.
        retry_after: Duration,
    },
    /// The commit cannot be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// Work on a blocking thread was cut off: the engine is stopping.
    #[error("the evaluation was cut off")]
    Interrupted,
    /// A request cannot be encoded.
    #[error("the request to the evaluator cannot be encoded")]
    Encode(#[from] plue_wire::FrameError),
}

/// Reason that a file has no plans.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The workflow file is at fault: at least one error, all that were found.
    #[error("the workflow is invalid: {} problems", .0.len())]
    Invalid(Vec<Diagnostic>),
    /// Something of ours failed.
    #[error(transparent)]
    Infrastructure(#[from] Error),
}

// === impl Error ===

impl Error {
    /// The problem for people, if it has a code.
    #[must_use]
    pub fn diagnostic(&self) -> Option<Diagnostic> {
        match self {
            Self::TooOften { .. } => Some(Diagnostic::error(codes::TOO_OFTEN, self.to_string())),
            Self::Start { .. }
            | Self::NotReady { .. }
            | Self::JailMissing(_)
            | Self::Protocol { .. }
            | Self::Busy { .. }
            | Self::View(_)
            | Self::Interrupted
            | Self::Encode(_) => None,
        }
    }

    /// True if the same request fails until the commit changes.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::View(ViewError::TooManyPaths(_)))
    }

    /// True if the same request may succeed a little later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::NotReady { .. } | Self::Busy { .. } | Self::TooOften { .. } => true,
            Self::Start { .. }
            | Self::JailMissing(_)
            | Self::Protocol { .. }
            | Self::View(_)
            | Self::Interrupted
            | Self::Encode(_) => false,
        }
    }
}

// === impl PlanError ===

impl PlanError {
    pub(crate) fn invalid(diagnostic: Diagnostic) -> Self {
        Self::Invalid(vec![diagnostic])
    }

    /// The diagnostics, if the workflow file is at fault.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        match self {
            Self::Invalid(diagnostics) => diagnostics,
            Self::Infrastructure(_) => &[],
        }
    }
}

impl PlanError {
    /// Value of the label `outcome` of `plue_evaluations_total`.
    pub(crate) fn outcome(&self) -> &'static str {
        const ENDS: [(Code, &str); 7] = [
            (codes::TOO_MUCH_CPU, "cpu"),
            (codes::TOO_MUCH_MEMORY, "memory"),
            (codes::TOO_LONG, "wall"),
            (codes::DENIED, "denied"),
            (codes::CRASHED, "crashed"),
            (codes::BAD_REPLY, "bad_reply"),
            (codes::NOT_DETERMINISTIC, "not_deterministic"),
        ];
        match self {
            Self::Infrastructure(_) => "error",
            Self::Invalid(problems) => {
                let has = |code: &Code| problems.iter().any(|problem| problem.code == *code);
                ENDS.iter().find(|(code, _)| has(code)).map_or("invalid", |(_, word)| word)
            }
        }
    }
}

impl From<ViewError> for PlanError {
    fn from(error: ViewError) -> Self {
        Self::Infrastructure(error.into())
    }
}

fn printed(stderr: &str) -> String {
    match stderr.trim() {
        "" => String::new(),
        text => format!("; its error output: {text}"),
    }
}
