//! The ratchet: how many breaks of a gate each crate or folder may still have.
//!
//! `xtask/ratchet.toml` holds a number per gate and area; an area without one has none left. A count
//! above it fails, and so does one below until the file is lowered. Must not raise a number.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use toml::Table;

use super::{crates::Crate, report::Violation, tree::Tree};

/// The file with the numbers.
pub(crate) const FILE: &str = "xtask/ratchet.toml";
/// Folders outside the crates that count by themselves.
const FOLDERS: &[&str] =
    &["docs/decisions", "docs/errors", "docs", "examples", "python", "scripts"];
/// The area of everything else.
const REST: &str = "root";
const HEAD: &str = "\
# Breaks of each gate that a crate or folder still has. `cargo xtask tidy --ratchet` lowers the numbers to
# the present counts; they are never raised. `cargo xtask tidy --list GATE` prints each break.
";

/// A gate with a number per area.
pub(crate) type Gate = (&'static str, fn(&Tree) -> Vec<Violation>);
/// Breaks by gate and area.
type Counts = BTreeMap<String, BTreeMap<String, usize>>;

/// Breaks of the ratchet itself, or each break of an area that may have none.
pub(crate) fn check(tree: &Tree, gates: &[Gate]) -> Vec<Violation> {
    let allowed = match allowed(tree) {
        Ok(allowed) => allowed,
        Err(problem) => return vec![problem],
    };
    let areas = Areas::of(tree);
    let mut found = Vec::new();
    for (gate, rule) in gates {
        let mut by_area: BTreeMap<String, Vec<Violation>> = BTreeMap::new();
        for violation in rule(tree) {
            by_area.entry(areas.area(&violation.path)).or_default().push(violation);
        }
        let limits = allowed.get(*gate);
        let named: BTreeSet<&String> =
            by_area.keys().chain(limits.into_iter().flat_map(BTreeMap::keys)).collect();
        for area in named {
            let limit = limits.and_then(|limits| limits.get(area));
            judge(gate, area, by_area.get(area).map_or(&[], Vec::as_slice), limit, &mut found);
        }
    }
    for gate in allowed.keys().filter(|name| gates.iter().all(|(gate, _)| gate != name)) {
        found.push(Violation::new(FILE, 1, "ratchet", format!("`{gate}` is no gate: remove it")));
    }
    found
}

fn judge(
    gate: &str,
    area: &str,
    breaks: &[Violation],
    limit: Option<&usize>,
    found: &mut Vec<Violation>,
) {
    let count = breaks.len();
    let Some(limit) = limit else {
        found.extend_from_slice(breaks);
        return;
    };
    if count > *limit {
        let advice = format!(
            "{gate}: {area} has {count}, {limit} are left; `cargo xtask tidy --list {gate}` prints them"
        );
        found.push(Violation::new(FILE, 1, "ratchet", advice));
    } else if count < *limit || *limit == 0 {
        let advice =
            format!("{gate}: {area} has {count} of {limit}: run `cargo xtask tidy --ratchet`");
        found.push(Violation::new(FILE, 1, "ratchet", advice));
    }
}

/// The file lowered to the present counts. Without a file, the present counts are the start.
pub(crate) fn lowered(tree: &Tree, gates: &[Gate]) -> Result<String, Violation> {
    let allowed = allowed(tree)?;
    let is_new = tree.text(FILE).is_none();
    let areas = Areas::of(tree);
    let mut text = String::from(HEAD);
    for (gate, rule) in gates {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for violation in rule(tree) {
            *counts.entry(areas.area(&violation.path)).or_default() += 1;
        }
        let limits = allowed.get(*gate);
        let mut lines = String::new();
        for (area, count) in counts {
            let limit = limits.and_then(|limits| limits.get(&area)).copied();
            let number = if is_new { Some(count) } else { limit.map(|limit| limit.min(count)) };
            if let Some(number) = number {
                writeln!(lines, "{area:?} = {number}").unwrap_or_default();
            }
        }
        if !lines.is_empty() {
            write!(text, "\n[{gate}]\n{lines}").unwrap_or_default();
        }
    }
    Ok(text)
}

fn allowed(tree: &Tree) -> Result<Counts, Violation> {
    let Some(text) = tree.text(FILE) else { return Ok(Counts::new()) };
    let broken =
        || Violation::new(FILE, 1, "ratchet", "make the file parse: gates of areas of numbers");
    let table: Table = text.parse().map_err(|_| broken())?;
    table.try_into().map_err(|_| broken())
}

/// The areas of one tree: its crates and [`FOLDERS`], longest first.
struct Areas {
    folders: Vec<String>,
}

impl Areas {
    fn of(tree: &Tree) -> Self {
        let crates =
            Crate::all(tree).iter().map(|each| each.folder().to_owned()).collect::<Vec<_>>();
        let others = FOLDERS.iter().map(|folder| (*folder).to_owned());
        let mut folders: Vec<String> = crates.into_iter().chain(others).collect();
        folders.sort_by_key(|folder| std::cmp::Reverse(folder.len()));
        Self { folders }
    }

    fn area(&self, path: &str) -> String {
        let inside = |folder: &&String| {
            path.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'))
        };
        self.folders.iter().find(inside).map_or_else(|| REST.to_owned(), Clone::clone)
    }
}

#[cfg(test)]
mod tests {
    use super::{FILE, Gate, check, lowered};
    use crate::tidy::{report::Violation, tree::Tree};

    /// One break for each line that holds an `x`.
    fn marked(tree: &Tree) -> Vec<Violation> {
        let lines = |(path, text): (&str, &str)| {
            let marked = text.lines().enumerate().filter(|(_, line)| *line == "x");
            marked.map(|(at, _)| Violation::new(path, at + 1, "marked", "y")).collect::<Vec<_>>()
        };
        tree.of_kind("md").flat_map(lines).collect()
    }

    const GATES: &[Gate] = &[("marked", marked)];

    fn found(allowed: &str, text: &str) -> Vec<(String, String)> {
        let tree = Tree::of(&[(FILE, allowed), ("docs/a.md", text)]);
        check(&tree, GATES).into_iter().map(|one| (one.path, one.advice)).collect()
    }

    #[test]
    fn counts_at_the_number_are_fine() {
        assert_eq!(found("[marked]\ndocs = 2\n", "x\nx\n"), []);
    }

    #[test]
    fn counts_above_the_number_fail() {
        let found = found("[marked]\ndocs = 1\n", "x\nx\n");
        assert!(found[0].1.contains("docs has 2, 1 are left"), "{found:?}");
    }

    #[test]
    fn counts_below_the_number_fail_until_lowered() {
        let found = found("[marked]\ndocs = 3\n", "x\nx\n");
        assert!(found[0].1.contains("--ratchet"), "{found:?}");
    }

    #[test]
    fn areas_without_a_number_have_none_left() {
        assert_eq!(found("", "\nx\n"), [("docs/a.md".to_owned(), "y".to_owned())]);
    }

    #[test]
    fn numbers_are_lowered_and_never_raised() {
        let write = |allowed: &str, text: &str| {
            let tree = Tree::of(&[(FILE, allowed), ("docs/a.md", text)]);
            lowered(&tree, GATES).unwrap()
        };
        assert!(write("[marked]\ndocs = 3\n", "x\n").contains("\n\"docs\" = 1\n"));
        assert!(write("[marked]\ndocs = 1\n", "x\nx\n").contains("\n\"docs\" = 1\n"));
        assert!(!write("", "x\n").contains("docs"));
        assert!(!write("[marked]\ndocs = 1\n", "").contains("docs\""));
    }

    #[test]
    fn a_missing_file_starts_at_the_present_counts() {
        let tree = Tree::of(&[("docs/a.md", "x\n"), ("b.md", "x\n")]);
        let text = lowered(&tree, GATES).unwrap();
        assert!(text.ends_with("[marked]\n\"docs\" = 1\n\"root\" = 1\n"), "{text}");
    }

    #[test]
    fn broken_files_and_unknown_gates_fail() {
        assert_eq!(found("[marked\n", "")[0].0, FILE);
        assert_eq!(found("[other]\ndocs = 1\n", "")[0].0, FILE);
    }
}
