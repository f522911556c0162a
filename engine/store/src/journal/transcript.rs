//! Transcripts of Claude steps for readers, some facts at a time.
//!
//! Facts come as they were stored, masked, without fields that are only for engines. Must not know what a
//! fact means.

use jiff::Timestamp;
use plue_plan::{AttemptId, RunId};
use serde_json::Value as Json;

use crate::{
    error::Error,
    handles::Transcripts,
    sql::{Arg, Statement},
};

/// The name of fields of a fact that only engines read: their texts are not masked.
pub const HIDDEN_FIELD: &str = "plue_hidden";

/// Between the id of an attempt and the numbers of its agents; no id of a run or step has it.
const AGENT: char = '~';

/// Ids of transcripts: that of an attempt is its own agent's; `ATTEMPT~2~1` is that of the first agent
/// that the second one started.
pub trait TranscriptId {
    /// The id of the agent with this number that the agent of this id started.
    #[must_use]
    fn agent(&self, number: u32) -> Self;

    /// The attempt that an agent belongs to; of the id of an attempt, the same.
    #[must_use]
    fn attempt(&self) -> Self;

    /// The numbers of agents from the one that the attempt's own started down to this one; empty: the
    /// attempt's own.
    fn agents(&self) -> Vec<u32>;
}

/// One fact of a transcript.
#[derive(Debug, Clone, PartialEq)]
pub struct TranscriptRow {
    /// Its number in the transcript, from 1.
    pub seq: u64,
    /// Time at which it was stored.
    pub at: Timestamp,
    pub fact: Json,
}

// === impl TranscriptId ===

impl TranscriptId for AttemptId {
    fn agent(&self, number: u32) -> Self {
        Self::new(format!("{self}{AGENT}{number}"))
    }

    fn attempt(&self) -> Self {
        Self::new(self.as_str().split(AGENT).next().unwrap_or_default())
    }

    fn agents(&self) -> Vec<u32> {
        let numbers = self.as_str().split(AGENT).skip(1);
        numbers.map(|number| number.parse().unwrap_or_default()).collect()
    }
}

// === impl TranscriptRow ===

impl TranscriptRow {
    /// Whether a text of the fact contains `text`. Names of fields do not count.
    #[must_use]
    pub fn contains(&self, text: &str) -> bool {
        contains(&self.fact, text)
    }
}

fn contains(value: &Json, text: &str) -> bool {
    match value {
        Json::String(found) => found.contains(text),
        Json::Array(items) => items.iter().any(|item| contains(item, text)),
        Json::Object(fields) => fields.values().any(|field| contains(field, text)),
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    }
}

fn without_hidden(mut value: Json) -> Json {
    hide(&mut value);
    value
}

fn hide(value: &mut Json) {
    match value {
        Json::Array(items) => items.iter_mut().for_each(hide),
        Json::Object(fields) => {
            fields.shift_remove(HIDDEN_FIELD);
            fields.values_mut().for_each(hide);
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

impl Transcripts<'_> {
    /// Ids of the agents that the agent of an attempt, or those below it, started: each behind the one
    /// that started it, else in the order of their starts.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn agents_of(
        self,
        run: &RunId,
        attempt: &AttemptId,
    ) -> Result<Vec<AttemptId>, Error> {
        let text = "SELECT DISTINCT attempt_id FROM transcript WHERE run_id = $1";
        let rows = self.store.read(Statement::new(text, vec![run.as_str().into()])).await?;
        let ids = rows.iter().map(|row| Ok(AttemptId::new(row.text(0)?)));
        let mut ids = ids.collect::<Result<Vec<_>, Error>>()?;
        ids.retain(|id| id.attempt() == *attempt && id != attempt);
        ids.sort_by_key(TranscriptId::agents);
        Ok(ids)
    }

    /// Facts of an attempt behind the number `after`, in order, at most `most`.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn after(
        self,
        attempt: &AttemptId,
        after: u64,
        most: u32,
    ) -> Result<Vec<TranscriptRow>, Error> {
        let text = "SELECT seq, at, fact FROM transcript WHERE attempt_id = $1 AND seq > $2 \
                    ORDER BY seq LIMIT $3";
        let args = vec![attempt.as_str().into(), Arg::count(after), i64::from(most).into()];
        let rows = self.store.read(Statement::new(text, args)).await?;
        let rows = rows.iter().map(|row| {
            let fact = without_hidden(row.json(2)?);
            Ok(TranscriptRow { seq: row.count(0)?, at: row.time(1)?, fact })
        });
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn hidden_fields_are_not_shown() {
        let block =
            |name: &str| json!({ "fact": "x", "content": [{ "a": "***", name: "secret" }] });
        let shown = without_hidden(block(HIDDEN_FIELD));
        assert_eq!(shown, json!({ "fact": "x", "content": [{ "a": "***" }] }));
        assert_eq!(without_hidden(block("other")), block("other"));
    }

    #[test]
    fn facts_contain_their_texts() {
        let fact = json!({ "fact": "answered", "answer": { "content": [{ "text": "All good" }] } });
        let row = TranscriptRow { seq: 1, at: Timestamp::UNIX_EPOCH, fact };
        assert!(row.contains("All") && row.contains("answered"));
        assert!(!row.contains("content") && !row.contains("all good"));
    }
}
