//! Ownership of files: where this process is root, untrusted steps run as another user.
//!
//! Must not follow links: the content of a workspace is untrusted.

use std::{io, os::fd::OwnedFd, path::Path};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Uid, chownat, openat};
use sha2::{Digest as _, Sha256};

/// The first id of the users that own untrusted workspaces; far above those of people and programs.
/// There are 65,536 of them.
const FIRST_OWNER: u32 = 0x6c70_0000;
/// The user of the steps of own commits where this process is root: 1819279359.
pub(super) const OWN_USER: u32 = FIRST_OWNER - 1;
/// Depth of nested folders at most; deeper ones keep their owner.
const MAX_DEPTH: u32 = 256;

/// The user of a workspace: stable, and shared with few other workspaces.
pub(super) fn owner_of(workspace: &Path) -> u32 {
    let hash = Sha256::digest(workspace.as_os_str().as_encoded_bytes());
    FIRST_OWNER + u32::from(u16::from_be_bytes([hash[0], hash[1]]))
}

/// Gives a folder and everything in it to a user.
///
/// # Errors
/// It cannot be read or given.
pub(super) fn give(folder: &Path, owner: u32) -> io::Result<()> {
    let whose = (Uid::from_raw(owner), Gid::from_raw(owner));
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    let opened = openat(CWD, folder, flags, Mode::empty())?;
    chownat(&opened, c"", Some(whose.0), Some(whose.1), AtFlags::EMPTY_PATH)?;
    within(&opened, whose, MAX_DEPTH)
}

fn within(folder: &OwnedFd, whose: (Uid, Gid), depth: u32) -> io::Result<()> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let (user, group) = (Some(whose.0), Some(whose.1));
        chownat(folder, name, user, group, AtFlags::SYMLINK_NOFOLLOW)?;
        if entry.file_type() == FileType::Directory && depth > 0 {
            let inner = openat(folder, name, flags, Mode::empty())?;
            within(&inner, whose, depth - 1)?;
        }
    }
    Ok(())
}
