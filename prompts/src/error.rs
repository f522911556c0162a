//! Errors of helpers and writers that stop a rendering, before they become diagnostics.
//!
//! Must not reach callers: they get [`plue_plan::Diagnostic`]s.

/// Cause of a stopped rendering.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// A value is not there.
    #[error("`{path}` has no value")]
    Missing { path: String },
    /// A value is of the wrong kind.
    #[error("{message}")]
    WrongValue { message: String, hint: String },
    /// More text than [`crate::limits::MAX_OUTPUT_BYTES`].
    #[error("the rendered text is larger than {} bytes", crate::limits::MAX_OUTPUT_BYTES)]
    TooMuchOutput,
    /// More work than [`crate::limits::MAX_WORK`].
    #[error("rendering costs more than {} units of work", crate::limits::MAX_WORK)]
    TooMuchWork,
}
