//! Runners: their rows, their sessions, and what they get to do.

mod bind;
mod claim;
mod session;

use std::str::FromStr;

use jiff::Timestamp;
use plue_plan::{RunId, RunnerId, StepId};
use plue_wire::runner::Claim;

use crate::{
    error::Error,
    handles::Runners,
    sql::{Row, Statement},
};

/// The state of a runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RunnerState {
    /// It has a row and is expected to greet.
    Warming,
    /// A session is open; it has no group yet.
    Ready,
    /// It works for one group.
    Claimed,
    /// It gets nothing new.
    Draining,
    /// It will not come back.
    Gone,
}

/// A row of `runner`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerRow {
    pub id: RunnerId,
    pub pool: String,
    pub state: RunnerState,
    pub epoch: u64,
    /// The run it works for.
    pub group: Option<RunId>,
    pub registered_at: Timestamp,
    /// Time of its last message.
    pub seen_at: Timestamp,
    pub reason: Option<String>,
}

/// An attempt that a runner got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedAttempt {
    /// The attempt and its fence.
    pub claim: Claim,
    pub run: RunId,
    pub step: StepId,
    pub visit: u32,
    /// Its number within the visit.
    pub number: u32,
}

const COLUMNS: &str = "id, pool, state, epoch, group_key, registered_at, seen_at, reason";

// === impl RunnerState ===

impl RunnerState {
    pub const ALL: &'static [Self] =
        &[Self::Warming, Self::Ready, Self::Claimed, Self::Draining, Self::Gone];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warming => "warming",
            Self::Ready => "ready",
            Self::Claimed => "claimed",
            Self::Draining => "draining",
            Self::Gone => "gone",
        }
    }
}

impl FromStr for RunnerState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().copied().find(|state| state.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is not a runner state"))
    }
}

impl Runners<'_> {
    /// A runner.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn get(self, id: &RunnerId) -> Result<Option<RunnerRow>, Error> {
        let text = format!("SELECT {COLUMNS} FROM runner WHERE id = $1");
        let row = self.store.read_one(Statement::new(text, vec![id.as_str().into()])).await?;
        row.map(|row| runner_row(&row)).transpose()
    }

    /// All runners that are not gone, of one run or of all.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn list(self, group: Option<&RunId>) -> Result<Vec<RunnerRow>, Error> {
        let mut text = format!("SELECT {COLUMNS} FROM runner WHERE state <> 'gone'");
        let mut args = Vec::new();
        if let Some(group) = group {
            text.push_str(" AND group_key = $1");
            args.push(group.as_str().into());
        }
        text.push_str(" ORDER BY id");
        let rows = self.store.read(Statement::new(text, args)).await?;
        rows.iter().map(runner_row).collect()
    }
}

fn runner_row(row: &Row) -> Result<RunnerRow, Error> {
    Ok(RunnerRow {
        id: RunnerId::new(row.text(0)?),
        pool: row.text(1)?,
        state: row.parse(2)?,
        epoch: row.count(3)?,
        group: row.opt_text(4)?.map(RunId::new),
        registered_at: row.time(5)?,
        seen_at: row.time(6)?,
        reason: row.opt_text(7)?,
    })
}
