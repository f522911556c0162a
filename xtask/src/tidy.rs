//! `cargo xtask tidy`: the rules of docs/style.md that no lint holds.
//!
//! Every rule but that of commit subjects is a pure function from a [`tree::Tree`] to a list of
//! [`report::Violation`]s, so each is tested on files made up in memory. Must not change a file and
//! must not stop at the first find.

mod adr_index;
mod commits;
mod conformance;
pub(crate) mod crates;
mod error_pages;
mod foreign;
mod layers;
pub(crate) mod markdown;
mod migrations;
mod owners;
mod pairs;
mod ratchet;
mod report;
mod rust_code;
mod rust_files;
mod shape;
mod short_doc;
mod summary;
mod tables;
mod test_share;
mod test_words;
mod tokens;
pub(crate) mod tree;
mod unused;
mod vocabulary;

use std::{fs, io::Write as _, path::Path, process::ExitCode};

use anyhow::{Context as _, bail};

use self::{ratchet::Gate, report::Violation, tree::Tree};

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
    adr_index::check,
    conformance::check,
    summary::check,
    tables::check,
];
/// Gates with a number of breaks left per crate or folder (`xtask/ratchet.toml`).
const GATES: &[Gate] = &[
    (vocabulary::GATE, vocabulary::check),
    (short_doc::GATE, short_doc::check),
    (test_words::GATE, test_words::check),
    (shape::TUPLE_ARGUMENT, shape::tuple_arguments),
    (shape::FIELDS, shape::fields),
    (shape::IMPL_FILES, shape::impl_files),
];

/// Options of `cargo xtask tidy`.
#[derive(Debug, clap::Args)]
pub(crate) struct TidyArgs {
    /// Lower the numbers of xtask/ratchet.toml to the present counts first.
    #[arg(long, conflicts_with = "list")]
    ratchet: bool,
    /// Write lists that follow from the tree first: tests by their ids into docs/conformance.md,
    /// decisions into their index.
    #[arg(long, conflicts_with = "list")]
    write: bool,
    /// Print every break of this gate, and nothing else.
    #[arg(long, value_name = "GATE")]
    list: Option<String>,
}

/// Reads the files Git knows under `root`, applies every rule and prints each break.
pub(crate) fn run(root: &Path, arguments: &TidyArgs) -> anyhow::Result<ExitCode> {
    let mut tree = Tree::from_git(root)?;
    if let Some(gate) = &arguments.list {
        return list(&tree, gate);
    }
    if arguments.write {
        let lists = [
            (conformance::FILE, conformance::written(&tree)),
            (adr_index::FILE, adr_index::written(&tree)),
        ];
        for (file, text) in lists {
            let Some(text) = text else { continue };
            fs::write(root.join(file), text).with_context(|| format!("write {file}"))?;
        }
        tree = Tree::from_git(root)?;
    }
    if arguments.ratchet {
        let lowered =
            ratchet::lowered(&tree, GATES).map_err(|problem| anyhow::anyhow!("{problem}"))?;
        fs::write(root.join(ratchet::FILE), lowered).context("write the ratchet")?;
        tree = Tree::from_git(root)?;
    }
    let mut found = check(&tree);
    found.extend(commits::check(root)?);
    print(&found)?;
    let mut stderr = std::io::stderr().lock();
    if found.is_empty() {
        writeln!(stderr, "tidy: {} files, nothing to do", tree.len())?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        stderr,
        "tidy: {} to fix in {} files (rules: docs/style.md)",
        found.len(),
        tree.len()
    )?;
    Ok(ExitCode::FAILURE)
}

/// Prints every break of one gate, those of the ratchet included.
fn list(tree: &Tree, gate: &str) -> anyhow::Result<ExitCode> {
    let Some((_, rule)) = GATES.iter().find(|(name, _)| *name == gate) else {
        let names: Vec<&str> = GATES.iter().map(|(name, _)| *name).collect();
        bail!("no gate is called `{gate}`; there are {}", names.join(", "));
    };
    let mut found = rule(tree);
    found.sort();
    print(&found)?;
    writeln!(std::io::stderr(), "tidy: {} breaks of {gate}", found.len())?;
    Ok(ExitCode::SUCCESS)
}

fn print(found: &[Violation]) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    for violation in found {
        writeln!(stdout, "{violation}")?;
    }
    Ok(())
}

fn check(tree: &Tree) -> Vec<Violation> {
    let mut found: Vec<Violation> = RULES.iter().flat_map(|rule| rule(tree)).collect();
    found.extend(ratchet::check(tree, GATES));
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::{check, tree::Tree};

    #[test]
    fn violations_are_reported_together_and_in_order() {
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
            ("engine/flow/src/run.rs", "//! A run, from its first fact on.\n\nfn step() {}\n"),
            ("README.md", "See [the run](engine/flow/src/run.rs).\n"),
        ]);
        assert_eq!(check(&tree), []);
    }
}
