//! `cargo xtask tidy`: the rules of docs/style.md that no lint holds.
//!
//! Every rule is a pure function from a [`tree::Tree`] to a list of [`report::Violation`]s, so each
//! is tested on files made up in memory. Must not change a file and must not stop at the first find.

pub(crate) mod crates;
mod error_pages;
mod foreign;
mod layers;
mod markdown;
mod migrations;
mod owners;
mod pairs;
mod report;
mod rust_code;
mod rust_files;
mod test_share;
mod tokens;
pub(crate) mod tree;
mod unused;

use std::{io::Write as _, path::Path, process::ExitCode};

use self::{report::Violation, tree::Tree};

type Rule = fn(&Tree) -> Vec<Violation>;

/// One entry per module of rules. The order does not matter: the report is sorted.
const RULES: &[Rule] = &[
    rust_files::check,
    rust_code::check,
    crates::check,
    layers::check,
    markdown::check,
    migrations::check,
    pairs::check,
    test_share::check,
    owners::check,
    error_pages::check,
    foreign::check,
    unused::check,
];

/// Reads the files Git knows under `root`, applies every rule and prints what it found.
pub(crate) fn run(root: &Path) -> anyhow::Result<ExitCode> {
    let tree = Tree::from_git(root)?;
    let found = check(&tree);
    let mut out = std::io::stdout().lock();
    for violation in &found {
        writeln!(out, "{violation}")?;
    }
    drop(out);
    let mut talk = std::io::stderr().lock();
    if found.is_empty() {
        writeln!(talk, "tidy: {} files, nothing to do", tree.len())?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(talk, "tidy: {} to fix in {} files (rules: docs/style.md)", found.len(), tree.len())?;
    Ok(ExitCode::FAILURE)
}

fn check(tree: &Tree) -> Vec<Violation> {
    let mut found: Vec<Violation> = RULES.iter().flat_map(|rule| rule(tree)).collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::{check, tree::Tree};

    #[test]
    fn violations_of_different_rules_are_reported_together_and_in_order() {
        let tree = Tree::of(&[
            ("engine/flow/src/mod.rs", "fn a() {}\n"),
            ("README.md", "[gone](docs/gone.md)\n"),
        ]);
        let rules: Vec<&str> = check(&tree).iter().map(|found| found.rule).collect();
        assert_eq!(rules, ["broken-link", "mod-rs", "module-doc"]);
    }

    #[test]
    fn an_orderly_tree_has_no_violations() {
        let tree = Tree::of(&[
            ("engine/flow/src/run.rs", "//! The run.\n\nfn step() {}\n"),
            ("README.md", "See [the run](engine/flow/src/run.rs).\n"),
        ]);
        assert_eq!(check(&tree), []);
    }
}
