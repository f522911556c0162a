//! Effects of a committed batch: assignments, verdicts, stops, tasks of the engine.

use plue_flow::{Effect, Fact};
use plue_store::Committed;
use plue_wire::runner::{Claim, ResultVerdict};

use super::Pass;
use crate::{
    batch::{Batch, Incoming},
    error::Error,
    perform::scope::AttemptNumber,
};

// === impl Pass: effects ===

impl Pass<'_> {
    pub(super) async fn perform(
        &mut self,
        batch: Batch,
        committed: Committed,
        incoming: &[Incoming],
    ) -> Result<(), Error> {
        self.ledger.committed(committed.seq, &batch.facts);
        self.outage.end();
        let queued = batch.effects.iter().filter(|effect| self.context.is_runner_work(effect));
        let queued = queued.count();
        let has_more = queued > committed.assigned.len();
        for fact in &batch.facts {
            if let Fact::AttemptRequeued { attempt, .. } = fact {
                // No runner has it until it is assigned again below.
                self.agents.stop(attempt);
                self.runners.disown(attempt);
            }
        }
        for claim in committed.assigned {
            self.assign(claim).await;
        }
        if has_more {
            self.claim_queued().await?;
        }
        self.runners.send_verdicts(incoming, &ResultVerdict::Recorded).await;
        for effect in batch.effects {
            match effect {
                Effect::Stop { attempt, kill } => {
                    self.agents.stop(&attempt);
                    self.agents.stop_children(&attempt, kill).await?;
                    match self.runners.claim(&attempt).cloned() {
                        Some(claim) => self.runners.send_stop(claim, kill).await,
                        None => self.steps.stop(self.ledger.run(), &attempt, kill).await?,
                    }
                }
                Effect::Perform { step, attempt, .. }
                    if self.context.is_engine_step(&step) && !self.context.mode.commit_only =>
                {
                    self.steps.start(self.ledger.run(), &step, &attempt);
                }
                Effect::Perform { .. }
                    if !self.runners.has_lease() && queued > 0 && !self.context.hands_over() =>
                {
                    self.runners.lease().await?;
                }
                // Attempts are assigned above or once their runner is ready; conditions are evaluated
                // before the commit; the end of the run ends the loop of its driver.
                Effect::Perform { .. }
                | Effect::EvaluateCondition { .. }
                | Effect::EvaluateOutputs
                | Effect::Finish => {}
            }
        }
        Ok(())
    }

    /// Claims queued attempts for the runner and sends them.
    pub(crate) async fn claim_queued(&mut self) -> Result<(), Error> {
        let Some(session) = self.runners.session() else {
            return Ok(());
        };
        let store = &self.context.shared.store;
        loop {
            let now = self.context.time.now();
            let claimed =
                store.attempts().claim(&session.runner, session.epoch, usize::MAX, now).await?;
            if claimed.is_empty() {
                return Ok(());
            }
            for one in claimed {
                self.assign(one.claim).await;
            }
        }
    }

    /// Sends an attempt to the runner that has claimed it, and starts its agent if it has one.
    pub(crate) async fn assign(&mut self, claim: Claim) {
        let context = self.context;
        let run = self.ledger.run();
        let Some(view) = run.attempt(&claim.attempt) else {
            return;
        };
        let Some(step) = context.plan.step(&view.step) else {
            return;
        };
        let at = AttemptNumber { visit: view.visit, number: view.number };
        let prepared = match self.runners.take_prepared(&claim.attempt) {
            Some(env) => Ok(env),
            // Queued by an earlier engine, or assigned again.
            None => context.prepare(run, &step.id, at),
        };
        let env = match prepared {
            Ok(env) => env,
            // The secrets that the earlier engine was given are not stored.
            Err(outcome) => return self.runners.fail(claim, outcome),
        };
        let outputs = context.output_spec(run, step, at, &env);
        self.ledger.assigned(&claim.attempt);
        self.runners.assign(&claim, step, env, outputs).await;
        if let Err(error) = self.attach_agent(&claim).await {
            let reason = format!("its transcript cannot be read: {error}");
            self.runners.fail_as_lost(claim.attempt, reason);
        }
    }

    /// Starts the agent of an attempt, or notifies it of a new session.
    pub(crate) async fn attach_agent(&mut self, claim: &Claim) -> Result<(), Error> {
        for order in self.agents.attach(self.ledger.run(), claim).await? {
            self.runners.send_order(order).await;
        }
        Ok(())
    }
}
