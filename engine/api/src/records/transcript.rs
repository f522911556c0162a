//! Transcripts of Claude steps.

use jiff::Timestamp;
use plue_store::TranscriptRow;
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

// === impl TranscriptRecord ===

impl From<TranscriptRow> for TranscriptRecord {
    fn from(row: TranscriptRow) -> Self {
        Self { seq: row.seq, at: row.at, fact: row.fact }
    }
}
