//! The process of an attempt: its time limit, its end, and the processes that outlive it.

use std::time::Duration;

use plue_runtime::{Clock, clock::Mark};
use plue_wire::runner::Exit;

use super::{
    Exited, Limits,
    stopping::{Cause, Stopping},
};
use crate::{
    orphans::{KilledProcesses, ProcessMarks},
    system::Reaped,
};

/// Longest time that a pipe may stay open after the step's process has ended.
const LEAK_GRACE: Duration = Duration::from_millis(100);
/// Longest time that a pipe is read after every process was killed.
const CLOSING_GRACE: Duration = Duration::from_secs(2);

/// See the module. Times are since the start.
#[derive(Debug)]
pub(super) struct StepProcess {
    clock: Clock,
    started: Mark,
    marks: ProcessMarks,
    limits: Limits,
    stopping: Stopping,
    exited: Option<Exited>,
    /// Time until which the pipes are read after the exit.
    drain_until: Option<Duration>,
    killed: KilledProcesses,
}

// === impl StepProcess ===

impl StepProcess {
    pub(super) fn new(marks: ProcessMarks, limits: Limits, clock: Clock) -> Self {
        Self {
            clock,
            started: clock.mark(),
            marks,
            limits,
            stopping: Stopping::default(),
            exited: None,
            drain_until: None,
            killed: KilledProcesses::default(),
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.clock.elapsed(self.started)
    }

    pub(super) fn has_exited(&self) -> bool {
        self.exited.is_some()
    }

    /// Time of the next signal, unless the process has exited.
    pub(super) fn stop_at(&self) -> Option<Duration> {
        self.stopping.next(self.limits.timeout).filter(|_| self.exited.is_none())
    }

    pub(super) fn drain_until(&self) -> Option<Duration> {
        self.drain_until
    }

    /// Sends the next signal: TERM first; KILL when the grace is over or `at_once`.
    pub(super) fn stop(&mut self, cause: Cause, at_once: bool) {
        let now = self.now();
        if self.exited.is_some() {
            self.drain_until = Some(now);
            return;
        }
        if let Some(signal) = self.stopping.step(cause, at_once, now, self.limits.grace) {
            self.marks.signal_everywhere(signal, &mut self.killed);
        }
    }

    pub(super) fn note_exit(&mut self, exited: Exited) {
        self.exited = Some(exited);
        self.drain_until = Some(self.now() + LEAK_GRACE);
    }

    /// Kills remaining processes at the end of the drain. If there was one, the drain continues;
    /// otherwise it is over.
    pub(super) fn kill_remaining_before_close(&mut self) -> bool {
        let was_any = self.kill_remaining();
        self.drain_until = was_any.then(|| self.now() + CLOSING_GRACE);
        was_any
    }

    fn kill_remaining(&mut self) -> bool {
        let mut orphans = match &mut self.exited {
            Some(exited) => std::mem::take(&mut exited.orphans),
            None => Vec::new(),
        };
        self.marks.kill_all(&mut orphans, &mut self.killed)
    }

    /// Kills remaining processes until none is left.
    pub(super) async fn kill_all(&mut self) {
        const ROUNDS: u32 = 200;
        const DYING_ROUNDS: u32 = 5_000;
        let has_orphans = self.exited.as_ref().is_some_and(|exited| !exited.orphans.is_empty());
        if !has_orphans && self.killed.is_empty() && !self.marks.group_lives() {
            return;
        }
        for _ in 0..ROUNDS {
            if !self.kill_remaining() {
                break;
            }
            self.clock.sleep(Duration::from_millis(2)).await;
        }
        for _ in 0..DYING_ROUNDS {
            if !self.killed.are_dying() {
                return;
            }
            self.clock.sleep(Duration::from_millis(2)).await;
        }
    }

    /// The exit of the attempt, and the usage of its process.
    pub(super) fn exit(&mut self) -> (Exit, Reaped) {
        let exited = self.exited.take().unwrap_or_else(Exited::unknown);
        (self.stopping.exit(&exited.reaped), exited.reaped)
    }

    /// Processes that outlived the step and were killed.
    pub(super) fn leaked(&self) -> u32 {
        u32::try_from(self.killed.count()).unwrap_or(u32::MAX)
    }
}
