//! Rule: the crates that decide, store and act have at least so many lines of tests per line of source.
//!
//! The floor is no goal. It is there because a state machine without tests reads like one with tests.

use super::{crates::Crate, report::Violation, rust_files::is_test_file, tree::Tree};

/// Crates where an untested line costs a user a run.
const WATCHED: &[&str] = &["plue-flow", "plue-store", "plue-executor"];
/// Tests of a crate that need all of plue and so stand in another one's folder.
const ELSEWHERE: &[(&str, &str)] = &[("plue-executor", "e2e/tests/crash/")];
/// Least lines of tests per hundred lines of source.
const FLOOR_PERCENT: usize = 50;
/// Crates smaller than this are still being started.
const STARTED_AT_LINES: usize = 300;

pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let watched = Crate::all(tree).into_iter().filter(|each| WATCHED.contains(&each.name.as_str()));
    watched.filter_map(|each| check_crate(tree, &each)).collect()
}

fn check_crate(tree: &Tree, each: &Crate<'_>) -> Option<Violation> {
    let inside = format!("{}/", each.folder());
    let (mut source, mut tests) = (0, 0);
    for (path, text) in tree.of_kind("rs").filter(|(path, _)| path.starts_with(&inside)) {
        let all = text.lines().count();
        let inline = text.lines().skip_while(|line| *line != "mod tests {").count();
        let of_tests = if is_test_file(path) { all } else { inline };
        tests += of_tests;
        source += all - of_tests;
    }
    for (_, folder) in ELSEWHERE.iter().filter(|(name, _)| *name == each.name) {
        let files = tree.of_kind("rs").filter(|(path, _)| path.starts_with(folder));
        tests += files.map(|(_, text)| text.lines().count()).sum::<usize>();
    }
    if source < STARTED_AT_LINES || tests * 100 >= source * FLOOR_PERCENT {
        return None;
    }
    let advice = format!(
        "{tests} lines of tests for {source} lines of source; \
         write tests until there are {FLOOR_PERCENT} for 100"
    );
    Some(Violation::new(each.manifest, 1, "test-share", advice))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::Tree;

    const MANIFEST: &str = "[package]\nname = \"plue-flow\"\n";

    fn found(source: &str, tests: &str) -> usize {
        let files = [
            ("engine/flow/Cargo.toml", MANIFEST),
            ("engine/flow/src/run.rs", source),
            ("engine/flow/tests/run.rs", tests),
        ];
        check(&Tree::of(&files)).len()
    }

    #[test]
    fn half_as_many_test_lines_are_enough() {
        assert_eq!(found(&"x\n".repeat(400), &"x\n".repeat(200)), 0);
        assert_eq!(found(&"x\n".repeat(400), &"x\n".repeat(199)), 1);
    }

    #[test]
    fn tests_inside_a_source_file_count_as_tests() {
        let source = format!("{}mod tests {{\n{}}}\n", "x\n".repeat(400), "x\n".repeat(198));
        assert_eq!(found(&source, ""), 0);
    }

    #[test]
    fn tests_that_stand_elsewhere_count_for_their_crate() {
        let files = |tests: &str| {
            check(&Tree::of(&[
                ("engine/executor/Cargo.toml", "[package]\nname = \"plue-executor\"\n"),
                ("engine/executor/src/driver.rs", &"x\n".repeat(400)),
                ("e2e/tests/crash/main.rs", tests),
            ]))
            .len()
        };
        assert_eq!(files(&"x\n".repeat(200)), 0);
        assert_eq!(files(&"x\n".repeat(199)), 1);
    }

    #[test]
    fn crates_under_300_lines_are_left_alone() {
        assert_eq!(found(&"x\n".repeat(299), ""), 0);
    }
}
