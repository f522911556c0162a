//! Refusals of a delivery: the sender's answer is a 4xx, never a 5xx.

use plue_plan::{Code, Diagnostic};

use crate::{
    codes,
    limits::{MAX_BODY_BYTES, REPLAY_WINDOW_S},
};

/// A delivery that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Larger than [`MAX_BODY_BYTES`].
    #[error("the delivery is larger than {MAX_BODY_BYTES} bytes")]
    TooLarge,
    /// No secret is configured, or only empty ones.
    #[error("the hook has no secret, so that its deliveries cannot be verified")]
    NoSecret,
    /// The header that should hold the signature or token is missing or came twice.
    #[error("the delivery has no usable header {0}")]
    NotSigned(&'static str),
    /// The signature or token does not belong to the body and a secret.
    #[error("the delivery is not signed with a secret of this hook ({0})")]
    BadSignature(&'static str),
    /// The signed timestamp is more than [`REPLAY_WINDOW_S`] away from now.
    #[error("the delivery was signed more than {REPLAY_WINDOW_S} s away from now")]
    Stale,
    /// The headers do not name an event.
    #[error("the delivery has no header that names its event")]
    NoEventName,
    /// The body is no JSON object, nor a form with one.
    #[error("the body is no JSON object: {0}")]
    NotJson(String),
    /// A field without which the event means nothing.
    #[error("the {event} event has no usable field `{field}`")]
    Missing {
        /// The forge's name of the event.
        event: String,
        /// Path of the field.
        field: &'static str,
    },
}

// === impl Refusal ===

impl Refusal {
    /// The HTTP status that the sender gets.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::TooLarge => 413,
            Self::NoSecret | Self::NotSigned(_) | Self::BadSignature(_) | Self::Stale => 401,
            Self::NoEventName | Self::NotJson(_) | Self::Missing { .. } => 400,
        }
    }

    /// The code of the error, as in `docs/errors`.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::TooLarge => codes::BODY_TOO_LARGE,
            Self::NoSecret => codes::NO_SECRET,
            Self::NotSigned(_) | Self::BadSignature(_) => codes::BAD_SIGNATURE,
            Self::Stale => codes::STALE_DELIVERY,
            Self::NoEventName => codes::NO_EVENT_NAME,
            Self::NotJson(_) => codes::NOT_JSON,
            Self::Missing { .. } => codes::MISSING_FIELD,
        }
    }

    /// The problem for people.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        let hint = match self {
            Self::TooLarge => "no forge sends more; GitHub drops such deliveries itself",
            Self::NoSecret => "set a secret at the hook, the same on both sides",
            Self::NotSigned(_) => "set a secret at the forge's hook; without one it signs nothing",
            Self::BadSignature(_) => {
                "compare the secrets of both sides; a proxy must not rewrite the body"
            }
            Self::Stale => "set the clocks of both sides, or send the delivery again",
            Self::NoEventName => "is this the delivery of another kind of forge?",
            Self::NotJson(_) => "the body must be sent as the forge made it",
            Self::Missing { .. } => "is this the delivery of another kind of forge?",
        };
        Diagnostic::error(self.code(), self.to_string()).hint(hint)
    }
}
