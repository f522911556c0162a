//! `[pools.…]`: runners beside those of `[runner]`. There is one such pool: `untrusted`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[pools]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolsConfig {
    /// For the runs of strangers.
    pub untrusted: UntrustedConfig,
}

/// `[pools.untrusted]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UntrustedConfig {
    /// `auto`: behind walls, or not at all. `off`: as the server's user, once a maintainer allows it.
    pub mode: String,
    /// Whether the steps have this machine's network.
    pub network: bool,
    /// What the steps may read of this machine beside its system.
    pub read: Vec<PathBuf>,
    /// Processes and threads of one run at most.
    pub max_processes: u64,
    /// Bytes of memory of one process at most.
    pub max_memory_bytes: u64,
}

// === impl PoolsConfig ===

impl PoolsConfig {
    /// What holds when nobody says anything.
    pub(super) fn built_in() -> Self {
        let default = plue_pool::Untrusted::default();
        Self {
            untrusted: UntrustedConfig {
                mode: "auto".to_owned(),
                network: default.network,
                read: default.read,
                max_processes: default.max_processes,
                max_memory_bytes: default.max_memory_bytes,
            },
        }
    }
}

// === impl UntrustedConfig ===

impl UntrustedConfig {
    /// Values that can be used.
    pub(super) fn check(&self) -> Result<(), String> {
        if !["auto", "off"].contains(&self.mode.as_str()) {
            return Err(format!("pools.untrusted.mode is {:?}, expected auto or off", self.mode));
        }
        match self.read.iter().find(|path| !path.is_absolute() || path.as_os_str() == "/") {
            Some(path) => {
                Err(format!("pools.untrusted.read: {} is no absolute path below /", path.display()))
            }
            None => Ok(()),
        }
    }

    /// The walls of the pool; none: there are none.
    pub fn walls(&self) -> Option<plue_pool::Untrusted> {
        (self.mode != "off").then(|| plue_pool::Untrusted {
            network: self.network,
            read: self.read.clone(),
            max_processes: self.max_processes,
            max_memory_bytes: self.max_memory_bytes,
        })
    }
}
