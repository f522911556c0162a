//! Reading a part of a journal: facts behind a number, in order.

mod transcript;

use jiff::Timestamp;
use plue_flow::Fact;
use plue_plan::RunId;

use crate::{
    error::Error,
    handles::Journal,
    sql::{Arg, Statement},
};

pub use self::transcript::{HIDDEN_FIELD, TranscriptId, TranscriptRow};

/// Facts of one page at most.
const MAX_PAGE: u32 = 1_000;

/// A fact of a journal.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalRow {
    /// Its number in the journal, from 1.
    pub seq: u64,
    pub at: Timestamp,
    /// The fact that holds from then on.
    pub fact: Fact,
}

impl Journal<'_> {
    /// Facts of a run behind a number, at most 1,000.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn after(self, run: &RunId, seq: u64, limit: u32) -> Result<Vec<JournalRow>, Error> {
        let text = "SELECT seq, at, fact FROM journal WHERE run_id = $1 AND seq > $2 \
                    ORDER BY seq LIMIT $3";
        let args = vec![run.as_str().into(), Arg::count(seq), limit.min(MAX_PAGE).into()];
        let rows = self.store.read(Statement::new(text, args)).await?;
        rows.iter()
            .map(|row| Ok(JournalRow { seq: row.count(0)?, at: row.time(1)?, fact: row.json(2)? }))
            .collect()
    }
}
