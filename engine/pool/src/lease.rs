//! A lease: the exclusive use of one runner by one run, as two bounded channels.

use jiff::Timestamp;
use plue_plan::RunnerId;
use plue_wire::eval::Bytes;
use plue_wire::outputs::OutputSpec;
use plue_wire::runner::{
    AgentOrder, Assign, AttemptEvent, AttemptResult, Claim, ResultVerdict, RunnerWorkspace,
    ToolResult, WorkspaceSpec,
};
use tokio::sync::{mpsc, oneshot};

use crate::{error::Error, moves::Moves};

/// Commands in flight to one runner.
pub(crate) const COMMAND_QUEUE: usize = 1_024;
/// Events in flight from one runner.
pub(crate) const EVENT_QUEUE: usize = 1_024;

/// A report of a runner to the run that leases it.
#[derive(Debug)]
pub enum PoolEvent {
    /// A session is up (the first, or a new one after a break). `owned` are the attempts that the
    /// runner still has; other attempts of the runner in the store must be assigned again or were
    /// lost.
    Ready {
        /// Counts the sessions of this runner.
        epoch: u64,
        /// Attempts that the runner has in hand.
        owned: Vec<Claim>,
    },
    /// The attempt's process was seen running (and that is stored).
    Started {
        /// The attempt and its fence.
        claim: Claim,
        /// Time of arrival by the engine's clock, before it was stored.
        at: Timestamp,
    },
    /// A tool call of an agent has ended. Its number is acknowledged and its content is not stored, so
    /// it is lost with this process or a session: after each [`PoolEvent::Ready`] send the calls without
    /// a result again ([`Command::Agent`]). Results that arrive together with the attempt's end are in
    /// [`Ended::tail`] instead.
    Tool {
        /// The attempt that made the call.
        claim: Claim,
        /// The result of the call, masked.
        result: ToolResult,
    },
    /// The attempt ended. Not yet stored: commit it, then send [`Command::Verdict`].
    Ended(Box<Ended>),
    /// The runner refuses the assignment.
    Rejected {
        /// The attempt and its fence.
        claim: Claim,
        /// The reason, for people.
        reason: String,
    },
    /// The runner cannot be served from here now, but still owns its attempts: another lease may
    /// follow.
    Failed(Error),
    /// The runner is gone for good.
    Gone {
        /// The reason, for people.
        reason: String,
    },
}

/// A result with the events before it that are not stored yet.
#[derive(Debug)]
pub struct Ended {
    /// Events to store in the same transaction, in order.
    pub tail: Vec<AttemptEvent>,
    /// The outcome of the attempt.
    pub result: AttemptResult,
}

/// A command of a run to its runner.
#[derive(Debug)]
pub enum Command {
    /// Secrets of the run that every attempt masks from now on.
    Mask(Vec<Bytes>),
    /// The output spec of an attempt that is assigned next.
    Outputs(Claim, Box<OutputSpec>),
    /// Run this. Only after the claim was committed.
    Assign(Box<Assign>),
    /// An order to an attempt whose program is an agent, at any time after its [`Command::Assign`] in the
    /// same session or an earlier one: it waits on the runner until the attendant runs.
    Agent(Claim, Box<AgentOrder>),
    /// Stop an attempt: TERM, grace, KILL; or KILL at once.
    Stop {
        /// The attempt and its fence.
        claim: Claim,
        /// KILL at once, without TERM and grace.
        kill: bool,
    },
    /// The verdict on a result.
    Verdict {
        /// The attempt and its fence.
        claim: Claim,
        /// The run's decision about the result.
        verdict: ResultVerdict,
    },
    /// The run is over: the runner ends its processes, removes its files, and answers whether nothing is
    /// left. Dropped without an answer in a stale session.
    Leave(oneshot::Sender<bool>),
    /// The workspace of the next run.
    Enter(RunnerWorkspace),
    /// The run is over: stop the runner.
    Release,
    /// The engine stops driving the run; the runner stays, with its attempts and their events.
    Detach,
    /// The run of a runner of another machine, with its files. [`PoolEvent::Ready`] follows when it has them.
    Workspace(WorkspaceSpec),
    /// The runner shall connect to another engine; the reason is for people.
    Redirect(String),
}

/// A command and the session it was made for. A command for an older session is stale: the greeting
/// of the next one has reconciled the runner's attempts with the store.
#[derive(Debug)]
pub(crate) struct Tagged {
    pub(crate) epoch: u64,
    pub(crate) command: Command,
}

/// The exclusive use of one runner. Dropping it releases the runner.
#[derive(Debug)]
pub struct Lease {
    /// The runner of this lease.
    pub runner: RunnerId,
    /// The last session that was reported as ready.
    epoch: u64,
    /// The runner serves this run and no other.
    single_use: bool,
    /// The way to other workspaces, if it has one.
    pub(crate) moves: Option<Moves>,
    commands: mpsc::Sender<Tagged>,
    events: mpsc::Receiver<PoolEvent>,
}

// === impl Lease ===

impl Lease {
    pub(crate) fn new(
        runner: RunnerId,
        commands: mpsc::Sender<Tagged>,
        events: mpsc::Receiver<PoolEvent>,
    ) -> Self {
        Self { runner, epoch: 0, single_use: false, moves: None, commands, events }
    }

    /// The same for a runner that serves one run and no other.
    pub(crate) fn for_one_run(self) -> Self {
        Self { single_use: true, ..self }
    }

    /// The same for a runner that can move to other workspaces.
    pub(crate) fn movable(self, moves: Option<Moves>) -> Self {
        Self { moves, ..self }
    }

    /// The same for a runner that an earlier engine started: one that can move ends with its run.
    pub(crate) fn adopted(self) -> Self {
        Self { single_use: self.single_use || self.moves.is_some(), ..self }
    }

    /// Whether the runner serves one run and no other.
    pub(crate) fn is_for_one_run(&self) -> bool {
        self.single_use
    }

    /// The next report. `None` after [`PoolEvent::Gone`] or [`PoolEvent::Failed`]. Cancel-safe.
    pub async fn next(&mut self) -> Option<PoolEvent> {
        let event = self.events.recv().await;
        event.map(|event| self.seen(event))
    }

    /// A further report if one is there already.
    pub fn try_next(&mut self) -> Option<PoolEvent> {
        let event = self.events.try_recv().ok();
        event.map(|event| self.seen(event))
    }

    /// The session that was reported last, if any was.
    #[must_use]
    pub fn session(&self) -> Option<u64> {
        (self.epoch > 0).then_some(self.epoch)
    }

    /// Takes waiting reports; `true` if the runner is still served and reported nothing but
    /// readiness.
    pub(crate) fn is_quiet(&mut self) -> bool {
        loop {
            match self.try_next() {
                Some(PoolEvent::Ready { owned, .. }) if owned.is_empty() => {}
                Some(_) => return false,
                None => return !self.events.is_closed(),
            }
        }
    }

    /// Orders the files of a run. The lease has no session until the runner has them.
    pub(crate) async fn prepare(&mut self, spec: WorkspaceSpec) {
        self.send(Command::Workspace(spec)).await;
        self.epoch = 0;
    }

    fn seen(&mut self, event: PoolEvent) -> PoolEvent {
        if let PoolEvent::Ready { epoch, .. } = &event {
            self.epoch = *epoch;
        }
        event
    }

    /// Sends a command; drops it if the runner is gone, which [`Lease::next`] reports.
    pub async fn send(&self, command: Command) {
        let _gone = self.commands.send(Tagged { epoch: self.epoch, command }).await;
    }

    /// Waits until half of the queue of commands is free, or the runner is gone. For commands that
    /// may wait while the runner reads nothing: the other half stays for those that may not. Does
    /// not borrow the lease.
    pub fn room(&self) -> impl Future<Output = ()> + Send + use<> {
        let commands = self.commands.clone();
        async move {
            let _free_again = commands.reserve_many(COMMAND_QUEUE / 2).await;
        }
    }

    /// Lets the runner go: it leaves when it has delivered everything. Waits until it is gone.
    pub async fn release(mut self) {
        self.send(Command::Release).await;
        while self.next().await.is_some() {}
    }

    /// Leaves the runner with its attempts and their events to another lease.
    pub async fn detach(mut self) {
        self.send(Command::Detach).await;
        while self.next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn half_of_the_queue_stays_free() {
        let (commands, mut taken) = mpsc::channel(COMMAND_QUEUE);
        let (_events, events) = mpsc::channel(1);
        let lease = Lease::new(RunnerId::new("r"), commands, events);
        for _ in 0..COMMAND_QUEUE / 2 {
            assert!(lease.room().now_or_never().is_some());
            assert!(lease.send(Command::Release).now_or_never().is_some());
        }
        lease.send(Command::Release).now_or_never().unwrap();
        assert!(lease.room().now_or_never().is_none());
        assert!(lease.send(Command::Release).now_or_never().is_some(), "other commands pass");
        for _ in 0..2 {
            taken.try_recv().unwrap();
        }
        assert!(lease.room().now_or_never().is_some());
        drop(taken);
        assert!(lease.room().now_or_never().is_some());
    }
}
