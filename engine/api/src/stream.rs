//! Server-sent events (WHATWG HTML §9.2) of rows behind a number: what is there now and what comes.
//!
//! `id` of an event is its row's number, so that a client that lost its connection goes on behind
//! `Last-Event-ID`. What comes is looked for once for all who follow the same (`hub`); a client that
//! is behind reads the rows at its own pace. Must not look at the database because time has passed,
//! or read on while the client does not.

pub(crate) mod changed;
mod channel;
pub(crate) mod hub;
pub(crate) mod places;
pub(crate) mod topics;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use futures::{Stream, StreamExt as _, future::BoxFuture, stream};
use plue_runtime::{Clock, Phase, Stop, clock::Mark};
use plue_store::{LogPiece, LogReader};
use serde::Serialize;
use tokio::sync::watch;

use self::{
    channel::{Channel, Pull},
    places::StreamPermit,
};
use crate::{limit::Holder, problem::Problem, server::Api};

/// A connection sends a sign of life this often: proxies and clients give up after a minute.
const ALIVE: Duration = Duration::from_secs(25);
/// A stream ends after so long: a right to follow may have ended since.
const ASKED_AGAIN: Duration = Duration::from_secs(15 * 60);
const ALIVE_FRAME: &[u8] = b":\n\n";
const END_FRAME: &[u8] = b"event: end\ndata: {}\n\n";
const FAILED_FRAME: &[u8] = b"event: error\ndata: {\"detail\":\"connect again\"}\n\n";

/// An event as it is sent. The bytes are shared by all to whom they are sent.
#[derive(Debug, Clone)]
pub struct Frame {
    seq: u64,
    bytes: Bytes,
}

/// Position of a followed resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stand {
    /// No event up to now has a higher number.
    pub reach: u64,
    /// No event will have one.
    pub ended: bool,
}

/// Something that is followed.
pub trait Source: Send + Sync + 'static {
    /// Its position; none: it is gone. One cheap query.
    fn stand(&self) -> BoxFuture<'_, Result<Option<Stand>, plue_store::Error>>;

    /// Some events behind a number, in order; none: there are none.
    fn behind(&self, seq: u64) -> BoxFuture<'_, Result<Vec<Frame>, plue_store::Error>>;

    /// Text that this process adds to it, before it is stored.
    fn live(&self) -> Option<Live> {
        None
    }
}

/// A log to which this process adds text, as events.
pub struct Live {
    /// Reader of the pieces that are not stored yet.
    pub reader: LogReader,
    /// Makes an event of a piece.
    pub frame: fn(LogPiece) -> Frame,
}

/// A client's request to follow a resource.
pub(crate) struct Follow {
    /// Key of the resource: subscribers of the same key share a poller.
    pub(crate) name: String,
    pub(crate) source: Arc<dyn Source>,
    /// Wakes; only a hint.
    pub(crate) changes: watch::Receiver<u64>,
    /// The number that the client has seen last.
    pub(crate) cursor: u64,
}

struct State {
    channel: Channel,
    over: bool,
    clock: Clock,
    began: Mark,
    stop: Stop,
    _place: StreamPermit,
}

// === impl Frame ===

impl Frame {
    /// An event of this kind, with its number and its data.
    #[must_use]
    pub fn new(event: &str, seq: u64, data: &impl Serialize) -> Self {
        // JSON has no line ends outside of texts, and within they are escaped.
        let bytes = match serde_json::to_string(data) {
            Ok(data) => Bytes::from(format!("event: {event}\nid: {seq}\ndata: {data}\n\n")),
            Err(_) => Bytes::from_static(FAILED_FRAME),
        };
        Self { seq, bytes }
    }

    /// Kind and data of the event; none: it is not one that [`Frame::new`] could make.
    fn data(&self) -> Option<(&str, &str)> {
        let text = std::str::from_utf8(&self.bytes).ok()?;
        let (event, rest) = text.strip_prefix("event: ")?.split_once('\n')?;
        let (_, data) = rest.split_once("\ndata: ")?;
        Some((event, data.trim_end()))
    }
}

/// The number that a client has seen last: `Last-Event-ID` or the query.
///
/// # Errors
/// It is no number.
pub fn cursor(headers: &HeaderMap, query: Option<u64>) -> Result<u64, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(query.unwrap_or(0)) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| Problem::bad_request("Last-Event-ID is the number of an event"))
}

/// The events of something, to their end.
///
/// # Errors
/// There are too many streams, of this token or of all.
pub(crate) fn events(api: &Api, holder: &Holder, follow: Follow) -> Result<Response, Problem> {
    let place = api.places().take(holder)?;
    let state = State {
        channel: Channel::of(api, follow),
        over: false,
        clock: api.clock(),
        began: api.clock().mark(),
        stop: api.stop(),
        _place: place,
    };
    let frames = stream::unfold(state, |mut state| async move {
        let bytes = state.next().await?;
        Some((bytes, state))
    });
    Ok(response(frames))
}

/// A response of server-sent events.
fn response(frames: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let mut response = Body::from_stream(frames.map(Ok::<_, Infallible>)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store"));
    // Proxies that collect answers would hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

// === impl State ===

impl State {
    /// The next bytes to send; none: the stream is over.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            // A client comes back behind its last event, and its rights are checked again.
            if self.over || self.clock.elapsed(self.began) > ASKED_AGAIN {
                return None;
            }
            match self.channel.pull().await {
                Pull::Frame(frame) => return Some(frame.bytes),
                Pull::Ended => return self.last(END_FRAME),
                Pull::Failed => return self.last(FAILED_FRAME),
                Pull::Nothing => {}
            }
            tokio::select! {
                () = self.stop.reached(Phase::Draining) => return None,
                changed = self.channel.changed() => changed.ok()?,
                () = self.clock.sleep(ALIVE) => return Some(Bytes::from_static(ALIVE_FRAME)),
            }
        }
    }

    fn last(&mut self, frame: &'static [u8]) -> Option<Bytes> {
        self.over = true;
        Some(Bytes::from_static(frame))
    }
}
