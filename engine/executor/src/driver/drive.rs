//! The loop of a driver: waits for its turn in the concurrency group, recovers the run, runs passes until
//! the run ends or is left, and starts over after outages.

use std::sync::Arc;

use plue_flow::{Awaited, RunStatus};
use plue_plan::RunnerId;
use plue_runtime::Phase;
use plue_store::runner::RELEASED;

use super::{
    Driver,
    concurrency::{GroupRequest, GroupTurn},
    outage::transient,
    pass::Pass,
    runners::LeasedRunner,
};
use crate::{batch::Incoming, driver_lease::release_later, error::Error};

// === impl Driver: the loop ===

impl Driver {
    pub(super) async fn drive(mut self) -> Result<RunStatus, Error> {
        let (context, lease) = (self.context.clone(), self.ledger.lease().clone());
        let driven = self.driven().await;
        self.ledger.close_crash_guard().await;
        // Its tasks end before another driver may start.
        drop(self);
        match &driven {
            Ok(_) => lease.release(&context.shared, &context.stop).await,
            Err(_) => release_later(lease, &context.shared, context.stop.clone()),
        }
        driven
    }

    async fn driven(&mut self) -> Result<RunStatus, Error> {
        self.runners.check_isolation().await;
        let advanced = self.advance_in_group().await;
        self.runners.end_wait();
        if advanced.is_ok() && self.ledger.run().is_finished() {
            self.agents.settle_children().await;
        }
        if let Some(leased) = self.runners.take_lease() {
            let run = self.ledger.run();
            let is_over = run.is_finished() || self.leaves() || self.context.hands_over();
            // An agent that waits for people keeps its process, with the files and the session.
            let stays = self.leaves() && self.runners.has_live_attempt(run);
            if advanced.is_ok() && is_over && !stays {
                self.release(leased).await;
            } else {
                // Its attempts go on, and their reports wait on its disk for the next driver.
                leased.detach().await;
            }
        }
        advanced?;
        Ok(self.ledger.run().status())
    }

    pub(super) fn pass(&mut self) -> Pass<'_> {
        Pass {
            context: &self.context,
            ledger: &mut self.ledger,
            runners: &mut self.runners,
            steps: &mut self.steps,
            agents: &mut self.agents,
            outage: &mut self.outage,
        }
    }

    /// Advances the run to its end, over outages of the database.
    async fn advance(&mut self) -> Result<(), Error> {
        loop {
            let mut error = match self.advance_once().await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            // Until the run can be read again, or the patience is over.
            while let Err(again) = self.retry_after(error).await {
                if transient(&again).is_none() || self.is_too_late() {
                    return Err(again);
                }
                error = again;
            }
            if self.context.is_aborting() {
                return Ok(());
            }
        }
    }

    /// Recovers the run and advances it until it ends or an error occurs.
    async fn advance_once(&mut self) -> Result<(), Error> {
        if self.is_handed_over() && !self.context.mode.commit_only {
            return Ok(());
        }
        if !self.ledger.run().is_finished() {
            // It was reopened already.
            self.first = None;
        }
        let first = self.first.clone();
        let mut begin = self.pass().recover(first).await?;
        begin.extend(self.ledger.pending_requests());
        // Answers since the last drive, before the run may be left again.
        begin.extend(self.steps.stored_answers(self.ledger.run()).await?);
        self.pass().run(begin).await?;
        self.steps.forget_decisions().await?;
        self.first = None;
        while !self.is_over() {
            let incoming = self.next_inputs().await?;
            self.pass().run(incoming).await?;
            self.ledger.forget_stored_request().await?;
            self.steps.forget_decisions().await?;
            if self.ledger.is_waiting() {
                self.slot = None;
            }
        }
        Ok(())
    }

    async fn next_inputs(&mut self) -> Result<Vec<Incoming>, Error> {
        self.runners.seek(self.ledger.run()).await?;
        let run = self.ledger.run();
        let mut incoming = self.runners.take_failed();
        incoming.extend(self.steps.take_failed());
        incoming.extend(self.steps.take_refused(run));
        incoming.extend(self.runners.rescheduled(run));
        if incoming.is_empty() { self.intake().await } else { Ok(incoming) }
    }

    fn is_over(&self) -> bool {
        self.ledger.run().is_finished()
            || self.leaves()
            || self.is_handed_over()
            || self.context.is_aborting()
    }

    /// Whether the run can be left to the next driver now: no runner has an attempt, and tasks of the
    /// engine are restarted.
    fn is_handed_over(&self) -> bool {
        let is_idle =
            !self.runners.has_lease() || !self.runners.has_live_attempt(self.ledger.run());
        self.context.hands_over() && is_idle && !self.has_failed()
    }

    /// Whether the run only waits for answers from outside, and this driver does not wait with it.
    fn leaves(&self) -> bool {
        self.context.mode.leave_when_waiting
            && !self.has_failed()
            && self.ledger.run().needs_an_answer()
            && self.calls_are_asked()
    }

    fn has_failed(&self) -> bool {
        self.runners.has_failed() || self.steps.has_failed()
    }

    /// Whether calls that wait by the journal still wait by their agents, which may have read decisions.
    fn calls_are_asked(&self) -> bool {
        let mut waiting = self.ledger.run().waiting();
        waiting
            .all(|one| !matches!(one.what, Awaited::Call(_)) || self.agents.is_asking(&one.attempt))
    }

    /// Stops the runner and waits for its end, so that no process is left behind.
    async fn release(&mut self, leased: LeasedRunner) {
        let context = self.context.clone();
        let Some(runner) = leased.release(&context, &context.row.id).await else { return };
        while let Err(error) = self.mark_released(&runner).await {
            tracing::warn!(%runner, %error, "failed to mark a runner as released; retrying");
            let clock = context.shared.clock;
            self.outage.begin(clock);
            if !error.is_transient() || self.is_too_late() || context.is_aborting() {
                return;
            }
            self.pause().await;
        }
    }

    async fn mark_released(&self, runner: &RunnerId) -> Result<(), plue_store::Error> {
        let shared = &self.context.shared;
        shared.store.runners().gone(runner, RELEASED, shared.clock.now()).await.map(drop)
    }
}

// === impl Driver: outages ===

impl Driver {
    /// Drops its state, waits, and reads the run again.
    async fn retry_after(&mut self, error: Error) -> Result<(), Error> {
        self.runners.detach().await;
        if let Error::Overtaken { .. } = &error {
            if !self.outage.overtaken() {
                return Err(error);
            }
        } else if let Some(cause) = transient(&error) {
            let text = cause.to_string();
            tracing::warn!(run = %self.context.row.id, error = text, "database does not answer; retrying");
            self.outage.report(Some(text));
            self.outage.begin(self.context.shared.clock);
            if self.is_too_late() {
                return Err(error);
            }
            self.pause().await;
        } else {
            return Err(error);
        }
        self.runners.forget();
        self.steps.forget();
        self.ledger.forget();
        if !self.context.is_aborting() {
            self.ledger.reload().await?;
            self.outage.report(None);
        }
        Ok(())
    }

    fn is_too_late(&self) -> bool {
        let shared = &self.context.shared;
        self.outage.is_too_late(shared.clock, shared.options.driving.patience)
    }

    /// Waits before the next try; requests are taken meanwhile.
    async fn pause(&mut self) {
        let context = self.context.clone();
        let clock = context.shared.clock;
        let over = clock.deadline(self.outage.pause(clock));
        loop {
            tokio::select! {
                () = context.stop.reached(Phase::Aborting) => return,
                Some(control) = self.control.recv() => drop(self.ledger.take_request(control)),
                () = over.reached() => return,
            }
        }
    }
}

// === impl Driver: concurrency groups ===

impl Driver {
    /// Advances the run when its concurrency group lets it.
    async fn advance_in_group(&mut self) -> Result<(), Error> {
        if self.context.mode.commit_only {
            // Nothing runs here; the next driver waits for the turn.
            return self.advance().await;
        }
        let group = match self.group() {
            Ok(Some(group)) => group,
            Ok(None) => return self.advance().await,
            Err(message) => {
                let run = self.context.row.id.clone();
                return Err(Error::Refused { run, message });
            }
        };
        if !self.await_turn(group).await? {
            return Ok(());
        }
        let advanced = self.advance().await;
        if advanced.is_ok() && self.ledger.run().is_finished() {
            self.context.shared.store.groups().leave(&self.context.row.id).await?;
        }
        advanced
    }

    /// Whether the run has ended and is not being reopened.
    fn has_ended(&self) -> bool {
        self.ledger.run().is_finished() && self.first.is_none()
    }

    fn group(&self) -> Result<Option<String>, String> {
        if self.has_ended() {
            return Ok(None);
        }
        let context = &self.context;
        let (run, inputs) = (self.ledger.run(), &context.inputs);
        GroupRequest { run, inputs, event: &context.event, origin: &context.origin }.group()
    }

    /// `false`: the engine stops before the turn of the run.
    async fn await_turn(&mut self, group: String) -> Result<bool, Error> {
        let turn = GroupTurn::new(Arc::clone(&self.context), group);
        turn.join().await?;
        let mut logged = None;
        // A newer run may have cancelled this one before it was driven.
        self.apply_stop_requests(Vec::new()).await?;
        while !self.has_ended() {
            match turn.take().await? {
                None => return Ok(true),
                Some(first) => {
                    if logged.as_ref() != Some(&first) {
                        turn.log_wait(&first);
                        logged = Some(first);
                    }
                }
            }
            self.request_while_waiting().await?;
            let stops = self.context.is_aborting() || self.context.hands_over();
            if stops && !self.has_ended() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Waits for the next poll, or for a stop request.
    async fn request_while_waiting(&mut self) -> Result<(), Error> {
        let context = self.context.clone();
        let poll = context.shared.options.driving.control_poll;
        let incoming = tokio::select! {
            biased;
            () = context.stop.reached(Phase::Aborting) => return Ok(()),
            Some(control) = self.control.recv() => self.ledger.take_request(control),
            () = context.shared.clock.sleep(poll) => Vec::new(),
        };
        self.apply_stop_requests(incoming).await
    }

    /// Applies stop requests to a run that has not started, which ends it at once. Others apply them when
    /// they go on.
    async fn apply_stop_requests(&mut self, mut incoming: Vec<Incoming>) -> Result<(), Error> {
        if self.ledger.run().status() != RunStatus::Queued {
            return Ok(());
        }
        let context = &self.context;
        let stored = context.shared.store.cancels().get(&context.row.id).await?;
        incoming.extend(self.ledger.add_stored_request(stored));
        if incoming.is_empty() { Ok(()) } else { self.pass().run(incoming).await }
    }
}
