//! Writers of an open log, and its followers in the same process.

use std::sync::Arc;

use tokio::sync::{OwnedMutexGuard, watch};

use super::{
    Log, MAX_WAITING,
    pieces::{LivePieces, Pieces},
};
use crate::{error::Error, log::LogPiece, store::Store, usage::claude::NewFacts};

/// Adds text to the log of an attempt. Dropped, it leaves the log, which is closed when its text is stored.
#[derive(Debug)]
pub struct LogWriter {
    pub(super) store: Store,
    pub(super) log: Arc<Log>,
}

/// Follows the log of an attempt to which this process adds text.
#[derive(Debug)]
pub struct LogReader {
    pub(super) log: Arc<Log>,
    pub(super) changed: watch::Receiver<u64>,
}

/// Exclusive right to store text of a log.
#[derive(Debug)]
pub struct LogTurn {
    _held: OwnedMutexGuard<()>,
}

// === impl LogWriter ===

impl LogWriter {
    /// Adds text, which must be masked. Followers see it at once; it is stored soon.
    pub fn add(&self, text: Vec<u8>) {
        if text.is_empty() {
            return;
        }
        let now = self.store.clock().now();
        self.log.lock().is_mid_line = !text.ends_with(b"\n");
        self.change(|pieces| pieces.add(text, now));
    }

    /// Adds the remark about text over the limit, if there was any.
    pub fn finish(&self) {
        let now = self.store.clock().now();
        self.change(|pieces| pieces.finish(now));
    }

    fn change(&self, change: impl FnOnce(&mut Pieces) -> bool) {
        let mut state = self.log.lock();
        if state.is_over {
            return;
        }
        let is_new = change(&mut state.pieces);
        drop(state);
        self.log.notify(is_new);
        self.store.live().0.dirty.notify_one();
    }

    /// Waits while too much text waits for the database.
    pub async fn room(&self) {
        let mut stored = self.log.stored.subscribe();
        let is_full = || {
            let state = self.log.lock();
            !state.is_over && state.pieces.waiting_bytes() > MAX_WAITING
        };
        while is_full() && stored.changed().await.is_ok() {}
    }

    /// Waits for the turn of the log.
    pub async fn turn(&self) -> LogTurn {
        LogTurn { _held: Arc::clone(&self.log.turn).lock_owned().await }
    }

    /// Appends facts to a transcript, in one transaction with all text that is not stored. `false`: the
    /// numbers of the facts are taken by the current driver of the attempt, and nothing is stored.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn append_transcript(&self, _: &LogTurn, facts: NewFacts) -> Result<bool, Error> {
        let texts = self.numbered();
        let last = texts.last().map(|piece| piece.seq);
        let text = (self.log.claim.clone(), texts);
        let is_new = self.store.transcripts().append_with_text(facts, text).await?;
        if let Some(last) = last.filter(|_| is_new) {
            self.noted(last);
        }
        Ok(is_new)
    }

    /// The text that is not stored, all of it with numbers. With the turn of the log.
    fn numbered(&self) -> Vec<LogPiece> {
        let mut state = self.log.lock();
        if state.is_over {
            return Vec::new();
        }
        let is_new = state.pieces.show_all(self.store.clock().now());
        let texts = state.pieces.unstored();
        drop(state);
        self.log.notify(is_new);
        texts
    }

    /// Notes that the pieces up to this number are stored.
    fn noted(&self, last: u64) {
        let now = self.store.clock().now();
        let mut state = self.log.lock();
        let is_new = state.pieces.stored(last, Vec::new(), now);
        let waits = !state.pieces.is_stored();
        drop(state);
        self.log.notify(is_new);
        self.log.stored.send_replace(());
        // Added by others meanwhile.
        if waits {
            self.store.live().0.dirty.notify_one();
        }
    }

    /// Has text sent again, behind a transaction whose answer was lost: what it stored is skipped then.
    /// Others may have added text since, so that it is unknown which of it is stored.
    pub fn send_again(&self, _: &LogTurn) {
        self.store.live().0.dirty.notify_one();
    }

    /// Whether the log does not end with a line end.
    #[must_use]
    pub fn is_mid_line(&self) -> bool {
        self.log.lock().is_mid_line
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.log.lock().writers -= 1;
        self.store.live().0.dirty.notify_one();
    }
}

// === impl LogReader ===

impl LogReader {
    /// The pieces behind a number. What comes after this call wakes [`LogReader::changed`].
    pub fn behind(&mut self, seq: u64) -> LivePieces {
        self.changed.borrow_and_update();
        let state = self.log.lock();
        match state.pieces.behind(seq) {
            _ if !state.is_read => LivePieces::Older,
            LivePieces::Shown(pieces) if pieces.is_empty() && state.is_over => LivePieces::Over,
            pieces => pieces,
        }
    }

    /// Whether the log is closed: what was shown is in the database, or lost.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.log.lock().is_over
    }

    /// Waits for a change. Cancel-safe.
    pub async fn changed(&mut self) {
        if self.changed.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
