//! Answers of people to approvals, on their way into the journal: the row first, the deed second, and
//! the row goes when the journal has it. Answers about single calls of agents stay as long as the run: the
//! agent takes them into its transcript.
//!
//! Must not decide whether an answer counts: that is plue-flow's.

use jiff::Timestamp;
use plue_flow::Decision;
use plue_plan::{AttemptId, RunId};

use crate::{
    changes::Shards,
    error::Error,
    handles::Decisions,
    op::Op,
    sql::{Arg, Row, Statement, Tx},
};

enum Write {
    Record { run: RunId, attempt: AttemptId, decision: Decision, at: Timestamp },
    Forget(Vec<(AttemptId, String)>),
}

/// A decision about one call of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallDecision {
    /// Id of the call, unique in its attempt.
    pub call: String,
    pub decision: Decision,
    /// Time of the answer.
    pub at: Timestamp,
}

struct RecordCall {
    run: RunId,
    attempt: AttemptId,
    decision: CallDecision,
}

impl Decisions<'_> {
    /// Keeps the decision about a call for its agent. The first counts: otherwise the person who made it
    /// is returned.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn record_for_call(
        self,
        run: &RunId,
        attempt: &AttemptId,
        decision: CallDecision,
    ) -> Result<Option<String>, Error> {
        let (run, attempt) = (run.clone(), attempt.clone());
        self.store.write(RecordCall { run, attempt, decision }).await
    }

    /// Decisions about calls of an attempt, oldest first.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn for_calls_of(self, attempt: &AttemptId) -> Result<Vec<CallDecision>, Error> {
        let text = "SELECT call_id, answer, made_at FROM call_decision WHERE attempt_id = $1 \
                    ORDER BY made_at, call_id";
        let rows = self.store.read(Statement::new(text, vec![attempt.as_str().into()])).await?;
        let decision = |row: &Row| {
            let (call, decision, at) = (row.text(0)?.to_owned(), row.json(1)?, row.time(2)?);
            Ok(CallDecision { call, decision, at })
        };
        rows.iter().map(decision).collect()
    }

    /// Stores an answer for the driver of the run. `false`: this person's answer is stored already.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn record(
        self,
        run: &RunId,
        attempt: &AttemptId,
        decision: Decision,
        at: Timestamp,
    ) -> Result<bool, Error> {
        let (run, attempt) = (run.clone(), attempt.clone());
        self.store.write(Write::Record { run, attempt, decision, at }).await
    }

    /// The answers that the journal of a run may not have yet, oldest first.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn list(self, run: &RunId) -> Result<Vec<(AttemptId, Decision)>, Error> {
        let text = "SELECT attempt_id, answer FROM decision WHERE run_id = $1 \
                    ORDER BY made_at, answered_by";
        let rows = self.store.read(Statement::new(text, vec![run.as_str().into()])).await?;
        rows.iter().map(|row| Ok((AttemptId::new(row.text(0)?), row.json(1)?))).collect()
    }

    /// Takes answers off the list once the journal has them, or will never have them.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn forget(self, answers: Vec<(AttemptId, String)>) -> Result<(), Error> {
        self.store.write(Write::Forget(answers)).await.map(drop)
    }
}

impl Op for Write {
    type Out = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        match self {
            Self::Record { run, attempt, decision, at } => {
                let by = decision.by.as_str();
                let key = || -> Vec<Arg> { vec![attempt.as_str().into(), by.into()] };
                let text = "SELECT 1 FROM decision WHERE attempt_id = $1 AND answered_by = $2";
                if tx.fetch_optional(Statement::new(text, key())).await?.is_some() {
                    return Ok(false);
                }
                let mut args = key();
                args.extend([run.as_str().into(), Arg::json(decision)?, (*at).into()]);
                tx.write(
                    Statement::new(
                        "INSERT INTO decision (attempt_id, answered_by, run_id, answer, made_at) \
                         VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
                        args,
                    )
                    .expect(1),
                );
            }
            Self::Forget(answers) => tx.write_all(
                answers
                    .iter()
                    .map(|(attempt, by)| {
                        Statement::new(
                            "DELETE FROM decision WHERE attempt_id = $1 AND answered_by = $2",
                            vec![attempt.as_str().into(), by.as_str().into()],
                        )
                    })
                    .collect(),
            ),
        }
        Ok(true)
    }

    fn touched(&self, recorded: &bool) -> Shards {
        match self {
            Self::Record { run, .. } if *recorded => Shards::of(run),
            Self::Record { .. } | Self::Forget(_) => Shards::NONE,
        }
    }
}

impl Op for RecordCall {
    type Out = Option<String>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Option<String>, Error> {
        let Self { run, attempt, decision } = self;
        let key = || -> Vec<Arg> { vec![attempt.as_str().into(), decision.call.as_str().into()] };
        let text = "SELECT answer FROM call_decision WHERE attempt_id = $1 AND call_id = $2";
        if let Some(row) = tx.fetch_optional(Statement::new(text, key())).await? {
            let first: Decision = row.json(0)?;
            return Ok(Some(first.by));
        }
        let mut args = key();
        args.extend([run.as_str().into(), Arg::json(&decision.decision)?, decision.at.into()]);
        tx.write(
            Statement::new(
                "INSERT INTO call_decision (attempt_id, call_id, run_id, answer, made_at) \
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
                args,
            )
            .expect(1),
        );
        Ok(None)
    }

    fn touched(&self, first: &Option<String>) -> Shards {
        if first.is_none() { Shards::of(&self.run) } else { Shards::NONE }
    }
}
