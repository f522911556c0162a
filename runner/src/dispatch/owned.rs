//! One attempt that the runner owns: its phase, its events, its budget and its orders.

use std::sync::Arc;

use plue_plan::StepId;
use plue_runtime::{Clock, clock::Mark};
use plue_wire::runner::{AttemptResult, Claim, EventKind, Exit, Resume};
use tokio::sync::{Semaphore, watch};

use crate::{
    Error,
    attempt::{ending::Ending, stopping::Order},
    outbox::Outbox,
};

#[derive(Debug)]
pub(super) struct OwnedAttempt {
    pub(super) claim: Claim,
    pub(super) outbox: Outbox,
    /// Bytes of events that may still be produced without an acknowledgement.
    pub(super) budget: Arc<Semaphore>,
    capacity: usize,
    pub(super) phase: Phase,
    pub(super) orders: watch::Sender<Order>,
    /// The end of the process, while outputs are collected.
    pub(super) ending: Option<Box<Ending>>,
    /// Its step; unknown for an attempt loaded from disk.
    pub(super) step: Option<StepId>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Phase {
    /// The output uploader prepares the workspace; there is no process yet.
    Preparing,
    Running,
    /// The process is gone; the output uploader collects its files.
    Collecting,
    /// The result is in the outbox since this time.
    Ended(Mark),
    /// Loaded from disk without a result: the runner process that ran it is gone.
    Lost,
    /// The engine gave it up; its processes are being killed.
    Abandoned,
}

// === impl OwnedAttempt ===

impl OwnedAttempt {
    pub(super) fn new(claim: Claim, outbox: Outbox, capacity: usize, phase: Phase) -> Self {
        Self {
            claim,
            outbox,
            budget: Arc::new(Semaphore::new(capacity)),
            capacity,
            phase,
            orders: watch::Sender::new(Order::Run),
            ending: None,
            step: None,
        }
    }

    /// An attempt that an earlier process left on disk.
    pub(super) fn on_disk(claim: Claim, outbox: Outbox, clock: &Clock, capacity: usize) -> Self {
        let phase = if outbox.ended() { Phase::Ended(clock.mark()) } else { Phase::Lost };
        Self::new(claim, outbox, capacity, phase)
    }

    pub(super) fn is_running(&self) -> bool {
        match self.phase {
            Phase::Preparing | Phase::Running | Phase::Collecting | Phase::Abandoned => true,
            Phase::Ended(_) | Phase::Lost => false,
        }
    }

    pub(super) fn is_lost(&self) -> bool {
        self.phase == Phase::Lost
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.phase == Phase::Abandoned
    }

    /// Time from which on the result waits for its verdict.
    pub(super) fn ended_at(&self) -> Option<Mark> {
        match self.phase {
            Phase::Ended(at) => Some(at),
            Phase::Preparing
            | Phase::Running
            | Phase::Collecting
            | Phase::Lost
            | Phase::Abandoned => None,
        }
    }

    /// The attempt's entry in a greeting; `None` for one that the engine gave up.
    pub(super) fn resume(&self) -> Option<Resume> {
        (!self.is_abandoned()).then(|| {
            // The claim is written before the start, so a claim on disk may have started.
            let mut resume = self.outbox.resume(true);
            // A lost attempt has ended too; its result is made when the engine's count is known.
            resume.ended |= self.is_lost();
            resume
        })
    }

    /// Gives an order; one weaker than the current order changes nothing.
    pub(super) fn give(&self, order: Order) {
        self.orders.send_if_modified(|now| {
            let is_stronger = order > *now;
            if is_stronger {
                *now = order;
            }
            is_stronger
        });
    }

    /// Gives up a running attempt.
    pub(super) fn abandon(&mut self) {
        self.phase = Phase::Abandoned;
        self.give(Order::Abandon);
        // A task that waits for budget would not see its process end.
        self.budget.add_permits(self.capacity.saturating_sub(self.budget.available_permits()));
    }

    /// Writes events in memory to disk.
    pub(super) fn persist(&mut self) {
        if !self.is_abandoned() {
            self.outbox.persist();
        }
    }

    pub(super) fn next_frame(&mut self, out: &mut Vec<u8>) -> Result<bool, Error> {
        if self.is_abandoned() {
            return Ok(false);
        }
        self.outbox.next_frame(out)
    }

    pub(super) fn ack(&mut self, seq: u64) {
        let freed = self.outbox.ack(seq);
        let room = self.capacity.saturating_sub(self.budget.available_permits());
        let permits = if self.outbox.is_empty() { room } else { freed.min(room) };
        self.budget.add_permits(permits);
    }

    /// Appends an event for which `paid` bytes of budget were taken.
    pub(super) fn push(&mut self, at_us: i64, kind: EventKind, paid: usize) -> Result<(), Error> {
        let bytes = self.outbox.push(at_us, kind)?;
        self.budget.forget_permits(bytes.saturating_sub(paid));
        if self.outbox.disk_failed() {
            // Nothing more is read until the engine has taken the events in memory.
            self.budget.forget_permits(self.capacity);
        }
        Ok(())
    }

    /// Appends notes of the runner.
    pub(super) fn push_notes(&mut self, at_us: i64, notes: Vec<String>) -> Result<(), Error> {
        notes.into_iter().try_for_each(|note| self.push(at_us, EventKind::Note(note), 0))
    }

    /// Appends an event that no process paid for; nothing follows a result.
    pub(super) fn note(&mut self, at_us: i64, kind: EventKind) -> Result<(), Error> {
        match self.phase {
            Phase::Preparing | Phase::Running => self.push(at_us, kind, 0),
            Phase::Collecting | Phase::Ended(_) | Phase::Lost | Phase::Abandoned => Ok(()),
        }
    }

    pub(super) fn end(&mut self, ending: Ending, clock: &Clock) -> Result<(), Error> {
        let result = AttemptResult {
            claim: self.claim.clone(),
            seq: 0,
            at_us: clock.now().as_microsecond(),
            exit: ending.exit,
            output_json: ending.output_json,
            wall_us: u64::try_from(ending.wall.as_micros()).unwrap_or(u64::MAX),
            cpu_us: ending.cpu_us,
            max_rss_kib: ending.max_rss_kib,
            leaked: ending.leaked,
        };
        self.phase = Phase::Ended(clock.mark());
        self.outbox.end(result)
    }

    /// Reports the end of one of `lost` lost attempts, after the events that the engine has.
    pub(super) fn end_lost(&mut self, acked: u64, lost: usize, clock: &Clock) -> Result<(), Error> {
        self.outbox.skip_to(acked);
        let gap = EventKind::Gap {
            bytes: 0,
            reason: "the runner was restarted; output may be missing here".to_owned(),
        };
        self.push(clock.now().as_microsecond(), gap, 0)?;
        let suspect = if lost > 1 {
            format!("one of the {lost} steps that ran then may have killed it")
        } else {
            "no other step ran then, so this one may have killed it".to_owned()
        };
        let exit = Exit::Infra(format!(
            "the runner was restarted while the step ran; {suspect} (`kill $PPID`, `pkill`), or the machine had no memory left"
        ));
        self.end(Ending::not_started(exit), clock)
    }
}
