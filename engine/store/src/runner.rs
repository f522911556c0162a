//! Runners: their rows, their sessions, and what they get to do.

mod bind;
mod claim;
mod registration;
mod session;

use std::str::FromStr;

use jiff::Timestamp;
use plue_flow::executor::ExecutorState;
use plue_plan::{RunId, RunnerId, StepId};
use plue_wire::runner::Claim;

pub use self::registration::{NewRegistered, RegistrationToken, Removal};
use crate::{
    error::Error,
    handles::Runners,
    sql::{Row, Statement},
};

/// The pool of attempts whose run works on another machine: a run binds its runner first, from whichever
/// pool that is.
pub const REMOTE_POOL: &str = "remote";

/// The label of pods for runs of untrusted commits.
pub const UNTRUSTED_LABEL: &str = "untrusted";

/// The reason with which a run lets a runner go that did all it was ordered to do.
pub const RELEASED: &str = "released";

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

/// The kind of a runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RunnerKind {
    /// A process of the engine's machine, for one run.
    Process,
    /// A pod, for one run.
    Pod,
    /// A machine that was registered: it works for one run after the other.
    Registered,
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
    /// The reason that it is gone, or the outcome of its last run.
    pub reason: Option<String>,
    /// Way in which it runs and connects.
    pub kind: RunnerKind,
    /// Its name for people, if it has one.
    pub name: Option<String>,
    /// Names that steps may ask for in addition to its pool.
    pub labels: Vec<String>,
    /// It gets no further run.
    pub draining: bool,
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

const COLUMNS: &str = "id, pool, state, epoch, group_key, registered_at, seen_at, reason, kind, name, labels, draining";

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

// === impl RunnerKind ===

impl RunnerKind {
    /// All kinds, for tables and tests.
    pub const ALL: &'static [Self] = &[Self::Process, Self::Pod, Self::Registered];

    /// Text of the kind in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Pod => "pod",
            Self::Registered => "registered",
        }
    }
}

impl FromStr for RunnerKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().copied().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is no kind of a runner"))
    }
}

// === impl RunnerRow ===

impl RunnerRow {
    /// The state of a registered machine, as people see it.
    #[must_use]
    pub fn executor_state(&self) -> ExecutorState {
        match self.state {
            RunnerState::Gone => ExecutorState::Deregistered,
            _ if self.group.is_some() => ExecutorState::Running,
            RunnerState::Warming if self.epoch == 0 => ExecutorState::Registered,
            RunnerState::Warming if self.reason.as_deref() != Some(RELEASED) => {
                ExecutorState::Failed
            }
            RunnerState::Warming
            | RunnerState::Ready
            | RunnerState::Claimed
            | RunnerState::Draining => ExecutorState::Idle,
        }
    }

    /// Whether it is a pod for runs of untrusted commits and no others.
    #[must_use]
    pub fn is_untrusted(&self) -> bool {
        self.kind == RunnerKind::Pod && self.labels.iter().any(|label| label == UNTRUSTED_LABEL)
    }

    /// Whether steps that ask for these names may run on it: each is its pool, its name or one of its labels.
    #[must_use]
    pub fn answers_to<'n>(&self, mut names: impl Iterator<Item = &'n str>) -> bool {
        names.all(|name| {
            self.pool == name
                || self.name.as_deref() == Some(name)
                || self.labels.iter().any(|label| label == name)
        })
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
        kind: row.parse(8)?,
        name: row.opt_text(9)?,
        labels: labels(&row.text(10)?)?,
        draining: row.count(11)? > 0,
    })
}

pub(crate) fn labels(text: &str) -> Result<Vec<String>, Error> {
    serde_json::from_str(text)
        .map_err(|error| Error::Corrupt(format!("labels of a runner: {error}")))
}
