//! The work tree of a person: what git tracks and what it would add, as it is on disk now.
//!
//! Ignored files are not part of it, so that a plan does not depend on build output or on secrets
//! that lie about. A folder outside git, or one that git ignores as a whole, is taken as it is, but
//! for the folders of tools that no repository holds.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::view::{
    CommitView, Content, MAX_PATHS, ViewError,
    git::{Git, sorted},
    normal,
};

/// Levels of folders that are looked at outside git.
const MAX_DEPTH: usize = 64;
/// Folders outside git that are not looked into.
const SKIPPED: [&str; 4] = [".git", "node_modules", "target", ".venv"];

/// A folder on this machine. Its list of files is read once.
#[derive(Debug)]
pub struct WorkTree {
    root: PathBuf,
    /// The commit to compare with for `changed_files`.
    base: Option<String>,
    /// Files named by the user: part of the work tree even if git ignores them.
    named: Vec<String>,
    /// Taken as it is: git is not run in it.
    is_plain: bool,
    paths: OnceLock<Vec<String>>,
}

// === impl WorkTree ===

impl WorkTree {
    /// A folder; nothing is read yet.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            base: None,
            named: Vec::new(),
            is_plain: false,
            paths: OnceLock::new(),
        }
    }

    /// A folder whose `.git` others may have written: git is not run in it, for its configuration names
    /// programs.
    #[must_use]
    pub fn plain(root: impl Into<PathBuf>) -> Self {
        Self { is_plain: true, ..Self::new(root) }
    }

    /// With the commit that `changed_files` compares with; without one it is `HEAD`.
    #[must_use]
    pub fn changed_since(mut self, base: impl Into<String>) -> Self {
        self.base = Some(base.into());
        self
    }

    /// Adds a file named by the user, like the `FILE` of `plue run`: part of the work tree even if
    /// git ignores it, and git is not queried for it.
    #[must_use]
    pub fn including(mut self, path: &str) -> Self {
        self.named.extend(normal(path));
        self
    }

    /// Root folder of the work tree.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn listed(&self) -> Result<&[String], ViewError> {
        if let Some(paths) = self.paths.get() {
            return Ok(paths);
        }
        let mut paths = Vec::new();
        let git = Git::in_work_tree(&self.root);
        if self.is_git() {
            let args = ["-c", "-o", "--exclude-standard", "--deduplicate", "-z"];
            git.names("ls-files", &args, |path| paths.push(path.to_owned()))?;
        }
        if self.is_plain || (paths.is_empty() && !self.root.join(".git").exists()) {
            walk(&self.root, "", &mut paths, 0)?;
        }
        let paths = sorted(paths);
        if paths.len() > MAX_PATHS {
            return Err(ViewError::TooManyPaths(self.root.clone()));
        }
        Ok(self.paths.get_or_init(|| paths))
    }

    fn is_git(&self) -> bool {
        if self.is_plain {
            return false;
        }
        let root = self.root.canonicalize().unwrap_or_else(|_| self.root.clone());
        root.ancestors().any(|folder| folder.join(".git").exists())
    }

    /// Metadata of a path of the repository, without following links on the way.
    fn on_disk(&self, path: &str) -> Option<fs::Metadata> {
        let mut at = self.root.clone();
        let mut found = None;
        for part in path.split('/') {
            at.push(part);
            found = fs::symlink_metadata(&at).ok();
            found.as_ref().filter(|entry| !entry.is_symlink())?;
        }
        found
    }

    fn is_file(&self, path: &str) -> bool {
        fs::symlink_metadata(self.root.join(path)).is_ok_and(|entry| !entry.is_dir())
    }
}

impl CommitView for WorkTree {
    fn matching(&self, keep: &dyn Fn(&str) -> bool) -> Result<Vec<String>, ViewError> {
        // Tracked files may be deleted on disk; only requested ones are checked.
        let kept = self.listed()?.iter().filter(|path| keep(path) && self.is_file(path));
        Ok(kept.cloned().collect())
    }

    fn is_there(&self, path: &str) -> Result<bool, ViewError> {
        if self.named.iter().any(|named| named == path) {
            return Ok(self.is_file(path));
        }
        let listed = self.listed()?;
        if listed.binary_search_by(|other| other.as_str().cmp(path)).is_ok() {
            return Ok(self.is_file(path));
        }
        let folder = format!("{path}/");
        let from = listed.partition_point(|other| *other < folder);
        let mut inside = listed[from..].iter().take_while(|other| other.starts_with(&folder));
        Ok(inside.any(|other| self.is_file(other)))
    }

    fn content(&self, path: &str, cap: usize) -> Result<Content, ViewError> {
        let Some(path) = normal(path) else {
            return Ok(Content::Absent);
        };
        let Some(entry) = self.on_disk(&path) else {
            let link = fs::symlink_metadata(self.root.join(&path)).is_ok_and(|e| e.is_symlink());
            return Ok(if link { Content::NotAFile } else { Content::Absent });
        };
        if entry.is_dir() {
            return Ok(Content::Absent);
        }
        if !entry.is_file() {
            return Ok(Content::NotAFile);
        }
        if !self.named.contains(&path) && self.listed()?.binary_search(&path).is_err() {
            return Ok(Content::Absent);
        }
        read_file(&self.root.join(&path), cap)
    }

    fn files_in(&self, folder: &str) -> Result<Vec<String>, ViewError> {
        // Most repositories have no such folder, which saves a query to git.
        if !self.on_disk(folder).is_some_and(|entry| entry.is_dir()) {
            return Ok(Vec::new());
        }
        let prefix = format!("{folder}/");
        self.matching(&|path| path.strip_prefix(&prefix).is_some_and(|rest| !rest.contains('/')))
    }

    fn changed_files(&self) -> Result<Vec<String>, ViewError> {
        if !self.is_git() {
            return self.matching(&|_| true);
        }
        let base = self.base.as_deref().unwrap_or("HEAD");
        let verify = ["--verify", "--quiet", "--end-of-options", &format!("{base}^{{commit}}")];
        let git = Git::in_work_tree(&self.root);
        if git.run("rev-parse", &verify).is_err() {
            // Without a commit to compare with everything is new.
            return self.matching(&|_| true);
        }
        let diff = ["--name-only", "--no-renames", "--no-ext-diff", "--relative", "-z", base, "--"];
        let mut names = Vec::new();
        git.names("diff", &diff, |path| names.push(path.to_owned()))?;
        let added = ["-o", "--exclude-standard", "-z"];
        git.names("ls-files", &added, |path| names.push(path.to_owned()))?;
        Ok(sorted(names))
    }
}

/// Reads a regular file; what the person points at by path is read through here too.
pub(super) fn read_file(path: &Path, cap: usize) -> Result<Content, ViewError> {
    let failed = |source| ViewError::Read { path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(failed)?;
    let limit = u64::try_from(cap).unwrap_or(u64::MAX);
    let size = file.metadata().map_err(failed)?.len();
    if size > limit {
        return Ok(Content::TooLarge(size));
    }
    let mut bytes = Vec::new();
    let read = file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if read > cap {
        return Ok(Content::TooLarge(u64::try_from(read).unwrap_or(u64::MAX)));
    }
    Ok(Content::Bytes(bytes))
}

fn walk(root: &Path, folder: &str, found: &mut Vec<String>, depth: usize) -> Result<(), ViewError> {
    let path = root.join(folder);
    let failed = |source| ViewError::Read { path: path.clone(), source };
    for entry in fs::read_dir(&path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if SKIPPED.iter().any(|skipped| name.eq_ignore_ascii_case(skipped)) {
            continue;
        }
        let inner = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        if kind.is_dir() {
            // A folder that cannot be opened is none of a workflow's files.
            if depth < MAX_DEPTH {
                let _unreadable = walk(root, &inner, found, depth + 1);
            }
        } else {
            found.push(inner);
        }
        if found.len() > MAX_PATHS {
            return Err(ViewError::TooManyPaths(root.to_owned()));
        }
    }
    Ok(())
}
