//! What a run waits for, as `plue status --output json` shows it.

use plue_flow::{Awaited, run::Waiting};
use schemars::JsonSchema;
use serde::Serialize;

/// A step that waits for something outside.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WaitingRecord {
    /// The step.
    pub step: String,
    /// `decision`, `time`, `event`, `workflow` or `callback`.
    #[serde(rename = "for")]
    pub what: &'static str,
    /// The same in words.
    pub words: String,
    /// Who may answer a decision; empty: everyone.
    pub approvers: Vec<String>,
    /// Approvals that a decision needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quorum: Option<u32>,
    /// When waiting ends by itself, RFC 3339.
    pub until: Option<String>,
}

// === impl WaitingRecord ===

impl WaitingRecord {
    /// The record of a step that waits.
    pub fn of(waiting: &Waiting<'_>) -> Self {
        let (what, approvers, quorum) = match waiting.what {
            Awaited::Decision { approvers, quorum, .. } => {
                ("decision", approvers.clone(), Some(*quorum))
            }
            Awaited::Time => ("time", Vec::new(), None),
            Awaited::Event { .. } => ("event", Vec::new(), None),
            Awaited::Workflow { .. } => ("workflow", Vec::new(), None),
            Awaited::Callback => ("callback", Vec::new(), None),
        };
        Self {
            step: waiting.step.to_string(),
            what,
            words: waiting.what.to_string(),
            approvers,
            quorum,
            until: waiting.until.map(|until| until.to_string()),
        }
    }
}
