//! The files of the workspace: their listing, hashes and globs.
//!
//! Must not follow symbolic links, and must not look into `.git` or plue's own files.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::{ffi::OsStrExt as _, ffi::OsStringExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use plue_runtime::ConfinedDir;
use plue_wire::outputs::{BlobHash, PureSpec};
use sha2::{Digest as _, Sha256};

use super::{WorkDirs, client};
use crate::checkpoint::Hashes;

/// Paths in a workspace that are looked at; more are too many.
pub(crate) const MAX_PATHS: usize = 300_000;

/// The metadata of a path that shows a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Sig {
    /// File type and permission bits.
    pub(crate) mode: u32,
    pub(crate) size: u64,
    pub(crate) inode: u64,
    pub(crate) mtime_ns: i128,
    pub(crate) ctime_ns: i128,
}

/// Everything in a workspace, by path.
pub(crate) type Listing = BTreeMap<Vec<u8>, Sig>;

/// Globs of a plan, with those that exclude.
#[derive(Debug)]
pub(crate) struct Globs {
    wanted: GlobSet,
    unwanted: GlobSet,
}

#[derive(Debug)]
pub(crate) struct WorkTree {
    pub(crate) root: PathBuf,
    pub(crate) scratch: PathBuf,
    /// Folder of the engine, if it lies in the workspace.
    own: Option<PathBuf>,
}

// === impl Sig ===

impl Sig {
    fn of(meta: &fs::Metadata) -> Self {
        let time = |seconds: i64, ns: i64| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
        let mut sig = Self {
            mode: meta.mode(),
            size: meta.size(),
            inode: meta.ino(),
            mtime_ns: time(meta.mtime(), meta.mtime_nsec()),
            ctime_ns: time(meta.ctime(), meta.ctime_nsec()),
        };
        if meta.is_dir() {
            // Entries of a folder are listed by themselves.
            (sig.size, sig.inode, sig.mtime_ns, sig.ctime_ns) = (0, 0, 0, 0);
        }
        sig
    }

    pub(crate) fn is_file(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFREG
    }

    pub(crate) fn is_folder(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFDIR
    }

    pub(crate) fn is_link(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFLNK
    }

    pub(crate) fn is_executable(&self) -> bool {
        self.is_file() && self.mode & 0o111 != 0
    }
}

// === impl Globs ===

impl Globs {
    /// # Errors
    /// One of them is no glob.
    pub(crate) fn new<T: AsRef<str>>(globs: &[T]) -> Result<Self, globset::Error> {
        let (mut wanted, mut unwanted) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for glob in globs {
            let glob = glob.as_ref();
            let (set, glob) = match glob.strip_prefix('!') {
                Some(glob) => (&mut unwanted, glob),
                None => (&mut wanted, glob),
            };
            let mut glob = glob.trim_end_matches('/');
            while let Some(rest) = glob.strip_prefix("./") {
                glob = rest;
            }
            // The name of a folder means everything in it.
            for glob in [glob.to_owned(), format!("{glob}/**")] {
                set.add(GlobBuilder::new(&glob).literal_separator(true).build()?);
            }
        }
        Ok(Self { wanted: wanted.build()?, unwanted: unwanted.build()? })
    }

    /// Positions of the globs, among those that exclude nothing, that match the path.
    pub(crate) fn wanted_by(&self, path: &[u8]) -> impl Iterator<Item = usize> {
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        self.wanted.matches(path).into_iter().map(|at| at / FORMS)
    }

    pub(crate) fn matches(&self, path: &[u8]) -> bool {
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        self.wanted.is_match(path) && !self.unwanted.is_match(path)
    }
}

/// Entries of a glob set for one glob of the plan: the name itself, and everything in the folder.
const FORMS: usize = 2;

// === impl WorkTree ===

impl WorkTree {
    pub(crate) fn open(dirs: &WorkDirs) -> Self {
        let root = dirs.root.clone();
        let state = dirs.index.as_deref().and_then(|index| index.ancestors().nth(2));
        let own = state.and_then(|state| fs::canonicalize(state).ok());
        let own = own.filter(|own| own.starts_with(&root) && *own != root);
        Self { root, scratch: dirs.scratch.clone(), own }
    }

    /// # Errors
    /// The workspace is gone.
    pub(crate) fn confined(&self) -> io::Result<ConfinedDir> {
        ConfinedDir::open(&self.root)
    }

    fn is_hidden(&self, path: &Path) -> bool {
        path.file_name().is_some_and(|name| name == ".git")
            || self.own.as_deref().is_some_and(|own| own == path)
    }

    /// Everything in the workspace.
    ///
    /// # Errors
    /// It has too many paths, or it cannot be read. Paths that disappear meanwhile are no error.
    pub(crate) fn list(&self) -> io::Result<Listing> {
        let mut found = Listing::new();
        let mut open = vec![self.root.clone()];
        while let Some(folder) = open.pop() {
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(_) if folder != self.root => continue,
                Err(error) => return Err(error),
            };
            for entry in entries.flatten() {
                let path = entry.path();
                // Metadata of an entry is that of a link itself.
                let Ok(meta) = entry.metadata() else { continue };
                if self.is_hidden(&path) {
                    continue;
                }
                let kind = meta.file_type();
                if !(kind.is_file() || kind.is_dir() || kind.is_symlink()) {
                    continue;
                }
                if kind.is_dir() {
                    open.push(path.clone());
                }
                let inner = path.strip_prefix(&self.root).unwrap_or(&path).to_owned();
                found.insert(inner.into_os_string().into_vec(), Sig::of(&meta));
                if found.len() > MAX_PATHS {
                    let message = format!("it has more than {MAX_PATHS} paths");
                    return Err(io::Error::other(message));
                }
            }
        }
        Ok(found)
    }

    /// Paths of files that no `.gitignore` leaves out.
    pub(crate) fn sources(&self) -> Vec<Vec<u8>> {
        let mut walk = ignore::WalkBuilder::new(&self.root);
        walk.hidden(false).ignore(false).parents(false).git_global(false).require_git(false);
        let (own, root) = (self.own.clone(), self.root.clone());
        walk.filter_entry(move |entry| {
            entry.file_name() != ".git" && own.as_deref() != Some(entry.path())
        });
        let files = walk.build().flatten();
        let files = files.filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file()));
        let inner = files.filter_map(|entry| {
            let path = entry.path().strip_prefix(&root).ok()?.to_owned();
            Some(path.into_os_string().into_vec())
        });
        inner.take(MAX_PATHS).collect()
    }

    /// The hash of all files with these names, in the order of their paths.
    ///
    /// # Errors
    /// A glob is none, or the workspace cannot be read.
    pub(crate) fn hash_of_globs(&self, globs: &[&str]) -> io::Result<String> {
        let globs = Globs::new(globs).map_err(io::Error::other)?;
        let confined = self.confined()?;
        let mut hasher = Sha256::new();
        for (path, sig) in self.list()? {
            if sig.is_file() && globs.matches(&path) {
                let (hash, _) = client::hash(confined.read(&path)?)?;
                line(&mut hasher, &path, &hash.0);
            }
        }
        Ok(BlobHash(hasher.finalize().into()).to_string())
    }

    /// The hash of the workspace's sources: every file that no `.gitignore` excludes and that is
    /// not among the step's own artifacts.
    ///
    /// # Errors
    /// The errors of [`WorkTree::hash_of_globs`].
    pub(crate) fn tree_hash(
        &self,
        artifacts: &[String],
        hashes: &mut Hashes<'_>,
    ) -> io::Result<BlobHash> {
        let globs = Globs::new(artifacts).map_err(io::Error::other)?;
        let confined = self.confined()?;
        let listing = self.list()?;
        let mut paths = self.sources();
        paths.sort_unstable();
        let mut hasher = Sha256::new();
        for path in paths {
            let Some(sig) = listing.get(&path).filter(|_| !globs.matches(&path)) else { continue };
            let hash = match hashes.known(&path, sig) {
                Some(hash) => hash,
                None => client::hash(confined.read(&path)?)?.0,
            };
            hasher.update([u8::from(sig.is_executable())]);
            line(&mut hasher, &path, &hash.0);
        }
        Ok(BlobHash(hasher.finalize().into()))
    }
}

fn line(hasher: &mut Sha256, path: &[u8], hash: &[u8]) {
    hasher.update((path.len() as u64).to_le_bytes());
    hasher.update(path);
    hasher.update(hash);
}

/// The key of a pure step.
pub(crate) fn pure_key(spec: &PureSpec, tree: &BlobHash) -> BlobHash {
    let mut hasher = Sha256::new();
    hasher.update(b"plue pure step 1\n");
    hasher.update(spec.base.0);
    hasher.update(tree.0);
    hasher.update(std::env::consts::OS);
    hasher.update([0]);
    hasher.update(std::env::consts::ARCH);
    BlobHash(hasher.finalize().into())
}
