//! Properties of the runner's process, folders and files that steps can change: their user is the runner's.
//!
//! Must not take what cannot be read for unchanged.

use std::{
    fs, io,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{ioctl_getflags, lgetxattr, llistxattr},
    io::Errno,
};

use crate::{files, system};

/// Properties that other processes of the same user may set and later steps inherit.
const PROCESS_FILES: [&str; 4] = ["limits", "coredump_filter", "oom_score_adj", "timerslack_ns"];
/// The same in `/proc/self/status`.
const STATUS: [&str; 3] = ["Umask:", "Cpus_allowed:", "Mems_allowed:"];
/// The same in `/proc/self/stat`, counted from 0 behind the name: niceness, priority and policy.
const STAT: [usize; 3] = [16, 37, 38];
/// Bytes of the names of all extended attributes of a path, and of each value, at most.
const MAX_ATTRIBUTE_BYTES: usize = 4_096;
/// Bytes of a file that are compared.
const MAX_FILE_BYTES: usize = 4_096;

/// The properties at one time, to be compared with those of another.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Marks {
    process: Vec<String>,
    paths: Vec<(PathBuf, PathMark)>,
}

/// The properties of a folder without its entries, or of a small file.
#[derive(Debug, PartialEq, Eq)]
struct PathMark {
    /// Device, inode, mode, user and group.
    identity: (u64, u64, u32, u32, u32),
    attributes: Vec<(Vec<u8>, Vec<u8>)>,
    /// Flags of the file system, such as append-only.
    flags: u32,
    content: Vec<u8>,
}

// === impl Marks ===

impl Marks {
    /// The marks of this process and of these paths; `None` if one cannot be read.
    pub(super) fn take(paths: Vec<PathBuf>) -> Option<Self> {
        let marked = |path: PathBuf| PathMark::of(&path).map(|mark| (path, mark));
        let paths = paths.into_iter().map(marked).collect::<io::Result<_>>().ok()?;
        Some(Self { process: process().ok()?, paths })
    }

    /// Whether all is as it was.
    pub(super) fn still_hold(&self) -> bool {
        let paths = self.paths.iter().map(|(path, _)| path.clone()).collect();
        Self::take(paths).is_some_and(|now| now == *self)
    }
}

fn process() -> io::Result<Vec<String>> {
    let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}"));
    let mut marks = PROCESS_FILES.iter().map(|name| read(name)).collect::<io::Result<Vec<_>>>()?;
    let status = read("status")?;
    let is_marked = |line: &&str| STATUS.iter().any(|name| line.starts_with(name));
    marks.extend(status.lines().filter(is_marked).map(str::to_owned));
    let stat = read("stat")?;
    let (_, behind_name) = stat.rsplit_once(')').ok_or(io::ErrorKind::InvalidData)?;
    let fields: Vec<_> = behind_name.split_ascii_whitespace().collect();
    for at in STAT {
        marks.push((*fields.get(at).ok_or(io::ErrorKind::InvalidData)?).to_owned());
    }
    marks.push(system::io_priority()?.to_string());
    Ok(marks)
}

// === impl PathMark ===

impl PathMark {
    fn of(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        let identity = (found.dev(), found.ino(), found.mode(), found.uid(), found.gid());
        let (mut flags, mut content) = (0, Vec::new());
        if found.is_dir() {
            flags = flags_of(&fs::File::open(path)?)?;
        } else if found.is_file() {
            flags = flags_of(&files::open(path)?)?;
            content = files::read(path, MAX_FILE_BYTES)?;
        }
        Ok(Self { identity, attributes: attributes(path)?, flags, content })
    }
}

fn flags_of(file: &fs::File) -> io::Result<u32> {
    match ioctl_getflags(file) {
        Ok(flags) => Ok(flags.bits()),
        // The file system has none.
        Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

fn attributes(path: &Path) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut names = [0; MAX_ATTRIBUTE_BYTES];
    let length = match llistxattr(path, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let names = names.get(..length).unwrap_or_default().split(|byte| *byte == 0);
    let pairs = names.filter(|name| !name.is_empty()).map(|name| {
        let mut value = [0; MAX_ATTRIBUTE_BYTES];
        let length = lgetxattr(path, std::ffi::OsStr::from_bytes(name), &mut value[..])?;
        Ok((name.to_vec(), value.get(..length).unwrap_or_default().to_vec()))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn changed_folders_and_files_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "one").unwrap();
        let marks = || Marks::take(vec![folder.path().to_owned(), file.clone()]);
        let first = marks().unwrap();
        fs::write(folder.path().join("other"), "").unwrap();
        assert!(first.still_hold(), "entries are not marked");
        fs::write(&file, "two").unwrap();
        assert!(!first.still_hold());
        let second = marks().unwrap();
        let usual = fs::metadata(folder.path()).unwrap().permissions();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
        assert!(!second.still_hold());
        fs::set_permissions(folder.path(), usual).unwrap();
        assert!(second.still_hold());
        fs::remove_file(&file).unwrap();
        assert!(!second.still_hold() && marks().is_none());
    }

    #[test]
    fn attributes_of_folders_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let first = Marks::take(vec![folder.path().to_owned()]).unwrap();
        let flags = rustix::fs::XattrFlags::empty();
        match rustix::fs::setxattr(folder.path(), "user.left", b"value", flags) {
            Ok(()) => assert!(!first.still_hold()),
            Err(error) => eprintln!("NOT PROVEN: no attributes here: {error}"),
        }
    }

    #[test]
    fn changed_limits_are_noticed() {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let first = Marks::take(Vec::new()).unwrap();
        let limit = getrlimit(Resource::Core);
        let lower = Rlimit { current: Some(limit.maximum.map_or(4_096, |most| most / 2)), ..limit };
        let differs = lower != limit;
        setrlimit(Resource::Core, lower).unwrap();
        let holds = first.still_hold();
        setrlimit(Resource::Core, limit).unwrap();
        assert!(differs && !holds && first.still_hold());
    }
}
