//! One commit of a git repository, read through `git ls-tree` and `git cat-file --batch`. The work
//! tree, the index and the configuration's filters are not looked at.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
};

use plue_runtime::foreign::process::Dialog;

use crate::view::{
    CommitView, Content, ViewError,
    git::{Git, sorted},
    normal,
};

/// A commit. Its tree is read once; file contents are read one by one.
#[derive(Debug)]
pub struct GitCommit {
    repository: PathBuf,
    commit: String,
    base: Option<String>,
    tree: OnceLock<BTreeMap<String, Blob>>,
    /// A running `git cat-file --batch`.
    reader: Mutex<Option<Dialog>>,
}

#[derive(Debug, Clone)]
struct Blob {
    id: String,
    is_file: bool,
}

// === impl GitCommit ===

impl GitCommit {
    /// A commit of a repository (bare or not) by any name git knows.
    ///
    /// # Errors
    /// The folder is no repository, or there is no such commit.
    pub fn open(repository: impl Into<PathBuf>, rev: &str) -> Result<Self, ViewError> {
        let repository = repository.into();
        let commit = resolve(&repository, rev)?;
        Ok(Self { repository, commit, base: None, tree: OnceLock::new(), reader: Mutex::new(None) })
    }

    /// With the commit before the event, for `changed_files`: the files that differ between the
    /// last common ancestor and this commit. Without one, all files count as changed.
    ///
    /// # Errors
    /// There is no such commit.
    pub fn changed_since(mut self, base: &str) -> Result<Self, ViewError> {
        self.base = Some(resolve(&self.repository, base)?);
        Ok(self)
    }

    /// The full id of the commit.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.commit
    }

    fn tree(&self) -> Result<&BTreeMap<String, Blob>, ViewError> {
        if let Some(tree) = self.tree.get() {
            return Ok(tree);
        }
        let args = ["-r", "-z", "--full-tree", &self.commit];
        let mut tree = BTreeMap::new();
        let git = Git::on_commits(&self.repository);
        git.names("ls-tree", &args, |line| tree.extend(entry(line)))?;
        Ok(self.tree.get_or_init(|| tree))
    }

    fn blob(&self, id: &str, cap: usize) -> Result<Content, ViewError> {
        let git = Git::on_commits(&self.repository);
        let mut slot = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reader = match slot.take() {
            Some(reader) => reader,
            None => {
                let started = git.program("cat-file", &["--batch"]).dialog();
                started.map_err(|error| git.failed("cat-file", &error))?
            }
        };
        let content = content(&mut reader, id, cap);
        let content = content.map_err(|error| git.failure("cat-file", error.to_string()))?;
        // After a content that was not read to its end the reader is out of step.
        if !matches!(content, Content::TooLarge(_)) {
            *slot = Some(reader);
        }
        Ok(content)
    }
}

impl CommitView for GitCommit {
    fn identity(&self) -> Option<String> {
        Some(format!("{} {}", self.commit, self.base.as_deref().unwrap_or_default()))
    }

    fn matching(&self, keep: &dyn Fn(&str) -> bool) -> Result<Vec<String>, ViewError> {
        Ok(self.tree()?.keys().filter(|path| keep(path)).cloned().collect())
    }

    fn is_there(&self, path: &str) -> Result<bool, ViewError> {
        let tree = self.tree()?;
        let folder = format!("{path}/");
        let inside = tree.range(folder.clone()..).next();
        Ok(tree.contains_key(path) || inside.is_some_and(|(path, _)| path.starts_with(&folder)))
    }

    fn content(&self, path: &str, cap: usize) -> Result<Content, ViewError> {
        let Some(path) = normal(path) else {
            return Ok(Content::Absent);
        };
        match self.tree()?.get(&path) {
            None => Ok(Content::Absent),
            Some(blob) if !blob.is_file => Ok(Content::NotAFile),
            Some(blob) => self.blob(&blob.id, cap),
        }
    }

    fn changed_files(&self) -> Result<Vec<String>, ViewError> {
        let Some(base) = &self.base else {
            return self.matching(&|_| true);
        };
        let git = Git::on_commits(&self.repository);
        let common = git.run("merge-base", &[base, &self.commit]);
        let common = common.ok().map(|id| String::from_utf8_lossy(&id).trim().to_owned());
        let from = common.as_deref().unwrap_or(base);
        let args = ["-r", "-z", "--name-only", "--no-renames", from, &self.commit, "--"];
        // Git makes the whole list before it prints the first name: both trees are walked first.
        let measure = ["-r", "-z", "--name-only", "--full-tree"];
        self.tree()?;
        match git.names("ls-tree", &[&measure[..], &[from]].concat(), |_| {}) {
            // The commit before may be a bomb: then every file of this one counts as changed.
            Err(ViewError::TooManyPaths(_)) => return self.matching(&|_| true),
            measured => measured?,
        }
        let mut names = Vec::new();
        git.names("diff-tree", &args, |path| names.push(path.to_owned()))?;
        Ok(sorted(names))
    }
}

fn resolve(repository: &Path, rev: &str) -> Result<String, ViewError> {
    let name = format!("{rev}^{{commit}}");
    let args = ["--verify", "--quiet", "--end-of-options", &name];
    let output =
        Git::on_commits(repository).run("rev-parse", &args).map_err(|error| match error {
            ViewError::Git { command, folder, reason } => ViewError::Git {
                command,
                folder,
                reason: format!("there is no commit `{rev}` ({reason})"),
            },
            other @ (ViewError::Read { .. } | ViewError::TooManyPaths(_)) => other,
        })?;
    Ok(String::from_utf8_lossy(&output).trim().to_owned())
}

/// Parses `<mode> <type> <id>\t<path>`.
fn entry(line: &str) -> Option<(String, Blob)> {
    let (head, path) = line.split_once('\t')?;
    let mut words = head.split(' ');
    let (mode, kind, id) = (words.next()?, words.next()?, words.next()?);
    let blob = Blob { id: id.to_owned(), is_file: kind == "blob" && mode != "120000" };
    Some((path.to_owned(), blob))
}

/// The content of a blob, if it is not larger than `cap`.
fn content(reader: &mut Dialog, id: &str, cap: usize) -> std::io::Result<Content> {
    let head = reader.ask(id)?;
    let size = head.trim().rsplit(' ').next().and_then(|size| size.parse::<u64>().ok());
    let Some(size) = size else {
        return Err(std::io::Error::other(format!("no content: {}", head.trim())));
    };
    let length = usize::try_from(size).unwrap_or(usize::MAX);
    if length > cap {
        return Ok(Content::TooLarge(size));
    }
    let mut bytes = reader.read_exact(length + 1)?;
    bytes.truncate(length);
    Ok(Content::Bytes(bytes))
}
