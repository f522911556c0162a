//! A break of a rule: its place, the rule, and the way to mend it.

use std::fmt;

/// One break of one rule. Ordered by place, so that a report reads file by file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    /// Path from the root of the repository, with `/`.
    pub(crate) path: String,
    /// Line, from 1.
    pub(crate) line: usize,
    /// Short name of the rule, as listed in docs/style.md.
    pub(crate) rule: &'static str,
    /// The way to mend it, not only the fault.
    pub(crate) advice: String,
}

impl Violation {
    pub(crate) fn new(
        path: &str,
        line: usize,
        rule: &'static str,
        advice: impl Into<String>,
    ) -> Self {
        Self { path: path.to_owned(), line, rule, advice: advice.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path, self.line, self.rule, self.advice)
    }
}

#[cfg(test)]
mod tests {
    use super::Violation;

    #[test]
    fn violations_print_file_line_rule_and_advice() {
        let found = Violation::new("a/b.rs", 7, "mod-rs", "rename it");
        assert_eq!(found.to_string(), "a/b.rs:7: mod-rs: rename it");
    }
}
