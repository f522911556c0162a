//! Rule: `docs/SUMMARY.md`, the table of contents of the book, lists every page of the manual once.
//!
//! Pages of errors and decisions are added when the book is built. Dead links are found by another rule.

use std::collections::BTreeMap;

use super::{report::Violation, tree::Tree};

/// The table of contents.
pub(crate) const FILE: &str = "docs/SUMMARY.md";
/// Folders whose pages the build of the book adds.
pub(crate) const ADDED: &[&str] = &["docs/errors/", "docs/decisions/0"];

pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let Some(text) = tree.text(FILE) else { return Vec::new() };
    let mut found = Vec::new();
    let mut listed: BTreeMap<String, usize> = BTreeMap::new();
    for (at, line) in text.lines().enumerate() {
        for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if listed.insert(format!("docs/{target}"), at + 1).is_some() {
                let advice = format!("{target} is listed twice");
                found.push(Violation::new(FILE, at + 1, "summary", advice));
            }
        }
    }
    let pages = tree.of_kind("md").map(|(path, _)| path).filter(|path| path.starts_with("docs/"));
    for page in pages.filter(|page| *page != FILE && !listed.contains_key(*page)) {
        if !ADDED.iter().any(|start| page.starts_with(start)) {
            let advice = format!("list {}", page.trim_start_matches("docs/"));
            found.push(Violation::new(FILE, 1, "summary", advice));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{FILE, check};
    use crate::tidy::tree::Tree;

    fn found(summary: &str) -> Vec<String> {
        let files =
            [(FILE, summary), ("docs/a.md", ""), ("docs/b/c.md", ""), ("docs/errors/X.md", "")];
        check(&Tree::of(&files)).into_iter().map(|found| found.advice).collect()
    }

    #[test]
    fn summary_lists_every_page_once() {
        assert_eq!(found("- [A](a.md)\n  - [C](b/c.md)\n"), [""; 0]);
        assert_eq!(found("- [A](a.md)\n"), ["list b/c.md"]);
        assert_eq!(found("- [A](a.md)\n- [A](a.md)\n- [C](b/c.md)\n"), ["a.md is listed twice"]);
    }
}
