//! Recovery: a driver goes on where this engine or a dead one left the run.

use plue_flow::{AttemptStatus, Effect, Input};
use plue_plan::RunnerId;
use plue_store::AttemptRow;

use super::Pass;
use crate::{batch::Incoming, driver::runners::unreported_start, error::Error};

/// The reason of losses whose runner was given up.
const RUNNER_GONE: &str = "its runner is gone";

// === impl Pass: recovery ===

impl Pass<'_> {
    /// The inputs with which a driver begins. `first`: the input that reopens an ended run.
    pub(crate) async fn recover(&mut self, first: Option<Input>) -> Result<Vec<Incoming>, Error> {
        let context = self.context;
        let mut runners = context.shared.store.runners().list(Some(&context.row.id)).await?;
        runners.sort_by_key(|row| row.registered_at);
        if first.is_some() || self.ledger.run().is_finished() {
            for old in runners {
                self.retire(&old.id).await?;
            }
            return Ok(first.map(Incoming::plain).into_iter().collect());
        }
        let adopted = match runners.pop() {
            Some(last) => self.adopt(last.id).await?,
            None => None,
        };
        if adopted.is_none() && !self.runners.has_lease() && self.ledger.is_new() {
            // Starting a runner takes as long as deciding the first steps.
            self.runners.lease().await?;
            return Ok(vec![Incoming::plain(Input::Start)]);
        }
        // After the adoption: lost attempts may be queued again at once, for a runner that is there.
        for old in runners {
            self.retire(&old.id).await?;
        }
        self.lose_orphans(adopted.as_ref()).await?;
        self.repeat_effects().await
    }

    /// Leases the runner that the run had, or retires it.
    async fn adopt(&mut self, runner: RunnerId) -> Result<Option<RunnerId>, Error> {
        match self.runners.adopt(&runner).await? {
            Ok(()) => Ok(Some(runner)),
            Err(error) => {
                tracing::warn!(%runner, %error, "failed to adopt the runner of the run; leasing another");
                self.retire(&runner).await?;
                Ok(None)
            }
        }
    }

    /// Gives up a runner, with its attempts.
    async fn retire(&mut self, runner: &RunnerId) -> Result<(), Error> {
        let shared = &self.context.shared;
        shared.pool.discard(runner).await;
        for lost in shared.store.runners().gone(runner, RUNNER_GONE, shared.clock.now()).await? {
            self.lose(lost).await?;
        }
        Ok(())
    }

    /// Commits the loss of attempts whose runner is gone: a driver may have died between giving up the
    /// runner and committing.
    async fn lose_orphans(&mut self, adopted: Option<&RunnerId>) -> Result<(), Error> {
        let context = self.context;
        let attempts = context.shared.store.attempts().list(&context.row.id, None).await?;
        let is_claimed = |row: &AttemptRow| {
            matches!(row.state, AttemptStatus::Assigned | AttemptStatus::Running)
        };
        for lost in attempts.into_iter().filter(is_claimed) {
            if lost.runner.is_some() && lost.runner.as_ref() != adopted {
                self.lose(lost).await?;
            }
        }
        Ok(())
    }

    async fn lose(&mut self, lost: AttemptRow) -> Result<(), Error> {
        let mut incoming: Vec<_> = unreported_start(self.ledger.run(), &lost).into_iter().collect();
        let attempt = lost.claim.attempt.clone();
        self.runners.own(lost.claim);
        incoming.push(Incoming::plain(Input::Lost { attempt, reason: RUNNER_GONE.to_owned() }));
        self.run(incoming).await
    }

    /// Performs effects again that were committed but perhaps not performed.
    async fn repeat_effects(&mut self) -> Result<Vec<Incoming>, Error> {
        let mut incoming = Vec::new();
        if self.ledger.is_new() {
            incoming.push(Incoming::plain(Input::Start));
        }
        incoming.push(Incoming::plain(Input::Tick));
        for effect in self.ledger.run().pending_effects() {
            if let Effect::Perform { step, attempt, .. } = &effect {
                // With a runner, or checked before the driver waits (see `runners::scheduling`).
                let is_claimed = self.runners.claim(attempt).is_some();
                if is_claimed || self.ledger.run().is_unschedulable(attempt) {
                    continue;
                }
                self.agents.find_row(step, attempt).await?;
            }
            incoming.extend(self.perform_at_once(&effect));
            match effect {
                Effect::Perform { step, attempt, .. } if self.context.is_engine_step(&step) => {
                    self.steps.start(self.ledger.run(), &step, &attempt);
                }
                Effect::Perform { .. } if !self.runners.has_lease() => self.runners.lease().await?,
                Effect::Stop { attempt, kill } if self.runners.claim(&attempt).is_none() => {
                    self.steps.stop(self.ledger.run(), &attempt, kill).await?;
                }
                Effect::Perform { .. }
                | Effect::Stop { .. }
                | Effect::EvaluateCondition { .. }
                | Effect::EvaluateOutputs
                | Effect::Finish => {}
            }
        }
        Ok(incoming)
    }
}
