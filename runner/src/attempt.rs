//! One attempt: a process, its two output streams, its time limit, its end.
//!
//! A task per attempt that owns the process from its start until nothing of it is left. It sends
//! events to the dispatcher within a budget of unacknowledged bytes; when the budget is used up it
//! stops reading and the step blocks. Must not know connections, fences or sequence numbers.

pub(crate) mod agent;
pub(crate) mod ending;
pub(crate) mod launch;
mod output;
mod process;
pub(crate) mod stopping;
mod stream;

use std::{sync::Arc, time::Duration};

use plue_plan::RunId;
use plue_runtime::{Clock, mask::Secrets, together::received};
use plue_wire::runner::{Claim, EventKind, Exit};
use rustix::process::Signal;
use tokio::{
    net::unix::pipe,
    sync::{Semaphore, mpsc, oneshot, watch},
};

use self::{
    agent::AgentLink,
    ending::Ending,
    output::StepOutput,
    process::StepProcess,
    stopping::{Cause, Order},
    stream::StreamKind,
};
use crate::{
    orphans::{ProcessHandle, ProcessMarks},
    outbox::MIN_EVENT_COST,
    outputs::{Notes, Prepared},
    system::Reaped,
    workspace::AttemptFiles,
};

/// The end of a step's process, as the dispatcher saw it.
#[derive(Debug, Clone)]
pub(crate) struct Exited {
    /// Exit status and resource usage.
    pub(crate) reaped: Reaped,
    /// Orphans of this runner that belong to the attempt.
    pub(crate) orphans: Vec<ProcessHandle>,
}

/// A report of an attempt or of the output uploader to the dispatcher.
#[derive(Debug)]
pub(crate) enum Report {
    Event(Claim, EventKind),
    /// Nothing of the attempt's processes is left.
    Ended(Claim, Box<Ending>),
    /// The workspace is prepared for the process.
    Prepared(Claim, Prepared, Notes),
    /// The outputs are collected; with the reason for which the step fails, if artifacts were lost.
    Collected(Claim, Notes, Option<String>),
    /// The files of a run were fetched and unpacked, or why not.
    Fetched(RunId, Result<(), String>),
}

/// Limits of one attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) timeout: Duration,
    /// From TERM to KILL.
    pub(crate) grace: Duration,
    /// Bytes of log.
    pub(crate) log_cap: u64,
}

/// A process that has just been started.
#[derive(Debug)]
pub(crate) struct StartedProcess {
    pub(crate) marks: ProcessMarks,
    /// Standard output and standard error.
    pub(crate) pipes: [pipe::Receiver; 2],
    pub(crate) secrets: Secrets,
    pub(crate) files: AttemptFiles,
}

/// The connections of an attempt to the rest of the runner.
#[derive(Debug)]
pub(crate) struct Ties {
    pub(crate) clock: Clock,
    /// Bytes of events that may be unacknowledged.
    pub(crate) budget: Arc<Semaphore>,
    pub(crate) orders: watch::Receiver<Order>,
    pub(crate) exited: oneshot::Receiver<Exited>,
    pub(crate) reports: mpsc::Sender<Report>,
    /// The socket to the attendant, if the program is an agent.
    pub(crate) agent: Option<AgentLink>,
}

#[derive(Debug)]
pub(crate) struct Attempt {
    claim: Claim,
    secrets: Secrets,
    files: AttemptFiles,
    process: StepProcess,
    output: StepOutput,
    ties: Ties,
}

/// The event that woke an attempt.
enum Wake {
    Order,
    Exited(Option<Exited>),
    Budget,
    Readable(StreamKind),
    Replied,
    Time,
}

// === impl Attempt ===

impl Attempt {
    pub(crate) fn new(claim: Claim, started: StartedProcess, limits: Limits, ties: Ties) -> Self {
        let StartedProcess { marks, pipes, secrets, files } = started;
        Self {
            claim,
            process: StepProcess::new(marks, limits, ties.clock),
            output: StepOutput::new(pipes, &secrets, limits.log_cap),
            secrets,
            files,
            ties,
        }
    }

    /// Runs until nothing of the attempt is left, then reports the end.
    pub(crate) async fn run(mut self) {
        while !self.is_over() {
            match self.wait().await {
                Wake::Order => self.obey(),
                Wake::Exited(exited) => self.note_exit(exited),
                Wake::Budget => self.send_ready().await,
                Wake::Readable(kind) => self.output.read(kind, self.process.now()),
                Wake::Replied => {
                    let replies = self.ties.agent.as_mut().map(AgentLink::read);
                    self.output.queue(replies.unwrap_or_default());
                }
                Wake::Time => self.look_at_clock(),
            }
            self.send_within_budget().await;
        }
        self.finish().await;
    }

    fn is_over(&self) -> bool {
        self.process.has_exited()
            && self.output.is_done()
            && !self.ties.agent.as_ref().is_some_and(AgentLink::is_open)
    }

    async fn wait(&mut self) -> Wake {
        let cost = self.output.next_event().map_or(0, cost);
        let is_free = self.output.next_event().is_none();
        let permits = u32::try_from(cost).unwrap_or(u32::MAX);
        let pause = self.pause();
        let (ties, output) = (&mut self.ties, &self.output);
        let running = !self.process.has_exited();
        // Orders, the exit and the clock come before output, so that a step that floods its output
        // is still stopped in time. Every branch is cancel-safe.
        tokio::select! {
            biased;
            Ok(()) = ties.orders.changed() => Wake::Order,
            exited = received(&mut ties.exited), if running => Wake::Exited(exited),
            () = ties.clock.sleep(pause) => Wake::Time,
            Ok(permit) = ties.budget.acquire_many(permits), if !is_free => {
                permit.forget();
                Wake::Budget
            }
            () = AgentLink::readable(ties.agent.as_ref()), if is_free => Wake::Replied,
            kind = output.readable(), if is_free => Wake::Readable(kind),
        }
    }

    /// Time until the next deadline.
    fn pause(&self) -> Duration {
        // While events wait for budget the drain clock does not run: the engine is slow, not the step.
        let drain = self.process.drain_until().filter(|_| self.output.next_event().is_none());
        let next = [self.process.stop_at(), self.output.flush_at(), drain];
        let next = next.into_iter().flatten().min();
        next.map_or(Duration::from_secs(3_600), |next| next.saturating_sub(self.process.now()))
    }

    fn look_at_clock(&mut self) {
        let now = self.process.now();
        if self.output.flush_at().is_some_and(|at| at <= now) {
            self.output.flush(now);
        }
        if self.process.stop_at().is_some_and(|at| at <= now) {
            self.process.stop(Cause::Timeout, false);
        }
        let is_free = self.output.next_event().is_none();
        if is_free && self.process.drain_until().is_some_and(|until| until <= now) {
            self.end_drain();
        }
    }

    fn obey(&mut self) {
        let order = *self.ties.orders.borrow_and_update();
        match order {
            Order::Run => {}
            Order::Leave => self.process.stop(Cause::Leave, false),
            Order::LeaveNow => self.process.stop(Cause::Leave, true),
            Order::Cancel => self.process.stop(Cause::Cancel, false),
            Order::Kill => self.process.stop(Cause::Cancel, true),
            Order::Fence => self.process.stop(Cause::Fence, true),
            Order::Abandon => {
                self.process.stop(Cause::Cancel, true);
                self.output.clear_events();
            }
        }
    }

    fn note_exit(&mut self, exited: Option<Exited>) {
        // The sender is dropped only with the dispatcher; then no report is needed.
        self.process.note_exit(exited.unwrap_or_else(Exited::unknown));
        let now = self.process.now();
        self.output.read(StreamKind::Stdout, now);
        self.output.read(StreamKind::Stderr, now);
        let replies = self.ties.agent.as_mut().map(AgentLink::finish);
        self.output.queue(replies.unwrap_or_default());
    }

    /// A pipe is still open although the step has ended: another process has it.
    fn end_drain(&mut self) {
        if !self.process.kill_remaining_before_close() {
            self.output.close(self.process.now());
        }
    }

    /// Sends the events that the budget allows without waiting.
    async fn send_within_budget(&mut self) {
        while let Some(cost) = self.output.next_event().map(cost) {
            let permits = u32::try_from(cost).unwrap_or(u32::MAX);
            match self.ties.budget.try_acquire_many(permits) {
                Ok(permit) => permit.forget(),
                Err(_) => return,
            }
            self.send_ready().await;
        }
    }

    async fn send_ready(&mut self) {
        if let Some(kind) = self.output.pop_event() {
            self.report(Report::Event(self.claim.clone(), kind)).await;
        }
    }

    async fn report(&self, report: Report) {
        // Without a dispatcher the runner is about to end.
        let _ending = self.ties.reports.send(report).await;
    }

    async fn finish(mut self) {
        let wall = self.process.now();
        self.process.kill_all().await;
        let dropped = self.output.dropped();
        if dropped > 0 {
            let gap =
                EventKind::Gap { bytes: dropped, reason: "the log is over its limit".to_owned() };
            self.report(Report::Event(self.claim.clone(), gap)).await;
        }
        let (exit, reaped) = self.process.exit();
        let exit = match (exit, self.files.refusal()) {
            (Exit::Code(_) | Exit::Signal(_), Some(why)) => Exit::Refused(self.secrets.text(&why)),
            (exit, _) => exit,
        };
        let output = ending::output(&self.files, self.output.tail(), &self.secrets);
        let (exit, output_json) = match output {
            Ok(output) => (exit, output),
            Err(why) if exit == Exit::Code(0) => {
                (Exit::Refused(self.secrets.text(&why)), "null".to_owned())
            }
            Err(_) => (exit, "null".to_owned()),
        };
        let ending = Ending {
            exit,
            output_json,
            wall,
            cpu_us: reaped.cpu_us,
            max_rss_kib: reaped.max_rss_kib,
            leaked: self.process.leaked(),
        };
        self.files.delete();
        self.report(Report::Ended(self.claim.clone(), Box::new(ending))).await;
    }
}

// === impl Exited ===

impl Exited {
    fn unknown() -> Self {
        Self {
            reaped: Reaped {
                pid: 0,
                status: std::os::unix::process::ExitStatusExt::from_raw(Signal::KILL.as_raw()),
                cpu_us: 0,
                max_rss_kib: 0,
            },
            orphans: Vec::new(),
        }
    }
}

/// Bytes of budget that an event takes.
pub(crate) fn cost(kind: &EventKind) -> usize {
    let bytes = match kind {
        EventKind::Stdout(bytes) | EventKind::Stderr(bytes) => bytes.0.len(),
        EventKind::Started { .. } | EventKind::Gap { .. } => 0,
        EventKind::Note(text) => text.len(),
        EventKind::Tool(result) => result.id.len() + result.content.0.len(),
    };
    bytes.max(MIN_EVENT_COST)
}
