//! Mirrors of submodules and contents of Git LFS that no run uses any more are removed.

use std::{
    fs::Metadata,
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use crate::{
    error::Error,
    lfs::OBJECTS,
    server::Server,
    submodules::{MODULES, USED},
};

/// Unused for so long, they are removed.
const KEPT: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// One that was used since may be in use.
const BUSY: Duration = Duration::from_secs(60 * 60);
/// Bytes of the packs of one submodule's mirror; a larger one is fetched again when it is needed.
const MAX_MODULE_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// Bytes of the contents of one repository; the ones that were not used for the longest time go first.
const MAX_LFS_BYTES: u64 = 20 * 1024 * 1024 * 1024;

impl Server {
    /// Removes what the mirrors keep for others than themselves and no run uses any more.
    pub(crate) async fn drop_contents(&self) -> Result<(), Error> {
        let folder = self.folder("mirrors")?;
        let now = SystemTime::from(self.parts().clock.now());
        let path = folder.display().to_string();
        let swept = self.parts().tasks.spawn_blocking(move || sweep(&folder, now)).await;
        swept.map_err(|_| Error::Stopped)?.map_err(|source| Error::Folder { path, source })
    }
}

fn sweep(mirrors: &Path, now: SystemTime) -> io::Result<()> {
    for mirror in std::fs::read_dir(mirrors)? {
        let mirror = mirror?.path();
        for module in entries(&mirror.join(MODULES)) {
            let age = age(module.join(USED).metadata(), now);
            if age > KEPT || age > BUSY && packs(&module) > MAX_MODULE_BYTES {
                let _the_next_sweep_tries_again = std::fs::remove_dir_all(module);
            }
        }
        sweep_objects(&mirror.join(OBJECTS), now, MAX_LFS_BYTES);
    }
    Ok(())
}

/// Contents lie four folders deep: server, two parts of the id, and the id.
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
        if age > KEPT || age > BUSY && sum > most {
            let _the_next_sweep_tries_again = std::fs::remove_file(path);
        }
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// The time since a file was changed; one without a time is old.
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
    fn unused_contents_go_and_the_oldest_of_too_many_first() {
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
    fn mirrors_of_submodules_go_when_they_are_unused() {
        let mirrors = tempfile::tempdir().unwrap();
        let made = |name: &str, age: Duration| {
            let module = mirrors.path().join("m.git").join(MODULES).join(name);
            std::fs::create_dir_all(&module).unwrap();
            std::fs::write(module.join(USED), "").unwrap();
            let file = std::fs::File::options().append(true).open(module.join(USED)).unwrap();
            file.set_modified(now() - age).unwrap();
            module
        };
        let (old, new) = (made("old.git", KEPT * 2), made("new.git", Duration::ZERO));
        sweep(mirrors.path(), now()).unwrap();
        assert!(!old.exists() && new.exists());
    }
}
