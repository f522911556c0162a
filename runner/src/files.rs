//! Files in folders that steps may write to, where every name may be a link, a pipe or a device.
//!
//! Must not follow a symbolic link that a step made, nor wait for the other end of a pipe.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    os::unix::{
        ffi::OsStringExt as _,
        fs::{FileTypeExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

/// The field of mountinfo with the mount point, counted from 0.
const MOUNT_POINT: usize = 4;

/// Opens a regular file.
///
/// # Errors
/// There is none, or something else is there: a link, a pipe, a device.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    open_with(OpenOptions::new().read(true), path)
}

/// Opens a regular file to read and write.
///
/// # Errors
/// The errors of [`open`].
pub(crate) fn open_to_write(path: &Path) -> io::Result<File> {
    open_with(OpenOptions::new().read(true).write(true), path)
}

/// Makes a file, in the place of a file, link or pipe that is there.
///
/// # Errors
/// It cannot be made, or a folder or device is there: no step puts one under a name of the runner by
/// mistake, and it may be the machine's.
pub(crate) fn create(path: &Path, mode: u32) -> io::Result<File> {
    match fs::symlink_metadata(path).map(|meta| meta.file_type()) {
        Ok(kind) if kind.is_dir() || kind.is_char_device() || kind.is_block_device() => {
            return Err(irregular("not a regular file"));
        }
        Ok(_) => fs::remove_file(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(path)
}

/// The bytes of a regular file, at most so many and one: more is more than `limit`.
///
/// # Errors
/// The errors of [`open`].
pub(crate) fn read(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    bytes(open(path)?, limit)
}

/// The same of a file that people made, perhaps as a link to one.
///
/// # Errors
/// There is none, or it leads to something else.
pub(crate) fn read_followed(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(flags(OFlags::NONBLOCK)).open(path)?;
    bytes(only_regular(file)?, limit)
}

fn open_with(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    // Nothing is waited for: a pipe opens at once, or not at all.
    let flags = flags(OFlags::NOFOLLOW | OFlags::NONBLOCK);
    match options.custom_flags(flags).open(path) {
        Ok(file) => only_regular(file),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            Err(irregular("a symbolic link"))
        }
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {
            Err(irregular("not a regular file"))
        }
        Err(error) => Err(error),
    }
}

fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

fn only_regular(file: File) -> io::Result<File> {
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(irregular("not a regular file")),
    }
}

fn irregular(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

fn bytes(file: File, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Removes everything in a folder but these paths and the folders above them; `false` if something else
/// remains. Nothing below a kept path is looked at: it may be a mount of other files.
pub(crate) fn empty(folder: &Path, kept: &[PathBuf]) -> bool {
    // Not through a link that replaces a folder: the last part of the path is opened as it is.
    let is_folder = fs::symlink_metadata(folder).is_ok_and(|found| found.is_dir());
    is_folder && remove_entries(folder, kept).is_ok_and(|()| has_only(folder, kept))
}

fn remove_entries(folder: &Path, kept: &[PathBuf]) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if kept.contains(&path) {
            continue;
        }
        let is_folder = entry.file_type()?.is_dir();
        if is_folder && kept.iter().any(|kept| kept.starts_with(&path)) {
            remove_entries(&path, kept)?;
        } else if is_folder {
            fs::remove_dir_all(path)?;
        } else {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Whether a folder has no entry but kept ones and those above them.
fn has_only(folder: &Path, kept: &[PathBuf]) -> bool {
    let Ok(mut entries) = fs::read_dir(folder) else { return false };
    entries.all(|entry| {
        entry.is_ok_and(|entry| kept.iter().any(|kept| kept.starts_with(entry.path())))
    })
}

/// The mount points of this process.
///
/// # Errors
/// They cannot be read.
pub(crate) fn mount_points() -> io::Result<Vec<PathBuf>> {
    let text = fs::read("/proc/self/mountinfo")?;
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let points = lines.map(|line| {
        let field = line.split(|byte| *byte == b' ').nth(MOUNT_POINT);
        let field = field.ok_or_else(|| io::Error::other("a mount has no mount point"))?;
        Ok(PathBuf::from(OsString::from_vec(unescaped(field))))
    });
    points.collect()
}

/// A field of mountinfo, in which `\040` is a space.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let (mut text, mut rest) = (Vec::with_capacity(field.len()), field);
    while let Some((first, after)) = rest.split_first() {
        let octal = after.first_chunk::<3>().filter(|_| *first == b'\\');
        let octal = octal.and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                text.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                text.push(*first);
                rest = after;
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_paths_survive_the_emptying() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["state/runners/mounted", "state/other", "build"] {
            fs::create_dir_all(at(name)).unwrap();
            fs::write(at(name).join("file"), "").unwrap();
        }
        std::os::unix::fs::symlink(at("state"), at("link")).unwrap();
        assert!(empty(folder.path(), &[at("state/runners/mounted"), at("absent")]));
        assert!(at("state/runners/mounted/file").exists());
        let left = |path: PathBuf| fs::read_dir(path).unwrap().count();
        assert_eq!((left(at("")), left(at("state")), left(at("state/runners"))), (1, 1, 1));
        assert!(!empty(&at("absent"), &[]));
    }

    #[test]
    fn mount_points_are_unescaped() {
        assert_eq!(unescaped(br"/a\040b\134c"), br"/a b\c");
        assert!(mount_points().unwrap().contains(&PathBuf::from("/")));
    }

    #[test]
    fn only_regular_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "text").unwrap();
        std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
        let pipe = rustix::fs::FileType::Fifo;
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, path("pipe"), pipe, mode, 0).unwrap();
        assert_eq!(read(&path("file"), 2).unwrap(), b"tex");
        assert_eq!(read_followed(&path("link"), 9).unwrap(), b"text");
        for name in ["link", "pipe", "."] {
            assert!(open(&path(name)).is_err(), "{name}");
            assert!(open_to_write(&path(name)).is_err(), "{name}");
        }
        assert!(read_followed(&path("pipe"), 9).is_err());
        for name in ["link", "pipe"] {
            let mut made = create(&path(name), 0o600).unwrap();
            io::Write::write_all(&mut made, b"new").unwrap();
            assert_eq!(read(&path(name), 9).unwrap(), b"new");
        }
        assert_eq!(read(&path("file"), 9).unwrap(), b"text");
        // A device of the machine is left alone.
        assert!(create(Path::new("/dev/full"), 0o600).is_err());
        assert!(fs::metadata("/dev/full").unwrap().file_type().is_char_device());
    }
}
