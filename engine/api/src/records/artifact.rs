//! Artifacts of runs, without their bytes.

use jiff::Timestamp;
use plue_store::ArtifactRow;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A file that a step has kept.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ArtifactRecord {
    /// The step that wrote it.
    pub step: String,
    /// The step's visit, from 1.
    pub visit: u32,
    /// The attempt's number within the visit, from 1.
    pub attempt: u32,
    /// The attempt's id: whose file is fetched.
    pub attempt_id: String,
    /// Its path in the workspace.
    pub path: String,
    /// Its bytes.
    pub bytes: u64,
    /// SHA-256 of its content.
    pub sha256: String,
    /// Whether it may be executed.
    pub executable: bool,
    /// Time at which it was stored.
    pub created_at: Timestamp,
    /// Time at which its content was deleted; absent: the content is available.
    pub expired_at: Option<Timestamp>,
}

impl ArtifactRecord {
    /// The record of a row.
    #[must_use]
    pub fn of(row: &ArtifactRow) -> Self {
        Self {
            step: row.step.to_string(),
            visit: row.visit,
            attempt: row.number,
            attempt_id: row.attempt.to_string(),
            path: row.path.clone(),
            bytes: row.bytes,
            sha256: row.blob.to_string(),
            executable: row.executable,
            created_at: row.created_at,
            expired_at: row.expired_at,
        }
    }
}
