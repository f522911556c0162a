//! Delivering: what was committed goes out — assignments, verdicts, stops.

use plue_flow::{Effect, Fact, Input};
use plue_plan::context::Reader;
use plue_pool::Command;
use plue_store::Committed;
use plue_wire::{
    eval::Bytes,
    runner::{Claim, ResultVerdict},
};

use super::Driver;
use crate::{
    batch::{Batch, Incoming},
    error::Error,
    perform::{
        care::care,
        runner_step::{Bounds, assignment},
        scope::{Seen, within_budget},
    },
};

/// Bytes of secrets in one message; a frame holds twice as many.
const MAX_MASK_BYTES: usize = plue_wire::runner::MAX_FRAME_BYTES / 2;

// === impl Driver: delivering ===

impl Driver {
    pub(super) async fn deliver(
        &mut self,
        batch: Batch,
        committed: Committed,
        incoming: Vec<Incoming>,
    ) -> Result<(), Error> {
        self.seq = committed.seq;
        self.measure(&batch.facts);
        self.outage.is_over(&batch.facts);
        let for_runner = |effect: &&Effect| matches!(effect, Effect::Perform { step, .. } if !self.is_engine_step(step));
        let queued = batch.effects.iter().filter(for_runner).count();
        let more = queued > committed.assigned.len();
        for fact in &batch.facts {
            if let Fact::AttemptRequeued { attempt, .. } = fact {
                // Nobody has it, until somebody gets it below.
                self.agents.stop(attempt);
                self.claims.remove(attempt);
            }
        }
        for claim in committed.assigned {
            self.assign(claim).await;
        }
        if more {
            self.claim_queued().await?;
        }
        for claim in incoming.iter().filter_map(Incoming::claim) {
            self.verdict(claim.clone(), ResultVerdict::Recorded).await;
        }
        for effect in batch.effects {
            match effect {
                Effect::Stop { attempt, kill } => {
                    self.agents.stop(&attempt);
                    if let Some(claim) = self.claims.get(&attempt).cloned() {
                        self.stop_attempt(claim, kill).await;
                    } else {
                        self.stop_in_engine(&attempt, kill).await?;
                    }
                }
                Effect::Perform { step, attempt, .. }
                    if self.is_engine_step(&step) && !self.only_tells =>
                {
                    self.work_on(&step, &attempt);
                }
                Effect::Perform { .. }
                    if self.lease.is_none() && queued > 0 && !self.hands_over() =>
                {
                    self.lease_runner().await?;
                }
                // Assigned above or by `runner_ready`; conditions never get here; the end of the
                // run ends the driver's loop.
                Effect::Perform { .. }
                | Effect::EvaluateCondition { .. }
                | Effect::EvaluateOutputs
                | Effect::Finish => {}
            }
        }
        Ok(())
    }

    /// Sends the run's secrets to a session that does not have them yet, before its first attempt.
    async fn send_masks(&mut self) {
        let Some(leased) = &mut self.lease else { return };
        if leased.masked.is_some() && leased.masked == leased.epoch {
            return;
        }
        leased.masked = leased.epoch;
        let (mut part, mut bytes) = (Vec::new(), 0);
        for secret in self.secrets.all() {
            if bytes + secret.len() > MAX_MASK_BYTES {
                leased.lease.send(Command::Mask(std::mem::take(&mut part))).await;
                bytes = 0;
            }
            bytes += secret.len();
            part.push(Bytes(secret));
        }
        if !part.is_empty() {
            leased.lease.send(Command::Mask(part)).await;
        }
    }

    /// Sends an attempt to the runner that has claimed it.
    pub(super) async fn assign(&mut self, claim: Claim) {
        let Some(view) = self.run.attempt(&claim.attempt) else {
            return;
        };
        let plan = self.plan.clone();
        let Some(step) = plan.step(&view.step) else {
            return;
        };
        let prepared = self.prepared.remove(&claim.attempt);
        // Not prepared: the attempt was queued by an earlier engine, or is assigned again.
        let prepared = match prepared {
            Some(env) => Ok(env),
            None => self.prepare(&view.step, view.visit, view.number),
        };
        let env = match prepared {
            Ok(env) => env,
            // The secrets that were given to that engine are not kept anywhere.
            Err(outcome) => {
                let (attempt, output) = (claim.attempt.clone(), serde_json::Value::Null);
                self.claims.insert(attempt.clone(), claim);
                self.unable.push(Incoming::plain(Input::Ended { attempt, outcome, output }));
                return;
            }
        };
        let bounds = Bounds {
            grace: self.shared.options.grace,
            log_cap_bytes: self.shared.options.log_cap_bytes,
        };
        let care = within_budget(|meter| {
            let seen = Seen::of(&self.run, Reader::Step(&step.id));
            let scope = seen.scope(&self.surroundings, (view.visit, view.number), meter);
            let checkpoints = self.shared.options.checkpoints;
            Ok(care((&plan, step), &self.run, &env, &scope, checkpoints))
        });
        let care = care.unwrap_or_default();
        self.send_masks().await;
        if let (Some(care), Some(leased)) = (care, &self.lease) {
            leased.lease.send(Command::Care(claim.clone(), Box::new(care))).await;
        }
        let assigned =
            assignment(claim.clone(), &self.row.id, (&plan, step), env, &self.event_json, bounds);
        self.measured.assigned(&claim.attempt, self.time.now());
        self.claims.insert(claim.attempt.clone(), claim.clone());
        if let (Some(assign), Some(leased)) = (assigned, &self.lease) {
            leased.lease.send(Command::Assign(Box::new(assign))).await;
        }
        if let Err(error) = self.attend_agent(&claim).await {
            let message = format!("its transcript cannot be read: {error}");
            self.unable
                .push(Incoming::plain(Input::Lost { attempt: claim.attempt, reason: message }));
        }
    }
}
