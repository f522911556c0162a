//! Gate `short-doc`: a doc comment of three words or fewer repeats the name.
//!
//! Fine are those with a number, a code span or a unit: they add what the name lacks.

use super::{report::Violation, tokens::Comment, tree::Tree};

/// Name of the gate.
pub(crate) const GATE: &str = "short-doc";
/// Most words of a doc comment that adds nothing.
const WORDS: usize = 3;
/// Words that make a short doc a fact: units and formats.
const UNITS: &[&str] = &[
    "bytes",
    "characters",
    "seconds",
    "milliseconds",
    "microseconds",
    "nanoseconds",
    "minutes",
    "hours",
    "days",
    "lines",
    "percent",
    "utc",
    "hex",
    "base64",
    "url",
    "json",
    "toml",
    "kib",
    "mib",
    "gib",
    "tokens",
    "microdollars",
    "sorted",
    "inclusive",
    "exclusive",
    "unique",
];

pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, source) in tree.sources_of_rust() {
        let mut block: Vec<&Comment> = Vec::new();
        for comment in source.comments.iter().filter(|comment| comment.is_doc) {
            if block.last().is_some_and(|last| last.line + 1 != comment.line) {
                judge(path, &block, &mut found);
                block.clear();
            }
            block.push(comment);
        }
        judge(path, &block, &mut found);
    }
    found
}

fn judge(path: &str, block: &[&Comment], found: &mut Vec<Violation>) {
    let Some(first) = block.first() else { return };
    let words: Vec<&str> = block.iter().flat_map(|line| line.text.split_whitespace()).collect();
    let adds = |word: &&str| {
        let plain = word.to_lowercase();
        let plain = plain.trim_matches(|c: char| !c.is_alphanumeric());
        word.contains(|c: char| c.is_ascii_digit() || matches!(c, '`' | '[' | '<'))
            || UNITS.contains(&plain)
    };
    if words.len() <= WORDS && !words.iter().any(adds) {
        let advice = format!(
            "`{}` adds nothing: give meaning, unit, limit or error, or delete it",
            words.join(" ")
        );
        found.push(Violation::new(path, first.line, GATE, advice));
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::Tree;

    fn lines(text: &str) -> Vec<usize> {
        check(&Tree::of(&[("a/src/b.rs", text)])).iter().map(|found| found.line).collect()
    }

    #[test]
    fn docs_of_three_words_are_refused() {
        assert_eq!(lines("//! The run.\n\n/// The step itself.\nfn a() {}\n"), [1, 3]);
    }

    #[test]
    fn docs_with_units_numbers_or_code_are_fine() {
        assert_eq!(lines("/// In bytes.\n\n/// At most 7.\n\n/// As `Run`.\nfn a() {}\n"), [0; 0]);
    }

    #[test]
    fn longer_docs_and_plain_comments_are_fine() {
        assert_eq!(lines("/// The run\n/// of a step.\nfn a() {}\n// Short.\n"), [0; 0]);
    }
}
