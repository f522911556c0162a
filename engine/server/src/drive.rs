//! Runs that nobody advances are advanced here, oldest first, so many at a time; those that a dead
//! engine left behind as well.

use std::collections::HashSet;

use futures::{StreamExt as _, stream::FuturesUnordered};
use plue_flow::RunStatus;
use plue_plan::RunId;
use plue_runtime::Phase;
use plue_store::RunRow;

use crate::server::Server;

impl Server {
    /// Drives runs until the server stops, then waits for those that it drives.
    pub(crate) async fn drive_runs(&self) {
        let parts = self.parts();
        let mut changes = self.store().changes();
        let mut driven: HashSet<RunId> = HashSet::new();
        let mut ends = FuturesUnordered::new();
        loop {
            changes.borrow_and_update();
            if parts.stop.phase() == Phase::Running {
                for row in self.waiting(&driven).await {
                    driven.insert(row.id.clone());
                    ends.push(self.drive_one(row));
                }
            } else if ends.is_empty() {
                return;
            }
            tokio::select! {
                Some(run) = ends.next(), if !ends.is_empty() => drop(driven.remove(&run)),
                more = self.rest(&mut changes), if parts.stop.phase() == Phase::Running => {
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
        let parts = self.parts();
        let driven = match self.secrets_of(&row).await {
            Ok(secrets) => parts.engine.drive(&row.id, secrets, parts.stop.clone()).await,
            Err(error) => {
                tracing::warn!(run = %row.id, %error, "the run waits: its secrets cannot be opened");
                parts.clock.sleep(parts.options.poll).await;
                return row.id;
            }
        };
        match driven {
            Ok(handle) => {
                if let Err(error) = handle.wait().await {
                    tracing::warn!(run = %row.id, %error, "the run was left");
                }
            }
            // Another engine was faster, or it cannot be driven now: it is looked at again.
            Err(error) => {
                tracing::info!(run = %row.id, %error, "the run was not taken");
                parts.clock.sleep(parts.options.poll).await;
            }
        }
        row.id
    }
}
