//! `[pools.…]`: where steps run on a server, `local` for own commits and `untrusted` for those of
//! forks.

use std::path::{Path, PathBuf};

use plue_pool::RequiredFor;
use serde::{Deserialize, Serialize};

use super::{RunnerConfig, kubernetes::KubernetesPool};

/// `[pools]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolsConfig {
    /// For the runs of own commits on a server.
    pub local: LocalConfig,
    /// For runs of untrusted commits.
    pub untrusted: UntrustedConfig,
    /// Pools whose runners are pods, in the order in which they take over runs.
    pub kubernetes: Vec<KubernetesPool>,
}

/// Section `[pools.local]`: isolation of the steps of own commits on a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalConfig {
    /// `auto`: isolated if this machine can. `required`: isolated or not at all. `off`: as the
    /// server's user.
    pub mode: String,
    /// Whether the steps have this machine's network.
    pub network: bool,
    /// Paths of this machine, besides its system, that the steps may read.
    pub read: Vec<PathBuf>,
    /// Paths that the steps may also write.
    pub write: Vec<PathBuf>,
    /// Their home; absent: one of the run's own.
    pub home: Option<PathBuf>,
}

/// `[pools.untrusted]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UntrustedConfig {
    /// `auto`: isolated, or not at all. `off`: as the server's user, once a maintainer allows it.
    pub mode: String,
    /// Whether the steps have this machine's network.
    pub network: bool,
    /// Paths of this machine that steps may read in addition to its system.
    pub read: Vec<PathBuf>,
    /// Processes and threads of one run at most.
    pub max_processes: u64,
    /// Bytes of memory of one process at most.
    pub max_memory_bytes: u64,
}

// === impl PoolsConfig ===

impl PoolsConfig {
    /// The built-in default values.
    pub(super) fn built_in() -> Self {
        let default = plue_pool::Untrusted::default();
        let own = plue_pool::Local::default();
        Self {
            local: LocalConfig {
                mode: "auto".to_owned(),
                network: own.network,
                read: own.read,
                write: own.write,
                home: own.home,
            },
            untrusted: UntrustedConfig {
                mode: "auto".to_owned(),
                network: default.network,
                read: default.read,
                max_processes: default.max_processes,
                max_memory_bytes: default.max_memory_bytes,
            },
            kubernetes: Vec::new(),
        }
    }
}

// === impl RunnerConfig ===

impl RunnerConfig {
    /// Values that can be used: no variable of plue's own, which may be a credential.
    pub(super) fn check(&self) -> Result<(), String> {
        let is_shaped = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        self.env.iter().try_for_each(|name| match is_shaped(name) {
            true if name.starts_with("PLUE_") => {
                Err(format!("runner.env: {name} is plue's own and not for steps"))
            }
            true => Ok(()),
            false => Err(format!("runner.env: {name:?} is no name of a variable")),
        })
    }
}

// === impl LocalConfig ===

impl LocalConfig {
    /// Values that can be used. What lies in the state directory is hidden from every step.
    pub(super) fn check(&self, state_dir: &Path) -> Result<(), String> {
        if !["auto", "required", "off"].contains(&self.mode.as_str()) {
            return Err(format!(
                "pools.local.mode is {:?}, expected auto, required or off",
                self.mode
            ));
        }
        let shown = [("read", &self.read), ("write", &self.write)];
        let shown =
            shown.into_iter().flat_map(|(key, paths)| paths.iter().map(move |path| (key, path)));
        for (key, path) in shown.chain(self.home.iter().map(|home| ("home", home))) {
            let key = format!("pools.local.{key}");
            showable(&key, path)?;
            if path.starts_with(state_dir) {
                return Err(format!("{key}: {} lies in the state directory", path.display()));
            }
        }
        match &self.home {
            Some(home)
                if state_dir.starts_with(home)
                    || home.as_os_str().as_encoded_bytes().contains(&b':') =>
            {
                Err(format!("pools.local.home: {} cannot be a home", home.display()))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The sandbox of the pool; `None`: off. On a server it applies to every run.
    pub fn sandbox(&self, on_server: bool) -> Option<plue_pool::Local> {
        let whose = if on_server { RequiredFor::All } else { RequiredFor::ServersWorkspaces };
        (self.mode != "off").then(|| plue_pool::Local {
            required: (self.mode == "required").then_some(whose),
            network: self.network,
            read: self.read.clone(),
            write: self.write.clone(),
            home: self.home.clone(),
        })
    }
}

fn showable(key: &str, path: &Path) -> Result<(), String> {
    if path.is_absolute() && path.as_os_str() != "/" {
        return Ok(());
    }
    Err(format!("{key}: {} is no absolute path below /", path.display()))
}

// === impl UntrustedConfig ===

impl UntrustedConfig {
    /// Values that can be used.
    pub(super) fn check(&self) -> Result<(), String> {
        if !["auto", "off"].contains(&self.mode.as_str()) {
            return Err(format!("pools.untrusted.mode is {:?}, expected auto or off", self.mode));
        }
        self.read.iter().try_for_each(|path| showable("pools.untrusted.read", path))
    }

    /// The sandbox of the pool; `None`: off.
    pub fn sandbox(&self) -> Option<plue_pool::Untrusted> {
        (self.mode != "off").then(|| plue_pool::Untrusted {
            network: self.network,
            read: self.read.clone(),
            max_processes: self.max_processes,
            max_memory_bytes: self.max_memory_bytes,
        })
    }
}
