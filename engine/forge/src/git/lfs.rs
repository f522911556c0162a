//! Pointers of Git LFS in a commit, and the settings that let a workspace with their contents be clean.
//!
//! Pointers and `.lfsconfig` are foreign input. Must not fetch: that is the server's.

use std::{io, path::Path};

use crate::git::files::read_blobs;
use crate::git::submodules::config_of;
use crate::{
    git::{
        checkout::quoted, command::Call, commit_id::CommitId, error::GitError, files::EntryKind,
        mirror::Mirror, submodules::append,
    },
    limits::MAX_LFS_OBJECTS,
};

/// Bytes that a pointer has at most, as git-lfs reads them.
const MAX_POINTER_BYTES: u64 = 1024;
/// Bytes of the shortest pointer: below it nothing is read.
const MIN_POINTER_BYTES: u64 = 120;
const CONFIG: &str = ".lfsconfig";
const VERSION: &str = "version https://git-lfs.github.com/spec/v1";

/// A file of a commit whose content Git LFS keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    /// Path in the repository.
    pub path: Vec<u8>,
    /// True if the file is executable.
    pub is_executable: bool,
    /// SHA-256 of the content, 64 lower-case hex digits.
    pub oid: String,
    /// Bytes of the content.
    pub size: u64,
}

/// A file that may be a pointer.
#[derive(Debug, PartialEq, Eq)]
struct Candidate {
    path: Vec<u8>,
    is_executable: bool,
    blob: String,
}

pub(super) async fn lfs_pointers(
    mirror: &Mirror,
    commit: &CommitId,
    index: &Path,
) -> Result<Vec<Pointer>, GitError> {
    let args = ["-r", "-z", "-l", "--full-tree", "--end-of-options", commit.as_str()];
    let call = Call::local(mirror.folder());
    let small = call.records("ls-tree", &args, Vec::new(), |found: &mut Vec<_>, line| {
        found.extend(candidate(line));
        Ok(())
    });
    let mut small = small.await?;
    if small.is_empty() {
        return Ok(Vec::new());
    }
    let is_kept = is_in_lfs(mirror, &small, index).await?;
    let mut kept = is_kept.into_iter();
    small.retain(|_| kept.next() == Some(true));
    if small.len() > MAX_LFS_OBJECTS {
        return Err(GitError::BadLfs(format!(
            "the commit has more than {MAX_LFS_OBJECTS} files of Git LFS"
        )));
    }
    let ids: Vec<&str> = small.iter().map(|one| one.blob.as_str()).collect();
    let contents = read_blobs(mirror, &ids, MAX_POINTER_BYTES, None).await?;
    let pointer = |(file, content): (&Candidate, crate::git::FileContent)| {
        let crate::git::FileContent::Bytes(bytes) = content else { return None };
        let (oid, size) = parsed(&bytes)?;
        let (path, is_executable) = (file.path.clone(), file.is_executable);
        Some(Pointer { path, is_executable, oid, size })
    };
    Ok(small.iter().zip(contents).filter_map(pointer).collect())
}

/// For each file, true if it has the attribute `filter=lfs`.
async fn is_in_lfs(
    mirror: &Mirror,
    files: &[Candidate],
    index: &Path,
) -> Result<Vec<bool>, GitError> {
    let mut input = Vec::new();
    for file in files {
        input.extend_from_slice(&file.path);
        input.push(0);
    }
    let call = Call::local(mirror.folder());
    let git = call.program("check-attr", &["--cached", "-z", "--stdin", "filter"]);
    let git = git.env("GIT_INDEX_FILE", index).input(input);
    // Three records for each file: path, attribute, value.
    let made = git.records(0, (0_usize, Vec::new()), |(at, found), record| {
        if *at % 3 == 2 {
            found.push(record == b"lfs");
        }
        *at += 1;
        Ok(())
    });
    Ok(made.await.map_err(|error| call.failed("check-attr", error))?.1)
}

pub(super) async fn lfs_url(
    mirror: &Mirror,
    commit: &CommitId,
) -> Result<Option<String>, GitError> {
    let is_there = mirror
        .list(commit)
        .await?
        .into_iter()
        .any(|entry| entry.path == CONFIG && matches!(entry.kind, EntryKind::File { .. }));
    if !is_there {
        return Ok(None);
    }
    let settings = config_of(mirror, commit, CONFIG).await?;
    let url = settings.into_iter().rev().find(|(key, _)| key == "lfs.url");
    Ok(url.map(|(_, value)| value).filter(|value| !value.is_empty()))
}

/// `<mode> blob <id> <size>\t<path>` of a small regular file.
fn candidate(line: &[u8]) -> Option<Candidate> {
    let tab = line.iter().position(|byte| *byte == b'\t')?;
    let head = String::from_utf8_lossy(line.get(..tab)?).into_owned();
    let mut words = head.split_ascii_whitespace();
    let (mode, _kind, blob, size) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let size: u64 = size.parse().ok()?;
    let is_small = (MIN_POINTER_BYTES..=MAX_POINTER_BYTES).contains(&size);
    if !(matches!(mode, "100644" | "100755") && is_small) {
        return None;
    }
    let path = line.get(tab + 1..)?.to_vec();
    Some(Candidate { path, is_executable: mode == "100755", blob: blob.to_owned() })
}

/// Id and size in the text of a pointer; `None` for anything else, also for pointers with extensions.
fn parsed(text: &[u8]) -> Option<(String, u64)> {
    let text = std::str::from_utf8(text).ok()?;
    let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
    let is_version = lines.next()? == VERSION;
    let oid = lines.next()?.strip_prefix("oid sha256:")?;
    let size = lines.next()?.strip_prefix("size ")?;
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_oid = oid.len() == 64 && oid.bytes().all(is_hex);
    let is_number = size.bytes().all(|byte| byte.is_ascii_digit());
    (is_version && is_oid && is_number && lines.next().is_none())
        .then(|| Some((oid.to_owned(), size.parse().ok()?)))?
}

/// The sum of the sizes, if it is within a limit.
///
/// # Errors
/// [`GitError::BadLfs`]
pub fn total(pointers: &[Pointer], bytes: u64) -> Result<u64, GitError> {
    let sum = pointers.iter().try_fold(0_u64, |sum, pointer| sum.checked_add(pointer.size));
    sum.filter(|sum| *sum <= bytes).ok_or_else(|| {
        GitError::BadLfs(format!("the files of Git LFS have more than {bytes} bytes together"))
    })
}

/// Lets a Git directory give the pointer of a content that was put in its place: with git-lfs where a step has
/// it, else with the tools of every system. Blocks.
///
/// # Errors
/// The configuration cannot be written.
pub fn configure(git_dir: &Path) -> io::Result<()> {
    let text = format!(
        "[filter \"lfs\"]\n\tclean = {}\n\tsmudge = {}\n\trequired = true\n",
        quoted(CLEAN),
        quoted(SMUDGE)
    );
    append(&git_dir.join("config"), &text)
}

/// Empty files and pointers are their own pointers.
const CLEAN: &str = "if command -v git-lfs >/dev/null 2>&1; then exec git-lfs clean -- %f; fi; \
     t=$(mktemp) && trap 'rm -f \"$t\"' EXIT && cat >\"$t\" || exit 1; \
     s=$(($(wc -c <\"$t\"))); \
     if [ $s -eq 0 ] || { [ $s -lt 1024 ] && \
     [ \"$(head -c 42 \"$t\" | tr -d '\\000')\" = 'version https://git-lfs.github.com/spec/v1' ]; }; \
     then cat \"$t\"; else h=$(sha256sum \"$t\" | tr -d '\\\\' | cut -c1-64) && \
     echo 'version https://git-lfs.github.com/spec/v1' && echo oid sha256:$h && echo size $s; fi";

/// Other contents stay pointers: a step has no credential to fetch them with.
const SMUDGE: &str =
    "if command -v git-lfs >/dev/null 2>&1; then exec git-lfs smudge --skip -- %f; else cat; fi";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_pointers_are_read() {
        let oid = "0f".repeat(32);
        let text = format!("{VERSION}\noid sha256:{oid}\nsize 12345\n");
        assert_eq!(parsed(text.as_bytes()), Some((oid.clone(), 12345)));
        for bad in [
            text.replace("v1", "v2"),
            text.replace("sha256", "md5"),
            text.replace(&oid, &oid.to_uppercase()),
            text.replace(&oid, "../../etc"),
            text.replace("12345", "-1"),
            text.replace("12345", ""),
            text.replace("12345", "99999999999999999999999"),
            format!("{text}ext-0-x sha256:{oid}\n"),
            format!("{VERSION}\nsize 1\noid sha256:{oid}\n"),
            String::new(),
        ] {
            assert_eq!(parsed(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn only_small_regular_files_may_be_pointers() {
        let at = |mode: &str, size: u64| {
            candidate(format!("{mode} blob {} {size:>7}\ta b", "1".repeat(40)).as_bytes())
        };
        assert_eq!(
            at("100755", 130).map(|one| (one.path, one.is_executable)),
            Some((b"a b".to_vec(), true))
        );
        assert!(at("100644", 119).is_none() && at("100644", 1025).is_none());
        assert!(at("120000", 130).is_none() && at("160000", 130).is_none());
    }

    #[test]
    fn sizes_are_summed_within_a_limit() {
        let pointer =
            |size| Pointer { path: Vec::new(), is_executable: false, oid: String::new(), size };
        assert_eq!(total(&[pointer(3), pointer(4)], 7).unwrap(), 7);
        assert!(total(&[pointer(3), pointer(5)], 7).is_err());
        assert!(total(&[pointer(u64::MAX), pointer(u64::MAX)], u64::MAX - 1).is_err());
    }
}
