//! Rules about a Rust file as a whole: its name, its length, how it opens.

use super::{report::Violation, tree::Tree};

/// Most lines of a Rust file outside tests.
const FILE_LINES: usize = 600;
/// Most lines of a `lib.rs`: docs, `mod` and `pub use` need no more.
const LIB_LINES: usize = 80;
/// Most lines of a test module inside a source file.
const INLINE_TEST_LINES: usize = 150;
/// Names without meaning, which attract everything.
const ATTIC_NAMES: &[&str] =
    &["util", "utils", "helper", "helpers", "common", "misc", "manager", "managers", "stuff"];

pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, text) in tree.of_kind("rs") {
        name(path, &mut found);
        opening(path, text, &mut found);
        length(path, text, &mut found);
        inline_tests(path, text, &mut found);
    }
    found
}

/// Whether a file holds only tests (or benches), by its place.
pub(crate) fn is_test_file(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "benches"))
}

/// The line where the tests of a file start, or one after its end.
pub(crate) fn tests_start(path: &str, text: &str) -> usize {
    if is_test_file(path) {
        return 0;
    }
    text.lines().position(|line| line == "mod tests {").map_or(usize::MAX, |at| at + 1)
}

fn name(path: &str, found: &mut Vec<Violation>) {
    for part in path.split('/') {
        let stem = part.strip_suffix(".rs").unwrap_or(part);
        if ATTIC_NAMES.contains(&stem) {
            let advice = format!("`{stem}` has no meaning: name the file after its content");
            found.push(Violation::new(path, 1, "attic-name", advice));
        }
    }
    if path.ends_with("/mod.rs") {
        let advice = "use `foo.rs` next to the folder `foo/` instead of `foo/mod.rs`";
        found.push(Violation::new(path, 1, "mod-rs", advice));
    }
}

fn opening(path: &str, text: &str, found: &mut Vec<Violation>) {
    let first = text.lines().next().unwrap_or_default();
    if first.strip_prefix("//!").is_none_or(|words| words.trim().is_empty()) {
        let advice = "open the file with `//!`: its purpose, and what it must not do";
        found.push(Violation::new(path, 1, "module-doc", advice));
    }
}

fn length(path: &str, text: &str, found: &mut Vec<Violation>) {
    let lines = text.lines().count();
    if path.ends_with("/src/lib.rs") && lines > LIB_LINES {
        let advice = format!(
            "{lines} lines; keep docs, `mod` and `pub use` (at most {LIB_LINES}) and move the rest"
        );
        found.push(Violation::new(path, LIB_LINES + 1, "lib-length", advice));
    } else if lines > FILE_LINES && !is_test_file(path) {
        let advice = format!("{lines} lines; split it by meaning (at most {FILE_LINES})");
        found.push(Violation::new(path, FILE_LINES + 1, "file-length", advice));
    }
}

fn inline_tests(path: &str, text: &str, found: &mut Vec<Violation>) {
    let lines: Vec<&str> = text.lines().collect();
    let Some(start) = lines.iter().position(|line| *line == "mod tests {") else {
        return;
    };
    let length = lines.iter().skip(start).position(|line| *line == "}").map_or(0, |end| end + 1);
    if length > INLINE_TEST_LINES {
        let advice = format!(
            "{length} lines of tests inside the source (at most {INLINE_TEST_LINES}); move them to `tests.rs` in the folder of this module"
        );
        found.push(Violation::new(path, start + 1, "inline-tests", advice));
    }
}

#[cfg(test)]
mod tests {
    use super::{check, is_test_file};
    use crate::tidy::tree::Tree;

    fn rules(path: &str, text: &str) -> Vec<(usize, &'static str)> {
        check(&Tree::of(&[(path, text)])).iter().map(|found| (found.line, found.rule)).collect()
    }

    fn lines(count: usize) -> String {
        format!("//! Purpose.\n{}", "// x\n".repeat(count - 1))
    }

    #[test]
    fn source_files_have_at_most_600_lines() {
        assert_eq!(rules("a/src/run.rs", &lines(600)), []);
        assert_eq!(rules("a/src/run.rs", &lines(601)), [(601, "file-length")]);
    }

    #[test]
    fn files_of_tests_may_be_longer() {
        assert_eq!(rules("a/tests/run.rs", &lines(700)), []);
        assert_eq!(rules("a/src/run/tests.rs", &lines(700)), []);
        assert!(!is_test_file("a/src/contests.rs"));
    }

    #[test]
    fn lib_rs_has_at_most_80_lines() {
        assert_eq!(rules("a/src/lib.rs", &lines(80)), []);
        assert_eq!(rules("a/src/lib.rs", &lines(81)), [(81, "lib-length")]);
    }

    #[test]
    fn attic_names_are_refused_for_files_and_folders() {
        assert_eq!(rules("a/src/utils.rs", &lines(2)), [(1, "attic-name")]);
        assert_eq!(rules("a/tests/common/fake.rs", &lines(2)), [(1, "attic-name")]);
        assert_eq!(rules("a/src/common_table.rs", &lines(2)), []);
    }

    #[test]
    fn mod_rs_is_refused() {
        assert_eq!(rules("a/src/run/mod.rs", &lines(2)), [(1, "mod-rs")]);
    }

    #[test]
    fn files_without_an_opening_doc_are_refused() {
        for path in ["a/src/run.rs", "a/tests/run.rs", "a/examples/run.rs", "a/build.rs"] {
            assert_eq!(rules(path, "use std::fmt;\n"), [(1, "module-doc")]);
            assert_eq!(rules(path, "//!\nuse std::fmt;\n"), [(1, "module-doc")]);
        }
    }

    #[test]
    fn inline_tests_have_at_most_150_lines() {
        let file =
            |count: usize| format!("//! X.\nmod tests {{\n{}}}\n", "    // x\n".repeat(count - 2));
        assert_eq!(rules("a/src/run.rs", &file(150)), []);
        assert_eq!(rules("a/src/run.rs", &file(151)), [(2, "inline-tests")]);
    }
}
