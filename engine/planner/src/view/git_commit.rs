//! One commit of a git repository, read through `git ls-tree` and `git cat-file --batch`. The work
//! tree, the index and the configuration's filters are not looked at.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    sync::{Mutex, OnceLock, PoisonError},
};

use crate::view::{CommitView, Content, MAX_PATHS, ViewError, git, normal};

/// A commit. Its tree is read once; file contents are read one by one.
#[derive(Debug)]
pub struct GitCommit {
    repository: PathBuf,
    commit: String,
    base: Option<String>,
    tree: OnceLock<BTreeMap<String, Blob>>,
    reader: Mutex<Option<Reader>>,
}

#[derive(Debug, Clone)]
struct Blob {
    id: String,
    is_file: bool,
}

/// A running `git cat-file --batch`.
#[derive(Debug)]
struct Reader {
    child: Child,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
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
        let output = git::run(&self.repository, "ls-tree", &args)?;
        let tree: BTreeMap<_, _> = git::names(&output).filter_map(entry).collect();
        if tree.len() > MAX_PATHS {
            return Err(ViewError::TooManyPaths(self.repository.clone()));
        }
        Ok(self.tree.get_or_init(|| tree))
    }

    fn blob(&self, id: &str, cap: usize) -> Result<Content, ViewError> {
        let failed =
            |error: std::io::Error| git::failed(&self.repository, "cat-file", error.to_string());
        let mut slot = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reader = match slot.take() {
            Some(reader) => reader,
            None => Reader::start(&self.repository).map_err(failed)?,
        };
        let content = reader.content(id, cap).map_err(failed)?;
        // After a content that was not read to its end the reader is out of step.
        if !matches!(content, Content::TooLarge(_)) {
            *slot = Some(reader);
        }
        Ok(content)
    }
}

impl CommitView for GitCommit {
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
        let common = git::run(&self.repository, "merge-base", &[base, &self.commit]);
        let common = common.ok().map(|id| String::from_utf8_lossy(&id).trim().to_owned());
        let from = common.as_deref().unwrap_or(base);
        let args = ["-r", "-z", "--name-only", "--no-renames", from, &self.commit, "--"];
        let output = git::run(&self.repository, "diff-tree", &args)?;
        Ok(git::sorted(git::names(&output).map(str::to_owned).collect()))
    }
}

fn resolve(repository: &Path, rev: &str) -> Result<String, ViewError> {
    let name = format!("{rev}^{{commit}}");
    let args = ["--verify", "--quiet", "--end-of-options", &name];
    let output = git::run(repository, "rev-parse", &args).map_err(|error| match error {
        ViewError::Git { command, folder, reason } => ViewError::Git {
            command,
            folder,
            reason: format!("there is no commit `{rev}` ({reason})"),
        },
        other @ (ViewError::Read { .. } | ViewError::TooManyPaths(_)) => other,
    })?;
    Ok(String::from_utf8_lossy(&output).trim().to_owned())
}

/// `<mode> <type> <id>\t<path>`.
fn entry(line: &str) -> Option<(String, Blob)> {
    let (head, path) = line.split_once('\t')?;
    let mut words = head.split(' ');
    let (mode, kind, id) = (words.next()?, words.next()?, words.next()?);
    let blob = Blob { id: id.to_owned(), is_file: kind == "blob" && mode != "120000" };
    Some((path.to_owned(), blob))
}

// === impl Reader ===

impl Reader {
    fn start(repository: &Path) -> std::io::Result<Self> {
        let mut child = git::command(repository)
            .args(["cat-file", "--batch"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (ask, answer) = pipes.ok_or_else(|| std::io::Error::other("git has no pipes"))?;
        Ok(Self { child, ask, answer: BufReader::new(answer) })
    }

    fn content(&mut self, id: &str, cap: usize) -> std::io::Result<Content> {
        writeln!(self.ask, "{id}")?;
        self.ask.flush()?;
        let mut head = String::new();
        self.answer.read_line(&mut head)?;
        let size = head.trim().rsplit(' ').next().and_then(|size| size.parse::<u64>().ok());
        let Some(size) = size else {
            return Err(std::io::Error::other(format!("no content: {}", head.trim())));
        };
        let length = usize::try_from(size).unwrap_or(usize::MAX);
        if length > cap {
            return Ok(Content::TooLarge(size));
        }
        let mut bytes = vec![0; length + 1];
        self.answer.read_exact(&mut bytes)?;
        bytes.truncate(length);
        Ok(Content::Bytes(bytes))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ended_already = self.child.wait();
    }
}
