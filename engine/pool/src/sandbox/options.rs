//! Operator settings of the sandboxes, and the rules of one sandbox that follow from them.
//!
//! Must not look at the machine.

use std::path::{Path, PathBuf};

use super::arguments::PATH;

/// Operator settings of the pool for untrusted runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untrusted {
    /// Whether the steps have this machine's network, with all that it reaches.
    pub network: bool,
    /// Files and folders of this machine that the steps may read in addition to the system.
    pub read: Vec<PathBuf>,
    /// Processes and threads of one run at most.
    pub max_processes: u64,
    /// Bytes of memory of its own that one process may have at most.
    pub max_memory_bytes: u64,
}

/// Operator settings of the pool for own commits, where they are isolated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    /// Runs that wait while there is no sandbox; other runs start without one.
    pub required: Option<RequiredFor>,
    /// Whether the steps have this machine's network.
    pub network: bool,
    /// Files and folders of this machine that the steps may read in addition to the system.
    pub read: Vec<PathBuf>,
    /// Those that they may also write.
    pub write: Vec<PathBuf>,
    /// Their home; absent: one of the run's own, which ends with it.
    pub home: Option<PathBuf>,
}

/// The runs that need a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequiredFor {
    /// Every run, also in workspaces that no server made.
    All,
    /// Those in workspaces that a server made.
    ServersWorkspaces,
}

/// The authors whose steps a sandbox is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Those of people who may push to the repository.
    Own,
    /// Those of untrusted authors.
    Untrusted,
}

/// The resources that a sandbox shows and permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(super) trust: Trust,
    pub(super) network: bool,
    pub(super) read: Vec<PathBuf>,
    pub(super) write: Vec<PathBuf>,
    pub(super) home: Option<PathBuf>,
    /// Limits of processes and of bytes of memory; `None`: those of the server.
    pub(super) limits: Option<(u64, u64)>,
    /// Variables of this machine that the steps have.
    pub(super) environment: Vec<(String, String)>,
}

// === impl Untrusted ===

impl Default for Untrusted {
    fn default() -> Self {
        Self {
            network: false,
            read: Vec::new(),
            max_processes: 1_024,
            max_memory_bytes: 8 * 1024 * 1024 * 1024,
        }
    }
}

// === impl Local ===

impl Default for Local {
    fn default() -> Self {
        Self { required: None, network: true, read: Vec::new(), write: Vec::new(), home: None }
    }
}

// === impl Rules ===

impl Rules {
    /// Paths of this machine that the operator shows, each with whether it may be written.
    pub(super) fn shown(&self) -> impl Iterator<Item = (&Path, bool)> {
        let read = self.read.iter().map(|path| (path.as_path(), false));
        let write = self.write.iter().chain(&self.home).map(|path| (path.as_path(), true));
        read.chain(write)
    }

    /// Whether the steps have a home that ends with their runner.
    pub(super) fn has_own_home(&self) -> bool {
        self.trust == Trust::Own && self.home.is_none()
    }

    /// The home of the steps, as they see it.
    pub(super) fn home_inside(&self) -> &Path {
        match (self.trust, &self.home) {
            (Trust::Untrusted, _) => Path::new("/tmp"),
            (Trust::Own, Some(home)) => home,
            (Trust::Own, None) => Path::new("/home/plue"),
        }
    }

    pub(super) fn of_untrusted(options: Untrusted) -> Self {
        Self {
            trust: Trust::Untrusted,
            network: options.network,
            read: options.read,
            write: Vec::new(),
            home: None,
            limits: Some((options.max_processes, options.max_memory_bytes)),
            environment: Vec::new(),
        }
    }

    pub(super) fn of_own(options: Local, mut environment: Vec<(String, String)>) -> Self {
        for (name, value) in [("PATH", PATH), ("LANG", "C.UTF-8")] {
            if environment.iter().all(|(known, _)| known != name) {
                environment.push((name.to_owned(), value.to_owned()));
            }
        }
        Self {
            trust: Trust::Own,
            network: options.network,
            read: options.read,
            write: options.write,
            home: options.home,
            limits: None,
            environment,
        }
    }
}
