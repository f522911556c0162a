//! Transcripts of Claude steps.

use jiff::Timestamp;
use plue_plan::AttemptId;
use plue_store::{TranscriptId as _, TranscriptRow};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// One fact of a transcript, masked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TranscriptRecord {
    /// Its number in the transcript, from 1.
    pub seq: u64,
    /// Time at which it was stored.
    pub at: Timestamp,
    /// An object whose field `fact` is `started`, `answered`, `broke`, `result`, `corrected`, `switched` or `ended`, with
    /// the fields of that kind. Kinds and fields are only ever added.
    pub fact: Json,
}

/// An agent that another one of its attempt started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentRecord {
    /// Id of its transcript: that of the attempt, and behind each `~` a number.
    pub id: String,
    /// Numbers of agents from the one that the step's agent started down to this one.
    pub numbers: Vec<u32>,
    /// Its role or prompt.
    pub name: String,
}

// === impl AgentRecord ===

impl AgentRecord {
    /// An agent by its id and the first fact of its transcript.
    #[must_use]
    pub fn of(id: &AttemptId, first: Option<TranscriptRow>) -> Self {
        let task = first.as_ref().and_then(|row| row.fact.get("task"));
        let name = task.and_then(|task| task.get("name")?.as_str()).unwrap_or("agent");
        Self { id: id.as_str().to_owned(), numbers: id.agents(), name: name.to_owned() }
    }
}

// === impl TranscriptRecord ===

impl From<TranscriptRow> for TranscriptRecord {
    fn from(row: TranscriptRow) -> Self {
        Self { seq: row.seq, at: row.at, fact: row.fact }
    }
}
