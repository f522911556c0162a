//! Both output streams of a step: read in turn, masked, cut into events within the log's limit.
//!
//! Must not know budgets or processes.

use std::{collections::VecDeque, time::Duration};

use plue_runtime::mask::Secrets;
use plue_wire::runner::{EventKind, MAX_CHUNK_BYTES};
use tokio::net::unix::pipe;

use super::{
    ending::Tail,
    stream::{OutputStream, Progress, StreamKind},
};

/// Portions of output that are read before orders, the exit and the clock are looked at again.
const MAX_PORTIONS: usize = 64;
/// Longest delay of the first bytes after a pause.
const FIRST_FLUSH: Duration = Duration::from_millis(5);
/// Interval between flushes of continuous output.
const STEADY_FLUSH: Duration = Duration::from_millis(50);

/// See the module. Times are since the start of the process.
#[derive(Debug)]
pub(super) struct StepOutput {
    stdout: OutputStream,
    stderr: OutputStream,
    last_read: StreamKind,
    /// Events that wait for budget.
    events: VecDeque<EventKind>,
    tail: Tail,
    log: LogLimit,
    flush_at: Option<Duration>,
    last_flush: Duration,
}

/// The limit of a log, in bytes.
#[derive(Debug)]
struct LogLimit {
    cap: u64,
    taken: u64,
    dropped: u64,
}

// === impl StepOutput ===

impl StepOutput {
    pub(super) fn new(
        [stdout, stderr]: [pipe::Receiver; 2],
        secrets: &Secrets,
        log_cap: u64,
    ) -> Self {
        Self {
            stdout: OutputStream::new(stdout, secrets.stream()),
            stderr: OutputStream::new(stderr, secrets.stream()),
            last_read: StreamKind::Stderr,
            events: VecDeque::new(),
            tail: Tail::default(),
            log: LogLimit { cap: log_cap, taken: 0, dropped: 0 },
            flush_at: None,
            last_flush: Duration::ZERO,
        }
    }

    /// Whether both streams are closed and every event was taken.
    pub(super) fn is_done(&self) -> bool {
        self.events.is_empty() && !self.stdout.is_open() && !self.stderr.is_open()
    }

    pub(super) fn next_event(&self) -> Option<&EventKind> {
        self.events.front()
    }

    pub(super) fn pop_event(&mut self) -> Option<EventKind> {
        self.events.pop_front()
    }

    pub(super) fn clear_events(&mut self) {
        self.events.clear();
    }

    /// Appends events that are not output.
    pub(super) fn queue(&mut self, events: Vec<EventKind>) {
        self.events.extend(events);
    }

    /// Time of the next flush, if bytes wait.
    pub(super) fn flush_at(&self) -> Option<Duration> {
        self.flush_at
    }

    /// Bytes over the log's limit.
    pub(super) fn dropped(&self) -> u64 {
        self.log.dropped
    }

    pub(super) fn tail(&self) -> &Tail {
        &self.tail
    }

    /// Waits until a stream can be read; pending if both are closed. Cancel-safe.
    pub(super) async fn readable(&self) -> StreamKind {
        // The streams take turns: if both can be read, the order of writing is unknown.
        let first = self.last_read.other();
        tokio::select! {
            biased;
            () = self.stream(first).readable() => first,
            () = self.stream(first.other()).readable() => first.other(),
        }
    }

    /// Reads both streams, `first` before the other: a portion of each in turn, until both are empty
    /// or enough is read for now.
    pub(super) fn read(&mut self, first: StreamKind, now: Duration) {
        let (mut kind, mut quiet) = (first, 0);
        for _ in 0..MAX_PORTIONS {
            match self.read_portion(kind, now) {
                Progress::Some => quiet = 0,
                Progress::Waiting | Progress::Closed => quiet += 1,
                Progress::Full => break,
            }
            if quiet == 2 {
                break;
            }
            kind = kind.other();
        }
        let waits = !self.stdout.is_empty() || !self.stderr.is_empty();
        if waits && self.flush_at.is_none() {
            let quick = now + FIRST_FLUSH;
            self.flush_at =
                Some(quick.max((self.last_flush + STEADY_FLUSH).min(now + STEADY_FLUSH)));
        }
    }

    fn stream(&self, kind: StreamKind) -> &OutputStream {
        match kind {
            StreamKind::Stdout => &self.stdout,
            StreamKind::Stderr => &self.stderr,
        }
    }

    fn stream_mut(&mut self, kind: StreamKind) -> &mut OutputStream {
        match kind {
            StreamKind::Stdout => &mut self.stdout,
            StreamKind::Stderr => &mut self.stderr,
        }
    }

    fn read_portion(&mut self, kind: StreamKind, now: Duration) -> Progress {
        if !self.stream(kind).is_open() {
            return Progress::Closed;
        }
        let progress = self.stream_mut(kind).read();
        if progress == Progress::Waiting {
            return progress;
        }
        // The bytes of the other stream came before these.
        let other = kind.other();
        if !self.stream(other).is_empty() {
            let bytes = self.stream_mut(other).flush();
            self.emit(other, bytes);
        }
        self.last_read = kind;
        match progress {
            Progress::Waiting | Progress::Some => {}
            Progress::Full => {
                let bytes = self.stream_mut(kind).flush();
                self.emit(kind, bytes);
                self.last_flush = now;
            }
            Progress::Closed => {
                self.flush(now);
                let bytes = self.stream_mut(kind).finish();
                self.emit(kind, bytes);
            }
        }
        progress
    }

    /// Turns the bytes of both streams into events.
    pub(super) fn flush(&mut self, now: Duration) {
        for kind in [StreamKind::Stdout, StreamKind::Stderr] {
            let bytes = self.stream_mut(kind).flush();
            self.emit(kind, bytes);
        }
        self.flush_at = None;
        self.last_flush = now;
    }

    /// Reads the rest of both streams and closes them.
    pub(super) fn close(&mut self, now: Duration) {
        for kind in [StreamKind::Stdout, StreamKind::Stderr] {
            self.read(kind, now);
            let bytes = self.stream_mut(kind).finish();
            self.emit(kind, bytes);
        }
    }

    /// Queues masked bytes, cut to the size of an event, within the log's limit.
    fn emit(&mut self, kind: StreamKind, mut bytes: Vec<u8>) {
        if kind == StreamKind::Stdout {
            self.tail.push(&bytes);
        }
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let room = self.log.cap.saturating_sub(self.log.taken);
        let over = length.saturating_sub(room);
        if over > 0 {
            if self.log.dropped == 0 {
                let note = format!(
                    "the log has reached its limit of {} bytes; what follows is dropped",
                    self.log.cap
                );
                self.events.push_back(EventKind::Note(note));
            }
            self.log.dropped += over;
            bytes.truncate(usize::try_from(room).unwrap_or(usize::MAX));
        }
        self.log.taken += length - over;
        if bytes.len() <= MAX_CHUNK_BYTES {
            if !bytes.is_empty() {
                self.events.push_back(kind.event(bytes));
            }
            return;
        }
        for chunk in bytes.chunks(MAX_CHUNK_BYTES) {
            self.events.push_back(kind.event(chunk.to_vec()));
        }
    }
}
