//! The owner of a runner's state: one loop over connection, attempts, children, signals and time.
//!
//! Only this loop changes claims, outboxes and the connection. Must not wait for anything but its own
//! `select!`: while it waits, no attempt is stopped in time.

mod agents;
mod execution;
mod interpreter;
mod lifecycle;
mod link;
mod marks;
mod moving;
mod owned;
mod processes;
mod reaping;
mod session;
mod table;

use std::{ffi::OsString, io, time::Duration};

use plue_runtime::{Clock, Ids, Tasks, clock::Mark, mask::RunMasks};
use plue_wire::runner::{FromRunner, RunnerVitals};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};

pub use self::lifecycle::Leave;
use self::{
    agents::Agents,
    lifecycle::{Lifecycle, Load},
    link::{EngineLink, Identity, LinkEvent},
    processes::Processes,
    table::AttemptTable,
};
use crate::{
    Error,
    attempt::{Report, stopping::Order},
    boot,
    boot::Token,
    link::{Dial, Turn},
    options::Options,
    orphans,
    outputs::{
        WorkDirs,
        queue::{ContentRequest, OutputQueue},
    },
    system::Reaped,
    workspace::Workspace,
};

/// Reports of attempts that wait for the loop.
const MAX_REPORTS: usize = 64;
/// Longest patience without an engine of a runner that never had work.
const UNUSED_PATIENCE: Duration = Duration::from_secs(5);
/// Interval between looks at the deadlines.
const TICK: Duration = Duration::from_millis(500);
/// The same while a result waits for its verdict.
const BUSY_TICK: Duration = Duration::from_millis(20);
/// After this long without a verdict a result is sent again.
const RESEND: Duration = Duration::from_secs(10);

/// A runner. See the module.
#[derive(Debug)]
pub struct Runner<D: Dial> {
    options: Options,
    clock: Clock,
    tasks: Tasks,
    workspace: Workspace,
    link: EngineLink<D>,
    attempts: AttemptTable,
    agents: Agents,
    processes: Processes,
    outputs: OutputQueue,
    /// Secrets that every attempt masks: those of the run, and of earlier attempts.
    masks: RunMasks,
    reports: Reports,
    lifecycle: Lifecycle,
}

/// The reports of attempts and of the output uploader.
#[derive(Debug)]
struct Reports {
    sender: mpsc::Sender<Report>,
    receiver: mpsc::Receiver<Report>,
}

/// The signals that a runner handles.
#[derive(Debug)]
pub struct Signals {
    child: Signal,
    terminate: Signal,
    /// Handled and ignored: a handler, unlike `SIG_IGN`, is not inherited by steps.
    interrupt: Signal,
    hangup: Signal,
}

/// The event that woke the loop.
enum Wake<S> {
    Link(LinkEvent<S>),
    Report(Report),
    Asked(ContentRequest),
    Child,
    Forked(io::Result<Reaped>),
    Terminate,
    Ignored,
    Time,
}

// === impl Runner ===

impl<D: Dial + Clone + 'static> Runner<D> {
    /// Takes possession of the directories and of the attempts that earlier processes left in them.
    /// Steps inherit variables from `environment`.
    ///
    /// # Errors
    /// The directories cannot be used, or another runner uses them.
    pub fn open(
        options: Options,
        token: Token,
        dial: D,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Error> {
        let (clock, ids) = (Clock::real(), Ids::random());
        let inherit = &options.inherit;
        let workspace = Workspace::open(&options.workspace, &options.state, environment, inherit)?;
        let attempts = AttemptTable::open(&options, &workspace, &clock)?;
        let dirs = WorkDirs {
            root: workspace.root.clone(),
            scratch: workspace.folder().to_owned(),
            index: options.index.clone(),
        };
        let boot = boot::identity(&options.state, &ids)?;
        let identity = Identity { runner: options.runner.clone(), boot, token };
        let (sender, receiver) = mpsc::channel(MAX_REPORTS);
        Ok(Self {
            clock,
            tasks: Tasks::new(),
            workspace,
            link: EngineLink::new(identity, dial, clock, ids),
            attempts,
            agents: Agents::default(),
            processes: Processes::new(options.python.is_forked),
            outputs: OutputQueue::new(dirs, clock),
            masks: RunMasks::default(),
            reports: Reports { sender, receiver },
            lifecycle: Lifecycle::new(clock),
            options,
        })
    }

    /// Serves until the engine, a signal or the lack of both engine and work ends it. Must run on a
    /// current-thread Tokio runtime.
    ///
    /// # Errors
    /// [`Error::Dismissed`] when the engine does not want this runner; otherwise a broken disk.
    pub async fn run(self) -> Result<Leave, Error> {
        let mut signals = Signals::new()?;
        self.run_with(&mut signals).await
    }

    /// The same with signals that were installed before, so that none is missed between two runners.
    ///
    /// # Errors
    /// As [`Runner::run`].
    pub async fn run_with(mut self, signals: &mut Signals) -> Result<Leave, Error> {
        self.kill_lost().await;
        let outcome = self.serve(signals).await;
        self.attempts.order_all(Order::Abandon);
        self.attempts.persist();
        self.flush().await;
        outcome?;
        self.kill_children().await?;
        Ok(self.lifecycle.leave())
    }

    /// Kills orphans of steps. They become children of this process, wherever they went and whatever
    /// their environment is, so that without a child there is no descendant.
    async fn kill_children(&mut self) -> Result<(), Error> {
        const ROUNDS: u32 = 1_000;
        for _ in 0..ROUNDS {
            self.processes.reap();
            if orphans::kill_children() == 0 {
                return Ok(());
            }
            self.clock.sleep(Duration::from_millis(1)).await;
        }
        Err(Error::LeftBehind(orphans::children().len()))
    }

    /// Kills processes of attempts of an earlier runner process, before their end is reported.
    async fn kill_lost(&self) {
        const ROUNDS: u32 = 500;
        if self.attempts.lost() == 0 {
            return;
        }
        for _ in 0..ROUNDS {
            if orphans::kill_all_of_folder(self.workspace.folder()) == 0 {
                return;
            }
            self.clock.sleep(Duration::from_millis(2)).await;
        }
    }

    async fn serve(&mut self, signals: &mut Signals) -> Result<(), Error> {
        let mut last_tick = self.clock.mark();
        while !self.is_done() {
            self.attempts.queue_events(&mut self.link)?;
            let pause = self.tick_pause(last_tick);
            // The connection comes before reports, which would otherwise fill memory while
            // nothing is sent. Every branch is cancel-safe.
            let wake = tokio::select! {
                biased;
                _ = signals.child.recv() => Wake::Child,
                _ = signals.terminate.recv() => Wake::Terminate,
                _ = signals.interrupt.recv() => Wake::Ignored,
                _ = signals.hangup.recv() => Wake::Ignored,
                ended = self.processes.next_forked() => Wake::Forked(ended),
                event = self.link.wait() => Wake::Link(event),
                Some(report) = self.reports.receiver.recv() => Wake::Report(report),
                Some(request) = self.outputs.next() => Wake::Asked(request),
                () = self.clock.sleep(pause) => Wake::Time,
            };
            self.handle(wake)?;
            while let Ok(report) = self.reports.receiver.try_recv() {
                self.note(report)?;
            }
            if self.tick_pause(last_tick).is_zero() {
                last_tick = self.clock.mark();
                self.tick()?;
            }
        }
        Ok(())
    }

    fn handle(&mut self, wake: Wake<D::Stream>) -> Result<(), Error> {
        match wake {
            Wake::Link(LinkEvent::Connected(Ok(stream))) => {
                let resume = self.attempts.resume();
                self.link.greet(stream, resume)?;
            }
            Wake::Link(LinkEvent::Connected(Err(_))) => self.link.redial(),
            Wake::Link(LinkEvent::Turned(Ok(Turn::Received))) => self.receive()?,
            Wake::Link(LinkEvent::Turned(Err(_))) => self.disconnect(),
            Wake::Link(LinkEvent::Turned(Ok(Turn::Written))) | Wake::Ignored | Wake::Time => {}
            Wake::Report(report) => self.note(report)?,
            Wake::Asked(request) => self.ask(request)?,
            Wake::Child => {
                self.processes.reap();
                self.finish_leaving()?;
            }
            Wake::Forked(ended) => self.processes.note_forked(ended),
            Wake::Terminate => self.terminate()?,
        }
        Ok(())
    }

    fn send(&mut self, message: &FromRunner) -> Result<(), Error> {
        Ok(self.link.send(message)?)
    }

    /// Gives the connection up. Events go to disk: the next connection may be that of another
    /// process.
    fn disconnect(&mut self) {
        self.attempts.persist();
        self.outputs.drop_impatient();
        self.link.redial();
    }

    /// The first SIGTERM drains, the second ends.
    fn terminate(&mut self) -> Result<(), Error> {
        if !self.lifecycle.drain() {
            self.leave_now(Order::LeaveNow);
            return Ok(());
        }
        let grace = self.options.timing.drain_grace.as_millis();
        let grace = u64::try_from(grace).unwrap_or(u64::MAX);
        self.send(&FromRunner::Draining("SIGTERM".to_owned(), grace))
    }

    fn leave_now(&mut self, order: Order) {
        self.attempts.order_all(order);
        self.lifecycle.end();
    }

    fn is_done(&self) -> bool {
        let after = self.options.timing.orphan_after;
        // A runner without any attempt so far has nothing to deliver.
        let is_unused = self.attempts.is_unused();
        let patience =
            after.map(|after| if is_unused { after.min(UNUSED_PATIENCE) } else { after });
        self.lifecycle.is_done(Load {
            has_running: self.attempts.running().next().is_some(),
            has_attempts: !self.attempts.is_empty(),
            is_down: self.link.is_down(),
            patience,
        })
    }

    /// Time until the next look at the deadlines.
    fn tick_pause(&self, last_tick: Mark) -> Duration {
        let is_hurried = self.attempts.has_volatile_result() || self.lifecycle.moves.is_leaving();
        let every = if is_hurried { BUSY_TICK } else { TICK };
        every.saturating_sub(self.clock.elapsed(last_tick))
    }

    /// Looks at the deadlines.
    fn tick(&mut self) -> Result<(), Error> {
        self.finish_leaving()?;
        for owned in self.attempts.values_mut() {
            // A verdict usually comes within a commit; a result that waits longer goes to disk.
            if owned.ended_at().is_some_and(|at| self.clock.elapsed(at) >= BUSY_TICK) {
                owned.persist();
            }
        }
        if self.lifecycle.is_drain_over(self.options.timing.drain_grace) {
            self.attempts.order_all(Order::Leave);
            self.lifecycle.end();
        }
        // A connection without a welcome is no engine.
        if self.link.is_welcome() {
            self.lifecycle.has_engine();
        } else {
            let self_fence_after = self.options.timing.self_fence_after;
            if self_fence_after.is_some_and(|after| self.link.engine_silence() >= after) {
                self.attempts.order_all(Order::Fence);
            }
            self.lifecycle.has_no_engine(self.attempts.running().next().is_some());
        }
        if self.link.is_down() { Ok(()) } else { self.tick_connected() }
    }

    fn tick_connected(&mut self) -> Result<(), Error> {
        if self.link.silence() >= self.options.timing.silence_after {
            self.disconnect();
            return Ok(());
        }
        if !self.link.take_beat() {
            return Ok(());
        }
        for owned in self.attempts.values_mut() {
            if owned.ended_at().is_some_and(|at| self.clock.elapsed(at) >= RESEND) {
                owned.outbox.resend_result();
            }
        }
        let vitals = RunnerVitals {
            running: self.attempts.running().map(|owned| owned.claim.clone()).collect(),
            rss_kib: boot::resident_kib(),
        };
        self.send(&FromRunner::Heartbeat(vitals))
    }

    /// Waits until killed processes are reaped and the queue of frames is written, 500 ms at most.
    async fn flush(&mut self) {
        const WAIT: Duration = Duration::from_millis(500);
        let tasks = self.tasks.clone();
        let clock = self.clock;
        let deadline = clock.deadline(WAIT);
        loop {
            tokio::select! {
                biased;
                () = deadline.reached() => return,
                () = tasks.wait(), if self.reports.receiver.is_empty() => break,
                Some(_) = self.reports.receiver.recv() => {}
                ended = self.processes.next_forked() => self.processes.note_forked(ended),
                () = clock.sleep(Duration::from_millis(5)) => self.processes.reap(),
            }
        }
        tokio::select! {
            () = deadline.reached() => {}
            () = self.link.write_out() => {}
        }
    }
}

// === impl Signals ===

impl Signals {
    /// Installs the handlers.
    ///
    /// # Errors
    /// [`Error::Setup`].
    pub fn new() -> Result<Self, Error> {
        let take =
            |kind| signal(kind).map_err(|source| Error::Setup { what: "take signals", source });
        Ok(Self {
            child: take(SignalKind::child())?,
            terminate: take(SignalKind::terminate())?,
            interrupt: take(SignalKind::interrupt())?,
            hangup: take(SignalKind::hangup())?,
        })
    }
}
