//! Names of things: newtypes, so that a run id is never passed where a step id belongs.
//!
//! Must not generate ids: randomness enters through `plue-runtime`.

use std::{borrow::Borrow, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::limits;

/// Error of a malformed id. The message names the broken rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is empty.
    #[error("an id is not empty")]
    Empty,
    /// The text has more than [`limits::MAX_ID_LEN`] characters.
    #[error("an id has at most {max} characters, this one has {0}", max = limits::MAX_ID_LEN)]
    TooLong(usize),
    /// A character outside the allowed set, and where it stands (0-based, in characters).
    #[error(
        "an id has letters a-z and A-Z, digits, `_`, `.` and `-`, and starts with a letter, digit or `_`; found {found:?} at position {at}"
    )]
    Character {
        /// The first character that is not allowed.
        found: char,
        /// Its position in characters, from 0.
        at: usize,
    },
}

/// The id of a step, unique in its plan: `[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}`.
///
/// Deserialisation accepts any text, so that validation can report every bad id with its position
/// at once; [`StepId::check`] checks the text.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct StepId(#[schemars(regex(pattern = "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$"))] String);

// === impl StepId ===

impl StepId {
    /// Wraps a text without checking it; see [`StepId::check`].
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text of the id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Checks that the text is an id.
    ///
    /// # Errors
    /// The first rule of `docs/reference/plan-format.md` that the text breaks.
    pub fn check(&self) -> Result<(), IdError> {
        check_identifier(&self.0)
    }
}

/// Checks the rule that step ids, input names and output names share.
///
/// # Errors
/// The first rule that is broken.
pub fn check_identifier(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    let bad = text.chars().enumerate().find(|(at, c)| {
        let inner = matches!(c, '.' | '-') && *at > 0;
        !(c.is_ascii_alphanumeric() || *c == '_' || inner)
    });
    if let Some((at, found)) = bad {
        return Err(IdError::Character { found, at });
    }
    let length = text.chars().count();
    if length > limits::MAX_ID_LEN {
        return Err(IdError::TooLong(length));
    }
    Ok(())
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for StepId {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl Borrow<str> for StepId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

macro_rules! opaque_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Opaque text made by `plue-runtime` (a ULID, so that ids sort by creation time).
        #[derive(
            Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
            schemars::JsonSchema,
        )]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps the text of an id that was made elsewhere.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text of the id.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = std::convert::Infallible;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Ok(Self::new(text))
            }
        }
    };
}

opaque_id!(
    /// One execution of one plan for one event.
    RunId
);
opaque_id!(
    /// One try of one step in one visit.
    AttemptId
);
opaque_id!(
    /// One process that executes attempts in a workspace.
    RunnerId
);
