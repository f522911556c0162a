//! A lease: one run's hold on one runner, as two bounded channels.

use plue_plan::RunnerId;
use plue_wire::runner::{Assign, AttemptEvent, AttemptResult, Claim, ResultVerdict};
use tokio::sync::mpsc;

/// Commands in flight to one runner.
pub(crate) const COMMAND_QUEUE: usize = 1_024;
/// Events in flight from one runner.
pub(crate) const EVENT_QUEUE: usize = 1_024;

/// What a runner reports to the run that leases it.
#[derive(Debug)]
pub enum PoolEvent {
    /// A session is up (the first, or a new one after a break). `held` are the attempts that the
    /// runner still has; what else the store says it has must be assigned again or was lost.
    Ready {
        /// Counts the sessions of this runner.
        epoch: u64,
        /// Attempts that the runner has in hand.
        held: Vec<Claim>,
    },
    /// The attempt's process was seen running (and that is stored).
    Started {
        /// Which attempt.
        claim: Claim,
    },
    /// The attempt ended. Not yet stored: commit it, then send [`Command::Verdict`].
    Ended(Box<Ended>),
    /// The runner refuses the assignment.
    Rejected {
        /// Which attempt.
        claim: Claim,
        /// Why.
        reason: String,
    },
    /// The runner is gone for good.
    Gone {
        /// What happened.
        reason: String,
    },
}

/// A result with the events before it that are not stored yet.
#[derive(Debug)]
pub struct Ended {
    /// Events to store in the same transaction, in order.
    pub tail: Vec<AttemptEvent>,
    /// The result.
    pub result: AttemptResult,
}

/// What a run tells its runner.
#[derive(Debug)]
pub enum Command {
    /// Run this. Only after the claim was committed.
    Assign(Box<Assign>),
    /// Stop an attempt: TERM, grace, KILL; or KILL at once.
    Stop {
        /// Which attempt.
        claim: Claim,
        /// At once.
        kill: bool,
    },
    /// What became of a result.
    Verdict {
        /// Of which attempt.
        claim: Claim,
        /// What.
        verdict: ResultVerdict,
    },
    /// The run is over: stop the runner.
    Release,
}

/// One run's hold on one runner. Dropping it releases the runner.
#[derive(Debug)]
pub struct Lease {
    /// The runner.
    pub runner: RunnerId,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) events: mpsc::Receiver<PoolEvent>,
}

// === impl Lease ===

impl Lease {
    /// The next report. `None` after [`PoolEvent::Gone`]. Cancel-safe.
    pub async fn next(&mut self) -> Option<PoolEvent> {
        self.events.recv().await
    }

    /// A further report if one is there already.
    pub fn try_next(&mut self) -> Option<PoolEvent> {
        self.events.try_recv().ok()
    }

    /// Sends a command. A runner that is gone has said so through [`Lease::next`], so a command to
    /// it is dropped.
    pub async fn send(&self, command: Command) {
        let _gone = self.commands.send(command).await;
    }
}
