//! One-time tokens of calls whose answer comes later. Only their hashes are kept.
//!
//! Must not decide what an answer means: that is the executor's and plue-flow's.

use jiff::Timestamp;
use plue_plan::{AttemptId, RunId};
use serde_json::Value as Json;

use crate::{
    changes::Shards,
    error::Error,
    handles::Callbacks,
    op::{Op, Plain},
    sql::{Arg, Statement, Tx},
};

/// Outcome of an answer to a callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallbackAnswered {
    /// It is stored for the driver of the run.
    Taken { run: RunId },
    /// The call was answered before; this answer changes nothing.
    Duplicate { run: RunId },
    /// The time to answer is over.
    Expired,
    /// There is no such token.
    Unknown,
}

struct Answer {
    token_hash: String,
    answer: Json,
    at: Timestamp,
}

impl Callbacks<'_> {
    /// Keeps a token's hash, before the call that carries the token is made. An attempt that is made
    /// again after a crash has a further token; the first answer with any of them counts.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn add(
        self,
        token_hash: &str,
        run: &RunId,
        attempt: &AttemptId,
        expires_at: Timestamp,
    ) -> Result<(), Error> {
        let text = "INSERT INTO callback (token_hash, run_id, attempt_id, expires_at) \
                    VALUES ($1, $2, $3, $4)";
        let args = vec![
            token_hash.into(),
            run.as_str().into(),
            attempt.as_str().into(),
            expires_at.into(),
        ];
        self.store.write(Plain(vec![Statement::new(text, args)])).await
    }

    /// Whether a call has a token of this hash, answered or not.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn contains(self, token_hash: &str) -> Result<bool, Error> {
        let text = "SELECT 1 FROM callback WHERE token_hash = $1";
        let row = self.store.read_one(Statement::new(text, vec![token_hash.into()])).await?;
        Ok(row.is_some())
    }

    /// Answers a call. Of several answers the first is kept.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn answer(
        self,
        token_hash: &str,
        answer: Json,
        at: Timestamp,
    ) -> Result<CallbackAnswered, Error> {
        self.store.write(Answer { token_hash: token_hash.to_owned(), answer, at }).await
    }

    /// The answers to calls of a run, of all its attempts.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn answers(self, run: &RunId) -> Result<Vec<(AttemptId, Json)>, Error> {
        let text = "SELECT attempt_id, answer FROM callback \
                    WHERE run_id = $1 AND answered_at IS NOT NULL ORDER BY answered_at";
        let rows = self.store.read(Statement::new(text, vec![run.as_str().into()])).await?;
        rows.iter().map(|row| Ok((AttemptId::new(row.text(0)?), row.json(1)?))).collect()
    }
}

impl Op for Answer {
    type Out = CallbackAnswered;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<CallbackAnswered, Error> {
        let key = Arg::from(self.token_hash.as_str());
        // An attempt may have several tokens: of two answers at once the second sees the first.
        let lock = crate::fence::lock(tx.dialect());
        let text = format!(
            "SELECT token_hash, run_id, expires_at, answered_at FROM callback \
             WHERE (run_id, attempt_id) = \
             (SELECT run_id, attempt_id FROM callback WHERE token_hash = $1) \
             ORDER BY token_hash{lock}"
        );
        let mut named = None;
        let mut is_answered = false;
        for row in tx.fetch(Statement::new(text, vec![key.clone()])).await? {
            is_answered |= row.opt_time(3)?.is_some();
            if row.text(0)? == self.token_hash {
                named = Some((RunId::new(row.text(1)?), row.time(2)?));
            }
        }
        let Some((run, expires_at)) = named else { return Ok(CallbackAnswered::Unknown) };
        if is_answered {
            return Ok(CallbackAnswered::Duplicate { run });
        }
        if expires_at <= self.at {
            return Ok(CallbackAnswered::Expired);
        }
        // Two answers at once with the same token: the second one finds no such row any more.
        tx.write(
            Statement::new(
                "UPDATE callback SET answered_at = $2, answer = $3 \
                 WHERE token_hash = $1 AND answered_at IS NULL",
                vec![key, self.at.into(), Arg::json(&self.answer)?],
            )
            .expect(1),
        );
        Ok(CallbackAnswered::Taken { run })
    }

    fn touched(&self, answered: &CallbackAnswered) -> Shards {
        match answered {
            CallbackAnswered::Taken { run } => Shards::of(run),
            CallbackAnswered::Duplicate { .. }
            | CallbackAnswered::Expired
            | CallbackAnswered::Unknown => Shards::NONE,
        }
    }
}
