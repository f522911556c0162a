//! The folders of one sandboxed runner.
//!
//! Must not expose files of another runner to a step.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use super::{
    options::{Rules, Trust},
    ownership::{OWN_USER, give, owner_of},
};

/// The folders of one sandboxed runner.
#[derive(Debug, Clone)]
pub(crate) struct SandboxDirs {
    /// The folder that the steps work in.
    pub(super) workspace: PathBuf,
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
        let workspace = fs::canonicalize(workspace)?;
        let owner = rustix::process::geteuid().is_root().then(|| match trust {
            Trust::Untrusted => owner_of(&workspace),
            // One user for all, so that they can share folders that the operator makes writable.
            Trust::Own => OWN_USER,
        });
        Ok(Self { workspace, inner, tmp, home, etc, owner })
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
        let folders = [&self.workspace, &self.inner, &self.tmp, &self.home];
        folders.iter().try_for_each(|path| give(path, owner))
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
