//! Errors of a login.

/// Error of a login. Texts hold nothing that a secret could be in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings are invalid.
    #[error("{0}")]
    Settings(String),
    /// The issuer did not answer.
    #[error("the issuer does not answer ({what})")]
    Unreachable {
        /// Name of the request.
        what: &'static str,
        /// Cause of the error.
        #[source]
        cause: reqwest::Error,
    },
    /// The issuer did not answer a moment ago, and is left alone for a few seconds.
    #[error("the issuer did not answer a moment ago")]
    Resting,
    /// The issuer answered what it must not.
    #[error("the issuer's answer is not one ({what}): {why}")]
    BadAnswer {
        /// Name of the request.
        what: &'static str,
        /// Problem of the response.
        why: String,
    },
    /// The issuer refuses: an error code of RFC 6749 §5.2, or a status.
    #[error("the issuer refuses the code: {0}")]
    Refused(String),
    /// The ID token must not be believed.
    #[error("the ID token is refused: {0}")]
    Token(&'static str),
    /// The ID token is valid, but has no usable name.
    #[error("the ID token has no usable claim `{0}`")]
    NoName(String),
}

// === impl Error ===

impl Error {
    /// True if a later attempt may succeed.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Resting | Self::BadAnswer { .. } => true,
            Self::Settings(_) | Self::Refused(_) | Self::Token(_) | Self::NoName(_) => false,
        }
    }
}
