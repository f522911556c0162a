//! Errors of the API, and whether the same request may be sent again.
//!
//! Must not repeat more of a foreign message than [`MAX_REASON_CHARS`], nor a key.

use std::time::Duration;

use crate::{
    event::{Failure, FailureBody},
    limits::{MAX_BLOCKS, MAX_REASON_CHARS},
    sse::SseError,
};

/// An error object of the API, from an answer's body or from within a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{kind}: {message}{}", .status.map(|status| format!("HTTP {status} ")).unwrap_or_default(), .request_id.as_ref().map(|id| format!(" (request {id})")).unwrap_or_default())]
pub struct ApiError {
    /// HTTP status; absent if the error came within a stream.
    pub status: Option<u16>,
    /// Type of the error, such as `rate_limit_error`; `error` if the API sent none.
    pub kind: String,
    /// The API's words, shortened, without control characters.
    pub message: String,
    /// The request's id, for the API's support.
    pub request_id: Option<String>,
    /// Delay requested by the API.
    pub retry_after: Option<Duration>,
    /// Value of the header `x-should-retry`; `None`: absent or unreadable.
    pub should_retry: Option<bool>,
}

/// An answer's stream that cannot become an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The API reports an error in the middle of the answer.
    #[error("the API broke off: {0}")]
    Api(Box<ApiError>),
    /// The stream ended before the answer did.
    #[error("the answer ended in the middle")]
    Truncated,
    /// A known event with unknown data.
    #[error("the event `{name}` cannot be read: {reason}")]
    BadEvent {
        /// Name of the event, from its field `event`.
        name: String,
        /// Error of the JSON parser.
        reason: String,
    },
    /// A tool's input is no JSON object.
    #[error("a tool call's input is no JSON object")]
    BadToolInput,
    /// A block or an end comes before `message_start`: no part of the answer was accepted.
    #[error("the answer begins without its head")]
    NoHead,
    /// Events in an undocumented order.
    #[error("events out of order: {0}")]
    Order(&'static str),
    /// More content blocks than [`MAX_BLOCKS`].
    #[error("the answer has more than {MAX_BLOCKS} blocks")]
    TooManyBlocks,
    /// Bytes that are no events.
    #[error(transparent)]
    Sse(#[from] SseError),
}

/// A request without an answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API refuses the request.
    #[error("{0}")]
    Api(Box<ApiError>),
    /// The stream of the answer failed, or its events cannot be read.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// No connection, or it broke.
    #[error("the API at {host} cannot be reached: {reason}")]
    Unreachable {
        /// Host and port of the API.
        host: String,
        /// The innermost cause, shortened.
        reason: String,
    },
    /// Nothing arrived for too long.
    #[error("the API at {host} sent nothing for {} s", .after.as_secs())]
    Silent {
        /// Host and port of the API.
        host: String,
        /// Idle timeout that has passed.
        after: Duration,
    },
    /// The settings cannot be used.
    #[error("{0}")]
    Settings(String),
}

// === impl ApiError ===

impl ApiError {
    /// An error object with the limits of this crate applied.
    pub fn new(status: Option<u16>, body: FailureBody, request_id: Option<String>) -> Self {
        let kind = if body.kind.is_empty() { "error".to_owned() } else { shortened(&body.kind) };
        Self {
            status,
            kind,
            message: shortened(&body.message),
            request_id: request_id.map(|id| shortened(&id)),
            retry_after: None,
            should_retry: None,
        }
    }

    /// True if the same request may succeed later. The API's own header counts first; otherwise as
    /// in the official SDKs: 408, 409, 429, 5xx, and their kinds within a stream.
    pub fn is_transient(&self) -> bool {
        if let Some(said) = self.should_retry {
            return said;
        }
        match self.status {
            Some(status) => matches!(status, 408 | 409 | 429) || status >= 500,
            None => matches!(
                self.kind.as_str(),
                "overloaded_error" | "api_error" | "rate_limit_error" | "timeout_error"
            ),
        }
    }

    /// True if another model may answer: this one no longer exists, is overloaded or limited.
    pub fn is_of_model(&self) -> bool {
        let is_gone = self.status == Some(404) || self.kind == "not_found_error";
        is_gone || self.is_transient() && !self.is_spend_limit()
    }

    /// True if a spending limit was met: a 429 without a delay, or a billing error. Waiting seconds
    /// does not help.
    pub fn is_spend_limit(&self) -> bool {
        let limited = self.status == Some(429) && self.retry_after.is_none();
        limited && self.should_retry != Some(true) || self.status == Some(402)
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        Self::new(None, failure.error, failure.request_id)
    }
}

// === impl Error ===

impl Error {
    /// True if the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Api(error) => error.is_transient() && !error.is_spend_limit(),
            Self::Stream(StreamError::Api(error)) => error.is_transient(),
            Self::Stream(
                StreamError::Truncated | StreamError::BadToolInput | StreamError::NoHead,
            )
            | Self::Unreachable { .. }
            | Self::Silent { .. } => true,
            Self::Stream(_) | Self::Settings(_) => false,
        }
    }

    /// Delay requested by the API.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Api(error) => error.retry_after,
            _ => None,
        }
    }
}

/// Foreign text for an error: one line, shortened.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_REASON_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16) -> ApiError {
        ApiError::new(Some(status), FailureBody::default(), None)
    }

    #[test]
    fn transient_errors_are_those_of_the_sdks() {
        for code in [408, 409, 429, 500, 502, 504, 529] {
            assert!(status(code).is_transient(), "{code}");
        }
        for code in [400, 401, 402, 403, 404, 413] {
            assert!(!status(code).is_transient(), "{code}");
        }
        let told = ApiError { should_retry: Some(false), ..status(500) };
        assert!(!told.is_transient());
    }

    #[test]
    fn spend_limits_are_not_retried() {
        assert!(!Error::Api(Box::new(status(429))).is_transient());
        let waits = ApiError { retry_after: Some(Duration::from_secs(1)), ..status(429) };
        assert!(Error::Api(Box::new(waits)).is_transient());
    }

    #[test]
    fn errors_of_a_model_let_another_answer() {
        for code in [404, 500, 503, 529] {
            assert!(status(code).is_of_model(), "{code}");
        }
        for code in [400, 401, 402, 403, 413, 429] {
            assert!(!status(code).is_of_model(), "{code}");
        }
        let limited = ApiError { retry_after: Some(Duration::from_secs(90)), ..status(429) };
        assert!(limited.is_of_model());
    }

    #[test]
    fn foreign_messages_are_shortened() {
        let body = FailureBody { kind: "x".to_owned(), message: "a\n".repeat(1_000) };
        let error = ApiError::new(Some(400), body, Some("req_1".to_owned()));
        assert_eq!(error.message.chars().count(), MAX_REASON_CHARS);
        assert!(!error.to_string().contains('\n'));
        assert!(error.to_string().starts_with("HTTP 400 x: a a"), "{error}");
    }
}
