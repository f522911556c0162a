//! The crash mark of a drive (`plue_store::deaths`): a run whose engines die again and again is set aside.

use std::time::Duration;

use plue_runtime::clock::Mark;

use crate::{driver::context::RunContext, error::Error};

/// A run that has been driven for this long does not crash its engine by being recovered.
const HARMLESS_AFTER: Duration = Duration::from_secs(60);

/// State of the mark.
#[derive(Debug)]
pub(super) struct CrashGuard {
    /// The store has a mark of this drive.
    pub(super) is_armed: bool,
    pub(super) since: Mark,
}

// === impl CrashGuard ===

impl CrashGuard {
    /// Removes the mark once the run waits for an answer or [`HARMLESS_AFTER`] has passed: by then all
    /// stored inputs have been applied.
    pub(super) async fn disarm_if_harmless(
        &mut self,
        context: &RunContext,
        is_waiting: bool,
        fence: Option<u64>,
    ) -> Result<(), Error> {
        let is_due = is_waiting || context.shared.clock.elapsed(self.since) >= HARMLESS_AFTER;
        if self.is_armed && is_due {
            context.shared.store.drives().end(&context.row.id, fence).await?;
            self.is_armed = false;
        }
        Ok(())
    }

    /// Removes the mark; a failure is logged.
    pub(super) async fn disarm(&self, context: &RunContext) {
        if !self.is_armed {
            return;
        }
        let run = &context.row.id;
        if let Err(error) = context.shared.store.drives().end(run, None).await {
            tracing::warn!(%run, %error, "failed to remove the crash mark of a run");
        }
    }
}
