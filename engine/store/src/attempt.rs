//! Rows of attempts, and the part of them that a runner's writes are checked against.

use jiff::Timestamp;
use plue_flow::{AttemptStatus, fact::Outcome};
use plue_plan::{AttemptId, RunId, RunnerId, StepId};
use plue_wire::runner::{Claim, Fence, ResultVerdict};
use serde_json::Value as Json;

use crate::{
    error::Error,
    fence,
    handles::Attempts,
    rule::Hold,
    sql::{Arg, Dialect, Row, Statement},
};

/// A row of `attempt`.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptRow {
    /// The attempt and the fence of its last assignment; fence 0: never assigned.
    pub claim: Claim,
    pub run: RunId,
    pub step: StepId,
    /// The step's visit, from 1.
    pub visit: u32,
    /// Its number within the visit, from 1.
    pub number: u32,
    /// The pool it waits for or ran in.
    pub pool: String,
    pub state: AttemptStatus,
    /// Runner that has or had it.
    pub runner: Option<RunnerId>,
    pub queued_at: Timestamp,
    /// Time of the claim by a runner.
    pub assigned_at: Option<Timestamp>,
    /// Start of its process, by the runner's clock.
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// The process id on the runner.
    pub pid: Option<u32>,
    /// The last event of its sequence that is stored.
    pub ack_seq: u64,
    /// No stored piece of its log has a higher number.
    pub log_reach: u64,
    /// Bytes of its log.
    pub log_bytes: u64,
    pub outcome: Option<Outcome>,
    /// Exit status, times and memory of the end, as the runner reported them.
    pub detail: Option<Json>,
}

/// Fields that decide whether a runner's write counts, locked in a transaction.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) id: AttemptId,
    pub(crate) run: RunId,
    pub(crate) state: AttemptStatus,
    pub(crate) fence: Fence,
    pub(crate) ack_seq: u64,
    pub(crate) log_bytes: u64,
    pub(crate) log_newlines: u64,
    /// The number of the last piece, if the engine adds to the log; 0 otherwise.
    pub(crate) log_seq: u64,
}

const COLUMNS: &str = "id, fence, run_id, step_id, visit, number, pool, state, runner_id, queued_at, \
                       assigned_at, started_at, ended_at, pid, ack_seq, log_bytes, outcome, detail, \
                       log_seq";

impl Attempts<'_> {
    /// The attempts of a run, or of one of its steps, in the order they were queued.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn list(self, run: &RunId, step: Option<&StepId>) -> Result<Vec<AttemptRow>, Error> {
        let mut args = vec![Arg::from(run.as_str())];
        let mut text = format!("SELECT {COLUMNS} FROM attempt WHERE run_id = $1");
        if let Some(step) = step {
            args.push(step.as_str().into());
            text.push_str(" AND step_id = $2");
        }
        text.push_str(" ORDER BY queued_at, step_id, visit, number");
        let rows = self.store.read(Statement::new(text, args)).await?;
        rows.iter().map(attempt_row).collect()
    }

    /// One attempt.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn get(self, id: &AttemptId) -> Result<Option<AttemptRow>, Error> {
        let text = format!("SELECT {COLUMNS} FROM attempt WHERE id = $1");
        let row = self.store.read_one(Statement::new(text, vec![id.as_str().into()])).await?;
        row.map(|row| attempt_row(&row)).transpose()
    }

    /// The attempts that a runner has and that have not ended: what it must still hold when it comes
    /// back, or what is lost when it is gone.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn claims_of(self, runner: &RunnerId) -> Result<Vec<AttemptRow>, Error> {
        let text = format!(
            "SELECT {COLUMNS} FROM attempt \
             WHERE runner_id = $1 AND state IN ('assigned', 'running') ORDER BY fence"
        );
        let rows = self.store.read(Statement::new(text, vec![runner.as_str().into()])).await?;
        rows.iter().map(attempt_row).collect()
    }
}

// === impl Held ===

impl Held {
    /// Columns of an attempt `a`.
    pub(crate) const COLUMNS: &str =
        "a.id, a.run_id, a.state, a.fence, a.ack_seq, a.log_bytes, a.log_newlines, a.log_seq";

    /// The read that locks this attempt.
    pub(crate) fn lock(dialect: Dialect, id: &AttemptId) -> Statement {
        let (columns, lock) = (Self::COLUMNS, fence::lock(dialect));
        let text = format!("SELECT {columns} FROM attempt a WHERE a.id = $1{lock}");
        Statement::new(text, vec![id.as_str().into()])
    }

    /// The attempt whose columns begin at this one, if there is one in the row.
    pub(crate) fn from_row(row: &Row, at: usize) -> Result<Option<Self>, Error> {
        let Some(id) = row.opt_text(at)? else { return Ok(None) };
        Ok(Some(Self {
            id: AttemptId::new(id),
            run: RunId::new(row.text(at + 1)?),
            state: row.parse(at + 2)?,
            fence: Fence(row.count(at + 3)?),
            ack_seq: row.count(at + 4)?,
            log_bytes: row.count(at + 5)?,
            log_newlines: row.count(at + 6)?,
            log_seq: row.count(at + 7)?,
        }))
    }

    fn hold(&self) -> Hold {
        Hold { state: self.state, fence: self.fence, ack_seq: self.ack_seq }
    }

    /// Whether this claim still has the attempt.
    pub(crate) fn is_held_by(&self, claim: &Claim) -> bool {
        self.id == claim.attempt && self.hold().is_by(claim.fence)
    }

    /// Whether the event with this number is the next one.
    pub(crate) fn is_next(&self, seq: u64) -> bool {
        self.hold().is_next(seq)
    }

    /// Meaning of a result with this last number, after the events before it were taken.
    pub(crate) fn verdict(&self, claim: &Claim, seq: u64) -> ResultVerdict {
        self.hold().verdict(claim.fence, seq)
    }
}

fn attempt_row(row: &Row) -> Result<AttemptRow, Error> {
    let pid = row.opt_int(13)?.and_then(|pid| u32::try_from(pid).ok());
    Ok(AttemptRow {
        claim: Claim { attempt: AttemptId::new(row.text(0)?), fence: Fence(row.count(1)?) },
        run: RunId::new(row.text(2)?),
        step: StepId::new(row.text(3)?),
        visit: row.small(4)?,
        number: row.small(5)?,
        pool: row.text(6)?,
        state: row.parse(7)?,
        runner: row.opt_text(8)?.map(RunnerId::new),
        queued_at: row.time(9)?,
        assigned_at: row.opt_time(10)?,
        started_at: row.opt_time(11)?,
        ended_at: row.opt_time(12)?,
        pid,
        ack_seq: row.count(14)?,
        log_reach: row.count(14)?.max(row.count(18)?),
        log_bytes: row.count(15)?,
        outcome: row.opt_json(16)?,
        detail: row.opt_json(17)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(state: AttemptStatus) -> Held {
        Held {
            id: AttemptId::new("a"),
            run: RunId::new("r"),
            state,
            fence: Fence(7),
            ack_seq: 4,
            log_bytes: 0,
            log_newlines: 0,
            log_seq: 0,
        }
    }

    fn claim(attempt: &str, fence: u64) -> Claim {
        Claim { attempt: AttemptId::new(attempt), fence: Fence(fence) }
    }

    #[test]
    fn a_result_counts_once_in_sequence_and_from_the_holder() {
        use AttemptStatus::{Assigned, Cancelled, Done, Lost, Queued, Running};
        use ResultVerdict::{Duplicate, Fenced, Need, Recorded};
        for (state, fence, seq, verdict) in [
            (Running, 7, 5, Recorded),
            (Assigned, 7, 5, Recorded),
            (Running, 7, 6, Need(5)),
            (Running, 7, u64::MAX, Need(5)),
            (Running, 7, 4, Fenced),
            (Running, 7, 0, Fenced),
            (Running, 6, 5, Fenced),
            (Running, 8, 5, Fenced),
            (Done, 7, 4, Duplicate),
            (Done, 7, 5, Fenced),
            (Done, 6, 4, Fenced),
            (Lost, 7, 5, Fenced),
            (Lost, 7, 4, Fenced),
            (Cancelled, 7, 4, Fenced),
            (Queued, 7, 5, Fenced),
        ] {
            let got = held(state).verdict(&claim("a", fence), seq);
            assert_eq!(got, verdict, "{state} fence {fence} seq {seq}");
        }
    }

    #[test]
    fn an_attempt_is_held_only_while_a_runner_has_it() {
        for state in AttemptStatus::ALL {
            let holds = matches!(state, AttemptStatus::Assigned | AttemptStatus::Running);
            assert_eq!(held(*state).is_held_by(&claim("a", 7)), holds, "{state}");
        }
        assert!(!held(AttemptStatus::Running).is_held_by(&claim("b", 7)));
    }
}
