//! What a runner keeps for the engine beside logs: artifacts, caches, checkpoints, pure results.
//!
//! Content travels by its SHA-256 and only when the engine lacks it. The runner asks
//! ([`Question`]), the engine answers ([`Answer`]) in the same order; a question that got no answer
//! before a connection broke is asked again, so every question may be asked twice.
//!
//! Enum variants are appended, never reordered: postcard numbers them.

use std::{fmt, str::FromStr};

use plue_plan::{StepId, artifacts::ArtifactRules};
use serde::{Deserialize, Serialize};

use crate::{
    eval::Bytes,
    frame::{FrameError, decode},
    runner::Claim,
};

/// Bytes of content in one message at most.
pub const MAX_PART_BYTES: usize = 1024 * 1024;
/// Files of one attempt's artifacts at most.
pub const MAX_ARTIFACTS: usize = 10_000;
/// Files that one checkpoint may change at most.
pub const MAX_CHANGES: usize = 50_000;
/// Bytes of an encoded list of changes at most.
pub const MAX_CHANGES_BYTES: usize = 32 * 1024 * 1024;
/// Bytes of a path in the workspace at most.
pub const MAX_PATH_BYTES: usize = 4_096;

/// The SHA-256 of a blob, which is its name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlobHash(pub [u8; 32]);

/// What is to be kept of one attempt. Sent before its assignment; without it nothing is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Care {
    /// Globs of files to keep after the step; with `!` in front: not these.
    pub artifacts: Vec<String>,
    /// The step's cache.
    pub cache: Option<CacheCare>,
    /// The step may be skipped when its key is known.
    pub pure: Option<PureCare>,
    /// Changes of the workspace are kept after the step.
    pub checkpoint: bool,
    /// The consequences of missing and lost artifacts; sent in [`crate::runner::ToRunner::Rules`].
    #[serde(skip)]
    pub rules: ArtifactRules,
}

/// The cache of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheCare {
    /// The key; `hash_files` marks in it (see [`files_mark`]) are replaced by the runner.
    pub key: String,
    /// Prefixes of other keys that will do, in this order.
    pub restore: Vec<String>,
    /// Paths, relative to the workspace.
    pub paths: Vec<String>,
}

/// What the engine knows of a pure step's inputs; the runner adds the files of the workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PureCare {
    /// Hash of everything but the files.
    pub base: BlobHash,
}

/// Runner → engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Question {
    /// Which of these blobs are missing? Those that are there stay for a while.
    Missing(Vec<BlobHash>),
    /// Whole blobs, together at most [`MAX_PART_BYTES`].
    PutMany(Vec<Bytes>),
    /// Bytes of a larger blob, from this offset on.
    PutPart {
        /// Which.
        blob: BlobHash,
        /// Its length.
        size: u64,
        /// Where these bytes belong. 0 begins anew.
        offset: u64,
        /// At most [`MAX_PART_BYTES`].
        bytes: Bytes,
    },
    /// At most [`MAX_PART_BYTES`] of a blob, from this offset on.
    Get {
        /// Which.
        blob: BlobHash,
        /// From where.
        offset: u64,
    },
    /// Something about an attempt that must be recorded before its result.
    Keep(Claim, Record),
    /// The best cache entry for these.
    FindCache {
        /// For whom.
        claim: Claim,
        /// The exact key.
        key: String,
        /// Prefixes that will do.
        restore: Vec<String>,
    },
    /// What a pure step with this key gave.
    FindPure {
        /// For whom.
        claim: Claim,
        /// The key.
        key: BlobHash,
    },
}

/// What is recorded of an attempt. Recording twice is recording once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// Files of the attempt.
    Artifacts(Vec<KeptFile>),
    /// The attempt has filled its cache under a key that was not there.
    Cache {
        /// The key.
        key: String,
        /// The archive.
        archive: BlobHash,
        /// Its bytes.
        bytes: u64,
        /// Files in it.
        files: u64,
    },
    /// The workspace after the attempt.
    Checkpoint(CheckpointRecord),
    /// The attempt, which succeeded, is what this key gives.
    Pure(BlobHash),
    /// A sentence for `plue explain`.
    Note(String),
}

/// A file that was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFile {
    /// Relative to the workspace, with `/`.
    pub path: String,
    /// Its content.
    pub blob: BlobHash,
    /// Its bytes.
    pub bytes: u64,
    /// Whether it may be executed.
    pub executable: bool,
}

/// What changed in a workspace since the checkpoint before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointRecord {
    /// Steps of which a process ran in between: one of them made the changes.
    pub steps: Vec<StepId>,
    /// A blob that is a [`Changes`]; absent: the checkpoint was left out, `note` says why.
    pub changes: Option<BlobHash>,
    /// Paths in it.
    pub files: u64,
    /// Bytes of content in it.
    pub bytes: u64,
    /// What people should know.
    pub note: Option<String>,
}

/// The content of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Changes {
    /// [`Changes::VERSION`].
    pub version: u32,
    /// Sorted by path.
    #[serde(deserialize_with = "crate::bounded::changes")]
    pub list: Vec<Change>,
}

/// One path before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Relative to the workspace, with `/`; any bytes but NUL.
    pub path: Bytes,
    /// What was there; absent: nothing.
    pub before: Option<Entry>,
    /// What is there now; absent: nothing.
    pub after: Option<Entry>,
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// A file.
    File {
        /// Permission bits.
        mode: u32,
        /// Bytes.
        size: u64,
        /// Its content; absent: nobody has looked.
        hash: Option<BlobHash>,
        /// Whether the engine has the content.
        kept: bool,
    },
    /// A symbolic link with its text.
    Link(Bytes),
    /// A folder.
    Folder {
        /// Permission bits.
        mode: u32,
    },
}

/// Engine → runner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Question::Missing`].
    Missing(Vec<BlobHash>),
    /// It is stored, or recorded.
    Done,
    /// To [`Question::PutPart`]: the blob is taken up to here. Go on from there.
    Taken(u64),
    /// To [`Question::Get`].
    Part {
        /// The bytes; none at the end.
        bytes: Bytes,
        /// Length of the whole.
        size: u64,
    },
    /// There is no such thing; why, for people.
    Nothing(String),
    /// To [`Question::FindCache`].
    Cache {
        /// The key of the entry.
        key: String,
        /// Whether it is the one that was asked for.
        exact: bool,
        /// The archive.
        archive: BlobHash,
    },
    /// To [`Question::FindPure`].
    Pure {
        /// The output of the attempt that did the work, as JSON.
        output_json: String,
        /// Its files.
        artifacts: Vec<KeptFile>,
        /// `RUN STEP`, for people.
        from: String,
    },
    /// It cannot be done; the reason, for people. The step goes on without.
    Refused(String),
}

/// The text of a path: bytes that are no UTF-8 are written `\xNN`, and so is a backslash that would be read
/// as the beginning of one. [`path_bytes`] gives the path back.
#[must_use]
pub fn path_text(path: &[u8]) -> String {
    let mut text = String::new();
    for part in path.utf8_chunks() {
        let valid = part.valid();
        for (at, letter) in valid.char_indices() {
            let is_escape = letter == '\\' && escaped(&valid.as_bytes()[at..]).is_some();
            if is_escape { text.push_str("\\x5c") } else { text.push(letter) }
        }
        text.extend(part.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

/// The path of a text that [`path_text`] made.
#[must_use]
pub fn path_bytes(text: &str) -> Vec<u8> {
    let (mut path, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&first, more)) = rest.split_first() {
        match escaped(rest) {
            Some(byte) => {
                path.push(byte);
                rest = &rest[4..];
            }
            None => {
                path.push(first);
                rest = more;
            }
        }
    }
    path
}

/// The byte of a `\xNN` at the beginning.
fn escaped(bytes: &[u8]) -> Option<u8> {
    let digits = bytes.strip_prefix(b"\\x")?.first_chunk::<2>()?;
    let is_lower = |digit: &u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    let digits = std::str::from_utf8(digits).ok().filter(|_| digits.iter().all(is_lower))?;
    u8::from_str_radix(digits, 16).ok()
}

// === impl BlobHash ===

impl fmt::Display for BlobHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BlobHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for BlobHash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("{text:?} is not the hash of a blob");
        let digits = text.as_bytes();
        let lower = |digit: &u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() != 64 || !digits.iter().all(lower) {
            return Err(wrong());
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Self(hash))
    }
}

// === impl Changes ===

impl Changes {
    /// The version that this program writes and reads.
    pub const VERSION: u32 = 1;

    /// As bytes of a blob.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] over [`MAX_CHANGES_BYTES`].
    pub fn encode(&self) -> Result<Vec<u8>, FrameError> {
        let bytes = postcard::to_stdvec(self).map_err(FrameError::Encode)?;
        if bytes.len() > MAX_CHANGES_BYTES {
            return Err(FrameError::TooLong { length: bytes.len(), cap: MAX_CHANGES_BYTES });
        }
        Ok(bytes)
    }

    /// From the bytes of a blob.
    ///
    /// # Errors
    /// They are too many, no changes, or of a version that this program does not know.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        if bytes.len() > MAX_CHANGES_BYTES {
            return Err(FrameError::TooLong { length: bytes.len(), cap: MAX_CHANGES_BYTES });
        }
        let changes: Self = decode(bytes)?;
        if changes.version == Self::VERSION {
            Ok(changes)
        } else {
            Err(FrameError::Malformed(postcard::Error::DeserializeBadEncoding))
        }
    }

    /// The content that must be there for these changes to be undone.
    pub fn blobs(&self) -> impl Iterator<Item = BlobHash> {
        let entries = self.list.iter().flat_map(|change| [&change.before, &change.after]);
        entries.flatten().filter_map(Entry::kept)
    }
}

// === impl Entry ===

impl Entry {
    /// The content that the engine has.
    #[must_use]
    pub fn kept(&self) -> Option<BlobHash> {
        match self {
            Self::File { hash, kept: true, .. } => *hash,
            Self::File { .. } | Self::Link(_) | Self::Folder { .. } => None,
        }
    }

    /// Whether both are the same thing; whether the engine has the content does not matter. Content
    /// that nobody has looked at is like no other.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::File { mode, hash: Some(hash), .. },
                Self::File { mode: other_mode, hash: Some(other), .. },
            ) => mode == other_mode && hash == other,
            (Self::Link(text), Self::Link(other)) => text == other,
            (Self::Folder { mode }, Self::Folder { mode: other }) => mode == other,
            (Self::File { .. } | Self::Link(_) | Self::Folder { .. }, _) => false,
        }
    }
}

/// Opens a mark that stands for the hash of files in a cache key.
const MARK_START: &str = "\u{1}hash_files ";
/// Closes it.
const MARK_END: char = '\u{2}';

/// What `hash_files(…)` is in a key until a runner looks at its workspace. No text of a plan has
/// these characters.
#[must_use]
pub fn files_mark(globs: &[&str]) -> String {
    format!("{MARK_START}{}{MARK_END}", globs.join("\u{1}"))
}

/// Replaces the marks of a key.
///
/// # Errors
/// What `hash` says about the globs of a mark.
pub fn replace_marks<E>(
    key: &str,
    mut hash: impl FnMut(&[&str]) -> Result<String, E>,
) -> Result<String, E> {
    let mut out = String::with_capacity(key.len());
    let mut rest = key;
    while let Some((before, mark)) = rest.split_once(MARK_START) {
        out.push_str(before);
        let (globs, after) = mark.split_once(MARK_END).unwrap_or((mark, ""));
        out.push_str(&hash(&globs.split('\u{1}').collect::<Vec<_>>())?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_reads_as_it_prints() {
        let hash = BlobHash(std::array::from_fn(|at| u8::try_from(at * 7 % 256).unwrap()));
        assert_eq!(hash.to_string().parse(), Ok(hash));
        for wrong in ["", "ab", &"g".repeat(64), &"A".repeat(64), &"é".repeat(32)] {
            assert!(wrong.parse::<BlobHash>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn marks_are_replaced_and_nothing_else() {
        let key = format!("npm-{}-{}x", files_mark(&["a", "b/**"]), files_mark(&["c"]));
        let replaced = replace_marks(&key, |globs| Ok::<_, ()>(globs.join("+")));
        assert_eq!(replaced.unwrap(), "npm-a+b/**-cx");
        assert_eq!(replace_marks("plain", |_| Err(())), Ok("plain".to_owned()));
    }

    #[test]
    fn changes_of_another_version_are_refused() {
        let changes = Changes { version: 2, list: Vec::new() };
        assert!(Changes::decode(&changes.encode().unwrap()).is_err());
        let changes = Changes { version: Changes::VERSION, ..changes };
        assert_eq!(Changes::decode(&changes.encode().unwrap()).unwrap(), changes);
        assert!(Changes::decode(b"\xff\xff\xff\xff\xff").is_err());
    }

    #[test]
    fn lists_of_too_many_changes_are_refused() {
        let change = Change { path: Bytes(Vec::new()), before: None, after: None };
        let list = vec![change; crate::bounded::MAX_LISTED_CHANGES + 1];
        let mut changes = Changes { version: Changes::VERSION, list };
        assert!(Changes::decode(&changes.encode().unwrap()).is_err());
        changes.list.pop();
        assert_eq!(Changes::decode(&changes.encode().unwrap()).unwrap(), changes);
    }

    #[test]
    fn paths_of_any_bytes_survive_their_text() {
        let paths: [&[u8]; 6] =
            [b"out/app", "ä/b".as_bytes(), b"caf\xe9/\xff", br"a\x41", br"a\x4", br"\\x5c"];
        for path in paths {
            let text = path_text(path);
            assert_eq!(path_bytes(&text), path, "{text}");
        }
        assert_eq!(path_text(b"caf\xe9"), r"caf\xe9");
        assert_eq!(path_text(br"a\x41"), r"a\x5cx41");
        assert_eq!(path_text("ä\\b".as_bytes()), "ä\\b");
    }
}
