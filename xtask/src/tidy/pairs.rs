//! Rules about files that must have a partner: migrations of both dialects, snapshots and tests.

use std::collections::BTreeSet;

use super::{report::Violation, tree::Tree};

const DIALECTS: [&str; 2] = ["migrations/sqlite/", "migrations/postgres/"];

pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    migrations(tree, &mut found);
    snapshots(tree, &mut found);
    found
}

/// Both databases go through the same versions, each with a file of the same name.
fn migrations(tree: &Tree, found: &mut Vec<Violation>) {
    let names = |folder: &str| -> BTreeSet<&str> {
        let inside = tree.paths().filter_map(|path| path.strip_prefix(folder));
        inside.filter(|name| name.ends_with(".sql")).collect()
    };
    let [first, second] = DIALECTS;
    for (have, miss) in [(first, second), (second, first)] {
        for name in names(have).difference(&names(miss)) {
            let path = format!("{have}{name}");
            let advice = format!("add {miss}{name}: both dialects have the same versions");
            found.push(Violation::new(&path, 1, "migration-pair", advice));
        }
    }
}

/// `insta` writes the test's file into each snapshot's head as `source:`.
fn snapshots(tree: &Tree, found: &mut Vec<Violation>) {
    for (path, text) in tree.of_kind("snap") {
        let source = text.lines().find_map(|line| line.strip_prefix("source: "));
        let source = source.map(|name| name.trim().trim_matches('"'));
        if source.is_none_or(|name| !tree.has(name)) {
            let advice = "no test file claims this snapshot any more: delete it";
            found.push(Violation::new(path, 1, "orphan-snapshot", advice));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::Tree;

    #[test]
    fn a_migration_of_one_dialect_only_is_reported() {
        let tree = Tree::of(&[
            ("migrations/sqlite/0001_start.sql", ""),
            ("migrations/postgres/0001_start.sql", ""),
            ("migrations/sqlite/0002_logs.sql", ""),
            ("migrations/postgres/0003_pool.sql", ""),
        ]);
        let paths: Vec<_> = check(&tree).into_iter().map(|found| found.path).collect();
        assert_eq!(paths, ["migrations/sqlite/0002_logs.sql", "migrations/postgres/0003_pool.sql"]);
    }

    #[test]
    fn a_snapshot_whose_test_is_gone_is_reported() {
        let head = "---\nsource: engine/plan/tests/diff.rs\nexpression: x\n---\n1\n";
        let orphan = Tree::of(&[("engine/plan/tests/snapshots/diff__a.snap", head)]);
        assert_eq!(check(&orphan).len(), 1);
        let claimed = Tree::of(&[
            ("engine/plan/tests/snapshots/diff__a.snap", head),
            ("engine/plan/tests/diff.rs", "//! X.\n"),
        ]);
        assert_eq!(check(&claimed), []);
    }
}
