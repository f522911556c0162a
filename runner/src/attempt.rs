//! One attempt: a process, its two streams, its time limit, its end.
//!
//! A task per attempt that owns the process from its start until nothing of it is left. It hands
//! events to the dispatcher, within a budget of unacknowledged bytes; when the budget is used up
//! it stops reading and the step blocks. Must not know connections, fences or sequence numbers.

pub(crate) mod agent;
pub(crate) mod ending;
pub(crate) mod lane;
pub(crate) mod launch;
pub(crate) mod stopping;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use plue_runtime::{Clock, clock::Mark, mask::Secrets, together::received};
use plue_wire::runner::{Claim, EventKind, Exit, MAX_CHUNK_BYTES};
use rustix::process::Signal;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use self::{
    agent::AgentLink,
    ending::{Ending, Tail},
    lane::{Lane, Progress, Stream},
    stopping::{Cause, Order, Stopping},
};
use crate::{
    keeper::{Notes, Prepared},
    leftovers::{Found, Killed, Marks},
    outbox::MIN_EVENT_COST,
    system::Reaped,
    workspace::AttemptFiles,
};

/// Portions of output that are read before orders, the exit and the clock are looked at again.
const MAX_PORTIONS: usize = 64;
/// How soon the first bytes after a pause go out.
const FIRST_FLUSH: Duration = Duration::from_millis(5);
/// How long bytes are collected while output goes on.
const STEADY_FLUSH: Duration = Duration::from_millis(50);
/// How long a pipe may stay open after the step's process has ended.
const LEAK_GRACE: Duration = Duration::from_millis(100);
/// How long after everything was killed a pipe is still read.
const CLOSING_GRACE: Duration = Duration::from_secs(2);

/// The end of a step's process, as the dispatcher saw it.
#[derive(Debug, Clone)]
pub(crate) struct Exited {
    /// Status and usage.
    pub(crate) reaped: Reaped,
    /// Orphans of this runner that belong to the attempt.
    pub(crate) strays: Vec<Found>,
}

/// What an attempt tells the dispatcher.
#[derive(Debug)]
pub(crate) enum Report {
    /// Something happened.
    Event(Claim, EventKind),
    /// Nothing of the attempt is left.
    Ended(Claim, Box<Ending>),
    /// The keeper has done what comes before the process.
    Prepared(Claim, Prepared, Notes),
    /// The keeper has done what comes after it; with why its artifacts could not be kept.
    Kept(Claim, Notes, Option<String>),
}

/// Limits of one attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) timeout: Duration,
    pub(crate) grace: Duration,
    pub(crate) log_cap: u64,
}

/// What an attempt needs of the runner.
#[derive(Debug)]
pub(crate) struct Ties {
    pub(crate) clock: Clock,
    pub(crate) budget: Arc<Semaphore>,
    pub(crate) orders: watch::Receiver<Order>,
    pub(crate) exited: oneshot::Receiver<Exited>,
    pub(crate) reports: mpsc::Sender<Report>,
    /// The socket to the attendant, if the program is an agent.
    pub(crate) agent: Option<AgentLink>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Attempt {
    claim: Claim,
    marks: Marks,
    limits: Limits,
    secrets: Secrets,
    files: AttemptFiles,
    ties: Ties,
    stdout: Lane,
    stderr: Lane,
    last_read: Stream,
    /// Chunks that wait for budget.
    ready: VecDeque<EventKind>,
    tail: Tail,
    log_bytes: u64,
    dropped: u64,
    started: Mark,
    /// Times since `started`.
    flush_at: Option<Duration>,
    last_flush: Duration,
    stopping: Stopping,
    exited: Option<Exited>,
    /// Until when the pipes are read after the exit.
    drain_until: Option<Duration>,
    killed: Killed,
}

/// What woke an attempt.
enum Wake {
    Order,
    Exited(Option<Exited>),
    Budget,
    Readable(Stream),
    Replied,
    Time,
}

// === impl Attempt ===

impl Attempt {
    /// An attempt whose process has just been started.
    pub(crate) fn new(
        claim: Claim,
        process: (Marks, [tokio::net::unix::pipe::Receiver; 2]),
        limits: Limits,
        (secrets, files): (Secrets, AttemptFiles),
        ties: Ties,
    ) -> Self {
        let (marks, [stdout, stderr]) = process;
        let started = ties.clock.mark();
        Self {
            claim,
            marks,
            limits,
            stdout: Lane::new(stdout, secrets.stream()),
            stderr: Lane::new(stderr, secrets.stream()),
            last_read: Stream::Stderr,
            secrets,
            files,
            ties,
            ready: VecDeque::new(),
            tail: Tail::default(),
            log_bytes: 0,
            dropped: 0,
            started,
            flush_at: None,
            last_flush: Duration::ZERO,
            stopping: Stopping::default(),
            exited: None,
            drain_until: None,
            killed: Killed::default(),
        }
    }

    /// Runs until nothing of the attempt is left, then reports the end.
    pub(crate) async fn run(mut self) {
        while !self.is_over() {
            match self.wait().await {
                Wake::Order => self.obey(),
                Wake::Exited(exited) => self.note_exit(exited),
                Wake::Budget => self.send_ready().await,
                Wake::Readable(stream) => self.read(stream),
                Wake::Replied => {
                    let replies = self.ties.agent.as_mut().map(AgentLink::read);
                    self.ready.extend(replies.unwrap_or_default());
                }
                Wake::Time => self.look_at_clock(),
            }
            self.send_within_budget().await;
        }
        self.finish().await;
    }

    fn is_over(&self) -> bool {
        self.exited.is_some()
            && self.ready.is_empty()
            && !self.stdout.is_open()
            && !self.stderr.is_open()
            && !self.ties.agent.as_ref().is_some_and(AgentLink::is_open)
    }

    async fn wait(&mut self) -> Wake {
        let is_free = self.ready.is_empty();
        let cost = self.ready.front().map_or(0, cost);
        let permits = u32::try_from(cost).unwrap_or(u32::MAX);
        let pause = self.pause();
        let ties = &mut self.ties;
        let running = self.exited.is_none();
        let out_was_last = self.last_read == Stream::Stdout;
        // In this order: what ends the attempt comes before what it prints, so that a step that
        // floods its output is still stopped in time. Every branch is cancel-safe.
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
            // The streams take turns: if both can be read, the order of writing is unknown.
            () = self.stderr.readable(), if is_free && out_was_last => Wake::Readable(Stream::Stderr),
            () = self.stdout.readable(), if is_free => Wake::Readable(Stream::Stdout),
            () = self.stderr.readable(), if is_free => Wake::Readable(Stream::Stderr),
        }
    }

    fn now(&self) -> Duration {
        self.ties.clock.elapsed(self.started)
    }

    /// Time until the next deadline.
    fn pause(&self) -> Duration {
        let timeout = self.stopping.next(self.limits.timeout);
        let timeout = timeout.filter(|_| self.exited.is_none());
        // While chunks wait for budget the drain clock does not run: the engine is what is slow.
        let drain = self.drain_until.filter(|_| self.ready.is_empty());
        let next = [timeout, self.flush_at, drain].into_iter().flatten().min();
        next.map_or(Duration::from_secs(3_600), |next| next.saturating_sub(self.now()))
    }

    fn look_at_clock(&mut self) {
        let now = self.now();
        if self.flush_at.is_some_and(|at| at <= now) {
            self.flush();
        }
        if self.exited.is_none()
            && self.stopping.next(self.limits.timeout).is_some_and(|at| at <= now)
        {
            self.stop(Cause::Timeout, false);
        }
        if self.ready.is_empty() && self.drain_until.is_some_and(|until| until <= now) {
            self.end_drain();
        }
    }

    fn obey(&mut self) {
        let order = *self.ties.orders.borrow_and_update();
        match order {
            Order::Run => {}
            Order::Cancel => self.stop(Cause::Cancel, false),
            Order::Kill => self.stop(Cause::Cancel, true),
            Order::Fence => self.stop(Cause::Fence, true),
            Order::Abandon => {
                self.stop(Cause::Cancel, true);
                self.ready.clear();
            }
        }
    }

    /// One rung of the ladder: TERM first, KILL when the grace is over or at once.
    fn stop(&mut self, cause: Cause, at_once: bool) {
        let now = self.now();
        if self.exited.is_some() {
            self.drain_until = Some(now);
            return;
        }
        if let Some(signal) = self.stopping.step(cause, at_once, now, self.limits.grace) {
            self.marks.signal_everywhere(signal, &mut self.killed);
        }
    }

    fn note_exit(&mut self, exited: Option<Exited>) {
        // The sender is dropped only when the dispatcher goes; then nobody needs a report.
        self.exited = Some(exited.unwrap_or_else(Exited::unknown));
        self.drain_until = Some(self.now() + LEAK_GRACE);
        self.read(Stream::Stdout);
        self.read(Stream::Stderr);
        let replies = self.ties.agent.as_mut().map(AgentLink::finish);
        self.ready.extend(replies.unwrap_or_default());
    }

    /// A pipe is still open although the step has ended: somebody else holds it.
    fn end_drain(&mut self) {
        if self.kill_leftovers() {
            self.drain_until = Some(self.now() + CLOSING_GRACE);
            return;
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            self.read(stream);
            let bytes = self.lane(stream).finish();
            self.emit(stream, bytes);
        }
        self.drain_until = None;
    }

    fn kill_leftovers(&mut self) -> bool {
        let mut strays = match &mut self.exited {
            Some(exited) => std::mem::take(&mut exited.strays),
            None => Vec::new(),
        };
        self.marks.kill_all(&mut strays, &mut self.killed)
    }

    fn lane(&mut self, stream: Stream) -> &mut Lane {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    /// Reads both streams as they come, this one first: a portion of each in turn, until both are
    /// empty or enough is read for now.
    fn read(&mut self, first: Stream) {
        let (mut stream, mut quiet) = (first, 0);
        for _ in 0..MAX_PORTIONS {
            match self.read_portion(stream) {
                Progress::Some => quiet = 0,
                Progress::Waiting | Progress::Closed => quiet += 1,
                Progress::Full => break,
            }
            if quiet == 2 {
                break;
            }
            stream = stream.other();
        }
        let waits = !self.stdout.is_empty() || !self.stderr.is_empty();
        if waits && self.flush_at.is_none() {
            let now = self.now();
            let quick = now + FIRST_FLUSH;
            self.flush_at =
                Some(quick.max((self.last_flush + STEADY_FLUSH).min(now + STEADY_FLUSH)));
        }
    }

    fn read_portion(&mut self, stream: Stream) -> Progress {
        if !self.lane(stream).is_open() {
            return Progress::Closed;
        }
        let progress = self.lane(stream).read();
        if progress == Progress::Waiting {
            return progress;
        }
        // The other one's bytes came before these.
        let other = stream.other();
        if !self.lane(other).is_empty() {
            let bytes = self.lane(other).flush();
            self.emit(other, bytes);
        }
        self.last_read = stream;
        match progress {
            Progress::Waiting | Progress::Some => {}
            Progress::Full => {
                let bytes = self.lane(stream).flush();
                self.emit(stream, bytes);
                self.last_flush = self.now();
            }
            Progress::Closed => {
                self.flush();
                let bytes = self.lane(stream).finish();
                self.emit(stream, bytes);
            }
        }
        progress
    }

    fn flush(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let bytes = self.lane(stream).flush();
            self.emit(stream, bytes);
        }
        self.flush_at = None;
        self.last_flush = self.now();
    }

    /// Queues masked bytes, cut to the size of an event, within the log's limit.
    fn emit(&mut self, stream: Stream, mut bytes: Vec<u8>) {
        if stream == Stream::Stdout {
            self.tail.push(&bytes);
        }
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let room = self.limits.log_cap.saturating_sub(self.log_bytes);
        let over = length.saturating_sub(room);
        if over > 0 {
            if self.dropped == 0 {
                let note = format!(
                    "the log has reached its limit of {} bytes; what follows is dropped",
                    self.limits.log_cap
                );
                self.ready.push_back(EventKind::Note(note));
            }
            self.dropped += over;
            bytes.truncate(usize::try_from(room).unwrap_or(usize::MAX));
        }
        self.log_bytes += length - over;
        if bytes.len() <= MAX_CHUNK_BYTES {
            if !bytes.is_empty() {
                self.ready.push_back(stream.event(bytes));
            }
            return;
        }
        for chunk in bytes.chunks(MAX_CHUNK_BYTES) {
            self.ready.push_back(stream.event(chunk.to_vec()));
        }
    }

    /// Sends what the budget allows without waiting.
    async fn send_within_budget(&mut self) {
        while let Some(cost) = self.ready.front().map(cost) {
            let permits = u32::try_from(cost).unwrap_or(u32::MAX);
            match self.ties.budget.try_acquire_many(permits) {
                Ok(permit) => permit.forget(),
                Err(_) => return,
            }
            self.send_ready().await;
        }
    }

    async fn send_ready(&mut self) {
        if let Some(kind) = self.ready.pop_front() {
            self.report(Report::Event(self.claim.clone(), kind)).await;
        }
    }

    async fn report(&self, report: Report) {
        // Without a dispatcher the process is about to end.
        let _ending = self.ties.reports.send(report).await;
    }

    async fn finish(mut self) {
        let wall = self.now();
        self.end_processes().await;
        if self.dropped > 0 {
            let gap = EventKind::Gap {
                bytes: self.dropped,
                reason: "the log is over its limit".to_owned(),
            };
            self.report(Report::Event(self.claim.clone(), gap)).await;
        }
        let exited = self.exited.take().unwrap_or_else(Exited::unknown);
        let leaked = u32::try_from(self.killed.count()).unwrap_or(u32::MAX);
        let exit = match (self.stopping.exit(&exited.reaped), self.files.refusal()) {
            (Exit::Code(_) | Exit::Signal(_), Some(why)) => Exit::Refused(self.secrets.text(&why)),
            (exit, _) => exit,
        };
        let (exit, output_json) = match ending::output(&self.files, &self.tail, &self.secrets) {
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
            cpu_us: exited.reaped.cpu_us,
            max_rss_kib: exited.reaped.max_rss_kib,
            leaked,
        };
        self.files.delete();
        self.report(Report::Ended(self.claim.clone(), Box::new(ending))).await;
    }

    /// Kills what is left, until nothing is.
    async fn end_processes(&mut self) {
        let strays = self.exited.as_ref().is_some_and(|exited| !exited.strays.is_empty());
        if !strays && self.killed.is_empty() && !self.marks.group_lives() {
            return;
        }
        const ROUNDS: u32 = 200;
        const DYING_ROUNDS: u32 = 5_000;
        for _ in 0..ROUNDS {
            if !self.kill_leftovers() {
                break;
            }
            self.ties.clock.sleep(Duration::from_millis(2)).await;
        }
        for _ in 0..DYING_ROUNDS {
            if !self.killed.are_dying() {
                return;
            }
            self.ties.clock.sleep(Duration::from_millis(2)).await;
        }
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
            strays: Vec::new(),
        }
    }
}

/// What an event counts against the budget.
pub(crate) fn cost(kind: &EventKind) -> usize {
    let bytes = match kind {
        EventKind::Stdout(bytes) | EventKind::Stderr(bytes) => bytes.0.len(),
        EventKind::Started { .. } | EventKind::Gap { .. } => 0,
        EventKind::Note(text) => text.len(),
        EventKind::Tool(result) => result.id.len() + result.content.0.len(),
    };
    bytes.max(MIN_EVENT_COST)
}
