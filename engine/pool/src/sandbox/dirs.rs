//! The folders of one sandboxed runner.
//!
//! Must not expose files of another runner to a step.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use plue_wire::runner::RunnerWorkspace;

use super::{
    Places,
    options::{Rules, Trust},
    ownership::{OWN_USER, give, owner_of},
};

/// The folders of one sandboxed runner.
#[derive(Debug, Clone)]
pub(crate) struct SandboxDirs {
    /// The folder that the steps work in, as they see it.
    pub(super) workspace: PathBuf,
    /// The same folder outside, while the runner cannot be moved.
    pub(super) files: PathBuf,
    /// Of a movable runner: the folder that its workspaces are moved into.
    pub(super) places: Option<Places>,
    /// The folder of the runner's files and its socket: all that it sees of its directory.
    pub(super) inner: PathBuf,
    /// The `/tmp` of the steps. Not in `inner`: a process that may rename folders there could put a
    /// link to anything in its place, and the next start would follow it.
    pub(super) tmp: PathBuf,
    /// The home of own steps, unless the operator names one.
    pub(super) home: PathBuf,
    /// Replacements of files of `/etc`: users, groups, hosts.
    pub(super) etc: PathBuf,
    /// The steps' user outside of the sandbox; `None`: the user of this process.
    pub(super) owner: Option<u32>,
}

// === impl SandboxDirs ===

impl SandboxDirs {
    /// The part of a runner's directory that is visible in the sandbox.
    pub(super) fn inner(directory: &Path, trust: Trust) -> PathBuf {
        directory.join(match trust {
            Trust::Untrusted => "box",
            Trust::Own => "cell",
        })
    }

    /// All folders that a runner may have as its own.
    pub(crate) fn states(directory: &Path) -> [PathBuf; 3] {
        let inner = |trust| Self::inner(directory, trust);
        [directory.to_owned(), inner(Trust::Untrusted), inner(Trust::Own)]
    }

    /// The kind of sandbox that a runner was started in; `None`: it had none.
    pub(crate) fn trust(directory: &Path) -> Option<Trust> {
        let stands = |trust: &Trust| Self::inner(directory, *trust).is_dir();
        // The stricter one first, should there ever be both.
        [Trust::Untrusted, Trust::Own].into_iter().find(stands)
    }

    /// The folders in a runner's directory, made if they are missing.
    pub(super) fn new(directory: &Path, workspace: &Path, rules: &Rules) -> io::Result<Self> {
        let trust = rules.trust;
        let directory = fs::canonicalize(directory)?;
        let inner = Self::inner(&directory, trust);
        let [tmp, home, etc] = ["tmp", "home", "etc"].map(|name| directory.join(name));
        for folder in [&inner, &tmp, &home, &etc] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let passwd = format!("plue:x:1000:1000:plue:{}:/bin/bash\n", rules.home_inside().display());
        fs::write(etc.join("passwd"), passwd)?;
        fs::write(etc.join("group"), "plue:x:1000:\n")?;
        fs::write(etc.join("hosts"), "127.0.0.1 localhost plue\n::1 localhost\n")?;
        let Located { places, workspace, files } = Located::of(&directory, workspace)?;
        let owner = rustix::process::geteuid().is_root().then(|| match trust {
            Trust::Untrusted => owner_of(&workspace),
            // One user for all, so that they can share folders that the operator makes writable.
            Trust::Own => OWN_USER,
        });
        Ok(Self { workspace, files, places, inner, tmp, home, etc, owner })
    }

    /// The folder of the runner's buffer, socket and lock.
    pub(crate) fn state(&self) -> &Path {
        &self.inner
    }

    /// The folder in which the steps work, as they see it.
    pub(crate) fn workspace(&self) -> &Path {
        &self.workspace
    }

    /// The runner's own record of the workspace, which no process outside may trust.
    pub(crate) fn index(&self) -> PathBuf {
        self.inner.join("workspace.index")
    }

    /// Lets the runner use a file that this process has made.
    pub(crate) fn share(&self, path: &Path) -> io::Result<()> {
        match self.owner {
            Some(owner) => std::os::unix::fs::lchown(path, Some(owner), Some(owner)),
            None => Ok(()),
        }
    }

    /// Gives the writable folders to the steps' user, where this process is root and they are not.
    pub(super) fn hand_over(&self) -> io::Result<()> {
        let Some(owner) = self.owner else { return Ok(()) };
        let workspace = self.files();
        let folders = [&workspace, &self.inner, &self.tmp, &self.home];
        folders.iter().try_for_each(|path| give(path, owner))
    }

    /// Moves a movable runner to the workspace of its next run.
    pub(crate) fn enter(&mut self, workspace: &Path) -> io::Result<()> {
        let (Some(places), Some(name)) = (&self.places, workspace.file_name()) else {
            return Err(io::Error::other("the runner cannot be moved"));
        };
        let inside = places.enter(name)?;
        self.workspace = places.workspaces().join(name);
        match self.owner {
            Some(owner) => give(&inside, owner),
            None => Ok(()),
        }
    }

    /// The same with the workspace that a movable runner has entered.
    pub(crate) fn at(&self, place: Option<&RunnerWorkspace>) -> Self {
        match place {
            Some(place) => Self { workspace: PathBuf::from(&place.workspace), ..self.clone() },
            None => self.clone(),
        }
    }

    /// Whether a movable runner has the workspace already.
    pub(crate) fn has_files(&self) -> bool {
        self.files().is_dir()
    }

    /// The folder of a movable runner's workspaces.
    pub(crate) fn places(&self) -> Option<&Places> {
        self.places.as_ref()
    }

    /// The folder with the files of the workspace.
    fn files(&self) -> PathBuf {
        match (&self.places, self.workspace.file_name()) {
            (Some(places), Some(name)) => places.folder().join(name),
            _ => self.files.clone(),
        }
    }

    /// The folder to mount, and its path in the sandbox.
    pub(super) fn mounted(&self) -> (&Path, &Path) {
        match &self.places {
            Some(places) => (places.folder(), places.workspaces()),
            None => (&self.files, &self.workspace),
        }
    }

    /// Makes the home that the operator names, if it is not there.
    pub(super) fn make_home(&self, home: &Path) -> io::Result<()> {
        if home.is_dir() {
            return Ok(());
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(home)?;
        self.share(home)
    }
}

/// The paths of a workspace.
struct Located {
    places: Option<Places>,
    /// Its path in the sandbox.
    workspace: PathBuf,
    /// Its path outside, without symbolic links.
    files: PathBuf,
}

// === impl Located ===

impl Located {
    fn of(directory: &Path, workspace: &Path) -> io::Result<Self> {
        let files = fs::canonicalize(workspace);
        if let (Some(workspaces), Some(name)) = (workspace.parent(), workspace.file_name()) {
            let workspaces = fs::canonicalize(workspaces)?;
            let workspace = workspaces.join(name);
            if let Some(places) = Places::of(directory, &workspaces) {
                let files = files.unwrap_or_else(|_| workspace.clone());
                return Ok(Self { places: Some(places), workspace, files });
            }
            // Child runs share the workspace of their parent, at the same path.
            if files.as_ref().is_ok_and(|files| Places::have(files, &workspaces)) {
                return Ok(Self { places: None, workspace, files: files? });
            }
        }
        let files = files?;
        Ok(Self { places: None, workspace: files.clone(), files })
    }
}
