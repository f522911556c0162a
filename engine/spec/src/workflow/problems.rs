//! Problems of a workflow file with their source locations.
//!
//! Must not decide what a problem is. Bounded, as a hostile file must not become gigabytes of
//! messages.

use plue_plan::{Code, Diagnostic, Severity, Span, diagnostic::Related};

use crate::workflow::yaml::SourcePosition;

/// Problems of one file that are listed.
pub const MAX_PROBLEMS: usize = 1_000;
/// Characters of foreign text in a message.
const MAX_QUOTED: usize = 80;

/// The problems of one file.
pub(crate) struct Problems<'f> {
    file: &'f str,
    found: Vec<Diagnostic>,
    dropped: usize,
    /// True if the last one was dropped.
    full: bool,
}

/// A foreign text in a message: in backquotes, escaped, shortened.
pub(crate) fn quoted(text: &str) -> String {
    let short: String = text.chars().take(MAX_QUOTED).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    let escaped: String = short
        .chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect();
    format!("`{escaped}{more}`")
}

// === impl Problems ===

impl<'f> Problems<'f> {
    pub(crate) fn new(file: &'f str) -> Self {
        Self { file, found: Vec::new(), dropped: 0, full: false }
    }

    pub(crate) fn span(&self, place: SourcePosition) -> Option<Span> {
        (place.line > 0).then(|| place.span(self.file))
    }

    pub(crate) fn add(&mut self, problem: Diagnostic) {
        self.full = self.found.len() >= MAX_PROBLEMS;
        if self.full {
            self.dropped += 1;
        } else {
            self.found.push(problem);
        }
    }

    pub(crate) fn error(&mut self, code: Code, at: SourcePosition, message: impl Into<String>) {
        let problem = Diagnostic::error(code, message).at(self.span(at));
        self.add(problem);
    }

    /// An error with advice.
    pub(crate) fn push(
        &mut self,
        code: Code,
        at: SourcePosition,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let problem = Diagnostic::error(code, message).at(self.span(at)).hint(hint);
        self.add(problem);
    }

    pub(crate) fn warn(
        &mut self,
        code: Code,
        at: SourcePosition,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let problem = Diagnostic::warning(code, message).at(self.span(at)).hint(hint);
        self.add(problem);
    }

    /// A further place of the last problem.
    pub(crate) fn relate(&mut self, related: Option<Related>) {
        if let (Some(last), false) = (self.found.last_mut(), self.full) {
            last.related.extend(related);
        }
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.dropped > 0 || self.found.iter().any(|found| found.severity == Severity::Error)
    }

    /// All of them by place.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|problem| {
            let span = problem.span.as_ref();
            span.map(|span| (span.line, span.column))
        });
        if self.dropped > 0 {
            let message = format!("{} more problems are not listed", self.dropped);
            self.found.push(Diagnostic::error(plue_plan::codes::MORE_PROBLEMS, message));
        }
        self.found
    }
}
