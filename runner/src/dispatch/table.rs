//! Every attempt that the runner owns, waits to start or prepares, and the fences on disk.

use std::collections::HashMap;

use plue_plan::{AttemptId, StepId};
use plue_runtime::Clock;
use plue_wire::runner::{Assign, Claim, Resume};

use super::{
    link::EngineLink,
    owned::{OwnedAttempt, Phase},
};
use crate::{
    Error, attempt::stopping::Order, fences::FenceLog, link::Dial, options::Options,
    outbox::Outbox, workspace::Workspace,
};

#[derive(Debug)]
pub(super) struct AttemptTable {
    owned: HashMap<AttemptId, OwnedAttempt>,
    /// Assignments that wait until an older one of the same attempt is gone.
    superseding: HashMap<AttemptId, Box<Assign>>,
    /// Assignments whose workspace is being prepared.
    preparing: HashMap<AttemptId, Box<Assign>>,
    fences: FenceLog,
}

// === impl AttemptTable ===

impl AttemptTable {
    /// Loads the attempts that earlier processes left on disk.
    pub(super) fn open(
        options: &Options,
        workspace: &Workspace,
        clock: &Clock,
    ) -> Result<Self, Error> {
        let (fences, open) = FenceLog::open(&options.state.join("claims"))?;
        workspace.sweep(&open);
        let mut owned = HashMap::new();
        for claim in open {
            let outbox = Outbox::load(claim.clone(), workspace.spill(&claim))?;
            let entry = OwnedAttempt::on_disk(claim.clone(), outbox, clock, options.buffer_bytes);
            owned.insert(claim.attempt, entry);
        }
        let (superseding, preparing) = (HashMap::new(), HashMap::new());
        Ok(Self { owned, superseding, preparing, fences })
    }

    /// Writes the file of the fences again, while there is no attempt; `false`: it cannot.
    pub(super) fn renew_fences(&mut self) -> bool {
        self.fences.renew()
    }

    /// The attempt, if it is owned under this fence.
    pub(super) fn get(&mut self, claim: &Claim) -> Option<&mut OwnedAttempt> {
        self.owned.get_mut(&claim.attempt).filter(|owned| owned.claim == *claim)
    }

    /// The attempt under any fence.
    pub(super) fn any_fence(&mut self, attempt: &AttemptId) -> Option<&mut OwnedAttempt> {
        self.owned.get_mut(attempt)
    }

    pub(super) fn owns(&self, attempt: &AttemptId) -> bool {
        self.owned.contains_key(attempt)
    }

    pub(super) fn insert(&mut self, owned: OwnedAttempt) {
        self.owned.insert(owned.claim.attempt.clone(), owned);
    }

    /// Takes an attempt out whose workspace is prepared, with its assignment.
    pub(super) fn take_prepared(
        &mut self,
        claim: &Claim,
    ) -> (Option<Box<Assign>>, Option<OwnedAttempt>) {
        let assign = self.preparing.remove(&claim.attempt);
        (assign, self.owned.remove(&claim.attempt))
    }

    pub(super) fn forget_preparing(&mut self, claim: &Claim) {
        self.preparing.remove(&claim.attempt);
    }

    pub(super) fn prepare(&mut self, assign: Assign) {
        self.preparing.insert(assign.claim.attempt.clone(), Box::new(assign));
    }

    /// Queues an assignment behind an older one of its attempt; returns the one it replaces.
    pub(super) fn supersede(&mut self, assign: Box<Assign>) -> Option<Box<Assign>> {
        self.superseding.insert(assign.claim.attempt.clone(), assign)
    }

    pub(super) fn take_superseding(&mut self, attempt: &AttemptId) -> Option<Box<Assign>> {
        self.superseding.remove(attempt)
    }

    /// Whether an assignment under exactly this fence waits.
    pub(super) fn is_superseding(&self, claim: &Claim) -> bool {
        self.superseding.get(&claim.attempt).is_some_and(|assign| assign.claim == *claim)
    }

    /// Whether a fence at least as high was taken.
    pub(super) fn is_stale(&self, claim: &Claim) -> bool {
        self.fences.last(&claim.attempt).is_some_and(|last| claim.fence <= last)
    }

    /// Stores the fence of a claim on disk. Only then may the claim be accepted.
    pub(super) fn take_fence(&mut self, claim: &Claim) -> Result<(), Error> {
        self.fences.take(claim)
    }

    /// Deletes an attempt and its events.
    pub(super) fn remove(&mut self, claim: &Claim) {
        if let Some(mut owned) = self.owned.remove(&claim.attempt) {
            owned.outbox.forget();
        }
        self.preparing.remove(&claim.attempt);
    }

    /// Marks the claim as done on disk.
    pub(super) fn close(&mut self, claim: &Claim) {
        let owned = self.owned.values().map(|owned| &owned.claim);
        let waiting = self.superseding.values().map(|assign| &assign.claim);
        let open: Vec<_> = owned.chain(waiting).cloned().collect();
        self.fences.done(claim.clone(), &open);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.owned.is_empty()
    }

    /// Whether no attempt was ever taken with this state directory.
    pub(super) fn is_unused(&self) -> bool {
        self.fences.is_unused()
    }

    pub(super) fn running(&self) -> impl Iterator<Item = &OwnedAttempt> {
        self.owned.values().filter(|owned| owned.is_running())
    }

    /// Steps of other attempts that have, or are about to have, a process.
    pub(super) fn other_steps(&self, claim: &Claim) -> Vec<StepId> {
        let others = self.owned.values().filter(|owned| owned.claim != *claim);
        let running =
            others.filter(|owned| matches!(owned.phase, Phase::Running | Phase::Preparing));
        running.filter_map(|owned| owned.step.clone()).collect()
    }

    pub(super) fn lost(&self) -> usize {
        self.owned.values().filter(|owned| owned.is_lost()).count()
    }

    pub(super) fn claims(&self) -> Vec<Claim> {
        self.owned.values().map(|owned| owned.claim.clone()).collect()
    }

    pub(super) fn order_all(&self, order: Order) {
        for owned in self.owned.values() {
            owned.give(order);
        }
    }

    /// Writes events in memory to disk.
    pub(super) fn persist(&mut self) {
        for owned in self.owned.values_mut() {
            owned.persist();
        }
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut OwnedAttempt> {
        self.owned.values_mut()
    }

    /// Whether a result waits for its verdict in memory only.
    pub(super) fn has_volatile_result(&self) -> bool {
        self.owned.values().any(|owned| owned.ended_at().is_some() && owned.outbox.is_volatile())
    }

    /// The attempts to resume in a new session.
    pub(super) fn resume(&self) -> Vec<Resume> {
        let waiting = self.superseding.values().map(|assign| Resume {
            claim: assign.claim.clone(),
            started: false,
            first_seq: 1,
            last_seq: 0,
            ended: false,
        });
        let owned = self.owned.values().filter_map(OwnedAttempt::resume);
        owned.chain(waiting).collect()
    }

    /// Queues events for the connection, one of each attempt in turn.
    pub(super) fn queue_events<D: Dial + Clone + 'static>(
        &mut self,
        link: &mut EngineLink<D>,
    ) -> Result<(), Error> {
        let mut has_more = link.is_welcome();
        while has_more {
            has_more = false;
            for owned in self.owned.values_mut() {
                let Some(room) = link.room() else {
                    return Ok(());
                };
                has_more |= owned.next_frame(room)?;
            }
        }
        Ok(())
    }
}
