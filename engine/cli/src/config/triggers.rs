//! `[triggers]`: who may start what on a server.

use plue_server::permission::TriggerPolicy;
use serde::{Deserialize, Serialize};

/// Section `[triggers]`: permissions to start runs on a server.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TriggersConfig {
    /// Repositories whose comments and issues start runs for anybody; `*`: all.
    pub open_to_anyone: Vec<String>,
    /// Whether the base's plan runs where a pull request keeps it from running.
    pub base_plans: bool,
}

// === impl TriggersConfig ===

impl TriggersConfig {
    /// As the server knows it.
    pub fn policy(&self) -> TriggerPolicy {
        TriggerPolicy { open_to_anyone: self.open_to_anyone.clone(), base_plans: self.base_plans }
    }
}
