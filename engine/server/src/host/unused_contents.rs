//! Removal of submodule mirrors and contents of Git LFS that no run has used for a while.

use std::{
    fs::Metadata,
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use plue_runtime::Tasks;

use crate::{
    error::Error,
    lfs::OBJECTS,
    state_dir::StateDir,
    submodules::{MODULES, USED},
};

/// Retention after the last use.
const RETENTION: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// A content used within this time may be in use.
const BUSY: Duration = Duration::from_secs(60 * 60);
/// Bytes of the packs of one submodule's mirror; larger ones are removed early.
const MAX_MODULE_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// Bytes of the contents of one repository; beyond them the least recently used go first.
const MAX_LFS_BYTES: u64 = 20 * 1024 * 1024 * 1024;

/// Removes unused submodule mirrors and contents of Git LFS.
///
/// # Errors
/// [`Error::Folder`] if the mirrors cannot be listed.
pub(super) async fn remove(state: &StateDir, tasks: &Tasks, now: SystemTime) -> Result<(), Error> {
    let folder = state.folder("mirrors")?;
    let path = folder.display().to_string();
    let swept = tasks.spawn_blocking(move || sweep(&folder, now)).await;
    swept.map_err(|_| Error::Stopped)?.map_err(|source| Error::Folder { path, source })
}

fn sweep(mirrors: &Path, now: SystemTime) -> io::Result<()> {
    for mirror in std::fs::read_dir(mirrors)? {
        let mirror = mirror?.path();
        for module in entries(&mirror.join(MODULES)) {
            let age = age(module.join(USED).metadata(), now);
            if age > RETENTION || age > BUSY && packs(&module) > MAX_MODULE_BYTES {
                let _the_next_sweep_tries_again = std::fs::remove_dir_all(module);
            }
        }
        sweep_objects(&mirror.join(OBJECTS), now, MAX_LFS_BYTES);
    }
    Ok(())
}

/// Paths of contents have four parts: server, two prefixes of the id, and the id.
fn sweep_objects(folder: &Path, now: SystemTime, most: u64) {
    let mut files: Vec<(Duration, u64, PathBuf)> = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder) {
            let Ok(found) = path.symlink_metadata() else { continue };
            match found.is_dir() {
                true => folders.push(path),
                false => files.push((age(Ok(found.clone()), now), found.len(), path)),
            }
        }
    }
    files.sort();
    let mut sum = 0_u64;
    for (age, bytes, path) in files {
        sum = sum.saturating_add(bytes);
        if age > RETENTION || age > BUSY && sum > most {
            let _the_next_sweep_tries_again = std::fs::remove_file(path);
        }
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// The time since the last modification; maximal if it is unknown.
fn age(found: io::Result<Metadata>, now: SystemTime) -> Duration {
    let Ok(changed) = found.and_then(|found| found.modified()) else { return Duration::MAX };
    now.duration_since(changed).unwrap_or_default()
}

fn packs(mirror: &Path) -> u64 {
    let packs = entries(&mirror.join("objects/pack")).into_iter();
    packs.filter_map(|pack| Some(pack.metadata().ok()?.len())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 31)
    }

    #[test]
    fn unused_contents_and_oldest_excess_go() {
        let folder = tempfile::tempdir().unwrap();
        let now = now();
        let made = |name: &str, age: Duration| {
            let path = folder.path().join("key/aa/bb").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "1234").unwrap();
            let file = std::fs::File::options().append(true).open(&path).unwrap();
            file.set_modified(now - age).unwrap();
            path
        };
        let day = Duration::from_secs(24 * 60 * 60);
        let unused = made("unused", day * 15);
        let (older, old) = (made("older", day * 3), made("old", day * 2));
        let fresh = made("fresh", Duration::from_secs(60));
        sweep_objects(folder.path(), now, 8);
        assert_eq!(
            [unused, older, old, fresh].map(|path| path.exists()),
            [false, false, true, true]
        );
    }

    #[test]
    fn unused_submodule_mirrors_go() {
        let mirrors = tempfile::tempdir().unwrap();
        let made = |name: &str, age: Duration| {
            let module = mirrors.path().join("m.git").join(MODULES).join(name);
            std::fs::create_dir_all(&module).unwrap();
            std::fs::write(module.join(USED), "").unwrap();
            let file = std::fs::File::options().append(true).open(module.join(USED)).unwrap();
            file.set_modified(now() - age).unwrap();
            module
        };
        let (old, new) = (made("old.git", RETENTION * 2), made("new.git", Duration::ZERO));
        sweep(mirrors.path(), now()).unwrap();
        assert!(!old.exists() && new.exists());
    }
}
