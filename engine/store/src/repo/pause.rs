//! Paused workflows and schedules of watched repositories.
//!
//! Must not decide what a pause keeps from running.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    changes::Shards,
    error::Error,
    handles::Pauses,
    op::Op,
    sql::{Arg, Row, Statement, Tx, among},
};

/// Extent of a pause: the whole workflow or its schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseScope {
    /// Everything that starts the workflow.
    Workflow,
    /// Only the schedules of the workflow.
    Schedule,
}

/// A row of `pause`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PauseRow {
    /// Name of the watched repository.
    pub repo: String,
    /// Name of the plan.
    pub workflow: String,
    /// Extent of the pause; each has a row of its own.
    pub scope: PauseScope,
    /// The principal that paused it.
    pub paused_by: String,
    /// Time at which it was paused.
    pub paused_at: Timestamp,
    /// The reason that was given.
    pub reason: Option<String>,
    /// Time at which it was resumed; `None`: it is still paused.
    pub resumed_at: Option<Timestamp>,
}

struct Pause(PauseRow);

struct Resume {
    repo: String,
    workflow: String,
    scope: PauseScope,
    at: Timestamp,
}

const COLUMNS: &str = "repo, workflow, scope, paused_by, paused_at, reason, resumed_at";
const IS_PAUSED: &str = "SELECT 1 FROM pause WHERE repo = $1 AND workflow = $2 AND scope = $3 \
                         AND resumed_at IS NULL";

// === impl PauseScope ===

impl PauseScope {
    /// Both scopes, the wider one first.
    pub const ALL: &'static [Self] = &[Self::Workflow, Self::Schedule];

    /// Name of the scope, as the database stores it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Workflow => "workflow",
            Self::Schedule => "schedule",
        }
    }
}

impl std::str::FromStr for PauseScope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().copied().find(|scope| scope.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is no scope of a pause"))
    }
}

// === impl PauseRow ===

impl PauseRow {
    /// Whether the pause is in force.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.resumed_at.is_none()
    }
}

impl Pauses<'_> {
    /// Pauses a workflow or its schedules; `false`: it was paused already, and nothing changes.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn add(self, row: PauseRow) -> Result<bool, Error> {
        self.store.write(Pause(row)).await
    }

    /// Ends a pause; `false`: it was not paused.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn remove(
        self,
        repo: &str,
        workflow: &str,
        scope: PauseScope,
        at: Timestamp,
    ) -> Result<bool, Error> {
        let (repo, workflow) = (repo.to_owned(), workflow.to_owned());
        self.store.write(Resume { repo, workflow, scope, at }).await
    }

    /// The pauses of some repositories, or of all, with those that have ended.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn list(self, repos: Option<&[String]>) -> Result<Vec<PauseRow>, Error> {
        let mut args = Vec::new();
        let filter = among("repo", repos, &mut args);
        let text = format!(
            "SELECT {COLUMNS} FROM pause WHERE 1 = 1{filter} ORDER BY repo, workflow, scope"
        );
        let rows = self.store.read(Statement::new(text, args)).await?;
        rows.iter().map(pause_row).collect()
    }
}

fn key(repo: &str, workflow: &str, scope: PauseScope) -> Vec<Arg> {
    vec![repo.into(), workflow.into(), scope.as_str().into()]
}

impl Op for Pause {
    type Out = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let row = &self.0;
        let mut args = key(&row.repo, &row.workflow, row.scope);
        if tx.fetch_optional(Statement::new(IS_PAUSED, args.clone())).await?.is_some() {
            return Ok(false);
        }
        args.extend([
            row.paused_by.as_str().into(),
            row.paused_at.into(),
            row.reason.clone().into(),
        ]);
        // The second of two at once changes nothing, and reads again.
        tx.write(
            Statement::new(
                "INSERT INTO pause (repo, workflow, scope, paused_by, paused_at, reason) \
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (repo, workflow, scope) DO UPDATE SET \
                 paused_by = excluded.paused_by, paused_at = excluded.paused_at, \
                 reason = excluded.reason, resumed_at = NULL WHERE pause.resumed_at IS NOT NULL",
                args,
            )
            .expect(1),
        );
        Ok(true)
    }

    fn touched(&self, _: &bool) -> Shards {
        Shards::NONE
    }
}

impl Op for Resume {
    type Out = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let mut args = key(&self.repo, &self.workflow, self.scope);
        if tx.fetch_optional(Statement::new(IS_PAUSED, args.clone())).await?.is_none() {
            return Ok(false);
        }
        args.push(self.at.into());
        tx.write(
            Statement::new(
                "UPDATE pause SET resumed_at = $4 WHERE repo = $1 AND workflow = $2 AND scope = $3 \
                 AND resumed_at IS NULL",
                args,
            )
            .expect(1),
        );
        Ok(true)
    }

    fn touched(&self, _: &bool) -> Shards {
        Shards::NONE
    }
}

fn pause_row(row: &Row) -> Result<PauseRow, Error> {
    Ok(PauseRow {
        repo: row.text(0)?,
        workflow: row.text(1)?,
        scope: row.parse(2)?,
        paused_by: row.text(3)?,
        paused_at: row.time(4)?,
        reason: row.opt_text(5)?,
        resumed_at: row.opt_time(6)?,
    })
}
