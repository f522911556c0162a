//! The answer to a retry.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::records::RunRecord;

/// A reopened run, and the files that were put back before.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RetriedRecord {
    /// The run after it was reopened.
    #[serde(flatten)]
    pub run: RunRecord,
    /// Files of its workspace that were put back.
    #[serde(default)]
    pub files: RestoredFiles,
}

/// Files of a workspace that were put back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RestoredFiles {
    /// Number of files that are as they were before the steps.
    pub restored: usize,
    /// Folder of the API's machine with copies of the overwritten files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aside: Option<String>,
    /// Files that were changed while other steps ran too, and stay as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<String>,
}
