//! Text that an engine itself adds to the logs of attempts: followers in this process see it at once, and
//! it is stored a moment later, that of many logs in one transaction.
//!
//! A piece is shown with the number and offsets under which it will be stored. So everything that is added
//! to an open log comes past here, in one order: the engine's text, and what the runner reports. Must not
//! be taken for the truth: a process that dies has shown a moment that is in no database, and the next
//! writer of the log gives numbers behind it.

mod handles;
mod pieces;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use plue_plan::{AttemptId, RunnerId};
use plue_wire::runner::{AttemptEvent, Claim, EventKind};
use tokio::sync::{Notify, OwnedMutexGuard, RwLock, watch};

use self::pieces::Pieces;
pub use self::{
    handles::{LogReader, LogTurn, LogWriter},
    pieces::LivePieces,
};
use crate::{
    attempt::Held,
    changes::Shards,
    error::Error,
    events::{Append, Appended, Part, Stored},
    handles::OpenLogs,
    log::LogRange,
    op::Op,
    sql::Tx,
    store::Store,
};

/// The time for which text is collected before it is stored.
const COLLECTED_FOR: Duration = Duration::from_millis(10);
/// Between two tries to store text.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Tries in a row behind which text is given up whose writers are gone.
const MAX_TRIES: u32 = 5;
/// Logs of one transaction.
const BATCH: usize = 256;
/// Bytes without a number at which a writer waits.
const MAX_WAITING: usize = 1024 * 1024;

/// The open logs of a process.
#[derive(Debug, Clone, Default)]
pub(crate) struct LiveLogs(Arc<Logs>);

#[derive(Debug, Default)]
struct Logs {
    open: Mutex<Open>,
    /// Text waits to be stored.
    dirty: Notify,
    /// Held for reading by writes of events to logs that are not open.
    gate: Arc<RwLock<()>>,
}

#[derive(Debug, Default)]
struct Open {
    logs: HashMap<AttemptId, Arc<Log>>,
    /// A task stores their text.
    is_stored: bool,
}

#[derive(Debug)]
struct Log {
    claim: Claim,
    state: Mutex<State>,
    /// Held while something of it is stored.
    turn: Arc<tokio::sync::Mutex<()>>,
    changed: watch::Sender<u64>,
    /// Changes when something was stored.
    stored: watch::Sender<()>,
}

#[derive(Debug)]
struct State {
    pieces: Pieces,
    /// Its length was read.
    is_read: bool,
    /// It does not end with a line end.
    is_mid_line: bool,
    /// Those who may add text.
    writers: usize,
    is_over: bool,
}

/// Reads an attempt behind every write that waits.
struct ReadHeld(Claim);

impl OpenLogs<'_> {
    /// Opens the log of an attempt for text of this process; at most `limit` bytes are kept. Only the holder
    /// of the claim may, and all of its process must use clones of one store.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn open(self, claim: &Claim, limit: u64) -> Result<LogWriter, Error> {
        let log = self.store.live().entry(claim, limit).await;
        let writer = LogWriter { store: self.store.clone(), log };
        let turn = writer.turn().await;
        let is_read = writer.log.lock().is_read;
        if !is_read {
            // A write, so that everything that was sent before is in it.
            let held = self.store.write(ReadHeld(claim.clone())).await?;
            let end = held.as_ref().map_or(0, |held| held.log_bytes);
            let last =
                self.store.logs().read(&claim.attempt, LogRange::Bytes(end.saturating_sub(1)..end));
            let is_mid_line = last.await?.last().is_some_and(|piece| !piece.bytes.ends_with(b"\n"));
            let mut state = writer.log.lock();
            match held {
                Some(held) => state.pieces.begin(&held),
                None => state.is_over = true,
            }
            (state.is_read, state.is_mid_line) = (true, is_mid_line);
            drop(state);
            writer.log.notify(true);
        }
        drop(turn);
        if self.store.live().wants_task() {
            let store = self.store.clone();
            drop(self.store.tasks().spawn("open logs", async move {
                store.open_logs().store_texts_until_closed().await
            }));
        }
        Ok(writer)
    }

    /// Follows the log of an attempt, if this process has it open.
    #[must_use]
    pub fn reader_of(self, attempt: &AttemptId) -> Option<LogReader> {
        let log = self.store.live().lock().logs.get(attempt).cloned()?;
        let changed = log.changed.subscribe();
        Some(LogReader { log, changed })
    }

    /// Stores what waits of a log and closes it, before the attempt ends. Text that cannot be stored is
    /// lost.
    pub async fn close(self, attempt: &AttemptId) {
        let Some(log) = self.store.live().lock().logs.get(attempt).cloned() else { return };
        let turn = Arc::clone(&log.turn).lock_owned().await;
        let waits = || {
            let state = log.lock();
            !state.is_over && !state.pieces.is_stored()
        };
        while waits() {
            if let Err(error) = self.store_texts(vec![(Arc::clone(&log), None)]).await {
                tracing::warn!(%attempt, %error, "failed to store the end of a log; it is lost");
                break;
            }
        }
        drop(turn);
        self.store.live().close(&log);
    }

    /// Stores the text of open logs as it comes, until none is open.
    async fn store_texts_until_closed(self) {
        let mut failures = 0;
        loop {
            self.store.live().0.dirty.notified().await;
            self.store.clock().sleep(COLLECTED_FOR).await;
            let mut are_stored = true;
            for batch in self.store.live().waiting().chunks(BATCH) {
                let parts = batch.iter().filter_map(|log| {
                    // The holder of its turn stores it.
                    let turn = Arc::clone(&log.turn).try_lock_owned().ok()?;
                    Some((Arc::clone(log), Some(turn)))
                });
                if let Err(error) = self.store_texts(parts.collect()).await {
                    tracing::warn!(%error, "failed to store text of logs; retrying in 1 s");
                    are_stored = false;
                    break;
                }
            }
            failures = if are_stored { 0 } else { failures + 1 };
            if failures >= MAX_TRIES {
                // Else a process could not end while its database is away.
                self.store.live().give_up();
            }
            if !are_stored {
                self.store.clock().sleep(RETRY_PAUSE).await;
                self.store.live().0.dirty.notify_one();
            }
            if self.store.live().tidy() {
                return;
            }
        }
    }

    /// Stores the text of logs whose turns are held.
    async fn store_texts(
        self,
        logs: Vec<(Arc<Log>, Option<OwnedMutexGuard<()>>)>,
    ) -> Result<(), Error> {
        let parts = logs.iter().map(|(log, _)| Part::of_text(log));
        let parts: Vec<Part> = parts.filter(|part| !part.texts.is_empty()).collect();
        if !parts.is_empty() {
            let last: HashMap<_, _> = parts.iter().map(Part::last).collect();
            let (stored, _) = self.store.write(Append { session: None, parts }).await?;
            self.store.live().stored(&logs, &last, stored, self.store);
        }
        Ok(())
    }

    /// Stores events, those of open logs behind the text that was shown before them.
    pub(crate) async fn append_in_order(
        self,
        session: Option<(RunnerId, u64)>,
        batch: Vec<(Claim, Vec<AttemptEvent>)>,
    ) -> Result<Vec<Appended>, Error> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let gate = Arc::clone(&self.store.live().0.gate).read_owned().await;
        let open = self.store.live().printing(&batch);
        if open.is_empty() {
            let claims: Vec<_> = batch.iter().map(|(claim, _)| claim.clone()).collect();
            let parts = batch.into_iter().map(|(claim, events)| Part::of_events(claim, events));
            let (stored, _) = self.store.write(Append { session, parts: parts.collect() }).await?;
            return Ok(appended(claims, &stored));
        }
        // Its own task: the log must learn where the pieces are, also if the session ends.
        let store = self.store.clone();
        let task = self.store.tasks().spawn("events of open logs", async move {
            let answer = store.open_logs().append_to_open(session, batch, open).await;
            drop(gate);
            answer
        });
        task.await.map_err(|_| Error::Closed)?
    }

    async fn append_to_open(
        self,
        session: Option<(RunnerId, u64)>,
        batch: Vec<(Claim, Vec<AttemptEvent>)>,
        open: Vec<Arc<Log>>,
    ) -> Result<Vec<Appended>, Error> {
        let mut logs = Vec::with_capacity(open.len());
        for log in open {
            let turn = Arc::clone(&log.turn).lock_owned().await;
            log.lock().pieces.hold();
            logs.push((log, Some(turn)));
        }
        let claims: Vec<_> = batch.iter().map(|(claim, _)| claim.clone()).collect();
        let mut last = HashMap::new();
        let parts = batch.into_iter().map(|(claim, events)| {
            let log = logs.iter().find(|(log, _)| log.claim == claim);
            let Some((log, _)) = log else { return Part::of_events(claim, events) };
            let part = Part { events, wants_pieces: true, ..Part::of_text(log) };
            last.extend((!part.texts.is_empty()).then(|| part.last()));
            part
        });
        let parts = parts.collect();
        match self.store.write(Append { session, parts }).await {
            Ok((stored, _)) => {
                let appended = appended(claims, &stored);
                self.store.live().stored(&logs, &last, stored, self.store);
                Ok(appended)
            }
            Err(error) => {
                for (log, _) in &logs {
                    let is_new = log.lock().pieces.release(self.store.clock().now());
                    log.notify(is_new);
                }
                Err(error)
            }
        }
    }
}

fn appended(claims: Vec<Claim>, stored: &[Stored]) -> Vec<Appended> {
    let ack = |one: &Stored| one.held.as_ref().map(|held| held.ack_seq);
    let pairs = claims.into_iter().zip(stored);
    pairs.map(|(claim, one)| Appended { claim, ack_seq: ack(one) }).collect()
}

impl Op for ReadHeld {
    type Out = Option<Held>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Out, Error> {
        let row = tx.fetch_optional(Held::lock(tx.dialect(), &self.0.attempt)).await?;
        let held = row.map(|row| Held::from_row(&row, 0)).transpose()?.flatten();
        Ok(held.filter(|held| held.is_held_by(&self.0)))
    }

    fn touched(&self, _: &Self::Out) -> Shards {
        Shards::NONE
    }
}

// === impl Part ===

impl Part {
    fn of_events(claim: Claim, events: Vec<AttemptEvent>) -> Self {
        Self { claim, texts: Vec::new(), events, wants_pieces: false }
    }

    fn of_text(log: &Log) -> Self {
        let texts = log.lock().pieces.unstored();
        Self { claim: log.claim.clone(), texts, events: Vec::new(), wants_pieces: false }
    }

    /// The attempt and its last piece of text.
    fn last(&self) -> (AttemptId, u64) {
        (self.claim.attempt.clone(), self.texts.last().map_or(0, |piece| piece.seq))
    }
}

// === impl LiveLogs ===

impl LiveLogs {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open log of a claim with one more writer, or a new one, once no event of it is on its way past
    /// it.
    async fn entry(&self, claim: &Claim, limit: u64) -> Arc<Log> {
        let _nothing_under_way = self.0.gate.write().await;
        let mut open = self.lock();
        if let Some(log) = open.logs.get(&claim.attempt) {
            let mut state = log.lock();
            if log.claim == *claim && !state.is_over {
                state.writers += 1;
                return Arc::clone(log);
            }
            state.is_over = true;
            drop(state);
            log.notify(true);
        }
        let state = State {
            pieces: Pieces::held(limit),
            is_read: false,
            is_mid_line: false,
            writers: 1,
            is_over: false,
        };
        let log = Arc::new(Log {
            claim: claim.clone(),
            state: Mutex::new(state),
            turn: Arc::default(),
            changed: watch::Sender::new(0),
            stored: watch::Sender::new(()),
        });
        open.logs.insert(claim.attempt.clone(), Arc::clone(&log));
        log
    }

    /// Whether the caller is to start the task that stores text.
    fn wants_task(&self) -> bool {
        !std::mem::replace(&mut self.lock().is_stored, true)
    }

    /// The open logs of a batch that gets pieces, in its order.
    fn printing(&self, batch: &[(Claim, Vec<AttemptEvent>)]) -> Vec<Arc<Log>> {
        let open = self.lock();
        if open.logs.is_empty() {
            return Vec::new();
        }
        let prints = |event: &AttemptEvent| match event.kind {
            EventKind::Started { .. } | EventKind::Tool(_) => false,
            EventKind::Stdout(_)
            | EventKind::Stderr(_)
            | EventKind::Gap { .. }
            | EventKind::Note(_) => true,
        };
        let printing = batch.iter().filter(|(_, events)| events.iter().any(prints));
        let logs = printing.filter_map(|(claim, _)| open.logs.get(&claim.attempt));
        logs.cloned().collect()
    }

    /// The logs with text that is not stored, or that were left.
    fn waiting(&self) -> Vec<Arc<Log>> {
        let open = self.lock();
        let waits = |log: &&Arc<Log>| !log.lock().pieces.is_stored();
        let mut waiting: Vec<_> = open.logs.values().filter(waits).cloned().collect();
        waiting.sort_by(|a, b| a.claim.attempt.cmp(&b.claim.attempt));
        waiting
    }

    /// Notes what was stored of logs whose turns are held.
    fn stored(
        &self,
        logs: &[(Arc<Log>, Option<OwnedMutexGuard<()>>)],
        last: &HashMap<AttemptId, u64>,
        stored: Vec<Stored>,
        store: &Store,
    ) {
        let now = store.clock().now();
        let mut of_held: HashMap<_, _> = stored
            .into_iter()
            .filter_map(|one| Some((one.held.as_ref()?.id.clone(), one)))
            .collect();
        for (log, _) in logs {
            let attempt = &log.claim.attempt;
            let mut state = log.lock();
            let is_new = match of_held.get_mut(attempt) {
                Some(one) => {
                    let upto = last.get(attempt).copied().unwrap_or(0);
                    state.pieces.stored(upto, std::mem::take(&mut one.pieces), now)
                }
                // Nothing of it was to be stored.
                None if !last.contains_key(attempt) => state.pieces.release(now),
                None => {
                    state.is_over = true;
                    true
                }
            };
            let waits = !state.pieces.is_stored();
            drop(state);
            log.notify(is_new);
            log.stored.send_replace(());
            if waits {
                self.0.dirty.notify_one();
            }
        }
    }

    /// Closes the logs without a writer, with text that is not stored.
    fn give_up(&self) {
        for log in self.lock().logs.values() {
            let mut state = log.lock();
            state.is_over |= state.writers == 0;
        }
    }

    fn close(&self, log: &Arc<Log>) {
        log.lock().is_over = true;
        let mut open = self.lock();
        let attempt = &log.claim.attempt;
        if open.logs.get(attempt).is_some_and(|known| Arc::ptr_eq(known, log)) {
            open.logs.remove(attempt);
        }
        drop(open);
        log.notify(true);
        self.0.dirty.notify_one();
    }

    /// Forgets logs that are over, or were left with everything stored; returns whether none is open. Then
    /// the task that stores text ends.
    fn tidy(&self) -> bool {
        let mut open = self.lock();
        open.logs.retain(|_, log| {
            // The holder of its turn may be about to show something in it.
            let Ok(_turn) = log.turn.try_lock() else { return true };
            let mut state = log.lock();
            state.is_over |= state.writers == 0 && state.pieces.is_stored();
            let is_over = state.is_over;
            drop(state);
            log.notify(is_over);
            !is_over
        });
        if open.logs.is_empty() {
            open.is_stored = false;
        }
        open.logs.is_empty()
    }
}

// === impl Log ===

impl Log {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify(&self, is_new: bool) {
        if is_new {
            self.changed.send_modify(|count| *count += 1);
        }
    }
}
