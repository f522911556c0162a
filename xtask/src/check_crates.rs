//! `cargo xtask ci-check-crates`: `cargo check -p X` for one crate after the other.
//!
//! A build of the whole workspace unites the features of all crates, so a crate that forgot a
//! feature of its own still compiles there. Alone it does not. Must not stop at the first failure.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, bail};

use crate::tidy::{crates::Crate, tree::Tree};

/// Checks `packages`, or every crate of the workspace when the list is empty.
pub(crate) fn run(root: &Path, packages: &[String]) -> anyhow::Result<ExitCode> {
    let tree = Tree::from_git(root)?;
    let all: Vec<String> = Crate::all(&tree).into_iter().map(|found| found.name).collect();
    let chosen = choose(&all, packages)?;
    let mut failed = Vec::new();
    for package in &chosen {
        let mut talk = std::io::stderr().lock();
        writeln!(talk, "==> cargo check -p {package}")?;
        drop(talk);
        let status = Command::new("cargo")
            .args(["check", "--quiet", "--locked", "-p", package])
            .current_dir(root)
            .status()
            .context("start cargo")?;
        if !status.success() {
            failed.push(package.as_str());
        }
    }
    let mut talk = std::io::stderr().lock();
    if failed.is_empty() {
        writeln!(talk, "ci-check-crates: {} crates compile alone", chosen.len())?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(talk, "ci-check-crates: these crates do not compile alone: {}", failed.join(", "))?;
    Ok(ExitCode::FAILURE)
}

fn choose(all: &[String], wanted: &[String]) -> anyhow::Result<Vec<String>> {
    if wanted.is_empty() {
        return Ok(all.to_vec());
    }
    for name in wanted {
        if !all.contains(name) {
            bail!("no crate is named {name}; there are {}", all.join(", "));
        }
    }
    Ok(wanted.to_vec())
}

#[cfg(test)]
mod tests {
    use super::choose;

    #[test]
    fn no_wish_means_every_crate() {
        let all = ["a".to_owned(), "b".to_owned()];
        assert_eq!(choose(&all, &[]).unwrap(), all);
    }

    #[test]
    fn unknown_packages_are_refused_with_the_list() {
        let error = choose(&["a".to_owned()], &["z".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "no crate is named z; there are a");
    }
}
