//! Registration, draining and scaling of runners and their pools.
//!
//! Must not hold a credential of a runner.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A token for one registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistrationTokenRequest {
    /// Pool of the runner; absent: `registered`.
    #[serde(default)]
    pub pool: Option<String>,
    /// Labels of the runner.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Duration for which it is good, at most 30 days; absent: `1h`.
    #[serde(default)]
    pub expires_in: Option<String>,
}

/// A token that was made; this answer alone shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RegistrationTokenRecord {
    /// Public id of the token.
    pub id: String,
    /// The token: good for one runner.
    pub token: String,
    /// Pool of the runner.
    pub pool: String,
    /// From then on it is refused.
    pub expires_at: Timestamp,
}

/// An order to drain a runner or a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DrainRequest {
    /// Whether what runs is finished and nothing else starts; `false` takes that back.
    pub draining: bool,
}

/// Sizes of a pool of pods in place of those of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScaleRequest {
    /// Idle pods to keep; absent: as configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_idle: Option<u32>,
    /// Pods at most, busy ones included; absent: as configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
}
