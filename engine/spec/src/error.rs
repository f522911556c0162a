//! Errors of expressions and templates.

use plue_plan::{Code, Diagnostic, budget::Stopped, validate::ExpressionError};

use crate::codes;

/// Error of the evaluation of an expression, template or value.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The source is no expression.
    #[error(transparent)]
    Syntax(#[from] ExpressionError),
    /// A step that does not exist.
    #[error("there is no step `{id}`{}", near(nearest.as_ref()))]
    UnknownStep {
        /// The id in the expression.
        id: String,
        /// A step with nearly that id.
        nearest: Option<String>,
    },
    /// A field or index that is not there.
    #[error("`{path}` is not there: {why}{}", near(nearest.as_ref()))]
    Missing {
        /// Path that was read, as it would be written: `steps.plan.output.risk`.
        path: String,
        /// Description of the value found instead.
        why: String,
        /// A field with nearly that name.
        nearest: Option<String>,
    },
    /// Values an operator or function does not take.
    #[error("{0}")]
    WrongType(String),
    /// Division by zero, overflow, or a text that is no number.
    #[error("{0}")]
    Arithmetic(String),
    /// More work than [`crate::expression::MAX_COST`].
    #[error("the expression does more work than is allowed ({limit} units)")]
    TooCostly {
        /// The limit in units of work.
        limit: u64,
    },
    /// The expressions of a scope together: see [`crate::Scope::metered`].
    #[error("all expressions together: {0}")]
    Stopped(#[from] Stopped),
    /// A condition that is neither true nor false.
    #[error("the condition is {0}, not true or false")]
    NotBoolean(String),
    /// A secret inside a text or condition.
    #[error("secret `{0}` stands where only a plain value may stand")]
    MisplacedSecret(String),
    /// An object with a `$` key that is no reference.
    #[error("an object with the key `{0}` is no expression, template or secret")]
    Malformed(String),
    /// A bad regular expression.
    #[error("{0}")]
    BadRegex(String),
}

// === impl Error ===

impl Error {
    /// Stable code for users.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Syntax(_) => codes::SYNTAX,
            Self::UnknownStep { .. } => codes::UNKNOWN_STEP,
            Self::Missing { .. } => codes::MISSING,
            Self::WrongType(_) => codes::WRONG_TYPE,
            Self::Arithmetic(_) => codes::ARITHMETIC,
            Self::TooCostly { .. } | Self::Stopped(_) => codes::TOO_COSTLY,
            Self::NotBoolean(_) => codes::NOT_BOOLEAN,
            Self::MisplacedSecret(_) => codes::MISPLACED_SECRET,
            Self::Malformed(_) => codes::MALFORMED,
            Self::BadRegex(_) => codes::BAD_REGEX,
        }
    }

    /// The problem for people; `what` is its owner, as in "`when` of step `deploy`".
    #[must_use]
    pub fn diagnostic(&self, what: &str) -> Diagnostic {
        Diagnostic::error(self.code(), format!("{what}: {self}"))
    }

    /// True if `||` and `&&` may absorb it, as in CEL. An exceeded cost is never absorbed.
    pub(crate) fn absorbable(&self) -> bool {
        !matches!(self, Self::TooCostly { .. } | Self::Stopped(_))
    }
}

fn near(nearest: Option<&String>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}
