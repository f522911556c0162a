//! Files in one folder, reached without following any symbolic link.
//!
//! Nothing outside the folder is read, written or removed, whatever a path contains and whatever lies
//! in the folder: the kernel resolves every path within it (`openat2`, Linux 5.6).

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Write},
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::Path,
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat},
    io::Errno,
};

use crate::Ids;

/// A folder that confines the paths of its files. See the module.
#[derive(Debug)]
pub struct ConfinedDir {
    root: OwnedFd,
    ids: Ids,
}

/// Prefix of the names of unfinished files; a secret of [`Ids`] follows.
const DRAFT: &str = ".plue-";
/// Characters of such a secret.
const SECRET_CHARS: usize = 40;

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC).union(OFlags::RDONLY);
const CONFINED: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);

// === impl ConfinedDir ===

impl ConfinedDir {
    /// Opens the folder at a path.
    ///
    /// # Errors
    /// There is none, or the kernel or a seccomp profile does not permit `openat2`.
    pub fn open(root: &Path) -> io::Result<Self> {
        let root = rustix::fs::open(root, FOLDER, Mode::empty())?;
        match openat2(&root, OsStr::new("."), FOLDER) {
            Ok(_) => Ok(Self { root, ids: Ids::random() }),
            Err(Errno::NOSYS | Errno::PERM) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "openat2 is not permitted: it needs Linux 5.6 and a seccomp profile that allows it",
            )),
            Err(error) => Err(error.into()),
        }
    }

    /// The metadata at a path; `None` if nothing is there.
    ///
    /// # Errors
    /// The path leads outside, or its metadata cannot be read.
    pub fn stat(&self, path: &[u8]) -> io::Result<Option<Stat>> {
        let Some((parent, name)) = self.existing_parent(path)? else { return Ok(None) };
        match rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The target of a symbolic link, as it is written.
    ///
    /// # Errors
    /// There is none.
    pub fn link_text(&self, path: &[u8]) -> io::Result<Vec<u8>> {
        let (parent, name) = self.parent(path)?;
        Ok(rustix::fs::readlinkat(&parent, name, Vec::new())?.into_bytes())
    }

    /// Opens a file to read; only regular files are opened.
    ///
    /// # Errors
    /// There is none.
    pub fn read(&self, path: &[u8]) -> io::Result<File> {
        let (parent, name) = self.parent(path)?;
        // Not blocking: the file may be a pipe.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::openat(&parent, name, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(File::from(file))
    }

    /// Writes a file under another name in its folder, then renames it into place; missing folders
    /// are made. Replaces a file, a link or an empty folder.
    ///
    /// # Errors
    /// Errors of `fill`, or the path cannot be written.
    pub fn write(
        &self,
        path: &[u8],
        mode: u32,
        fill: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<()> {
        let (parent, name) = self.made_parent(path)?;
        let draft = OsString::from(format!("{DRAFT}{}", self.ids.secret()));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&parent, &draft, flags, Mode::from_raw_mode(0o600))?;
        let mut file = File::from(file);
        let written = fill(&mut file).and_then(|()| {
            file.flush()?;
            rustix::fs::fchmod(&file, Mode::from_raw_mode(mode & 0o777))?;
            remove_empty_folder(&parent, name)?;
            Ok(rustix::fs::renameat(&parent, &draft, &parent, name)?)
        });
        if written.is_err() {
            let _gone = rustix::fs::unlinkat(&parent, &draft, AtFlags::empty());
        }
        written
    }

    /// Removes unfinished files that killed calls of [`ConfinedDir::write`] left in the folder of a
    /// path. Not for folders that are written at the same time.
    ///
    /// # Errors
    /// The path leads outside, or its folder cannot be read.
    pub fn remove_drafts(&self, path: &[u8]) -> io::Result<()> {
        let Some((parent, _)) = self.existing_parent(path)? else { return Ok(()) };
        for entry in rustix::fs::Dir::read_from(&parent)? {
            let entry = entry?;
            if is_draft(entry.file_name().to_bytes()) {
                rustix::fs::unlinkat(&parent, entry.file_name(), AtFlags::empty())?;
            }
        }
        Ok(())
    }

    /// Makes a symbolic link with any target; replaces a file, a link or an empty folder.
    ///
    /// # Errors
    /// The path cannot be written.
    pub fn link(&self, path: &[u8], text: &[u8]) -> io::Result<()> {
        let (parent, name) = self.made_parent(path)?;
        remove_empty_folder(&parent, name)?;
        match rustix::fs::unlinkat(&parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(rustix::fs::symlinkat(OsStr::from_bytes(text), &parent, name)?)
    }

    /// Makes a folder, or gives an existing one these permissions.
    ///
    /// # Errors
    /// Something else is there, or the path cannot be written.
    pub fn folder(&self, path: &[u8], mode: u32) -> io::Result<()> {
        let folder = self.made_folder(inside(path)?)?;
        Ok(rustix::fs::fchmod(&folder, Mode::from_raw_mode(mode & 0o777))?)
    }

    /// Removes a file, a link or an empty folder, if it is there.
    ///
    /// # Errors
    /// It cannot be removed, such as a folder that is not empty.
    pub fn remove(&self, path: &[u8]) -> io::Result<()> {
        let Some((parent, name)) = self.existing_parent(path)? else { return Ok(()) };
        match rustix::fs::unlinkat(&parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => {
                Ok(rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR)?)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Moves a file, link or folder to a path where nothing is.
    ///
    /// # Errors
    /// Something is there, or one of the paths cannot be written.
    pub fn rename(&self, from: &[u8], to: &[u8]) -> io::Result<()> {
        let (old, from) = self.parent(from)?;
        let (new, to) = self.made_parent(to)?;
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        Ok(rustix::fs::renameat_with(&old, from, &new, to, flags)?)
    }

    /// The folder of a path, and its last part.
    fn parent<'a>(&self, path: &'a [u8]) -> io::Result<(OwnedFd, &'a OsStr)> {
        let (folder, name) = split(inside(path)?);
        Ok((openat2(&self.root, folder, FOLDER)?, name))
    }

    /// The same; `None` if there is no such folder.
    fn existing_parent<'a>(&self, path: &'a [u8]) -> io::Result<Option<(OwnedFd, &'a OsStr)>> {
        let (folder, name) = split(inside(path)?);
        match openat2(&self.root, folder, FOLDER) {
            Ok(folder) => Ok(Some((folder, name))),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The same; the folder is made if there is none.
    fn made_parent<'a>(&self, path: &'a [u8]) -> io::Result<(OwnedFd, &'a OsStr)> {
        let (folder, name) = split(inside(path)?);
        Ok((self.made_folder(folder)?, name))
    }

    fn made_folder(&self, path: &OsStr) -> io::Result<OwnedFd> {
        match openat2(&self.root, path, FOLDER) {
            Err(Errno::NOENT) if path != "." => {}
            found => return Ok(found?),
        }
        let (outer, name) = split(path);
        let outer = self.made_folder(outer)?;
        match rustix::fs::mkdirat(&outer, name, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(openat2(&outer, name, FOLDER)?)
    }
}

/// Whether a path has only plain parts: not empty, no `.`, no `..`, no NUL, not from the root.
#[must_use]
pub fn is_inside(path: &[u8]) -> bool {
    let plain = |part: &[u8]| !part.is_empty() && part != b"." && part != b"..";
    !path.contains(&0) && path.split(|byte| *byte == b'/').all(plain)
}

fn inside(path: &[u8]) -> io::Result<&OsStr> {
    if is_inside(path) {
        return Ok(OsStr::from_bytes(path));
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "the path leads outside"))
}

/// The folder and the last part of a path.
fn split(path: &OsStr) -> (&OsStr, &OsStr) {
    let bytes = path.as_bytes();
    match bytes.iter().rposition(|byte| *byte == b'/') {
        Some(at) => {
            let (folder, name) = bytes.split_at(at);
            (OsStr::from_bytes(folder), OsStr::from_bytes(name.get(1..).unwrap_or_default()))
        }
        None => (OsStr::new("."), path),
    }
}

/// Opens a path within a folder. A symbolic link on the way counts as something that is no folder.
fn openat2(folder: &OwnedFd, path: &OsStr, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    match rustix::fs::openat2(folder, path, flags, Mode::empty(), CONFINED) {
        Err(Errno::LOOP) => Err(Errno::NOTDIR),
        found => found,
    }
}

/// Makes room for a file.
fn remove_empty_folder(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn is_draft(name: &[u8]) -> bool {
    let secret = name.strip_prefix(DRAFT.as_bytes());
    secret.is_some_and(|rest| rest.len() == SECRET_CHARS && rest.iter().all(u8::is_ascii_hexdigit))
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
    fn symbolic_links_are_not_followed() {
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
    fn failed_writes_leave_the_old_file() {
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
    fn only_drafts_of_killed_writes_are_removed() {
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
    fn only_empty_folders_are_replaced() {
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
