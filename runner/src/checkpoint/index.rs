//! The index of a workspace, in memory and between runs. Without it the workspace is read again.

use std::{collections::BTreeMap, fs, io, os::unix::fs::DirBuilderExt as _, path::Path};

use plue_wire::{
    eval::Bytes,
    outputs::{BlobHash, Entry},
};
use serde::{Deserialize, Serialize};

use crate::{files, outputs::Sig};

/// Version of the file; another version is not read.
const VERSION: u32 = 2;
/// Bytes of the file at most.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(super) paths: BTreeMap<Vec<u8>, PathState>,
}

/// The state of a path at the last scan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PathState {
    pub(super) sig: Sig,
    pub(super) known: PathContent,
    /// It may have changed again with the same times.
    pub(super) is_racy: bool,
}

/// The content at a path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum PathContent {
    /// Hash of a file, and whether the engine has its content.
    File { hash: Option<BlobHash>, kept: bool },
    /// Target of a symbolic link.
    Link(Bytes),
    /// A folder, without its entries.
    Folder,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    paths: Vec<(Bytes, PathState)>,
}

// === impl Index ===

impl Index {
    /// The index of an earlier runner; empty if it cannot be read.
    pub(super) fn load(path: &Path) -> Self {
        Self::try_load(path).unwrap_or_default()
    }

    fn try_load(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok().filter(|meta| meta.len() <= MAX_BYTES)?;
        let limit = usize::try_from(meta.len()).ok()?;
        let bytes = files::read(path, limit).ok().filter(|bytes| bytes.len() == limit)?;
        let stored: Stored = postcard::from_bytes(&bytes).ok()?;
        let paths = stored.paths.into_iter().map(|(path, seen)| (path.0, seen)).collect();
        (stored.version == VERSION).then_some(Self { paths })
    }

    /// Replaces the file of the index.
    pub(super) fn save(&self, path: &Path) {
        // Without it the next runner is slower.
        let _slower = self.try_save(path);
    }

    fn try_save(&self, path: &Path) -> io::Result<()> {
        let paths =
            self.paths.iter().map(|(path, seen)| (Bytes(path.clone()), seen.clone())).collect();
        let stored = Stored { version: VERSION, paths };
        let bytes = postcard::to_stdvec(&stored).map_err(io::Error::other)?;
        if let Some(folder) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let draft = path.with_added_extension(std::process::id().to_string());
        let mut file = files::create(&draft, 0o600)?;
        io::Write::write_all(&mut file, &bytes)?;
        fs::rename(&draft, path)
    }
}

// === impl PathState ===

impl PathState {
    pub(super) fn entry(&self) -> Entry {
        let mode = self.sig.mode & 0o7777;
        match &self.known {
            PathContent::File { hash, kept } => {
                Entry::File { mode, size: self.sig.size, hash: *hash, kept: *kept }
            }
            PathContent::Link(text) => Entry::Link(text.clone()),
            PathContent::Folder => Entry::Folder { mode },
        }
    }
}

// === impl PathContent ===

impl PathContent {
    /// The content without its hash.
    pub(super) fn of(sig: &Sig, link: impl FnOnce() -> io::Result<Vec<u8>>) -> Self {
        if sig.is_folder() {
            Self::Folder
        } else if sig.is_link() {
            Self::Link(Bytes(link().unwrap_or_default()))
        } else {
            Self::File { hash: None, kept: false }
        }
    }

    pub(super) fn hash(&self) -> Option<BlobHash> {
        match self {
            Self::File { hash, .. } => *hash,
            Self::Link(_) | Self::Folder => None,
        }
    }
}
