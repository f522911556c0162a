//! Errors of a report to a forge.

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
    /// The forge limits the rate or is unavailable.
    #[error("the forge asks to wait (status {status})")]
    Later {
        /// HTTP status of the response.
        status: u16,
        /// Delay requested by the forge.
        retry_after: Option<Duration>,
    },
    /// The forge answered with an error status.
    #[error("the forge refused {what} (status {status}): {reason}")]
    Refused {
        /// Name of the operation.
        what: &'static str,
        /// HTTP status of the response.
        status: u16,
        /// The beginning of its answer.
        reason: String,
    },
    /// The forge's answer makes no sense.
    #[error("the forge's answer to {what} cannot be read")]
    BadAnswer {
        /// Name of the operation.
        what: &'static str,
    },
    /// The forge has no such thing.
    #[error("{what} is not a thing of {forge}")]
    Unsupported {
        /// Name of the operation.
        what: &'static str,
        /// The kind of forge.
        forge: &'static str,
    },
}

// === impl FeedbackError ===

impl FeedbackError {
    /// Delay before the same call may succeed. `None`: it never will.
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
            .hint("the token needs the rights that docs/reference/webhooks.md lists")
    }
}
