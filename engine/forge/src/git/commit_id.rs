//! Ids of commits and names of refs that may stand on a command line.

use std::fmt;

use crate::git::error::GitError;

/// The full id of a commit: 40 or 64 lower-case hex digits, not all zero.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommitId(String);

// === impl CommitId ===

impl CommitId {
    /// Reads an id.
    ///
    /// # Errors
    /// The text is no full id, or stands for "no commit".
    pub fn new(text: &str) -> Result<Self, GitError> {
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let whole = matches!(text.len(), 40 | 64) && text.bytes().all(is_hex);
        if whole && text.bytes().any(|byte| byte != b'0') {
            return Ok(Self(text.to_owned()));
        }
        Err(GitError::BadName(text.chars().take(100).collect()))
    }

    /// All 40 or 64 hexadecimal digits, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A full ref that git would accept; strict about what could be read as anything else.
pub(super) fn check_ref(name: &str) -> Result<&str, GitError> {
    let forbidden = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    let part_is_fine =
        |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    let fine = name.starts_with("refs/")
        && name.split('/').all(part_is_fine)
        && !name.contains(forbidden)
        && !name.contains("..")
        && !name.contains("@{")
        && !name.ends_with('.')
        && name.len() <= 1_024;
    if fine { Ok(name) } else { Err(GitError::BadName(name.chars().take(100).collect())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_full_ids_are_commits() {
        let (sha1, sha256) = ("a1".repeat(20), "0f".repeat(32));
        assert_eq!(CommitId::new(&sha1).unwrap().as_str(), sha1);
        assert_eq!(CommitId::new(&sha256).unwrap().to_string(), sha256);
        for text in ["", "HEAD", "abc123", "-rf", &"0".repeat(40), &"A1".repeat(20), "main^"] {
            assert!(CommitId::new(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_full_refs_are_names() {
        for name in ["refs/heads/main", "refs/pull/7/head", "refs/heads/🌱", "refs/tags/v1.0"] {
            assert!(check_ref(name).is_ok(), "{name}");
        }
        for name in [
            "main",
            "-x",
            "refs/heads/a b",
            "refs/heads/a..b",
            "refs/heads/a:refs/heads/b",
            "refs/heads/*",
            "refs/heads//x",
            "refs/heads/.x",
            "refs/heads/x.lock",
            "refs/heads/x\n",
            "refs/heads/@{x}",
            "refs/heads/",
        ] {
            assert!(check_ref(name).is_err(), "{name}");
        }
    }
}
