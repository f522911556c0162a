//! Runs that nobody advances are advanced here, oldest first, so many at a time; those that a dead
//! engine left behind as well.

use std::{collections::HashSet, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};
use plue_flow::RunStatus;
use plue_plan::RunId;
use plue_runtime::Phase;
use plue_store::RunRow;

use crate::{error::Error, server::Server};

/// A run that could not be driven is left alone for so long.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

impl Server {
    /// Drives runs until the server stops, then waits for those that it drives.
    pub(crate) async fn drive_runs(&self) {
        let parts = self.parts();
        let mut changes = self.store().changes();
        let mut driven: HashSet<RunId> = HashSet::new();
        let mut ends = FuturesUnordered::new();
        loop {
            changes.borrow_and_update();
            // Asked once a round: were it asked again below, a stop between the two would leave
            // nothing to wait for.
            let running = parts.stop.phase() == Phase::Running;
            if running {
                for row in self.waiting(&driven).await {
                    driven.insert(row.id.clone());
                    ends.push(self.drive_one(row));
                }
            } else if ends.is_empty() {
                return;
            }
            tokio::select! {
                Some(run) = ends.next(), if !ends.is_empty() => drop(driven.remove(&run)),
                more = self.rest(&mut changes), if running => {
                    let _stops = more;
                }
            }
        }
    }

    /// Runs that are to be driven now.
    async fn waiting(&self, driven: &HashSet<RunId>) -> Vec<RunRow> {
        let parts = self.parts();
        let room = parts.options.max_runs.saturating_sub(driven.len());
        if room == 0 {
            return Vec::new();
        }
        match self.store().unfinished_runs().await {
            Ok(rows) => {
                let mine = rows.into_iter().filter(|row| {
                    !driven.contains(&row.id)
                        && row.view.status != RunStatus::Waiting
                        && !parts.engine.is_driven(&row.id)
                });
                mine.take(room).collect()
            }
            Err(error) => {
                tracing::warn!(%error, "runs wait");
                Vec::new()
            }
        }
    }

    async fn drive_one(&self, row: RunRow) -> RunId {
        if let Err(error) = self.driven_to_its_end(&row).await {
            // It stays where the store says it is, and is not looked at again at once: what kept it
            // from going on will mostly still be so.
            tracing::warn!(run = %row.id, %error, "the run waits");
            let parts = self.parts();
            tokio::select! {
                () = parts.stop.reached(Phase::Draining) => {}
                () = parts.clock.sleep(AGAIN_AFTER) => {}
            }
        }
        row.id
    }

    async fn driven_to_its_end(&self, row: &RunRow) -> Result<(), Error> {
        let parts = self.parts();
        let secrets = self.secrets_of(row).await?;
        let handle = parts.engine.drive(&row.id, secrets, parts.stop.clone()).await?;
        handle.wait().await?;
        Ok(())
    }
}
