//! Errors of calls, by what the caller can do about them.

use plue_plan::{Code, Diagnostic};
use reqwest::StatusCode;
use serde::Deserialize;

/// A call that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address names no server.
    #[error("{address} is no server: {why}")]
    Address {
        /// The address, without credentials.
        address: String,
        /// The part that is wrong.
        why: String,
    },
    /// The token is no text of a header.
    #[error("PLUE_TOKEN holds no token")]
    Token,
    /// The server did not answer.
    #[error("{server} does not answer: {why}")]
    Unreachable {
        /// Its address, without credentials.
        server: String,
        /// The error with its causes.
        why: String,
    },
    /// The server knows no caller by this token.
    #[error("{server} does not know who asks")]
    Anonymous {
        /// Its address, without credentials.
        server: String,
    },
    /// The server refused the request.
    #[error("{}", .0.detail)]
    Refused(Box<Refusal>),
    /// The API of this process failed.
    #[error("{}", .0.message)]
    Failed(Box<Diagnostic>),
    /// No run has this name.
    #[error("there is no run `{0}`")]
    NoRun(String),
    /// More than one run has this name.
    #[error("`{0}` is the beginning of more than one run id")]
    SeveralRuns(String),
    /// The answer is not the document that the route gives.
    #[error("the server answered something else: {0}")]
    Unreadable(serde_json::Error),
    /// The answer is longer than any that a route gives.
    #[error("the server's answer is too long")]
    TooLong,
    /// The answer ended before it was complete, or is damaged.
    #[error("{0}")]
    Broken(String),
}

/// The answer of a server that refused a request (RFC 9457).
#[derive(Debug)]
pub struct Refusal {
    /// HTTP status of the answer.
    pub status: StatusCode,
    /// The reason, for people.
    pub detail: String,
    /// Stable code, if there is one.
    pub code: Option<Code>,
    /// Every problem of a plan or an input.
    pub errors: Vec<Diagnostic>,
}

/// The members of a problem document that are read; absent ones are empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ProblemDocument {
    detail: String,
    code: Option<Code>,
    errors: Vec<Diagnostic>,
}

/// The result of a call.
pub type Result<T> = std::result::Result<T, Error>;

// === impl Error ===

impl Error {
    /// True if the same call may succeed later: the way to the server is at fault, not the request.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken(_) => true,
            Self::Refused(refusal) => {
                refusal.errors.is_empty()
                    && (refusal.status.is_server_error()
                        || refusal.status == StatusCode::TOO_MANY_REQUESTS)
            }
            Self::Address { .. }
            | Self::Token
            | Self::Anonymous { .. }
            | Self::Failed(_)
            | Self::NoRun(_)
            | Self::SeveralRuns(_)
            | Self::Unreadable(_)
            | Self::TooLong => false,
        }
    }

    /// The status of a refusal.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused(refusal) => Some(refusal.status),
            Self::Anonymous { .. } => Some(StatusCode::UNAUTHORIZED),
            Self::Address { .. }
            | Self::Token
            | Self::Unreachable { .. }
            | Self::Failed(_)
            | Self::NoRun(_)
            | Self::SeveralRuns(_)
            | Self::Unreadable(_)
            | Self::TooLong
            | Self::Broken(_) => None,
        }
    }

    pub(crate) fn refused(status: StatusCode, document: ProblemDocument) -> Self {
        let ProblemDocument { detail, code, errors } = document;
        let detail = if detail.is_empty() { status.to_string() } else { detail };
        Self::Refused(Box::new(Refusal { status, detail, code, errors }))
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
