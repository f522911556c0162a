//! Why a forge was not told.

use std::time::Duration;

use plue_plan::Diagnostic;

use crate::codes;

/// A call that did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum FeedbackError {
    /// The address of the forge's API cannot be used.
    #[error("`{0}` is no address of a forge's API")]
    BadAddress(String),
    /// The forge cannot be reached, or does not answer.
    #[error("the forge cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// The forge says that it is too much, or that it is ill.
    #[error("the forge asks to wait (status {status})")]
    Later {
        /// Its HTTP status.
        status: u16,
        /// How long, if it says.
        retry_after: Option<Duration>,
    },
    /// The forge says no.
    #[error("the forge refused {what} (status {status}): {reason}")]
    Refused {
        /// What was tried.
        what: &'static str,
        /// Its HTTP status.
        status: u16,
        /// The beginning of its answer.
        reason: String,
    },
    /// The forge's answer makes no sense.
    #[error("the forge's answer to {what} cannot be read")]
    BadAnswer {
        /// What was tried.
        what: &'static str,
    },
    /// The forge has no such thing.
    #[error("{what} is not a thing of {forge}")]
    Unsupported {
        /// What was tried.
        what: &'static str,
        /// The kind of forge.
        forge: &'static str,
    },
}

// === impl FeedbackError ===

impl FeedbackError {
    /// How long to wait before the same call, if it may succeed then. `None`: it will not.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Later { retry_after: Some(wait), .. } => Some(*wait),
            Self::Later { retry_after: None, .. } | Self::Unreachable(_) => {
                Some(Duration::from_secs(60))
            }
            Self::BadAddress(_)
            | Self::Refused { .. }
            | Self::BadAnswer { .. }
            | Self::Unsupported { .. } => None,
        }
    }

    /// The problem for people.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        Diagnostic::error(codes::FORGE_REFUSED, self.to_string())
            .hint("the token needs the rights that docs/webhooks.md lists")
    }
}
