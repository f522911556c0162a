//! Outputs of attempts other than logs: artifacts, caches, checkpoints, pure results.
//!
//! Content travels by its SHA-256 and only when the engine lacks it. The runner asks
//! ([`Question`]), the engine answers ([`Answer`]) in the same order; a question without an answer
//! when the connection breaks is sent again, so every question may arrive twice.
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

/// The outputs to store of one attempt. Sent before its assignment; without it none are stored.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OutputSpec {
    /// Globs of files to store after the step; a leading `!` excludes.
    pub artifacts: Vec<String>,
    /// The cache to restore before and save after the step.
    pub cache: Option<CacheSpec>,
    /// The step may be skipped when its key is known.
    pub pure: Option<PureSpec>,
    /// Changes of the workspace are stored after the step.
    pub checkpoint: bool,
    /// The consequences of missing and lost artifacts; sent in [`crate::runner::ToRunner::Rules`].
    #[serde(skip)]
    pub rules: ArtifactRules,
}

/// Key and paths of a step's cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheSpec {
    /// The key; `hash_files` marks in it (see [`files_mark`]) are replaced by the runner.
    pub key: String,
    /// Prefixes of other acceptable keys, in this order.
    pub restore: Vec<String>,
    /// Paths, relative to the workspace.
    pub paths: Vec<String>,
}

/// The inputs of a pure step known to the engine; the runner adds the files of the workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PureSpec {
    /// Hash of everything but the files.
    pub base: BlobHash,
}

/// A question of a runner to the content service of the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Question {
    /// The blobs among these that the engine lacks; the others are not deleted soon.
    Missing(Vec<BlobHash>),
    /// Whole blobs, together at most [`MAX_PART_BYTES`].
    PutMany(Vec<Bytes>),
    /// Bytes of a larger blob, from this offset on.
    PutPart {
        /// Hash of the whole blob.
        blob: BlobHash,
        /// Length of the whole blob in bytes.
        size: u64,
        /// Offset of these bytes. 0 restarts the blob.
        offset: u64,
        /// Content, at most [`MAX_PART_BYTES`].
        bytes: Bytes,
    },
    /// At most [`MAX_PART_BYTES`] of a blob, from this offset on.
    Get {
        /// Hash of the whole blob.
        blob: BlobHash,
        /// Offset of the first byte.
        offset: u64,
    },
    /// A record of an attempt that must be stored before its result.
    Record(Claim, Record),
    /// The best cache entry for a key.
    FindCache {
        /// The attempt that asks.
        claim: Claim,
        /// The key of an exact hit.
        key: String,
        /// Prefixes of acceptable keys, in this order.
        restore: Vec<String>,
    },
    /// The result of an earlier pure step with this key.
    FindPure {
        /// The attempt that asks.
        claim: Claim,
        /// Hash of everything that the step depends on.
        key: BlobHash,
    },
}

/// A record of an attempt. Recording is idempotent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// The artifacts of the attempt.
    Artifacts(Vec<ArtifactFile>),
    /// The attempt has filled its cache under a key that was not there.
    Cache {
        /// The key with all marks replaced.
        key: String,
        /// The compressed tar archive.
        archive: BlobHash,
        /// Bytes of the archive.
        bytes: u64,
        /// Files in the archive.
        files: u64,
    },
    /// The workspace after the attempt.
    Checkpoint(CheckpointRecord),
    /// The successful attempt is the result for this key.
    Pure(BlobHash),
    /// A sentence for `plue explain`.
    Note(String),
}

/// An artifact in the blob store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactFile {
    /// Relative to the workspace, with `/`.
    pub path: String,
    /// Hash of its content.
    pub blob: BlobHash,
    /// Bytes of its content.
    pub bytes: u64,
    /// Whether it has an execute permission.
    pub executable: bool,
}

/// The changes in a workspace since the previous checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointRecord {
    /// Steps of which a process ran in between: one of them made the changes.
    pub steps: Vec<StepId>,
    /// The blob with the [`Changes`]; `None`: the checkpoint was skipped for the reason in `note`.
    pub changes: Option<BlobHash>,
    /// Paths in the changes.
    pub files: u64,
    /// Bytes of content in it.
    pub bytes: u64,
    /// A remark for people.
    pub note: Option<String>,
}

/// The content of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Changes {
    /// [`Changes::VERSION`].
    pub version: u32,
    /// Changed paths, sorted.
    #[serde(deserialize_with = "crate::bounded::changes")]
    pub list: Vec<Change>,
}

/// One path before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Relative to the workspace, with `/`; any bytes but NUL.
    pub path: Bytes,
    /// The previous entry; `None`: nothing was there.
    pub before: Option<Entry>,
    /// The current entry; `None`: nothing is there.
    pub after: Option<Entry>,
}

/// A file, link or folder at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// A regular file of an output.
    File {
        /// Permission bits (`0o7777`).
        mode: u32,
        /// Size in bytes.
        size: u64,
        /// Hash of its content; `None`: not computed.
        hash: Option<BlobHash>,
        /// Whether the engine has the content.
        kept: bool,
    },
    /// A symbolic link with its text.
    Link(Bytes),
    /// A folder; its content has entries of its own.
    Folder {
        /// Permission bits (`0o7777`).
        mode: u32,
    },
}

/// The engine's answer to a [`Question`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// Answer to [`Question::Missing`]: the missing blobs.
    Missing(Vec<BlobHash>),
    /// It is stored, or recorded.
    Done,
    /// Answer to [`Question::PutPart`]: the blob is stored up to this offset; continue from there.
    Taken(u64),
    /// Answer to [`Question::Get`].
    Part {
        /// The bytes; none at the end.
        bytes: Bytes,
        /// Length of the whole.
        size: u64,
    },
    /// Nothing was found, for this reason, for people.
    Nothing(String),
    /// Answer to [`Question::FindCache`].
    Cache {
        /// The key of the entry.
        key: String,
        /// Whether it is the requested key.
        exact: bool,
        /// The compressed tar archive.
        archive: BlobHash,
    },
    /// Answer to [`Question::FindPure`].
    Pure {
        /// The output of the attempt that did the work, as JSON.
        output_json: String,
        /// The artifacts of that attempt.
        artifacts: Vec<ArtifactFile>,
        /// `RUN STEP`, for people.
        from: String,
    },
    /// The request is refused, for this reason, for people. The step continues without it.
    Refused(String),
}

/// The text of a path: bytes that are not UTF-8 are written `\xNN`, and so is a backslash that
/// would start such an escape. [`path_bytes`] gives the path back.
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

    /// Whether both entries are equal, regardless of whether the engine has the content. A file
    /// without a hash equals no other.
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

/// Start of a mark for the hash of files in a cache key.
const MARK_START: &str = "\u{1}hash_files ";
/// End of a mark.
const MARK_END: char = '\u{2}';

/// The placeholder of `hash_files(…)` in a key until a runner hashes its workspace. No text of a
/// plan has these characters.
#[must_use]
pub fn files_mark(globs: &[&str]) -> String {
    format!("{MARK_START}{}{MARK_END}", globs.join("\u{1}"))
}

/// Replaces the marks of a key.
///
/// # Errors
/// Errors of `hash` for the globs of a mark.
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
