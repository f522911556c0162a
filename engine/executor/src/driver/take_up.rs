//! Taking a run up: where it was left, by this engine a moment ago or by one that died.

use plue_flow::{AttemptStatus, Effect, Input};
use plue_plan::RunnerId;
use plue_pool::Place;
use plue_store::AttemptRow;

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
        if self.first.is_some() || self.run.is_finished() {
            for old in runners {
                self.retire(&old.id).await?;
            }
            let first = self.first.clone();
            return Ok(first.map(Incoming::plain).into_iter().collect());
        }
        let adopted = match runners.pop() {
            Some(last) => self.adopt(last.id).await?,
            None => None,
        };
        if adopted.is_none() && self.lease.is_none() && self.seq <= 1 {
            // Started while the first steps are decided: a runner takes as long as that.
            self.lease_runner().await?;
            return Ok(start_input());
        }
        // Only now: what is lost may be queued again, and then somebody has to be there for it.
        for old in runners {
            self.retire(&old.id).await?;
        }
        self.orphans(adopted.as_ref()).await?;
        self.redo().await
    }

    /// Leases the runner that the run had; `None` if that cannot be.
    async fn adopt(&mut self, runner: RunnerId) -> Result<Option<RunnerId>, Error> {
        let shared = self.shared.clone();
        let run = &self.row.id;
        match shared.pool.lease(run, self.place(), &shared.ids, Some(runner.clone())).await {
            Ok(lease) => {
                self.lease = Some(Leased { lease, epoch: None, masked: None });
                for known in shared.store.claims_of(&runner).await? {
                    self.claims.insert(known.claim.attempt.clone(), known.claim);
                }
                Ok(Some(runner))
            }
            Err(error) => {
                tracing::warn!(%runner, %error, "the old runner cannot be adopted");
                self.retire(&runner).await?;
                Ok(None)
            }
        }
    }

    /// Gives a runner up that nobody can or need adopt.
    async fn retire(&mut self, runner: &RunnerId) -> Result<(), Error> {
        let shared = self.shared.clone();
        shared.pool.discard(runner).await;
        let (reason, now) = ("its runner is gone", shared.clock.now());
        for lost in shared.store.runner_gone(runner, reason, now).await? {
            self.lose(lost, reason).await?;
        }
        Ok(())
    }

    /// Attempts whose runner is gone and of which the run was not told: whoever gave the runner up died
    /// between the two.
    async fn orphans(&mut self, adopted: Option<&RunnerId>) -> Result<(), Error> {
        let attempts = self.shared.store.attempts(&self.row.id, None).await?;
        let is_held = |row: &AttemptRow| {
            matches!(row.state, AttemptStatus::Assigned | AttemptStatus::Running)
        };
        for lost in attempts.into_iter().filter(is_held) {
            if lost.runner.is_some() && lost.runner.as_ref() != adopted {
                self.lose(lost, "its runner is gone").await?;
            }
        }
        Ok(())
    }

    async fn lose(&mut self, lost: AttemptRow, reason: &str) -> Result<(), Error> {
        let mut incoming: Vec<_> = self.unheard_start(&lost).into_iter().collect();
        let attempt = lost.claim.attempt.clone();
        self.claims.insert(attempt.clone(), lost.claim);
        incoming.push(Incoming::plain(Input::Lost { attempt, reason: reason.to_owned() }));
        self.settle(incoming).await
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
            // Looked at before anything else is waited for: see `placing.rs`.
            if matches!(&effect, Effect::Perform { attempt, .. } if self.run.is_unschedulable(attempt))
            {
                continue;
            }
            if let Effect::Perform { step, attempt, .. } = &effect {
                self.note_row(step, attempt).await?;
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

    fn place(&self) -> Place<'_> {
        Place { workspace: &self.workspace, untrusted: self.origin.untrusted }
    }

    /// Leases a fresh runner; it reports itself when it is ready.
    pub(super) async fn lease_runner(&mut self) -> Result<(), Error> {
        if self.not_apart.is_some() {
            // Its attempts are held: see `placing.rs`.
            return Ok(());
        }
        let shared = &self.shared;
        let lease = shared.pool.lease(&self.row.id, self.place(), &shared.ids, None).await?;
        // One that was kept from another run is in session already.
        self.lease = Some(Leased { epoch: lease.session(), masked: None, lease });
        Ok(())
    }
}
