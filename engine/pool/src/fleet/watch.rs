//! The rows of the fleet's runners, read once a second: what other processes decide about them.

use std::{sync::atomic::Ordering, time::Duration};

use plue_plan::RunnerId;
use plue_runtime::{Phase, Stop};
use plue_store::RunnerRow;

use super::Fleet;
use crate::lease::{Command, Lease};

/// Time between two reads of the rows.
const EVERY: Duration = Duration::from_secs(1);
/// Interval at which signs of life are stored, in reads.
const SEEN_EVERY: u32 = 10;

// === impl Fleet: rows ===

impl Fleet {
    /// Watches the rows until the server drains; then runners without a run are sent to other engines.
    pub async fn watch(&self, stop: Stop) {
        let mut round = 0_u32;
        loop {
            tokio::select! {
                () = stop.reached(Phase::Draining) => break,
                () = self.0.clock.sleep(EVERY) => {}
            }
            round = round.wrapping_add(1);
            if let Err(error) = self.look(round.is_multiple_of(SEEN_EVERY)).await {
                tracing::warn!(%error, "failed to read the rows of runners; retrying");
            }
        }
        self.0.closes.store(true, Ordering::Release);
        for lease in self.take_all_idle() {
            send_away(lease, "this engine stops").await;
        }
    }

    async fn look(&self, notes_seen: bool) -> Result<(), plue_store::Error> {
        let served: Vec<RunnerId> = self.slots().keys().cloned().collect();
        if served.is_empty() {
            return Ok(());
        }
        let rows = self.0.store.runners().list(None).await?;
        for id in &served {
            let row = rows.iter().find(|row| row.id == *id);
            if row.is_none() {
                self.note_gone(id).await?;
            }
            if let Some(lease) = self.refresh(id, row) {
                let why = row.map_or("it was removed", |_| "its run is driven by another engine");
                send_away(lease, why).await;
            }
        }
        if notes_seen {
            self.0.store.runners().seen(self.connected(), self.0.clock.now()).await?;
        }
        Ok(())
    }

    /// Ends the lease of a runner whose row is gone, with the reason in the row.
    async fn note_gone(&self, id: &RunnerId) -> Result<(), plue_store::Error> {
        let is_leased = self.slots().get(id).is_some_and(|slot| slot.idle.is_none());
        if is_leased {
            let row = self.0.store.runners().get(id).await?;
            let reason = row.and_then(|row| row.reason).unwrap_or_else(|| "removed".to_owned());
            if let Some(slot) = self.slots().get(id) {
                slot.gone.send_replace(Some(reason));
            }
        }
        Ok(())
    }

    /// Copies the row; returns the lease of a runner that is not idle any more.
    fn refresh(&self, id: &RunnerId, row: Option<&RunnerRow>) -> Option<Lease> {
        let mut slots = self.slots();
        let slot = slots.get_mut(id)?;
        if let Some(row) = row {
            slot.row = row.clone();
        }
        // Takes the reports of its sessions.
        let is_served = slot.idle.as_mut().is_some_and(Lease::is_quiet);
        let stays = is_served && row.is_some_and(|row| row.group.is_none());
        if stays { None } else { slot.idle.take() }
    }

    /// Runners with a connection that was ever served.
    fn connected(&self) -> Vec<RunnerId> {
        let slots = self.slots();
        slots.iter().filter(|(_, slot)| slot.is_connected()).map(|(id, _)| id.clone()).collect()
    }

    fn take_all_idle(&self) -> Vec<Lease> {
        self.slots().values_mut().filter_map(|slot| slot.idle.take()).collect()
    }
}

impl super::Slot {
    /// Whether a session is open as far as its idle lease knows; a leased runner counts as connected.
    fn is_connected(&self) -> bool {
        self.idle.as_ref().is_none_or(|lease| lease.session().is_some())
    }
}

async fn send_away(lease: Lease, why: &str) {
    lease.send(Command::Redirect(why.to_owned())).await;
    lease.detach().await;
}
