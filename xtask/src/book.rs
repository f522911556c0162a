//! `cargo xtask book`: the manual as the source of a static book.
//!
//! Copies `docs/` to `target/book-src` with the pages of the repository that it links to, lists pages of
//! errors and decisions in the table of contents, and fails at a link that leads nowhere. Must not
//! change a file outside `target`.

mod pages;

use std::{fs, path::Path, process::ExitCode};

use anyhow::{Context as _, bail};

use crate::tidy::tree::Tree;

const CONFIG: &str = "docs/book.toml";

/// Writes the source of the book under `target`.
pub(crate) fn run(root: &Path, target: &Path) -> anyhow::Result<ExitCode> {
    let tree = Tree::from_git(root)?;
    let book = pages::of(&tree);
    let dead = pages::dead_links(&tree, &book);
    if !dead.is_empty() {
        bail!("links of the book that lead nowhere:\n{}", dead.join("\n"));
    }
    let folder = target.join("book-src");
    if folder.exists() {
        fs::remove_dir_all(&folder).context("remove the last source")?;
    }
    let source = folder.join("src");
    for (path, text) in &book {
        write(&source.join(path), text.as_bytes())?;
    }
    for path in tree.paths().filter(|path| pages::is_attachment(path)) {
        let bytes = fs::read(root.join(path)).with_context(|| format!("read {path}"))?;
        write(&source.join(path.trim_start_matches("docs/")), &bytes)?;
    }
    let config = tree.text(CONFIG).context("docs/book.toml is missing")?;
    write(&folder.join("book.toml"), config.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    fs::write(path, bytes).with_context(|| format!("write {}", path.display()))
}
