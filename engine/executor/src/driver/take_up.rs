//! Taking a run up: where it was left, by this engine a moment ago or by one that died.

use plue_flow::{Effect, Input};
use plue_plan::RunnerId;

use super::{Driver, Leased, start_input};
use crate::{batch::Incoming, error::Error};

// === impl Driver: taking up ===

impl Driver {
    /// The inputs a driver begins with.
    pub(super) async fn take_up(&mut self) -> Result<Vec<Incoming>, Error> {
        let mut runners = self.shared.store.runners(Some(&self.row.id)).await?;
        runners.sort_by_key(|row| row.registered_at);
        if !self.run.is_finished() {
            // It was reopened already.
            self.first = None;
        }
        let is_over = self.first.is_some() || self.run.is_finished();
        let adopt = if is_over { None } else { runners.pop().map(|row| row.id) };
        for old in runners {
            self.retire(&old.id).await?;
        }
        if let Some(first) = self.first.clone() {
            return Ok(vec![Incoming::plain(first)]);
        }
        if self.run.is_finished() {
            return Ok(Vec::new());
        }
        if adopt.is_none() && self.seq <= 1 {
            // Started while the first steps are decided: a runner takes as long as that.
            self.lease_runner().await?;
            return Ok(start_input());
        }
        if let Some(runner) = adopt {
            let workspace = self.workspace.clone();
            let run = &self.row.id;
            let shared = &self.shared;
            match shared.pool.lease(run, &workspace, &shared.ids, Some(runner.clone())).await {
                Ok(lease) => {
                    self.lease = Some(Leased { lease, epoch: None });
                    for known in shared.store.claims_of(&runner).await? {
                        self.claims.insert(known.claim.attempt.clone(), known.claim);
                    }
                }
                Err(error) => {
                    tracing::warn!(%runner, %error, "the old runner cannot be adopted");
                    self.retire(&runner).await?;
                }
            }
        }
        self.redo().await
    }

    /// Gives a runner up that nobody can or need adopt.
    async fn retire(&mut self, runner: &RunnerId) -> Result<(), Error> {
        let shared = self.shared.clone();
        shared.pool.discard(runner).await;
        let (reason, now) = ("its runner is gone", shared.clock.now());
        for lost in shared.store.runner_gone(runner, reason, now).await? {
            let mut incoming: Vec<_> = self.unheard_start(&lost).into_iter().collect();
            let attempt = lost.claim.attempt.clone();
            self.claims.insert(attempt.clone(), lost.claim);
            incoming.push(Incoming::plain(Input::Lost { attempt, reason: reason.to_owned() }));
            self.settle(incoming).await?;
        }
        Ok(())
    }

    /// Effects that were committed but perhaps not performed.
    async fn redo(&mut self) -> Result<Vec<Incoming>, Error> {
        let mut incoming = if self.seq <= 1 { start_input() } else { Vec::new() };
        incoming.push(Incoming::plain(Input::Tick));
        for effect in self.run.pending_effects() {
            // A runner has it, with all it needs.
            if matches!(&effect, Effect::Perform { attempt, .. } if self.claims.contains_key(attempt))
            {
                continue;
            }
            incoming.extend(self.perform_in_engine(&effect));
            match effect {
                Effect::Perform { step, attempt, .. } if self.is_engine_step(&step) => {
                    self.work_on(&step, &attempt);
                }
                Effect::Perform { .. } if self.lease.is_none() => self.lease_runner().await?,
                Effect::Stop { attempt, kill } if !self.claims.contains_key(&attempt) => {
                    self.stop_in_engine(&attempt, kill).await?;
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

    /// Leases a fresh runner; it reports itself when it is ready.
    pub(super) async fn lease_runner(&mut self) -> Result<(), Error> {
        let shared = &self.shared;
        let lease = shared.pool.lease(&self.row.id, &self.workspace, &shared.ids, None).await?;
        // One that was kept from another run is in session already.
        self.lease = Some(Leased { epoch: lease.session(), lease });
        Ok(())
    }
}
