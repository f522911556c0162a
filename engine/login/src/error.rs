//! Why a login does not succeed.

/// Why a login does not succeed. Texts hold nothing that a secret could be in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the operator set cannot be.
    #[error("{0}")]
    Settings(String),
    /// The issuer did not answer.
    #[error("the issuer does not answer ({what})")]
    Unreachable {
        /// What was asked for.
        what: &'static str,
        /// Why.
        #[source]
        cause: reqwest::Error,
    },
    /// The issuer did not answer a moment ago, and is left alone for a few seconds.
    #[error("the issuer did not answer a moment ago")]
    Resting,
    /// The issuer answered what it must not.
    #[error("the issuer's answer is not one ({what}): {why}")]
    BadAnswer {
        /// What was asked for.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The issuer says no: an error code of RFC 6749 §5.2, or a status.
    #[error("the issuer refuses the code: {0}")]
    Refused(String),
    /// The ID token must not be believed.
    #[error("the ID token is refused: {0}")]
    Token(&'static str),
    /// The ID token is good, and does not say who somebody is.
    #[error("the ID token has no usable claim `{0}`")]
    NoName(String),
}

// === impl Error ===

impl Error {
    /// Whether it may be otherwise in a moment.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Resting | Self::BadAnswer { .. } => true,
            Self::Settings(_) | Self::Refused(_) | Self::Token(_) | Self::NoName(_) => false,
        }
    }
}
