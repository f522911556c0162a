//! The folder that a movable runner sees as the folder of all workspaces: it has the workspace of one
//! run at a time. Outside, a link is in the workspace's place meanwhile.
//!
//! Each change is one exchange of two names: after a crash the path of a workspace leads to its files.
//! Must not trust what steps left in the folder: where this process is not root, they may write there.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::{DirBuilderExt as _, symlink},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};

/// Name of the folder in the directory of a runner.
const NAME: &str = "places";
/// Names from the state directory to the folder: that of all runners, the runner's, and its own.
const OWN_PARTS: usize = 3;

/// The workspaces of a movable runner; at most one, unless steps made others.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The folder with the workspace of the current run.
    folder: PathBuf,
    /// The folder of all workspaces of the server.
    workspaces: PathBuf,
}

// === impl Places ===

impl Places {
    /// Makes the folder for a new runner.
    pub(crate) fn make(directory: &Path) -> io::Result<()> {
        fs::DirBuilder::new().mode(0o755).create(directory.join(NAME))
    }

    /// Removes the folder of a runner that cannot be moved.
    pub(crate) fn unmake(directory: &Path) -> io::Result<()> {
        fs::remove_dir(directory.join(NAME))
    }

    /// The folder of a runner; `None` if it is not movable.
    pub(crate) fn of(directory: &Path, workspaces: &Path) -> Option<Self> {
        let folder = fs::canonicalize(directory.join(NAME)).ok()?;
        Some(Self { folder, workspaces: fs::canonicalize(workspaces).ok()? })
    }

    /// Whether files lie in the folder of some movable runner.
    pub(super) fn have(files: &Path, workspaces: &Path) -> bool {
        let state = workspaces.parent();
        let folder = files.parent().filter(|folder| folder.ends_with(NAME));
        folder.zip(state).is_some_and(|(folder, state)| {
            folder.ancestors().nth(OWN_PARTS).is_some_and(|above| above == state)
        })
    }

    /// The folder with the workspace of the current run.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of all workspaces of the server, as which the runner sees this one.
    pub(super) fn workspaces(&self) -> &Path {
        &self.workspaces
    }

    /// Moves a workspace in, which no other runner may have; returns its folder in here.
    pub(crate) fn enter(&self, name: &OsStr) -> io::Result<PathBuf> {
        let (outside, inside) = (self.workspaces.join(name), self.folder.join(name));
        if !fs::symlink_metadata(&outside)?.is_dir() {
            return Err(io::Error::other(format!("{} is in use", outside.display())));
        }
        symlink(self.link(name), &inside)?;
        match exchange(&outside, &inside) {
            Ok(()) => Ok(inside),
            Err(error) => {
                fs::remove_file(&inside)?;
                Err(error)
            }
        }
    }

    /// The link that leads from the folder of all workspaces to the one in here. Relative: the state
    /// directory may be moved.
    fn link(&self, name: &OsStr) -> PathBuf {
        let own: Vec<_> = self.folder.iter().rev().take(OWN_PARTS).collect();
        let mut link = PathBuf::from("..");
        link.extend(own.into_iter().rev());
        link.join(name)
    }

    /// Moves all workspaces back and removes everything else. No process of a step may be left.
    pub(crate) fn leave(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let (outside, inside) = (self.workspaces.join(&name), self.folder.join(&name));
            let is_folder = fs::symlink_metadata(&inside)?.is_dir();
            let leads_here = fs::read_link(&outside).is_ok_and(|target| target == self.link(&name));
            match (leads_here, is_folder) {
                (true, true) => {
                    exchange(&outside, &inside)?;
                    fs::remove_file(&inside)?;
                }
                // Steps have removed their workspace.
                (true, false) => {
                    fs::remove_file(&outside)?;
                    fs::remove_file(&inside)?;
                }
                (false, true) => fs::remove_dir_all(&inside)?,
                (false, false) => fs::remove_file(&inside)?,
            }
        }
        Ok(())
    }
}

fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        _folder: tempfile::TempDir,
        places: Places,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let runner = folder.path().join("runners/r1");
            let workspaces = folder.path().join("workspaces");
            fs::create_dir_all(workspaces.join("run1")).unwrap();
            fs::write(workspaces.join("run1/file"), "one").unwrap();
            fs::create_dir_all(&runner).unwrap();
            assert!(Places::of(&runner, &workspaces).is_none());
            Places::make(&runner).unwrap();
            let places = Places::of(&runner, &workspaces).unwrap();
            Self { _folder: folder, places }
        }

        fn outside(&self, name: &str) -> PathBuf {
            self.places.workspaces.join(name)
        }
    }

    fn is_link(path: &Path) -> bool {
        fs::symlink_metadata(path).unwrap().is_symlink()
    }

    #[test]
    fn workspaces_stay_at_their_path() {
        let bench = Bench::new();
        let file = bench.outside("run1/file");
        let inside = bench.places.enter(OsStr::new("run1")).unwrap();
        assert!(is_link(&bench.outside("run1")) && !is_link(&inside));
        assert_eq!(fs::read_to_string(&file).unwrap(), "one");
        assert!(bench.places.enter(OsStr::new("run1")).is_err(), "another runner has it");
        fs::write(inside.join("file"), "two").unwrap();
        bench.places.leave().unwrap();
        assert!(!is_link(&bench.outside("run1")));
        assert_eq!(fs::read_to_string(&file).unwrap(), "two");
        assert_eq!(fs::read_dir(bench.places.folder()).unwrap().count(), 0);
        assert!(bench.places.enter(OsStr::new("gone")).is_err());
        bench.places.leave().unwrap();
    }

    #[test]
    fn crashes_between_two_names_lose_nothing() {
        let bench = Bench::new();
        // Killed before the exchange.
        let inside = bench.places.folder.join("run1");
        symlink(bench.places.link(OsStr::new("run1")), &inside).unwrap();
        bench.places.leave().unwrap();
        assert_eq!(fs::read_to_string(bench.outside("run1/file")).unwrap(), "one");
        // Killed between the exchange back and the removal of the link.
        bench.places.enter(OsStr::new("run1")).unwrap();
        exchange(&bench.outside("run1"), &inside).unwrap();
        bench.places.leave().unwrap();
        assert_eq!(fs::read_to_string(bench.outside("run1/file")).unwrap(), "one");
    }

    #[test]
    fn links_of_steps_never_become_workspaces() {
        let bench = Bench::new();
        let inside = bench.places.enter(OsStr::new("run1")).unwrap();
        fs::rename(&inside, bench.places.folder.join("moved")).unwrap();
        symlink("/etc", &inside).unwrap();
        bench.places.leave().unwrap();
        assert!(!bench.outside("run1").exists() && Path::new("/etc").is_dir());
        assert_eq!(fs::read_dir(bench.places.folder()).unwrap().count(), 0);
    }
}
