//! One followed source of one connection: its events in order, each once.
//!
//! Must not wait: a pull answers at once, or after a read of the database.

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    Follow, Frame, Source,
    hub::{Events, View},
};
use crate::server::Api;

/// A source with the number that the client has.
pub(super) struct Channel {
    source: Arc<dyn Source>,
    view: watch::Receiver<View>,
    cursor: u64,
    ready: std::vec::IntoIter<Frame>,
    /// Whether it has read once before the source was looked at.
    dry: bool,
}

/// Answer of a pull.
pub(super) enum Pull {
    /// The next event behind the cursor.
    Frame(Frame),
    /// No event yet, but some may come.
    Nothing,
    /// No event, and none will come.
    Ended,
    /// The database refused; the connection has to end.
    Failed,
}

// === impl Channel ===

impl Channel {
    pub(super) fn of(api: &Api, follow: Follow) -> Self {
        let (source, cursor) = (Arc::clone(&follow.source), follow.cursor);
        let view = api.hub().follow(api, follow);
        Self { source, view, cursor, ready: Vec::new().into_iter(), dry: false }
    }

    /// The number of the last event that was pulled.
    pub(super) fn cursor(&self) -> u64 {
        self.cursor
    }

    /// The next event, if there is one.
    pub(super) async fn pull(&mut self) -> Pull {
        loop {
            if let Some(frame) = self.ready.next() {
                self.cursor = frame.seq;
                return Pull::Frame(frame);
            }
            // Bound first, so that the view is not held while something is awaited.
            let seen = self.view.borrow_and_update().seen(self.cursor);
            let read = match seen {
                Events::Frames(frames) => {
                    self.ready = frames.into_iter();
                    Ok(())
                }
                Events::Older(until) => self.read(until).await,
                // Events that were there are sent, also if the server ends before the first look.
                Events::Unknown if !self.dry => {
                    self.dry = true;
                    self.read(self.cursor).await
                }
                Events::Ended => return Pull::Ended,
                Events::Failed => return Pull::Failed,
                Events::Unknown | Events::Nothing => return Pull::Nothing,
            };
            if let Err(error) = read {
                tracing::error!(%error, "failed to read events; the stream ends");
                return Pull::Failed;
            }
        }
    }

    /// Waits until a pull may find something; an error: the source is not looked at any more.
    pub(super) async fn changed(&mut self) -> Result<(), watch::error::RecvError> {
        self.view.changed().await
    }

    /// Reads events behind the cursor; if there are none, the cursor is moved.
    async fn read(&mut self, until: u64) -> Result<(), plue_store::Error> {
        let frames = self.source.behind(self.cursor).await?;
        if frames.is_empty() {
            self.cursor = until;
        } else {
            self.ready = frames.into_iter();
        }
        Ok(())
    }
}
