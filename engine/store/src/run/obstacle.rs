//! Obstacles that keep an engine from driving a run, or a runner from a step. Engines try again
//! every few seconds and refresh the row; one that is not refreshed is over.

use jiff::{SignedDuration, Timestamp};
use plue_flow::fact::Reason;
use plue_plan::{RunId, StepId};

use crate::{error::Error, plain::Plain, sql::Statement, store::Store};

/// An obstacle that no engine has met for so long is over.
const MET_WITHIN: SignedDuration = SignedDuration::from_secs(60);

/// Queued steps that are looked at for one that waits for a runner.
const MAX_LOOKED_AT: u32 = 50;

impl Store {
    /// Records what keeps an engine from driving a run.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn put_obstacle(
        &self,
        run: &RunId,
        obstacle: &str,
        at: Timestamp,
    ) -> Result<(), Error> {
        let text = "INSERT INTO run_obstacle (run_id, obstacle, seen_at) VALUES ($1, $2, $3) \
                    ON CONFLICT (run_id) DO UPDATE SET obstacle = excluded.obstacle, \
                    seen_at = excluded.seen_at";
        let args = vec![run.as_str().into(), obstacle.into(), at.into()];
        self.write(Plain(vec![Statement::new(text, args)])).await
    }

    /// The obstacle that keeps engines from driving a run; `None`: none was met in the last 60 s.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn obstacle(&self, run: &RunId) -> Result<Option<String>, Error> {
        let since = self.clock().now().saturating_sub(MET_WITHIN);
        let since = since.unwrap_or(Timestamp::UNIX_EPOCH);
        let text = "SELECT obstacle FROM run_obstacle WHERE run_id = $1 AND seen_at >= $2";
        let args = vec![run.as_str().into(), since.into()];
        let row = self.read_one(Statement::new(text, args)).await?;
        row.map(|row| row.text(0)).transpose()
    }

    /// A step of a run that waits for a runner, and why, while none of its steps is running.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn step_without_runner(
        &self,
        run: &RunId,
    ) -> Result<Option<(StepId, Reason)>, Error> {
        let text = "SELECT step_id, reason FROM step WHERE run_id = $1 AND status = 'queued' \
                    AND reason IS NOT NULL AND NOT EXISTS (SELECT 1 FROM step other \
                    WHERE other.run_id = $1 AND other.status = 'running') ORDER BY step_id LIMIT $2";
        let args = vec![run.as_str().into(), MAX_LOOKED_AT.into()];
        for row in &self.read(Statement::new(text, args)).await? {
            if let reason @ Reason::NoRunner { .. } = row.json(1)? {
                return Ok(Some((StepId::new(row.text(0)?), reason)));
            }
        }
        Ok(None)
    }
}
