//! The low-water mark of the disk, below which runs of forks wait, and the disk usage of folders.

use std::{
    fmt, fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::sys::statvfs::statvfs;

/// Default of [`LowWater::min_free_bytes`].
pub const MIN_FREE_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// Default of [`LowWater::min_free_percent`].
pub const MIN_FREE_PERCENT: u64 = 2;

const GIB: u64 = 1024 * 1024 * 1024;
const MIB: u64 = 1024 * 1024;

/// Limits of free space below which the disk counts as nearly full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LowWater {
    /// Fewest free bytes.
    pub min_free_bytes: u64,
    /// Smallest free share of all bytes and of all inodes, in percent.
    pub min_free_percent: u64,
}

/// Size of a file system, and the part of it that is free for this user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Free bytes, without those that the file system reserves.
    pub free: u64,
    /// Bytes of the whole file system.
    pub size: u64,
    /// Free inodes, without those that the file system reserves.
    pub free_inodes: u64,
    /// All inodes; 0 where the file system has no table of them.
    pub inodes: u64,
}

/// Most paths in the folders of a run; more count as too many bytes.
pub const MAX_RUN_PATHS: u64 = 2_000_000;
/// Bytes of one unit of [`fs::Metadata`]'s `blocks`, independent of the file system's block size.
const BLOCK: u64 = 512;

/// Disk usage of some folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes on disk; [`u64::MAX`] with more than [`MAX_RUN_PATHS`] paths.
    pub bytes: u64,
    /// Directory entries that were counted.
    pub paths: u64,
}

/// Measures folders until they exceed `enough` bytes. Blocks. Entries that disappear or are unreadable are not
/// counted; links are not followed.
#[must_use]
pub fn usage(folders: Vec<PathBuf>, enough: u64) -> Usage {
    let (mut open, mut found) = (folders, Usage::default());
    while let Some(folder) = open.pop() {
        let is_folder = fs::symlink_metadata(&folder).is_ok_and(|seen| seen.is_dir());
        let Some(entries) = is_folder.then(|| fs::read_dir(&folder).ok()).flatten() else {
            continue;
        };
        for entry in entries.flatten() {
            // Metadata of an entry is that of a link itself.
            let Ok(seen) = entry.metadata() else { continue };
            found.paths += 1;
            found.bytes = found.bytes.saturating_add(seen.blocks().saturating_mul(BLOCK));
            if found.paths > MAX_RUN_PATHS {
                return Usage { bytes: u64::MAX, ..found };
            }
            if found.bytes > enough {
                return found;
            }
            if seen.is_dir() {
                open.push(entry.path());
            }
        }
    }
    found
}

/// Displays bytes in MiB or GiB.
#[derive(Debug, Clone, Copy)]
pub struct Bytes(pub u64);

// === impl Space ===

impl Space {
    /// Measures the file system of a path.
    ///
    /// # Errors
    /// The error of `statvfs`.
    #[expect(
        clippy::useless_conversion,
        reason = "the widths of these fields differ between systems"
    )]
    pub fn of(path: &Path) -> io::Result<Self> {
        let stat = statvfs(path)?;
        let unit = u64::from(stat.fragment_size());
        Ok(Self {
            free: u64::from(stat.blocks_available()).saturating_mul(unit),
            size: u64::from(stat.blocks()).saturating_mul(unit),
            free_inodes: u64::from(stat.files_available()),
            inodes: u64::from(stat.files()),
        })
    }

    /// The free space and the limit that it is below, for people; `None`: it is above the mark.
    #[must_use]
    pub fn below(&self, mark: &LowWater) -> Option<String> {
        let (free, size) = (Bytes(self.free), Bytes(self.size));
        if self.free < mark.min_free_bytes {
            let least = Bytes(mark.min_free_bytes);
            return Some(format!("{free} of {size} free, limits.min_free_bytes is {least}"));
        }
        let percent = mark.min_free_percent;
        if is_less(self.free, self.size, percent) {
            return Some(format!("{free} of {size} free, limits.min_free_percent is {percent}"));
        }
        let (left, all) = (self.free_inodes, self.inodes);
        is_less(left, all, percent)
            .then(|| format!("{left} of {all} inodes free, limits.min_free_percent is {percent}"))
    }
}

/// Whether a part is less than `percent` of the whole.
fn is_less(part: u64, whole: u64, percent: u64) -> bool {
    u128::from(part) * 100 < u128::from(whole) * u128::from(percent)
}

// === impl LowWater ===

impl Default for LowWater {
    fn default() -> Self {
        Self { min_free_bytes: MIN_FREE_BYTES, min_free_percent: MIN_FREE_PERCENT }
    }
}

impl LowWater {
    /// The space of a path's file system, and the reason, for people, that it is too full for runs of forks. An
    /// unreadable file system counts as too full (fail closed).
    #[must_use]
    pub fn reached(&self, path: &Path) -> (Option<Space>, Option<String>) {
        match Space::of(path) {
            Ok(space) => (Some(space), space.below(self)),
            Err(error) => (None, Some(format!("{}: {error}", path.display()))),
        }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = if self.0 >= GIB { (GIB, "GiB") } else { (MIB, "MiB") };
        let tenths = u128::from(self.0) * 10 / u128::from(unit);
        write!(f, "{}.{} {name}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_water_counts_bytes_share_and_inodes() {
        let mark = LowWater { min_free_bytes: 2 * GIB, min_free_percent: 5 };
        let whole = Space { free: 50 * GIB, size: 100 * GIB, free_inodes: 90, inodes: 100 };
        let table = [
            (whole, None),
            (Space { free: GIB + GIB / 2, ..whole }, Some("1.5 GiB of 100.0 GiB free")),
            (Space { free: 4 * GIB, ..whole }, Some("limits.min_free_percent is 5")),
            (Space { free_inodes: 4, ..whole }, Some("4 of 100 inodes free")),
            (Space { free_inodes: 0, inodes: 0, ..whole }, None),
        ];
        for (space, expected) in table {
            let found = space.below(&mark);
            assert_eq!(found.is_some(), expected.is_some(), "{space:?}");
            let text = found.unwrap_or_default();
            assert!(text.contains(expected.unwrap_or_default()), "{text}");
        }
    }

    #[test]
    fn usage_counts_blocks_and_stops_early() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("full"), vec![1; 1024 * 1024]).unwrap();
        fs::File::create(inner.join("sparse")).unwrap().set_len(1 << 40).unwrap();
        std::os::unix::fs::symlink("/", inner.join("link")).unwrap();
        let of = |enough| usage(vec![folder.path().to_owned()], enough);
        let all = of(u64::MAX);
        assert_eq!(all.paths, 5);
        assert!((MIB..2 * MIB).contains(&all.bytes), "{all:?}");
        for n in 0..100 {
            fs::write(inner.join(format!("more{n}")), "x").unwrap();
        }
        assert!(of(0).paths < 5, "it stops early");
        assert_eq!(usage(vec![folder.path().join("none")], 0), Usage::default());
    }

    #[test]
    fn unreadable_disks_count_as_full() {
        let (space, low) = LowWater::default().reached(Path::new("/nowhere/at/all"));
        assert_eq!(space, None);
        assert!(low.is_some_and(|why| why.contains("/nowhere/at/all")));
        assert!(Space::of(Path::new("/")).unwrap().size > 0);
    }
}
