//! Events of a session on their way to the store: collected, written in batches, acknowledged after
//! the commit. One write is under way at a time; results wait until every event before them is stored
//! or goes with them.

use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    time::Duration,
};

use jiff::Timestamp;
use plue_plan::{AttemptId, RunnerId};
use plue_runtime::{Clock, clock::Mark};
use plue_store::{Appended, Store};
use plue_wire::runner::{
    AttemptEvent, AttemptResult, Claim, EventKind, ResultVerdict, ToRunner, ToolResult,
};

use super::message::{MIN_COST, size};
use crate::lease::{Ended, PoolEvent};

/// Longest delay of events before they are stored.
const FLUSH_AFTER: Duration = Duration::from_millis(5);
/// Bytes of events that are stored without a delay.
const FLUSH_BYTES: usize = 512 * 1024;

type Write = Pin<Box<dyn Future<Output = Result<Vec<Appended>, plue_store::Error>> + Send>>;

pub(super) struct EventBuffer {
    store: Store,
    clock: Clock,
    runner: RunnerId,
    /// The number of the session; 0 until the greeting is over.
    epoch: u64,
    pending: Batch,
    /// The one write that is under way.
    write: Option<BatchWrite>,
    /// Results that wait for the write.
    parked: Vec<AttemptResult>,
    /// Bytes of results, and of the events that go with them, without a verdict of the run.
    unjudged: HashMap<Claim, usize>,
}

/// Events that are not in a write yet.
#[derive(Default)]
struct Batch {
    attempts: HashMap<AttemptId, (Claim, Vec<AttemptEvent>)>,
    bytes: usize,
    /// Arrival of the first one.
    since: Option<Mark>,
    reports: Reports,
}

/// A batch that is being stored.
struct BatchWrite {
    write: Write,
    claims: Vec<Claim>,
    reports: Reports,
}

/// Events that the run learns of when they are stored.
#[derive(Default)]
struct Reports {
    /// Attempts that started, with the time of arrival.
    started: Vec<(Claim, Timestamp)>,
    tools: Vec<StoredTool>,
}

/// A tool result and its sequence number.
struct StoredTool {
    claim: Claim,
    seq: u64,
    result: ToolResult,
}

/// Messages that follow from a finished write.
#[derive(Default)]
pub(super) struct Flushed {
    pub(super) acks: Vec<ToRunner>,
    pub(super) reports: VecDeque<PoolEvent>,
}

// === impl EventBuffer ===

impl EventBuffer {
    pub(super) fn new(store: &Store, clock: &Clock, runner: &RunnerId) -> Self {
        Self {
            store: store.clone(),
            clock: *clock,
            runner: runner.clone(),
            epoch: 0,
            pending: Batch::default(),
            write: None,
            parked: Vec::new(),
            unjudged: HashMap::new(),
        }
    }

    /// The greeting is over.
    pub(super) fn open(&mut self, epoch: u64) {
        self.epoch = epoch;
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Bytes of events and results in memory, those of the current write excluded.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.pending.bytes + self.unjudged.values().sum::<usize>()
    }

    /// The run has judged the result.
    pub(super) fn judged(&mut self, claim: &Claim) {
        self.unjudged.remove(claim);
    }

    pub(super) fn push(&mut self, event: AttemptEvent) {
        let pending = &mut self.pending;
        pending.bytes += size(&event);
        if pending.since.is_none() {
            pending.since = Some(self.clock.mark());
        }
        let claim = event.claim.clone();
        if matches!(event.kind, EventKind::Started { .. }) {
            pending.reports.started.push((claim.clone(), self.clock.now()));
        }
        if let EventKind::Tool(result) = &event.kind {
            let (claim, seq, result) = (claim.clone(), event.seq, result.clone());
            pending.reports.tools.push(StoredTool { claim, seq, result });
        }
        let entry = pending.attempts.entry(claim.attempt.clone());
        let (_, list) = entry.or_insert_with(|| (claim, Vec::new()));
        list.push(event);
        if pending.bytes >= FLUSH_BYTES {
            self.start_flush();
        }
    }

    /// Takes a result with the events before it that are not stored; `None` while some of them are
    /// being written.
    pub(super) fn end(&mut self, result: AttemptResult) -> Option<Ended> {
        let result_bytes = MIN_COST + result.output_json.len();
        if self.write.as_ref().is_some_and(|write| write.claims.contains(&result.claim)) {
            self.unjudged.insert(result.claim.clone(), result_bytes);
            self.parked.push(result);
            return None;
        }
        let tail = self.pending.take_attempt(&result.claim);
        let tail_bytes = tail.iter().map(size).sum::<usize>();
        self.unjudged.insert(result.claim.clone(), tail_bytes + result_bytes);
        Some(Ended { tail, result })
    }

    /// Longest time until pending events must be stored; `None` without any or during a write.
    pub(super) fn flush_in(&self) -> Option<Duration> {
        if self.write.is_some() {
            return None;
        }
        self.pending.since.map(|since| FLUSH_AFTER.saturating_sub(self.clock.elapsed(since)))
    }

    /// Starts to store pending events, unless a write is under way.
    pub(super) fn start_flush(&mut self) {
        if self.write.is_some() || self.pending.attempts.is_empty() {
            return;
        }
        let Batch { attempts, reports, .. } = std::mem::take(&mut self.pending);
        let mut batch: Vec<_> = attempts.into_values().collect();
        // Transactions lock attempts in one order.
        batch.sort_by(|(a, _), (b, _)| a.attempt.cmp(&b.attempt));
        let claims = batch.iter().map(|(claim, _)| claim.clone()).collect();
        let (store, runner, epoch) = (self.store.clone(), self.runner.clone(), self.epoch);
        let write =
            Box::pin(async move { store.journal().append_of((&runner, epoch), batch).await });
        self.write = Some(BatchWrite { write, claims, reports });
    }

    /// Waits for the current write; pending without one. Cancel-safe.
    pub(super) async fn written(&mut self) -> Result<Vec<Appended>, plue_store::Error> {
        match &mut self.write {
            Some(write) => write.write.as_mut().await,
            None => std::future::pending().await,
        }
    }

    /// Ends the write; returns the acknowledgements and reports, in order.
    pub(super) fn flushed(&mut self, appended: Vec<Appended>) -> Flushed {
        let mut flushed = Flushed::default();
        let Some(BatchWrite { mut reports, .. }) = self.write.take() else { return flushed };
        for entry in appended {
            reports.tools.retain(|tool| {
                tool.claim != entry.claim || entry.ack_seq.is_some_and(|stored| tool.seq <= stored)
            });
            flushed.acks.push(match entry.ack_seq {
                Some(seq) => ToRunner::Ack(entry.claim, seq),
                None => ToRunner::ResultAck(entry.claim, ResultVerdict::Fenced),
            });
        }
        let started = reports.started.into_iter();
        flushed.reports.extend(started.map(|(claim, at)| PoolEvent::Started { claim, at }));
        let tools = reports.tools.into_iter();
        let tools = tools.map(|StoredTool { claim, result, .. }| PoolEvent::Tool { claim, result });
        flushed.reports.extend(tools);
        for result in std::mem::take(&mut self.parked) {
            let ended = self.end(result).map(|ended| PoolEvent::Ended(Box::new(ended)));
            flushed.reports.extend(ended);
        }
        if self.pending.bytes >= FLUSH_BYTES {
            self.start_flush();
        }
        flushed
    }

    /// Stores everything that was received, after the connection broke: sessions that never last
    /// make progress all the same.
    pub(super) async fn store_rest(&mut self) -> Result<(), plue_store::Error> {
        self.finish_write().await?;
        self.start_flush();
        self.finish_write().await
    }

    async fn finish_write(&mut self) -> Result<(), plue_store::Error> {
        if self.write.is_some() {
            self.written().await?;
            self.write = None;
        }
        Ok(())
    }
}

// === impl Batch ===

impl Batch {
    /// Takes the events of an attempt out.
    fn take_attempt(&mut self, claim: &Claim) -> Vec<AttemptEvent> {
        let tail = self.attempts.remove(&claim.attempt);
        let tail = tail.map(|(_, tail)| tail).unwrap_or_default();
        self.reports.started.retain(|(started, _)| started != claim);
        self.reports.tools.retain(|tool| tool.claim != *claim);
        self.bytes -= tail.iter().map(size).sum::<usize>();
        if self.attempts.is_empty() {
            self.since = None;
        }
        tail
    }
}
