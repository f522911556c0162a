//! The files the rules look at: those Git tracks, and new ones it does not ignore.
//!
//! Holds text only of the kinds some rule reads. Must not look outside the repository.

use std::{collections::BTreeMap, fs, io::ErrorKind, path::Path, process::Command, sync::OnceLock};

use anyhow::{Context as _, bail};

use super::tokens::{Source, lex};

/// Kinds of files whose text is read; of all others only the path is known.
const TEXT_KINDS: &[&str] = &["rs", "toml", "md", "sql", "snap"];
/// Folders of scripts: their files are read whatever their kind.
const SCRIPTS: &[&str] = &["scripts/", "python/plue/"];

/// Paths from the repository's root, with `/`, and the text of those worth reading.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, Option<String>>,
    /// Rust files after lexing, at the first use.
    sources: OnceLock<BTreeMap<String, Result<Source, usize>>>,
}

impl Tree {
    /// Lists the repository at `root`. A file deleted but still tracked is left out.
    pub(crate) fn from_git(root: &Path) -> anyhow::Result<Self> {
        // `safe.directory`: a clone made by another user (as in containers) is fine to read.
        let listed = Command::new("git")
            .args(["-c", "safe.directory=*", "ls-files", "-z"])
            .args(["--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .context("start git to list the files")?;
        if !listed.status.success() {
            bail!("git ls-files: {}", String::from_utf8_lossy(&listed.stderr).trim());
        }
        let paths = String::from_utf8(listed.stdout).context("a file name that is not UTF-8")?;
        let mut files = BTreeMap::new();
        for path in paths.split('\0').filter(|path| !path.is_empty()) {
            if !root.join(path).exists() {
                continue;
            }
            files.insert(path.to_owned(), read(root, path)?);
        }
        Ok(Self::from_files(files))
    }

    /// A tree of given files, each with its text where it has one.
    pub(crate) fn from_files(files: BTreeMap<String, Option<String>>) -> Self {
        Self { files, sources: OnceLock::new() }
    }

    /// A tree made up in memory. Every folder with a `Cargo.toml` is a member of the workspace,
    /// unless a root `Cargo.toml` is given.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let folders = files.iter().filter_map(|(path, _)| path.strip_suffix("/Cargo.toml"));
        Self::of_crates(files, &folders.collect::<Vec<_>>())
    }

    /// A tree made up in memory, with the members of its workspace.
    #[cfg(test)]
    pub(crate) fn of_crates(files: &[(&str, &str)], members: &[&str]) -> Self {
        let own = |(path, text): &(&str, &str)| ((*path).to_owned(), Some((*text).to_owned()));
        let mut files: BTreeMap<String, Option<String>> = files.iter().map(own).collect();
        if !members.is_empty() {
            let root = format!("[workspace]\nmembers = {members:?}\n");
            files.entry("Cargo.toml".to_owned()).or_insert(Some(root));
        }
        Self::from_files(files)
    }

    /// Number of files, those without text included.
    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    /// Paths of all files, sorted.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Files with the extension `kind`, with their text.
    pub(crate) fn of_kind<'t>(&'t self, kind: &str) -> impl Iterator<Item = (&'t str, &'t str)> {
        let ending = format!(".{kind}");
        self.files
            .iter()
            .filter(move |(path, _)| path.ends_with(&ending))
            .filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)))
    }

    /// Every Rust file with its tokens and comments, or the line where it stops being Rust.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&str, &Result<Source, usize>)> {
        self.sources().iter().map(|(path, source)| (path.as_str(), source))
    }

    /// Every Rust file that can be read as Rust.
    pub(crate) fn sources_of_rust(&self) -> impl Iterator<Item = (&str, &Source)> {
        self.rust().filter_map(|(path, source)| Some((path, source.as_ref().ok()?)))
    }

    /// One Rust file that can be read as Rust.
    pub(crate) fn source(&self, path: &str) -> Option<&Source> {
        self.sources().get(path)?.as_ref().ok()
    }

    fn sources(&self) -> &BTreeMap<String, Result<Source, usize>> {
        self.sources.get_or_init(|| {
            self.of_kind("rs").map(|(path, text)| (path.to_owned(), lex(text))).collect()
        })
    }

    /// Every script with its text.
    pub(crate) fn scripts(&self) -> impl Iterator<Item = (&str, &str)> {
        let files = self.files.iter().filter(|(path, _)| is_script(path));
        files.filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)))
    }

    /// The text of one file, when it exists and is of a kind that is read.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.as_deref()
    }

    /// One file with its path as the tree holds it.
    pub(crate) fn entry(&self, path: &str) -> Option<(&str, &str)> {
        let (path, text) = self.files.get_key_value(path)?;
        Some((path, text.as_deref()?))
    }

    /// Whether `path` is a file.
    pub(crate) fn is_file(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// Whether `path` is a file, or a folder with a file somewhere in it.
    pub(crate) fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        if path.is_empty() || self.files.contains_key(path) {
            return true;
        }
        let inside = format!("{path}/");
        self.files.range(inside.clone()..).next().is_some_and(|(next, _)| next.starts_with(&inside))
    }
}

fn is_script(path: &str) -> bool {
    path == "Makefile" || SCRIPTS.iter().any(|folder| path.starts_with(folder))
}

fn read(root: &Path, path: &str) -> anyhow::Result<Option<String>> {
    let kind = path.rsplit_once('.').map_or("", |(_, kind)| kind);
    if !TEXT_KINDS.contains(&kind) && !is_script(path) {
        return Ok(None);
    }
    match fs::read_to_string(root.join(path)) {
        Ok(text) => Ok(Some(text)),
        // Test data may hold bytes that are no text; such a file has a path and nothing to read.
        Err(error) if error.kind() == ErrorKind::InvalidData => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {path}")),
    }
}

#[cfg(test)]
mod tests {
    use super::Tree;

    #[test]
    fn folders_exist_when_they_hold_a_file() {
        let tree = Tree::of(&[("docs/errors/a.md", ""), ("docs.md", "")]);
        assert!(tree.has("docs"));
        assert!(tree.has("docs/errors/"));
        assert!(tree.has("docs.md"));
        assert!(!tree.has("doc"));
        assert!(!tree.has("docs/err"));
    }

    #[test]
    fn files_are_listed_by_kind() {
        let tree = Tree::of(&[("a.rs", "x"), ("b.md", "y"), ("rs", "z")]);
        assert_eq!(tree.of_kind("rs").collect::<Vec<_>>(), [("a.rs", "x")]);
    }
}
