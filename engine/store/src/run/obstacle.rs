//! Obstacles that keep an engine from driving a run, or a runner from a step. Engines try again
//! every few seconds and refresh the row; one that is not refreshed is over.

use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use plue_flow::fact::Reason;
use plue_plan::{RunId, StepId};

use crate::{error::Error, handles::Runs, op::Plain, sql::Statement};

/// An obstacle to driving a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// Stable word of its kind, for programs.
    pub kind: ObstacleKind,
    /// The same for people, without details of the machine.
    pub words: String,
}

/// Obstacle of a run without a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObstacleKind {
    /// The key of a secret, or a secret that can be opened.
    Secret,
    /// An engine that can start it.
    Engine,
}

/// An obstacle that no engine has met for so long is over.
const MET_WITHIN: SignedDuration = SignedDuration::from_secs(60);

/// Queued steps that are looked at for one that waits for a runner.
const MAX_LOOKED_AT: u32 = 50;

// === impl ObstacleKind ===

impl ObstacleKind {
    /// Text of the kind in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Engine => "engine",
        }
    }
}

impl FromStr for ObstacleKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = [Self::Secret, Self::Engine].into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is no kind of obstacle"))
    }
}

impl Runs<'_> {
    /// Records what keeps an engine from driving a run.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn put_obstacle(
        self,
        run: &RunId,
        obstacle: &Obstacle,
        at: Timestamp,
    ) -> Result<(), Error> {
        let text = "INSERT INTO run_obstacle (run_id, kind, obstacle, seen_at) VALUES ($1, $2, $3, $4) \
                    ON CONFLICT (run_id) DO UPDATE SET kind = excluded.kind, \
                    obstacle = excluded.obstacle, seen_at = excluded.seen_at";
        let kind = obstacle.kind.as_str().into();
        let args = vec![run.as_str().into(), kind, obstacle.words.as_str().into(), at.into()];
        self.store.write(Plain(vec![Statement::new(text, args)])).await
    }

    /// The obstacle that keeps engines from driving a run; `None`: none was met in the last 60 s.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn obstacle(self, run: &RunId) -> Result<Option<Obstacle>, Error> {
        let since = self.store.clock().now().saturating_sub(MET_WITHIN);
        let since = since.unwrap_or(Timestamp::UNIX_EPOCH);
        let text = "SELECT kind, obstacle FROM run_obstacle WHERE run_id = $1 AND seen_at >= $2";
        let args = vec![run.as_str().into(), since.into()];
        let row = self.store.read_one(Statement::new(text, args)).await?;
        row.map(|row| Ok(Obstacle { kind: row.parse(0)?, words: row.text(1)? })).transpose()
    }

    /// The steps of a run that wait for a runner, and why, among its first 50 queued ones that have
    /// a reason.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn steps_without_runner(self, run: &RunId) -> Result<Vec<(StepId, Reason)>, Error> {
        let text = "SELECT step_id, reason FROM step WHERE run_id = $1 AND status = 'queued' \
                    AND reason IS NOT NULL ORDER BY step_id LIMIT $2";
        let args = vec![run.as_str().into(), MAX_LOOKED_AT.into()];
        let mut found = Vec::new();
        for row in &self.store.read(Statement::new(text, args)).await? {
            if let reason @ Reason::NoRunner { .. } = row.json(1)? {
                found.push((StepId::new(row.text(0)?), reason));
            }
        }
        Ok(found)
    }

    /// Whether a step of a run is running.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn has_running_step(self, run: &RunId) -> Result<bool, Error> {
        let text = "SELECT 1 FROM step WHERE run_id = $1 AND status = 'running' LIMIT 1";
        let row = self.store.read_one(Statement::new(text, vec![run.as_str().into()])).await?;
        Ok(row.is_some())
    }
}
