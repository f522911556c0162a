//! Errors as `application/problem+json` (RFC 9457), with a stable code.
//!
//! Must not reveal internals to a client: errors of the database go to the log, and the client
//! gets their kind.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use plue_plan::{Code, Diagnostic};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{access::Refusal, commands::CommandError};

/// An answer of the content type `application/problem+json`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Problem {
    /// Kind of problem: the page that explains the code, or `about:blank`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status, repeated in the body as RFC 9457 advises.
    pub status: u16,
    /// The kind in a few words.
    pub title: String,
    /// The error in this request.
    pub detail: String,
    /// Stable code, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// All that is wrong with the plan or the input.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Diagnostic>,
    /// `Retry-After` in seconds.
    #[serde(skip)]
    retry_after: Option<u64>,
    /// The cause, for callers of this process only.
    #[serde(skip)]
    cause: Option<Box<Diagnostic>>,
}

/// The cause of a failure, attached to an answer that hides it. No byte of an answer has it.
#[derive(Debug, Clone)]
pub(crate) struct Cause(pub(crate) Box<Diagnostic>);

// === impl Problem ===

impl Problem {
    /// A problem of a status.
    #[must_use]
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank".to_owned(),
            status: status.as_u16(),
            title: status.canonical_reason().unwrap_or("error").to_owned(),
            detail: detail.into(),
            code: None,
            errors: Vec::new(),
            retry_after: None,
            cause: None,
        }
    }

    /// With a stable code.
    #[must_use]
    pub fn coded(mut self, code: Code) -> Self {
        self.code = Some(code.to_string());
        self
    }

    /// With when to try again, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The resource is missing, or it is not for this principal: the answer is the same.
    #[must_use]
    pub fn not_found(what: &str, id: &str) -> Self {
        let id: String = id.chars().take(64).collect();
        Self::new(StatusCode::NOT_FOUND, format!("there is no {what} {id:?}"))
    }

    /// The request is not one.
    #[must_use]
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// The request cannot be obeyed as things are.
    #[must_use]
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Anonymous => Self::new(
                StatusCode::UNAUTHORIZED,
                "send a token that is good: Authorization: Bearer plue_…",
            ),
            Refusal::Role(role) => Self::new(
                StatusCode::FORBIDDEN,
                format!("this asks for the role {} or a higher one", role.as_str()),
            ),
            Refusal::Everywhere => {
                Self::new(StatusCode::FORBIDDEN, "this asks for a role in all repositories")
            }
        }
    }
}

impl From<plue_store::Error> for Problem {
    fn from(error: plue_store::Error) -> Self {
        tracing::error!(error = %error, "the database refused");
        let hidden = "the database does not answer; try again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, hidden).because(error.diagnostic())
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Invalid(errors) => {
                let first = errors.first();
                let detail = first.map_or("the plan is not valid", |error| error.message.as_str());
                Self {
                    code: first.map(|error| error.code.to_string()),
                    ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
                }
                .with_errors(errors)
            }
            CommandError::NotFound(detail) => Self::new(StatusCode::NOT_FOUND, detail),
            CommandError::Conflict(detail) => Self::conflict(detail),
            CommandError::Refused(why) => {
                Self::conflict(&why.message).coded(why.code.clone()).with_errors(vec![*why])
            }
            CommandError::Failed(cause) => {
                tracing::error!(error = %cause.message, "a command failed");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "this cannot be done now; try again")
                    .because(*cause)
            }
            CommandError::Forbidden(detail) => Self::new(StatusCode::FORBIDDEN, detail),
            CommandError::Unfit(detail) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail),
            CommandError::Unavailable(detail) => {
                tracing::error!(error = %detail, "a command failed");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "this cannot be done now; try again")
            }
        }
    }
}

impl Problem {
    fn because(mut self, cause: Diagnostic) -> Self {
        self.cause = Some(Box::new(cause));
        self
    }

    fn with_errors(mut self, errors: Vec<Diagnostic>) -> Self {
        self.errors = errors;
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        if let Some(cause) = self.cause {
            response.extensions_mut().insert(Cause(cause));
        }
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"plue\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        let passing = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        if let Some(seconds) = self.retry_after.or(passing) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
