//! Files beneath one folder, reached without following any symbolic link.
//!
//! Whatever a path says and whatever lies in the folder, nothing outside of it is read, written or
//! removed. Must not resolve a path as a whole: each folder on the way is opened by itself.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Write},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, Stat},
    io::Errno,
};

use crate::Ids;

/// A folder. See the module.
#[derive(Debug)]
pub struct ConfinedDir {
    root: OwnedFd,
    ids: Ids,
}

/// How the names of files begin that are not whole yet; a secret of [`Ids`] follows.
const DRAFT: &str = ".plue-";
/// Characters of such a secret.
const SECRET_CHARS: usize = 40;

const FOLDER: OFlags =
    OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::RDONLY);

// === impl ConfinedDir ===

impl ConfinedDir {
    /// The folder at this path.
    ///
    /// # Errors
    /// There is none.
    pub fn open(root: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let root = rustix::fs::open(root, flags, Mode::empty())?;
        Ok(Self { root, ids: Ids::random() })
    }

    /// What is at a path; `None` if nothing is.
    ///
    /// # Errors
    /// The path leads outside, or cannot be looked at.
    pub fn stat(&self, path: &[u8]) -> io::Result<Option<Stat>> {
        let (parent, name) = match self.parent(path, false) {
            Ok(found) => found,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        match rustix::fs::statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The text of a symbolic link.
    ///
    /// # Errors
    /// There is none.
    pub fn link_text(&self, path: &[u8]) -> io::Result<Vec<u8>> {
        let (parent, name) = self.parent(path, false)?;
        Ok(rustix::fs::readlinkat(&parent, &name, Vec::new())?.into_bytes())
    }

    /// A file to read; nothing but a regular file is opened.
    ///
    /// # Errors
    /// There is none.
    pub fn read(&self, path: &[u8]) -> io::Result<File> {
        let (parent, name) = self.parent(path, false)?;
        // Not blocking: somebody may have put a pipe there.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::openat(&parent, &name, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(File::from(file))
    }

    /// Writes a file beside its place and puts it there whole; folders on the way are made. What was
    /// there goes, but not a folder with something in it.
    ///
    /// # Errors
    /// What `fill` says, or the place cannot be written.
    pub fn write(
        &self,
        path: &[u8],
        mode: u32,
        fill: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<()> {
        let (parent, name) = self.parent(path, true)?;
        let draft = OsString::from(format!("{DRAFT}{}", self.ids.secret()));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&parent, &draft, flags, Mode::from_raw_mode(0o600))?;
        let mut file = File::from(file);
        let written = fill(&mut file).and_then(|()| {
            file.flush()?;
            rustix::fs::fchmod(&file, Mode::from_raw_mode(mode & 0o777))?;
            self.make_room(&parent, &name)?;
            Ok(rustix::fs::renameat(&parent, &draft, &parent, &name)?)
        });
        if written.is_err() {
            let _gone = rustix::fs::unlinkat(&parent, &draft, AtFlags::empty());
        }
        written
    }

    /// Removes what calls of [`ConfinedDir::write`] that were killed have left beside a path. Not for places
    /// where somebody writes at the same time.
    ///
    /// # Errors
    /// The path leads outside, or its folder cannot be read.
    pub fn remove_drafts(&self, path: &[u8]) -> io::Result<()> {
        let (parent, _) = match self.parent(path, false) {
            Ok(found) => found,
            Err(error) if is_absent(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in rustix::fs::Dir::read_from(&parent)? {
            let entry = entry?;
            if is_draft(entry.file_name().to_bytes()) {
                rustix::fs::unlinkat(&parent, entry.file_name(), AtFlags::empty())?;
            }
        }
        Ok(())
    }

    /// Puts a symbolic link there, with whatever text.
    ///
    /// # Errors
    /// The place cannot be written.
    pub fn link(&self, path: &[u8], text: &[u8]) -> io::Result<()> {
        let (parent, name) = self.parent(path, true)?;
        self.make_room(&parent, &name)?;
        match rustix::fs::unlinkat(&parent, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(rustix::fs::symlinkat(OsStr::from_bytes(text), &parent, &name)?)
    }

    /// Makes a folder, or gives the one that is there these permissions.
    ///
    /// # Errors
    /// Something else is there, or the place cannot be written.
    pub fn folder(&self, path: &[u8], mode: u32) -> io::Result<()> {
        let (parent, name) = self.parent(path, true)?;
        let folder = step(&parent, &name, true)?;
        Ok(rustix::fs::fchmod(&folder, Mode::from_raw_mode(mode & 0o777))?)
    }

    /// Removes a file, a link or an empty folder. What is gone already is as good.
    ///
    /// # Errors
    /// It cannot be removed; a folder that is not empty stays.
    pub fn remove(&self, path: &[u8]) -> io::Result<()> {
        let (parent, name) = match self.parent(path, false) {
            Ok(found) => found,
            Err(error) if is_absent(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        match rustix::fs::unlinkat(&parent, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => {
                Ok(rustix::fs::unlinkat(&parent, &name, AtFlags::REMOVEDIR)?)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Moves what is at one path to another where nothing is.
    ///
    /// # Errors
    /// Something is there, or one of the places cannot be written.
    pub fn rename(&self, from: &[u8], to: &[u8]) -> io::Result<()> {
        let (old, from) = self.parent(from, false)?;
        let (new, to) = self.parent(to, true)?;
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        Ok(rustix::fs::renameat_with(&old, &from, &new, &to, flags)?)
    }

    /// An empty folder gives way to a file.
    fn make_room(&self, parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
        match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The folder that holds a path, and the path's last part.
    fn parent(&self, path: &[u8], make: bool) -> io::Result<(OwnedFd, OsString)> {
        if !is_inside(path) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path leads outside"));
        }
        let mut at = rustix::io::fcntl_dupfd_cloexec(self.root.as_fd(), 0)?;
        let mut parts = path.split(|byte| *byte == b'/').map(OsStr::from_bytes).peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return Ok((at, part.to_owned()));
            }
            at = step(&at, part, make)?;
        }
        Err(io::ErrorKind::InvalidInput.into())
    }
}

/// Whether a path has only plain parts: not empty, no `.`, no `..`, no NUL, not from the root.
#[must_use]
pub fn is_inside(path: &[u8]) -> bool {
    let plain = |part: &[u8]| !part.is_empty() && part != b"." && part != b"..";
    !path.contains(&0) && path.split(|byte| *byte == b'/').all(plain)
}

fn is_draft(name: &[u8]) -> bool {
    let secret = name.strip_prefix(DRAFT.as_bytes());
    secret.is_some_and(|rest| rest.len() == SECRET_CHARS && rest.iter().all(u8::is_ascii_hexdigit))
}

fn step(at: &OwnedFd, name: &OsStr, make: bool) -> io::Result<OwnedFd> {
    match rustix::fs::openat(at, name, FOLDER, Mode::empty()) {
        Err(Errno::NOENT) if make => {
            match rustix::fs::mkdirat(at, name, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            Ok(rustix::fs::openat(at, name, FOLDER, Mode::empty())?)
        }
        found => Ok(found?),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read as _};

    use super::*;

    fn world() -> (tempfile::TempDir, ConfinedDir) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("work")).unwrap();
        fs::write(folder.path().join("secret"), "s").unwrap();
        let confined = ConfinedDir::open(&folder.path().join("work")).unwrap();
        (folder, confined)
    }

    #[test]
    fn paths_that_lead_outside_are_refused() {
        let (_folder, confined) = world();
        for path in ["../secret", "/etc/passwd", "a/../../secret", "", "a//b", ".", "a/.", "a\0b"] {
            assert!(confined.read(path.as_bytes()).is_err(), "{path:?}");
            assert!(confined.write(path.as_bytes(), 0o644, |_| Ok(())).is_err(), "{path:?}");
            assert!(confined.stat(path.as_bytes()).is_err(), "{path:?}");
            assert!(confined.remove(path.as_bytes()).is_err(), "{path:?}");
        }
    }

    #[test]
    fn links_lead_nowhere() {
        let (folder, confined) = world();
        confined.link(b"out", b"..").unwrap();
        confined.link(b"file", b"../secret").unwrap();
        assert!(confined.read(b"out/secret").is_err());
        assert!(confined.write(b"out/new", 0o644, |_| Ok(())).is_err());
        confined.remove(b"out/secret").unwrap();
        assert!(confined.read(b"file").is_err());
        confined.write(b"file", 0o644, |file| file.write_all(b"mine")).unwrap();
        assert_eq!(fs::read(folder.path().join("secret")).unwrap(), b"s");
        assert_eq!(fs::read(folder.path().join("work/file")).unwrap(), b"mine");
        assert!(!folder.path().join("new").exists());
    }

    #[test]
    fn a_file_is_put_there_whole_or_not_at_all() {
        use std::os::unix::fs::PermissionsExt as _;
        let (folder, confined) = world();
        confined.write(b"a/b/c", 0o755, |file| file.write_all(b"one")).unwrap();
        let failed = confined.write(b"a/b/c", 0o644, |file| {
            file.write_all(b"tw")?;
            Err(io::Error::other("no more"))
        });
        assert!(failed.is_err());
        let mut text = String::new();
        confined.read(b"a/b/c").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "one");
        let path = folder.path().join("work/a/b");
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1, "no draft is left");
        let mode = fs::metadata(path.join("c")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
    }

    #[test]
    fn drafts_of_a_killed_write_go_and_nothing_else() {
        let (folder, confined) = world();
        let path = folder.path().join("work/a");
        confined.write(b"a/kept", 0o644, |_| Ok(())).unwrap();
        let draft = format!("{DRAFT}{}", Ids::random().secret());
        for name in [draft.as_str(), ".plue-mine", ".plue.py"] {
            fs::write(path.join(name), "").unwrap();
        }
        confined.remove_drafts(b"a/any").unwrap();
        confined.remove_drafts(b"absent/any").unwrap();
        assert!(!path.join(draft).exists());
        assert_eq!(fs::read_dir(&path).unwrap().count(), 3);
    }

    #[test]
    fn what_stands_in_the_way_goes_unless_it_would_take_something_along() {
        let (folder, confined) = world();
        confined.folder(b"empty", 0o755).unwrap();
        confined.write(b"empty", 0o644, |_| Ok(())).unwrap();
        confined.write(b"full/x", 0o644, |_| Ok(())).unwrap();
        assert!(confined.write(b"full", 0o644, |_| Ok(())).is_err());
        assert!(confined.remove(b"full").is_err());
        confined.remove(b"full/x").unwrap();
        confined.remove(b"full").unwrap();
        confined.remove(b"full").unwrap();
        confined.remove(b"full/x/y").unwrap();
        assert_eq!(fs::read_dir(folder.path().join("work")).unwrap().count(), 1);
    }
}
