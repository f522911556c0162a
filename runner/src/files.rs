//! Files in folders that steps may write to, where every name may be a link, a pipe or a device.
//!
//! Must not follow a symbolic link that a step made, nor wait for the other end of a pipe.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    path::Path,
};

use rustix::fs::OFlags;

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

#[cfg(test)]
mod tests {
    use super::*;

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
