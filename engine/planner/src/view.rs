//! The view of a workflow on its repository: one commit, or the work tree of a person.
//!
//! Must not follow a symbolic link, leave the repository, or show the contents of `.git`. Paths are
//! relative to the repository, with `/`. Calls block; callers use blocking threads.

use std::{fmt, path::PathBuf};

use globset::GlobBuilder;
use plue_wire::eval::{FileFact, MAX_FACT_BYTES};

mod git;
mod git_commit;
mod work_tree;

pub use git_commit::GitCommit;
pub use work_tree::WorkTree;

/// Paths of a commit that are looked at.
pub const MAX_PATHS: usize = 1_000_000;
/// Bytes of a file that a workflow may read.
pub const MAX_FILE_BYTES: usize = MAX_FACT_BYTES / 4;

/// A commit that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// Git is missing, refused or failed.
    #[error("`git {command}` failed in {}: {reason}", folder.display())]
    Git {
        /// The failed subcommand of git.
        command: &'static str,
        /// Folder of the command.
        folder: PathBuf,
        /// Cause, from the output of git.
        reason: String,
    },
    /// A file or folder that is there cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Cause of the error.
        #[source]
        source: std::io::Error,
    },
    /// More than [`MAX_PATHS`].
    #[error("{} holds more than {MAX_PATHS} files", .0.display())]
    TooManyPaths(PathBuf),
}

/// The content of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Contents of the file.
    Bytes(Vec<u8>),
    /// Size of a file above the limit, in bytes.
    TooLarge(u64),
    /// It is a symbolic link, submodule or special file.
    NotAFile,
    /// It is not there.
    Absent,
}

/// One commit, or something like it.
pub trait CommitView: Send + Sync + fmt::Debug {
    /// A text that is unique to the content of this view; `None`: the content may change.
    fn identity(&self) -> Option<String> {
        None
    }

    /// The files whose paths are kept, sorted by bytes. Symbolic links are among them, but are
    /// never followed.
    ///
    /// # Errors
    /// The commit cannot be read.
    fn matching(&self, keep: &dyn Fn(&str) -> bool) -> Result<Vec<String>, ViewError>;

    /// True if a file, or a folder with a file, is at this (normal) path.
    ///
    /// # Errors
    /// The commit cannot be read.
    fn is_there(&self, path: &str) -> Result<bool, ViewError>;

    /// The content of a file of at most `cap` bytes.
    ///
    /// # Errors
    /// The commit cannot be read.
    fn content(&self, path: &str, cap: usize) -> Result<Content, ViewError>;

    /// The files that the event changed, sorted.
    ///
    /// # Errors
    /// The commit cannot be read.
    fn changed_files(&self) -> Result<Vec<String>, ViewError>;

    /// The files directly in a folder, sorted.
    ///
    /// # Errors
    /// The commit cannot be read.
    fn files_in(&self, folder: &str) -> Result<Vec<String>, ViewError> {
        self.matching(&|path| {
            let rest = path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
            rest.is_some_and(|rest| !rest.contains('/'))
        })
    }

    /// The answer to `ctx.read`. A folder is there, but is no text.
    ///
    /// # Errors
    /// The commit cannot be read.
    fn read(&self, path: &str) -> Result<FileFact, ViewError> {
        let Some(path) = normal(path) else {
            return Ok(FileFact::Absent);
        };
        Ok(match self.content(&path, MAX_FILE_BYTES)? {
            Content::Bytes(bytes) => match String::from_utf8(bytes) {
                Ok(text) if !text.contains('\0') => FileFact::Text(text),
                Ok(_) | Err(_) => FileFact::NotText,
            },
            Content::TooLarge(_) | Content::NotAFile => FileFact::NotText,
            Content::Absent if self.is_there(&path)? => FileFact::NotText,
            Content::Absent => FileFact::Absent,
        })
    }

    /// The answer to `ctx.exists`: whether a file, or a folder with a file, is there.
    ///
    /// # Errors
    /// The commit cannot be read.
    fn exists(&self, path: &str) -> Result<bool, ViewError> {
        normal(path).map_or(Ok(false), |path| self.is_there(&path))
    }

    /// The answer to `ctx.glob`: the files that match, sorted. `*` stops at `/`, `**` does not; a
    /// malformed pattern matches nothing.
    ///
    /// # Errors
    /// The commit cannot be read.
    fn glob(&self, pattern: &str) -> Result<Vec<String>, ViewError> {
        let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
        let built = GlobBuilder::new(pattern).literal_separator(true).build();
        let Ok(glob) = built else {
            return Ok(Vec::new());
        };
        let matcher = glob.compile_matcher();
        self.matching(&|path| matcher.is_match(path))
    }
}

/// A path relative to the repository in its one spelling; `None` if it leads elsewhere.
pub(crate) fn normal(path: &str) -> Option<String> {
    if path.starts_with('/') || path.contains(['\0', '\\']) {
        return None;
    }
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => return None,
            other if other.eq_ignore_ascii_case(".git") => return None,
            other => parts.push(other),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_spelling_and_stays_inside() {
        assert_eq!(normal("./a//b/./c"), Some("a/b/c".to_owned()));
        for outside in
            ["", ".", "/etc/passwd", "../x", "a/../../x", ".git/config", "a/.GIT/x", "a\0b"]
        {
            assert_eq!(normal(outside), None, "{outside}");
        }
    }
}
