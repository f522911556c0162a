//! The errors of a session: problems for people, and whose fault they are.

use std::{
    error::Error,
    path::{Path, PathBuf},
};

use plue_plan::Diagnostic;

use super::codes;

/// The kind of a refusal; programs turn it into an exit code or a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The request itself is wrong.
    Usage,
    /// A file or workflow that the request names does not exist or cannot be read.
    NotFound,
    /// The plans are invalid.
    Invalid,
    /// The machine or a process failed.
    Infrastructure,
}

/// The reason why a session has no plan.
#[derive(Debug)]
pub struct Refusal {
    /// The kind of the refusal, for exit codes.
    pub reason: Reason,
    /// At least one problem.
    pub diagnostics: Vec<Diagnostic>,
    /// Root of the repository that the spans of the problems are of.
    pub repo: Option<PathBuf>,
}

// === impl Refusal ===

impl Refusal {
    pub(super) fn new(reason: Reason, diagnostic: Diagnostic) -> Self {
        Self { reason, diagnostics: vec![diagnostic], repo: None }
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Reason::Usage, Diagnostic::error(codes::USAGE, message))
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Reason::NotFound, Diagnostic::error(codes::NOT_FOUND, message))
    }

    pub(super) fn invalid(diagnostics: Vec<Diagnostic>) -> Self {
        Self { reason: Reason::Invalid, diagnostics, repo: None }
    }

    pub(super) fn infrastructure(error: &dyn Error) -> Self {
        let problem = Diagnostic::error(codes::INFRASTRUCTURE, chain(error));
        Self::new(Reason::Infrastructure, problem)
    }

    /// Sets the hint of the first problem.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Some(first) = self.diagnostics.first_mut() {
            first.hint = Some(hint.into());
        }
        self
    }

    pub(super) fn in_repository(mut self, root: &Path) -> Self {
        self.repo = Some(root.to_owned());
        self
    }
}

/// An error with its causes in one line; a cause that the text ends with already is left out.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
