//! Rule: `docs/conformance.md` has a row for every promise, and every row names tests that exist and run.
//!
//! A test whose name begins with the id of a promise stands in its row. Ignored tests are refused by a
//! rule of their own, so a test that exists runs. Must not judge the meaning of a row.

use std::collections::{BTreeMap, BTreeSet};

use super::{markdown::test_names, report::Violation, tree::Tree};

/// The document of promises.
pub(crate) const FILE: &str = "docs/conformance.md";
/// Promises of each chapter: from `N.01` to `N.MM`.
const CHAPTERS: &[(usize, usize)] = &[(0, 32), (1, 39), (2, 30), (3, 19), (4, 21)];
/// Failure cases, from `F1` on.
const FAILURES: usize = 50;
/// Beginnings of the last cell of a row without tests.
const WITHOUT_TESTS: &[&str] = &["not built", "no test: "];

pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let Some(text) = tree.text(FILE) else { return Vec::new() };
    let mut found = Vec::new();
    let mut report = |line: usize, advice: String| {
        found.push(Violation::new(FILE, line, "conformance", advice));
    };
    let tests = test_names(tree);
    let mut rows: BTreeMap<&str, Row<'_>> = BTreeMap::new();
    for row in rows_of(text) {
        for name in row.tests.iter().filter(|name| !tests.contains(*name)) {
            report(row.line, format!("{}: no test is called `{name}`", row.id));
        }
        if row.tests.is_empty() && !WITHOUT_TESTS.iter().any(|start| row.last.starts_with(start)) {
            let forms = "name its tests, or write `not built` or `no test: REASON`";
            report(row.line, format!("{}: {forms}", row.id));
        }
        if let Some(other) = rows.insert(row.id, row.clone()) {
            report(row.line, format!("{}: has a row in line {} too", row.id, other.line));
        }
    }
    for id in promises().into_iter().filter(|id| !rows.contains_key(id.as_str())) {
        report(1, format!("{id}: add a row for this promise"));
    }
    for name in &tests {
        for id in ids(name) {
            if rows.get(id.as_str()).is_none_or(|row| !row.tests.contains(name)) {
                let line = rows.get(id.as_str()).map_or(1, |row| row.line);
                report(line, format!("{id}: name `{name}` (`cargo xtask tidy --write`)"));
            }
        }
    }
    found
}

/// The document with every test of an id in its row, and without those of an id that are gone.
pub(crate) fn written(tree: &Tree) -> Option<String> {
    let text = tree.text(FILE)?;
    let tests = test_names(tree);
    let rows: BTreeMap<usize, Row<'_>> =
        rows_of(text).into_iter().map(|row| (row.line, row)).collect();
    let mut out = String::new();
    for (at, line) in text.lines().enumerate() {
        match rows.get(&(at + 1)) {
            Some(row) => out.push_str(&row.with_tests(&tests)),
            None => out.push_str(line),
        }
        out.push('\n');
    }
    Some(out)
}

/// One line of a table that begins with an id.
#[derive(Clone, Debug)]
struct Row<'t> {
    /// Line in the document, from 1.
    line: usize,
    id: &'t str,
    text: &'t str,
    /// The last cell, with the tests.
    last: &'t str,
    tests: Vec<&'t str>,
}

impl Row<'_> {
    fn with_tests(&self, tests: &BTreeSet<&str>) -> String {
        let of_id = |name: &&str| ids(name).iter().any(|id| id == self.id);
        let kept = self.tests.iter().filter(|name| tests.contains(*name) || ids(name).is_empty());
        let mut names: Vec<&str> = kept.copied().collect();
        let own: Vec<&str> = tests.iter().copied().filter(of_id).collect();
        names.extend(own.iter().filter(|name| !self.tests.contains(name)));
        if names == self.tests {
            return self.text.to_owned();
        }
        let spans: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        let head = self.text.rsplit_once(self.last).map_or(self.text, |(head, _)| head);
        format!("{head}{} |", spans.join(", "))
    }
}

fn rows_of(text: &str) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for (at, text) in text.lines().enumerate() {
        let cells: Vec<&str> = text.trim_matches('|').split(" | ").map(str::trim).collect();
        let [id, .., last] = cells.as_slice() else { continue };
        if text.starts_with("| ") && cells.len() >= 3 && is_id(id) {
            let spans = last.split('`').skip(1).step_by(2);
            let tests = spans.filter(|span| is_test_name(span)).collect();
            rows.push(Row { line: at + 1, id, text, last, tests });
        }
    }
    rows
}

/// `1.07`, `14.7a`, `F12`, `W3`.
fn is_id(cell: &str) -> bool {
    let number = cell.strip_prefix(['F', 'W']).unwrap_or(cell);
    number.starts_with(|c: char| c.is_ascii_digit())
        && number.chars().all(|c| c.is_ascii_alphanumeric() || c == '.')
}

fn is_test_name(span: &str) -> bool {
    let spelled = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    span.contains('_') && span.chars().all(spelled)
}

fn promises() -> Vec<String> {
    let of_chapter = |(chapter, last): &(usize, usize)| {
        let chapter = *chapter;
        (1..=*last).map(move |number| format!("{chapter}.{number:02}"))
    };
    let failures = (1..=FAILURES).map(|number| format!("F{number}"));
    CHAPTERS.iter().flat_map(of_chapter).chain(failures).collect()
}

/// Ids at the start of a test's name: `row_1_07_…`, `row_3_18_and_3_06_…`, `failure_case_05_…`.
fn ids(name: &str) -> Vec<String> {
    let words: Vec<&str> = name.split('_').collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<usize>().ok());
    let (mut ids, mut at) = (Vec::new(), 0);
    loop {
        match (words.get(at).copied(), number(at + 1), number(at + 2)) {
            (Some("row"), Some(chapter), Some(row)) => ids.push(format!("{chapter}.{row:02}")),
            (Some("and"), Some(chapter), Some(row)) if !ids.is_empty() => {
                ids.push(format!("{chapter}.{row:02}"));
            }
            (Some("failure"), None, Some(case)) => ids.push(format!("F{case}")),
            _ => return ids,
        }
        at += 3;
    }
}

#[cfg(test)]
mod tests {
    use super::{FILE, check, ids, promises, written};
    use crate::tidy::tree::Tree;

    fn page(row: &str) -> String {
        let others = promises().into_iter().filter(|id| id != "1.07");
        let others: String = others.map(|id| format!("| {id} | Means. | not built |\n")).collect();
        format!("{row}\n{others}")
    }

    fn found(row: &str, tests: &str) -> Vec<String> {
        let tree = Tree::of(&[(FILE, &page(row)), ("a/tests/a.rs", tests)]);
        check(&tree).into_iter().map(|found| found.advice).collect()
    }

    const TEST: &str = "#[test]\nfn row_1_07_a_b() {}\n";

    #[test]
    fn rows_with_their_tests_are_fine() {
        assert_eq!(found("| 1.07 | Means. | `row_1_07_a_b` |", TEST), [""; 0]);
        assert_eq!(found("| 1.07 | Means. | no test: a file |", ""), [""; 0]);
    }

    #[test]
    fn tests_that_do_not_exist_are_reported() {
        assert!(found("| 1.07 | Means. | `a_b_c` |", "")[0].contains("`a_b_c`"));
    }

    #[test]
    fn missing_and_doubled_rows_are_reported() {
        assert!(found("", "")[0].starts_with("1.07: add a row"));
        assert!(
            found("| 1.07 | A. | not built |\n| 1.07 | B. | not built |", "")[0].contains("too")
        );
        assert!(found("| 1.07 | Means. |  |", "")[0].contains("name its tests"));
    }

    #[test]
    fn tests_of_an_id_stand_in_its_row() {
        assert!(found("| 1.07 | Means. | not built |", TEST)[0].contains("`row_1_07_a_b`"));
    }

    #[test]
    fn renamed_tests_of_an_id_are_written() {
        let row = "| 1.07 | Means. | `row_1_07_old`, `some_other_test` |";
        let tree = Tree::of(&[(FILE, &page(row)), ("a/tests/a.rs", TEST)]);
        let text = written(&tree).unwrap();
        assert!(
            text.starts_with("| 1.07 | Means. | `some_other_test`, `row_1_07_a_b` |\n"),
            "{text}"
        );
        let same = Tree::of(&[(FILE, &text), ("a/tests/a.rs", TEST)]);
        assert_eq!(written(&same).unwrap(), text);
    }

    #[test]
    fn ids_are_read_from_names() {
        assert_eq!(ids("row_3_18_and_3_06_worker"), ["3.18", "3.06"]);
        assert_eq!(ids("failure_case_05_row_1_23_a"), ["F5", "1.23"]);
        assert_eq!(ids("rows_1_2"), [""; 0]);
    }
}
