//! Paths that a model names: inside one folder, or refused.
//!
//! The kernel resolves them inside the folder (`openat2`); links that stay inside are followed for
//! reading only. Must not open anything but regular files and folders, nor wait for a pipe.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read as _, Write as _},
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
};

use plue_runtime::ConfinedDir;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};

/// Bytes of a path.
const MAX_PATH_BYTES: usize = 4_000;

/// The folder that confines the paths of tools.
#[derive(Debug)]
pub(super) struct Jail {
    root: PathBuf,
    folder: OwnedFd,
    confined: ConfinedDir,
}

// === impl Jail ===

impl Jail {
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        Ok(Self {
            root: root.to_owned(),
            folder: rustix::fs::open(root, flags, Mode::empty())?,
            confined: ConfinedDir::open(root)?,
        })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The path relative to the folder, of plain parts; empty for the folder itself.
    ///
    /// # Errors
    /// The path leads outside of the folder.
    pub(super) fn plain(&self, path: &str) -> Result<String, String> {
        if path.contains('\0') || path.len() > MAX_PATH_BYTES {
            return Err(format!("a path has no NUL byte and at most {MAX_PATH_BYTES} bytes"));
        }
        let inside = match self.root.to_str().and_then(|root| path.strip_prefix(root)) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => rest.trim_start_matches('/'),
            Some(_) | None if path.starts_with('/') => return Err(self.outside(path)),
            Some(_) | None => path,
        };
        let mut parts = Vec::new();
        for part in inside.split('/') {
            match part {
                "" | "." => {}
                ".." => return Err(self.outside(path)),
                part => parts.push(part),
            }
        }
        Ok(parts.join("/"))
    }

    fn outside(&self, path: &str) -> String {
        format!(
            "{path:?} leads outside of {}; name paths in it, relative to it and without `..`",
            self.root.display()
        )
    }

    /// A regular file to read.
    ///
    /// # Errors
    /// There is none, in words.
    pub(super) fn file(&self, path: &str) -> Result<File, String> {
        let plain = self.plain(path)?;
        if plain.is_empty() {
            return Err(format!("{path:?} is a folder"));
        }
        self.open_file(&plain).map_err(|error| why(path, &error))
    }

    fn open_file(&self, plain: &str) -> io::Result<File> {
        // Not blocking: a pipe opens at once, or not at all.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let path = OsStr::from_bytes(plain.as_bytes());
        // Looked at before it is opened for reading: opening a device may do something.
        let look = OFlags::PATH | OFlags::CLOEXEC;
        let found = rustix::fs::openat2(&self.folder, path, look, Mode::empty(), resolve)?;
        regular(&found)?;
        let file = rustix::fs::openat2(&self.folder, path, flags, Mode::empty(), resolve)?;
        regular(&file)?;
        Ok(File::from(file))
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// There is none, or it is larger than `limit`, in words.
    pub(super) fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let read = self.file(path)?.take(limit as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|error| why(path, &error))?;
        if bytes.len() > limit {
            return Err(format!("{path:?} is larger than {limit} bytes"));
        }
        Ok(bytes)
    }

    /// Whether there is a regular file that may be written, or nothing.
    ///
    /// # Errors
    /// Something else is there, or the place is not to be written, in words.
    pub(super) fn may_write(&self, path: &str) -> Result<Option<u32>, String> {
        let plain = self.plain(path)?;
        if plain.is_empty() {
            return Err(format!("{path:?} is a folder"));
        }
        // Files there run programs: hooks, filters, the configuration.
        if plain.split('/').any(|part| part.eq_ignore_ascii_case(".git")) {
            return Err(format!("{path:?} belongs to Git and is not written; use the tool `git`"));
        }
        let stat = self.confined.stat(plain.as_bytes()).map_err(|error| why(path, &error))?;
        match stat.map(|stat| (FileType::from_raw_mode(stat.st_mode), stat.st_mode)) {
            None => Ok(None),
            Some((FileType::RegularFile, mode)) => Ok(Some(mode & 0o777)),
            Some((FileType::Symlink, _)) => {
                Err(format!("{path:?} is a symbolic link; write to the file that it leads to"))
            }
            Some(_) => Err(format!("{path:?} is not a regular file")),
        }
    }

    /// Writes a file whole, with the folders that it lies in.
    ///
    /// # Errors
    /// As [`Jail::may_write`].
    pub(super) fn write(&self, path: &str, bytes: &[u8]) -> Result<bool, String> {
        let mode = self.may_write(path)?;
        let plain = self.plain(path)?;
        let fill = |file: &mut File| file.write_all(bytes);
        let written = self.confined.write(plain.as_bytes(), mode.unwrap_or(0o644), fill);
        written.map_err(|error| why(path, &error))?;
        Ok(mode.is_none())
    }

    /// Whether there is a folder, reached without links.
    ///
    /// # Errors
    /// It leads outside, or there is none.
    pub(super) fn folder(&self, path: &str) -> Result<String, String> {
        let plain = self.plain(path)?;
        if plain.is_empty() {
            return Ok(plain);
        }
        let stat = self.confined.stat(plain.as_bytes()).map_err(|error| why(path, &error))?;
        let kind = stat.map(|stat| FileType::from_raw_mode(stat.st_mode));
        match kind {
            Some(FileType::Directory | FileType::RegularFile) => Ok(plain),
            Some(FileType::Symlink) => Err(format!("{path:?} is a symbolic link")),
            Some(_) => Err(format!("{path:?} is neither a folder nor a regular file")),
            None => Err(format!("{path:?} does not exist")),
        }
    }
}

fn regular(file: &OwnedFd) -> io::Result<()> {
    let stat = rustix::fs::fstat(file)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(()),
        FileType::Directory => Err(io::ErrorKind::IsADirectory.into()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    }
}

fn why(path: &str, error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EXDEV | libc::ELOOP) => {
            format!("{path:?} leads through a symbolic link that is not followed")
        }
        Some(libc::ENXIO) => format!("{path:?} is not a regular file"),
        _ => match error.kind() {
            io::ErrorKind::NotFound => format!("{path:?} does not exist"),
            io::ErrorKind::IsADirectory => format!("{path:?} is a folder; use the tool `glob`"),
            io::ErrorKind::NotADirectory => {
                format!("{path:?}: a part of the path is a file or a symbolic link")
            }
            _ => format!("{path:?}: {error}"),
        },
    }
}
