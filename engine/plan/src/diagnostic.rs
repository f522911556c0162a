//! Diagnostics: what happened, where, and what to do, under a stable code.
//!
//! Must not print: rendering with colours and source lines is `plue-cli`'s.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Declares a catalogue of error codes: a constant for each, and `ALL` with what each means.
///
/// A code never changes its meaning and is never used again. Each has a page in `docs/errors/`, which
/// a test compares that comes with the catalogue.
///
/// ```
/// plue_plan::error_codes! {
///     NO_SUCH_FILE = "PLUE-X0001", "the file does not exist";
/// }
/// assert_eq!(ALL[0].0, NO_SUCH_FILE);
/// ```
#[macro_export]
macro_rules! error_codes {
    ($($name:ident = $code:literal, $meaning:literal;)+) => {
        $(
            #[doc = concat!("`", $code, "`: ", $meaning, ".")]
            pub const $name: $crate::Code = $crate::Code::new($code);
        )+

        /// Every code with what it means, in the order of their numbers.
        pub const ALL: &[($crate::Code, &str)] = &[$(($crate::Code::new($code), $meaning)),+];

        #[cfg(test)]
        #[test]
        fn every_code_has_its_page() {
            let mut folders = ::std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
            let pages = folders.find_map(|folder| {
                Some(folder.join("docs/errors")).filter(|pages| pages.is_dir())
            });
            let pages = pages.unwrap_or_default();
            for (code, meaning) in ALL {
                let page = ::std::fs::read_to_string(pages.join(format!("{code}.md")));
                let page = page.unwrap_or_else(|error| panic!("{code}: {error}"));
                assert!(page.starts_with(&format!("# {code}: {meaning}\n")), "{code}");
                assert!(page.contains("## Fix"), "{code}");
            }
        }
    };
}

/// A stable code, `PLUE-<letter><number>`. Letters: `P` plan, `E` evaluator, `S` YAML/JSON and
/// expressions, `T` prompts, `R` runs, `D` database, `W` wire, `C` command line, `F` forges. Each has
/// a page in `docs/errors/`.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct Code(std::borrow::Cow<'static, str>);

/// Severity of a problem.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth a look; the plan is usable.
    Warning,
    /// The plan is refused.
    Error,
}

/// A place in a source file. Lines and columns count from 1, columns in characters.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct Span {
    /// Path relative to the repository.
    pub file: String,
    /// First line, from 1.
    pub line: u32,
    /// First column, from 1.
    pub column: u32,
    /// Line of the end; absent: the same line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_line: Option<u32>,
    /// Column after the last character; absent: unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_column: Option<u32>,
}

/// One problem of a source or plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Diagnostic {
    /// Code of the problem.
    pub code: Code,
    /// Severity of the problem.
    pub severity: Severity,
    /// Description of the problem in one sentence without a final full stop.
    pub message: String,
    /// Source location, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<Span>,
    /// Advice for the user, if there is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Further places that belong to it, such as the first use of a duplicate id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<Related>,
}

/// A further place of a diagnostic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Related {
    /// Description of the place.
    pub message: String,
    /// Location in the source file.
    pub span: Span,
}

// === impl Code ===

impl Code {
    /// A code known at compile time.
    #[must_use]
    pub const fn new(code: &'static str) -> Self {
        Self(std::borrow::Cow::Borrowed(code))
    }

    /// Text of the code, `PLUE-P0012`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Span ===

impl Span {
    /// A place of unknown extent.
    pub fn at(file: impl Into<String>, line: u32, column: u32) -> Self {
        Self { file: file.into(), line, column, end_line: None, end_column: None }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

// === impl Diagnostic ===

impl Diagnostic {
    /// Creates an error: the input is refused.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            span: None,
            hint: None,
            related: Vec::new(),
        }
    }

    /// Creates a warning: the input is accepted.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// Sets the source location.
    #[must_use]
    pub fn at(mut self, span: impl Into<Option<Span>>) -> Self {
        self.span = span.into();
        self
    }

    /// Sets the advice for the reader.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(span) = &self.span {
            write!(f, "{span}: ")?;
        }
        write!(f, "{}: {}", self.code, self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, " ({hint})")?;
        }
        Ok(())
    }
}
