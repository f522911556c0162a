//! The patterns of branches, tags and paths: `*` stops at `/`, `**` does not.
//!
//! | pattern | fits |
//! |---|---|
//! | `*` | any characters but `/` |
//! | `**` | any characters; `**/` also nothing |
//! | `?` | one character but `/` |
//! | `[a-z]`, `[!a-z]` | one character of the set, or not of it; never `/` |
//! | `{a,b}` | one of them |
//! | `!` at the beginning | takes back what earlier patterns of the list let through |
//!
//! A whole name must fit, in its capitalisation. In a list the last pattern that fits decides; a list
//! of `!` patterns only means "all but these". Matching takes time linear in the name.

use regex::{Regex, RegexBuilder};

mod translate;

/// Bytes that a compiled pattern may take.
const MAX_COMPILED: usize = 256 * 1024;

/// A pattern that cannot be read. Plans are checked before, so that this is rare.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the pattern `{0}` cannot be read")]
pub struct BadPattern(pub String);

/// A list of patterns, ready to be matched.
#[derive(Debug, Clone)]
pub struct Patterns {
    rules: Vec<Rule>,
    only_negative: bool,
}

#[derive(Debug, Clone)]
struct Rule {
    regex: Regex,
    negative: bool,
}

// === impl Patterns ===

impl Patterns {
    /// Reads a list.
    ///
    /// # Errors
    /// The first pattern that cannot be read.
    pub fn new(patterns: &[String]) -> Result<Self, BadPattern> {
        let mut rules = Vec::with_capacity(patterns.len());
        for pattern in patterns {
            let (negative, positive) = match pattern.strip_prefix('!') {
                Some(rest) => (true, rest),
                None => (false, pattern.as_str()),
            };
            let regex = RegexBuilder::new(&translate::to_regex(positive))
                .dot_matches_new_line(true)
                .size_limit(MAX_COMPILED)
                .build()
                .map_err(|_| BadPattern(pattern.clone()))?;
            rules.push(Rule { regex, negative });
        }
        let only_negative = rules.iter().all(|rule| rule.negative);
        Ok(Self { rules, only_negative })
    }

    /// Whether a name fits the list; an empty list fits everything.
    #[must_use]
    pub fn fit(&self, name: &str) -> bool {
        let last = self.rules.iter().rev().find(|rule| rule.regex.is_match(name));
        last.map_or(self.only_negative, |rule| !rule.negative)
    }
}

#[cfg(test)]
mod tests;
