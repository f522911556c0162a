//! What time does to a runner: heartbeats, silence, loneliness, the way out.

use std::time::Duration;

use plue_runtime::clock::Mark;
use plue_wire::runner::{FromRunner, HEARTBEAT_MS, RunnerVitals};

use super::{Connection, Runner};
use crate::{
    Error,
    attempt::stopping::Order,
    boot,
    link::{Dial, fraction},
};

/// A runner that never had work waits no longer than this for an engine.
const UNUSED: Duration = Duration::from_secs(5);
/// Between looks at the deadlines.
const TICK: Duration = Duration::from_millis(500);
/// The same while a result waits for its verdict.
const BUSY_TICK: Duration = Duration::from_millis(20);
/// After so long without a verdict a result is sent again.
const RESEND: Duration = Duration::from_secs(10);
/// How long the last results are given after all processes are gone.
const FAREWELL: Duration = Duration::from_secs(2);

/// How far the runner is on its way out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Leaving {
    /// Not at all.
    No,
    /// When nothing is left to do.
    WhenIdle,
    /// SIGTERM came at this time; attempts may go on for the grace.
    Draining(Mark),
    /// Attempts were told to end; since then the results are delivered.
    Ending(Mark),
}

impl<D: Dial + Clone + 'static> Runner<D> {
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving != Leaving::No
    }

    pub(super) fn leave_when_idle(&mut self) {
        if self.leaving == Leaving::No {
            self.leaving = Leaving::WhenIdle;
        }
    }

    pub(super) fn leave_now(&mut self) {
        self.order_all(Order::Kill);
        self.leaving = Leaving::Ending(self.clock.mark());
    }

    /// The first SIGTERM drains, the second ends.
    pub(super) fn terminate(&mut self) -> Result<(), Error> {
        match self.leaving {
            Leaving::No | Leaving::WhenIdle => {
                self.leaving = Leaving::Draining(self.clock.mark());
                let grace = self.options.drain_grace.as_millis();
                let grace = u64::try_from(grace).unwrap_or(u64::MAX);
                self.send(&FromRunner::Draining("SIGTERM".to_owned(), grace))
            }
            Leaving::Draining(_) | Leaving::Ending(_) => {
                self.leave_now();
                Ok(())
            }
        }
    }

    fn order_all(&mut self, order: Order) {
        for held in self.held.values() {
            held.give(order);
        }
    }

    /// Whether there is nothing left to stay for.
    pub(super) fn is_done(&self) -> bool {
        let is_down = matches!(self.connection, Connection::Down(_));
        let running = self.running();
        // Whatever was asked before: nobody is there any more to deliver to. Results stay on disk.
        let is_orphan =
            self.lonely_since.is_some_and(|since| self.clock.elapsed(since) >= self.patience());
        if running == 0 && is_orphan {
            return true;
        }
        match self.leaving {
            Leaving::No => false,
            Leaving::WhenIdle => running == 0 && self.held.is_empty(),
            Leaving::Draining(_) => running == 0 && (self.held.is_empty() || is_down),
            Leaving::Ending(since) => {
                let is_late = self.clock.elapsed(since) >= FAREWELL;
                running == 0 && (self.held.is_empty() || is_down || is_late)
            }
        }
    }

    /// How long to wait for an engine without work. One that was started early, and whose engine died
    /// before there was a run, holds nothing that anybody could miss.
    fn patience(&self) -> Duration {
        let after = self.options.orphan_after;
        if self.claims.is_unused() { after.min(UNUSED) } else { after }
    }

    /// Time until deadlines are looked at again.
    pub(super) fn tick_pause(&self) -> Duration {
        let waits =
            self.held.values().any(|held| held.ended_at().is_some() && held.outbox.is_volatile());
        let every = if waits { BUSY_TICK } else { TICK };
        every.saturating_sub(self.clock.elapsed(self.last_tick))
    }

    /// Looks at the deadlines, if it is time.
    pub(super) fn tick(&mut self) -> Result<(), Error> {
        if !self.tick_pause().is_zero() {
            return Ok(());
        }
        self.last_tick = self.clock.mark();
        for held in self.held.values_mut() {
            // A verdict usually comes within a commit; a result that waits longer goes to disk.
            if held.ended_at().is_some_and(|at| self.clock.elapsed(at) >= BUSY_TICK) {
                held.persist();
            }
        }
        if let Leaving::Draining(since) = self.leaving
            && self.clock.elapsed(since) >= self.options.drain_grace
        {
            self.order_all(Order::Cancel);
            self.leaving = Leaving::Ending(self.clock.mark());
        }
        match self.connection {
            Connection::Up { is_welcome, .. } => {
                // A connection that nobody answers is no engine.
                if is_welcome {
                    self.lonely_since = None;
                } else {
                    self.tick_alone();
                }
                self.tick_connected()
            }
            Connection::Down(_) => {
                self.tick_alone();
                Ok(())
            }
        }
    }

    fn tick_connected(&mut self) -> Result<(), Error> {
        let silent = self.clock.elapsed(self.heard.max(self.connected));
        if silent >= self.options.silence_after {
            self.disconnect();
            return Ok(());
        }
        if self.clock.elapsed(self.last_beat) < self.beat_every {
            return Ok(());
        }
        self.last_beat = self.clock.mark();
        // Not all runners at once: ±20 %.
        let part = 0.8 + 0.4 * fraction(&self.ids);
        self.beat_every = Duration::from_millis(HEARTBEAT_MS).mul_f64(part);
        for held in self.held.values_mut() {
            if held.ended_at().is_some_and(|at| self.clock.elapsed(at) >= RESEND) {
                held.outbox.resend_result();
            }
        }
        let running = self.held.values().filter(|held| held.is_running());
        let vitals = RunnerVitals {
            running: running.map(|held| held.claim.clone()).collect(),
            rss_kib: boot::resident_kib(),
        };
        self.send(&FromRunner::Heartbeat(vitals))
    }

    fn tick_alone(&mut self) {
        let silent = self.clock.elapsed(self.heard);
        if self.options.self_fence_after.is_some_and(|after| silent >= after) {
            self.order_all(Order::Fence);
        }
        if self.running() > 0 {
            self.lonely_since = None;
        } else if self.lonely_since.is_none() {
            self.lonely_since = Some(self.clock.mark());
        }
    }
}
