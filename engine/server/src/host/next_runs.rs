//! The order of runs on one machine, where the kernel's locks show which runs are driven.

use std::collections::HashSet;

use plue_flow::{
    RunStatus,
    quotas::{self, Busy, Candidate},
};
use plue_plan::RunId;
use plue_store::RunRow;

use super::drive::{Drivers, RunHost};
use crate::error::Error;

/// Runs with a cancellation request that are read at once.
const MAX_ENDING: u32 = 1_000;
/// Runs of each repository and pull request that are read beyond the quota, since other processes may drive
/// some.
const SPARE: usize = 64;

// === impl RunHost ===

impl RunHost {
    /// The runs of this machine to drive next.
    pub(super) async fn next_local(&self, drivers: &Drivers) -> Result<Vec<RunRow>, Error> {
        let of_each = self.quotas.max_runs + drivers.len() + SPARE;
        let rows = self.store.runs().oldest_unfinished(of_each).await?;
        let ending: HashSet<RunId> =
            self.store.cancels().runs(MAX_ENDING).await?.into_iter().collect();
        let (mut busy, mut own) = (Busy::default(), 0);
        let mut waiting = Vec::with_capacity(rows.len());
        // At most one run that may crash its engine is tried at a time.
        let mut is_tried = rows.iter().any(|row| drivers.contains(&row.id) && row.is_suspect(true));
        for row in rows {
            let is_mine = drivers.contains(&row.id);
            // Includes runs of other processes and child runs in the place of their parents.
            if is_mine || self.engine.is_driven(&row.id) {
                if row.view.status != RunStatus::Waiting {
                    busy.add(&row.lane(), 1);
                    own += usize::from(is_mine);
                }
                continue;
            }
            if row.is_suspect(false) && std::mem::replace(&mut is_tried, true) {
                continue;
            }
            let is_cancelled = ending.contains(&row.id);
            waiting.push(Candidate { lane: row.lane(), is_cancelled, run: row });
        }
        let quotas = &self.quotas;
        let room = quotas.max_runs.saturating_sub(own + self.engine.children_in_slots());
        Ok(quotas::next(waiting, busy, quotas, room, self.disk.low().as_deref()))
    }
}
