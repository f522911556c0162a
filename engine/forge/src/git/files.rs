//! The files of a commit: listed with `ls-tree`, read with `cat-file --batch`.

use std::collections::BTreeMap;

use crate::{
    git::{command::Call, commit_id::CommitId, error::GitError, mirror::Mirror, remote::Remote},
    limits::MAX_FILE_BYTES,
};

/// Type of a tree's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file, executable or not.
    File {
        /// True if the file is executable.
        executable: bool,
    },
    /// A symbolic link; its content is where it points. Nothing here follows it.
    Link,
    /// A commit of another repository.
    Submodule,
}

/// One entry of a commit's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path in the repository, as git has it; bytes that are no UTF-8 are replaced.
    pub path: String,
    /// Type of the entry.
    pub kind: EntryKind,
    /// Id of its content.
    pub blob: String,
}

/// The content of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileContent {
    /// Contents of the file.
    Bytes(Vec<u8>),
    /// More than the limit; how many.
    TooLarge(u64),
    /// It is not there, or no file.
    Absent,
}

pub(super) async fn list(mirror: &Mirror, commit: &CommitId) -> Result<Vec<Entry>, GitError> {
    if !mirror.has(commit).await? {
        return Err(GitError::NoCommit(commit.to_string()));
    }
    let args = ["-r", "-z", "--full-tree", "--end-of-options", commit.as_str()];
    let call = Call::local(&mirror.folder);
    let listed = call.records("ls-tree", &args, Vec::new(), |entries, line| {
        entries.extend(entry(line));
        Ok(())
    });
    listed.await
}

/// Walks the tree of a commit to its end, or to the limit of files: before a command that would
/// walk it without one.
pub(super) async fn measure(mirror: &Mirror, commit: &CommitId) -> Result<(), GitError> {
    let args = ["-r", "-z", "--name-only", "--full-tree", "--end-of-options", commit.as_str()];
    Call::local(&mirror.folder).records("ls-tree", &args, (), |(), _| Ok(())).await
}

pub(super) async fn read(
    mirror: &Mirror,
    commit: &CommitId,
    paths: &[&str],
    limit: u64,
    remote: Option<&Remote>,
) -> Result<Vec<FileContent>, GitError> {
    let entries = mirror.list(commit).await?;
    let files: BTreeMap<&str, &str> = entries
        .iter()
        .filter(|entry| matches!(entry.kind, EntryKind::File { .. }))
        .map(|entry| (entry.path.as_str(), entry.blob.as_str()))
        .collect();
    let wanted: Vec<Option<&str>> = paths.iter().map(|path| files.get(path).copied()).collect();
    let blobs: Vec<&str> = wanted.iter().copied().flatten().collect();
    let mut contents =
        read_blobs(mirror, &blobs, limit.min(MAX_FILE_BYTES), remote).await?.into_iter();
    let content = |blob: &Option<&str>| blob.and_then(|_| contents.next());
    let contents = wanted.iter().map(content).collect::<Vec<_>>().into_iter();
    Ok(contents.map(|content| content.unwrap_or(FileContent::Absent)).collect())
}

/// Sizes come first, so that oversized contents are never fetched.
pub(super) async fn read_blobs(
    mirror: &Mirror,
    ids: &[&str],
    limit: u64,
    remote: Option<&Remote>,
) -> Result<Vec<FileContent>, GitError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let call = Call::with(&mirror.folder, remote);
    let lines = |ids: &[&str]| ids.iter().map(|id| format!("{id}\n")).collect::<String>();
    let output = call.run_with("cat-file", &["--batch-check"], lines(ids).as_bytes()).await?;
    let sizes: Vec<Option<u64>> = String::from_utf8_lossy(&output).lines().map(size).collect();
    let fits = |(_, size): &(&&str, &Option<u64>)| size.is_some_and(|size| size <= limit);
    let small: Vec<&str> = ids.iter().zip(&sizes).filter(fits).map(|(id, _)| *id).collect();
    let mut output = Vec::new();
    if !small.is_empty() {
        output = call.run_with("cat-file", &["--batch"], lines(&small).as_bytes()).await?;
    }
    let mut rest = output.as_slice();
    let content = |size: &Option<u64>| match size {
        None => FileContent::Absent,
        Some(size) if *size > limit => FileContent::TooLarge(*size),
        Some(size) => take(&mut rest, *size).map_or(FileContent::Absent, FileContent::Bytes),
    };
    Ok(sizes.iter().map(content).collect())
}

/// The size in `<id> blob <size>`; `<id> missing` has none.
fn size(line: &str) -> Option<u64> {
    line.trim().rsplit_once(" blob ").and_then(|(_, size)| size.parse().ok())
}

/// The next content of `git cat-file --batch`: a line, so many bytes, a line end.
fn take(rest: &mut &[u8], size: u64) -> Option<Vec<u8>> {
    let head = rest.iter().position(|byte| *byte == b'\n')? + 1;
    let end = head.checked_add(usize::try_from(size).ok()?)?;
    let content = rest.get(head..end)?.to_vec();
    *rest = rest.get(end + 1..).unwrap_or_default();
    Some(content)
}

/// Parses `<mode> <type> <id>\t<path>`.
fn entry(line: &[u8]) -> Option<Entry> {
    let line = String::from_utf8_lossy(line);
    let (head, path) = line.split_once('\t')?;
    let mut words = head.split_ascii_whitespace();
    let (mode, kind, id) = (words.next()?, words.next()?, words.next()?);
    let kind = match (mode, kind) {
        ("120000", _) => EntryKind::Link,
        (_, "blob") => EntryKind::File { executable: mode == "100755" },
        _ => EntryKind::Submodule,
    };
    Some(Entry { path: path.to_owned(), kind, blob: id.to_owned() })
}
