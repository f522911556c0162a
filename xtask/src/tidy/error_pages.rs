//! Rule: every error code in the source has a page in docs/errors, and every page a code.

use std::collections::BTreeSet;

use super::{report::Violation, rust_files::is_test_file, tree::Tree};

const FOLDER: &str = "docs/errors/";

pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut used = BTreeSet::new();
    for (path, source) in tree.sources_of_rust() {
        if is_test_file(path) || path.starts_with("xtask/") {
            continue;
        }
        let text = tree.text(path).unwrap_or_default();
        let tests_start = text.lines().position(|line| line == "mod tests {");
        let shipped = |line: usize| tests_start.is_none_or(|start| line <= start);
        for token in source.tokens.iter().filter(|token| shipped(token.line)) {
            let Some(code) = code(&token.text) else {
                continue;
            };
            let page = format!("{FOLDER}{code}.md");
            if !tree.has(&page) {
                let advice = format!("write {page}: what the problem is, why, and the way out");
                found.push(Violation::new(path, token.line, "error-page", advice));
            }
            used.insert(page);
        }
    }
    for page in tree.paths().filter(|path| path.starts_with("docs/errors/PLUE-")) {
        if !used.contains(page) {
            let advice = "no source reports this code: delete the page, or report the code";
            found.push(Violation::new(page, 1, "error-page", advice));
        }
    }
    found
}

/// The code in a string literal that is one and nothing else: `"PLUE-P0012"`.
fn code(literal: &str) -> Option<&str> {
    let code = literal.strip_prefix('"')?.strip_suffix('"')?;
    let number = code.strip_prefix("PLUE-")?;
    let mut characters = number.chars();
    let room = characters.next()?.is_ascii_uppercase();
    let digits = number.len() == 5 && characters.all(|c| c.is_ascii_digit());
    (room && digits).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::{check, code};
    use crate::tidy::tree::Tree;

    fn places(files: &[(&str, &str)]) -> Vec<(String, usize)> {
        check(&Tree::of(files)).into_iter().map(|found| (found.path, found.line)).collect()
    }

    #[test]
    fn codes_without_a_page_are_reported_in_place() {
        let source = "//! X.\nconst A: &str = \"PLUE-S0001\";\n";
        assert_eq!(places(&[("a/src/b.rs", source)]), [("a/src/b.rs".to_owned(), 2)]);
        assert_eq!(places(&[("a/src/b.rs", source), ("docs/errors/PLUE-S0001.md", "")]), []);
    }

    #[test]
    fn a_page_without_a_code_is_reported() {
        let page = "docs/errors/PLUE-S0001.md";
        assert_eq!(places(&[(page, "")]), [(page.to_owned(), 1)]);
    }

    #[test]
    fn tests_may_make_up_codes() {
        let source = "//! X.\n#[cfg(test)]\nmod tests {\n    const A: &str = \"PLUE-X0000\";\n}\n";
        assert_eq!(places(&[("a/src/b.rs", source), ("a/tests/c.rs", "\"PLUE-X0001\"")]), []);
    }

    #[test]
    fn only_a_whole_literal_is_a_code() {
        assert_eq!(code("\"PLUE-P0012\""), Some("PLUE-P0012"));
        for other in ["PLUE-P0012", "\"PLUE-P012\"", "\"PLUE-P00123\"", "\"see PLUE-P0012\""] {
            assert_eq!(code(other), None, "{other}");
        }
    }
}
