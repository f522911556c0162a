//! The ledger of a run: its folded journal, the lease under which facts are appended, and the stop
//! requests that are not committed yet.
//!
//! Only [`Ledger::apply`] and [`Ledger::reload`] change the state; the store rejects a batch that was
//! decided on an older one.

use std::sync::Arc;

use jiff::Timestamp;
use plue_flow::{AttemptStatus, AttemptView, Fact, Input, Rejected, Run, RunStatus, Transition};
use plue_plan::AttemptId;
use plue_store::CancelRequest;

use super::{Control, context::RunContext};
use crate::{
    batch::Incoming,
    driver_lease::DriverLease,
    error::Error,
    loaded::Loaded,
    perform::{name, scope::AttemptNumber},
};
use crash_guard::CrashGuard;
use metrics::RunMetrics;

mod commit_batch;
mod crash_guard;
mod metrics;

pub(crate) struct Ledger {
    context: Arc<RunContext>,
    lease: Arc<DriverLease>,
    run: Run,
    /// Facts in the journal.
    seq: u64,
    metrics: RunMetrics,
    stops: StopRequests,
    crash_guard: CrashGuard,
}

/// A journal as it was read.
pub(crate) struct Journal {
    pub(crate) run: Run,
    pub(crate) seq: u64,
    /// Stop requests among its facts.
    pub(crate) cancels: usize,
}

/// Stop requests on their way into the journal.
#[derive(Debug, Default)]
struct StopRequests {
    /// Received by this driver, perhaps not committed.
    pending: Vec<Input>,
    /// Number of stop requests in the journal.
    committed: usize,
    /// The request of another process that is among the inputs of the current batch.
    stored: Option<CancelRequest>,
}

// === impl Ledger ===

impl Ledger {
    /// `is_guarded`: the store has a crash mark for this drive.
    pub(crate) fn new(
        context: Arc<RunContext>,
        lease: Arc<DriverLease>,
        journal: Journal,
        is_guarded: bool,
    ) -> Self {
        let Journal { run, seq, cancels } = journal;
        let stops = StopRequests { committed: cancels, ..StopRequests::default() };
        let crash_guard = CrashGuard { is_armed: is_guarded, since: context.shared.clock.mark() };
        Self { context, lease, run, seq, metrics: RunMetrics::default(), stops, crash_guard }
    }

    pub(crate) fn run(&self) -> &Run {
        &self.run
    }

    pub(crate) fn lease(&self) -> &Arc<DriverLease> {
        &self.lease
    }

    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    /// Whether the journal holds no more than the creation of the run.
    pub(crate) fn is_new(&self) -> bool {
        self.seq <= 1
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.run.status() == RunStatus::Waiting
    }

    /// Applies an input. A rejected input changes nothing.
    pub(crate) fn apply(&mut self, now: Timestamp, input: Input) -> Result<Transition, Rejected> {
        let input = self.named(input);
        self.run.apply(now, input)
    }

    /// Adds the evaluated name of its step to the start of an attempt.
    fn named(&self, mut input: Input) -> Input {
        let (Input::Started { attempt, name, .. } | Input::Waits { attempt, name, .. }) =
            &mut input
        else {
            return input;
        };
        let starts = |view: &AttemptView| {
            matches!(view.status, AttemptStatus::Queued | AttemptStatus::Assigned)
        };
        let view = self.run.attempt(attempt).filter(starts);
        let step = view.as_ref().and_then(|view| self.context.step(&view.step));
        if let (Some(view), Some(step)) = (view, step) {
            let at = AttemptNumber { visit: view.visit, number: view.number };
            let secrets = self.context.secrets.as_ref();
            *name = name::evaluate(step, &self.run, &self.context.inputs, at, secrets);
        }
        input
    }

    /// Reads the run again after another process has written to it or a commit was refused.
    pub(crate) async fn reload(&mut self) -> Result<(), Error> {
        let shared = &self.context.shared;
        if !self.lease.is_unschedulable(shared).await? {
            return Err(Error::Superseded { run: self.context.row.id.clone() });
        }
        let loaded = Loaded::read(&shared.store, &self.context.row.id).await?;
        self.stops.reread(loaded.cancels);
        (self.run, self.seq) = (loaded.run, loaded.seq);
        Ok(())
    }

    /// Takes note of a commit.
    pub(crate) fn committed(&mut self, seq: u64, facts: &[Fact]) {
        self.seq = seq;
        self.metrics.committed(&self.context, seq, facts);
        self.stops.pending.clear();
        self.stops.committed += cancels(facts);
    }

    /// Records the queue time of an attempt that a runner gets.
    pub(crate) fn assigned(&self, attempt: &AttemptId) {
        self.metrics.assigned(attempt, self.context.time.now());
    }

    /// Takes a stop request; it is repeated until it is in the journal.
    pub(crate) fn take_request(&mut self, control: Control) -> Vec<Incoming> {
        let input = requested(control);
        self.stops.pending.push(input.clone());
        vec![Incoming::plain(input)]
    }

    /// Stop requests that may not be committed yet.
    pub(crate) fn pending_requests(&self) -> Vec<Incoming> {
        self.stops.pending.iter().cloned().map(Incoming::plain).collect()
    }

    /// Takes the stop request that another process stored, as an input of the next batch.
    pub(crate) fn take_stored_request(
        &mut self,
        request: Option<CancelRequest>,
    ) -> Option<Incoming> {
        self.stops.stored.clone_from(&request);
        request.map(|CancelRequest { by, kill }| Incoming::plain(Input::Cancel { by, kill }))
    }

    /// The same, without forgetting a request that was taken before.
    pub(crate) fn add_stored_request(
        &mut self,
        request: Option<CancelRequest>,
    ) -> Option<Incoming> {
        let before = self.stops.stored.take();
        self.stops.stored = request.clone().or(before);
        request.map(|CancelRequest { by, kill }| Incoming::plain(Input::Cancel { by, kill }))
    }

    /// Deletes the stored request that the last batch committed.
    pub(crate) async fn forget_stored_request(&mut self) -> Result<(), Error> {
        if let Some(request) = self.stops.stored.take() {
            let store = &self.context.shared.store;
            store.cancels().forget(&self.context.row.id, &request).await?;
        }
        Ok(())
    }

    /// Drops what the store has as well.
    pub(crate) fn forget(&mut self) {
        self.stops.stored = None;
    }

    /// See [`CrashGuard::disarm_if_harmless`].
    pub(crate) async fn disarm_crash_guard(&mut self) -> Result<(), Error> {
        let is_waiting = self.is_waiting();
        let fence = self.lease.fence();
        self.crash_guard.disarm_if_harmless(&self.context, is_waiting, fence).await
    }

    /// Removes the crash mark of a run that is left in order, unless releasing its lease does.
    pub(crate) async fn close_crash_guard(&mut self) {
        if !self.lease.is_shared() && !self.run.is_finished() {
            self.crash_guard.disarm(&self.context).await;
        }
    }
}

// === impl StopRequests ===

impl StopRequests {
    /// Drops requests that a commit with a lost answer has stored after all.
    fn reread(&mut self, in_journal: usize) {
        let landed = in_journal.saturating_sub(self.committed).min(self.pending.len());
        self.pending.drain(..landed);
        self.committed = in_journal;
    }
}

/// The number of stop requests among facts.
fn cancels(facts: &[Fact]) -> usize {
    facts.iter().filter(|fact| matches!(fact, Fact::CancelRequested { .. })).count()
}

fn requested(control: Control) -> Input {
    match control {
        Control::Cancel { by, kill } => Input::Cancel { by, kill },
    }
}
