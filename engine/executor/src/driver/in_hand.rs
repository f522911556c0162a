//! Whether a driver has noted that its run is in hand (see `plue_store::deaths`), and until when.

use std::time::Duration;

use plue_flow::RunStatus;
use plue_runtime::clock::Mark;

use super::Driver;
use crate::error::Error;

/// A run that has been driven for so long does not kill its engine when it is taken up.
const HARMLESS_AFTER: Duration = Duration::from_secs(60);

/// The note of a driver.
#[derive(Debug)]
pub(super) struct InHand {
    /// Whether there is one.
    pub(super) noted: bool,
    pub(super) since: Mark,
}

impl Driver {
    /// Removes the note once the run waits for an answer, or has been driven for
    /// [`HARMLESS_AFTER`]: by then everything that was stored for it has been taken up.
    pub(super) async fn prove_harmless(&mut self) -> Result<(), Error> {
        let is_due = self.run.status() == RunStatus::Waiting
            || self.shared.clock.elapsed(self.in_hand.since) >= HARMLESS_AFTER;
        if self.in_hand.noted && is_due {
            self.shared.store.let_go(&self.row.id, self.right.fence()).await?;
            self.in_hand.noted = false;
        }
        Ok(())
    }

    /// Takes the note back of a run that is left in order, where no row of a drive does that.
    pub(super) async fn leave_in_order(&mut self) {
        if !self.in_hand.noted || self.right.is_shared() || self.run.is_finished() {
            return;
        }
        if let Err(error) = self.shared.store.let_go(&self.row.id, None).await {
            tracing::warn!(run = %self.row.id, %error, "failed to note that a run was left in order");
        }
    }
}
