//! Server-sent events from rows behind a cursor: what is there now and what comes later are one query.
//!
//! `id` of an event is its row's number, so that a client that lost its connection goes on behind
//! `Last-Event-ID`. Must not keep an event in memory after it was sent, or read on while the client
//! does not.

use std::{convert::Infallible, time::Duration};

use axum::{
    http::{HeaderMap, HeaderValue, header},
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::{Stream, future::BoxFuture, stream};
use plue_runtime::{Clock, Phase, Stop};
use serde::Serialize;
use tokio::sync::watch;

use crate::problem::Problem;

/// One event with its number.
#[derive(Debug)]
pub struct Numbered<T> {
    /// `id` of the event.
    pub seq: u64,
    /// Its data.
    pub data: T,
}

/// What is behind a cursor, and whether more can come.
#[derive(Debug)]
pub struct Batch<T> {
    /// In order.
    pub items: Vec<Numbered<T>>,
    /// Nothing will ever come behind these.
    pub last: bool,
}

/// Reads what is behind a number.
pub type Read<T> =
    Box<dyn Fn(u64) -> BoxFuture<'static, Result<Batch<T>, plue_store::Error>> + Send + Sync>;

/// What a stream is made of.
pub struct Source<T> {
    /// The name of its events.
    pub event: &'static str,
    /// Reads.
    pub read: Read<T>,
    /// Wakes; only a hint.
    pub changes: watch::Receiver<u64>,
    /// Without a wake-up it looks this often, and tells the client that it lives.
    pub heartbeat: Duration,
    /// Time.
    pub clock: Clock,
    /// Ends all streams.
    pub stop: Stop,
}

struct State<T> {
    source: Source<T>,
    cursor: u64,
    ready: std::vec::IntoIter<Numbered<T>>,
    over: Over,
}

#[derive(PartialEq, Eq)]
enum Over {
    No,
    /// All is sent but the `end`.
    Soon,
    Yes,
}

/// The number that a client has seen last: `Last-Event-ID` (WHATWG HTML §9.2.4) or the query.
///
/// # Errors
/// It is no number.
pub fn cursor(headers: &HeaderMap, query: Option<u64>) -> Result<u64, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(query.unwrap_or(0)) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| Problem::bad_request("Last-Event-ID is the number of an event"))
}

/// A stream behind a number.
pub fn events<T>(source: Source<T>, cursor: u64) -> Response
where
    T: Serialize + Send + 'static,
{
    let state = State { source, cursor, ready: Vec::new().into_iter(), over: Over::No };
    let stream = Sse::new(Box::pin(stream_of(state))).keep_alive(KeepAlive::default());
    let mut response = stream.into_response();
    // Proxies that collect answers would hold events back.
    let off = HeaderValue::from_static("no");
    response.headers_mut().insert("x-accel-buffering", off);
    let fresh = HeaderValue::from_static("no-cache, no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, fresh);
    response
}

fn stream_of<T>(state: State<T>) -> impl Stream<Item = Result<Event, Infallible>>
where
    T: Serialize + Send + 'static,
{
    stream::unfold(state, |mut state| async move {
        loop {
            if let Some(next) = state.ready.next() {
                state.cursor = next.seq;
                let event = Event::default().event(state.source.event).id(next.seq.to_string());
                let event = event.json_data(&next.data).unwrap_or_else(|_| failed());
                return Some((Ok(event), state));
            }
            match state.over {
                Over::Yes => return None,
                Over::Soon => {
                    state.over = Over::Yes;
                    return Some((Ok(Event::default().event("end").data("{}")), state));
                }
                Over::No => {}
            }
            // Before the read: what is committed after it wakes the wait below.
            state.source.changes.borrow_and_update();
            match (state.source.read)(state.cursor).await {
                Ok(batch) => {
                    let idle = batch.items.is_empty() && !batch.last;
                    state.ready = batch.items.into_iter();
                    if batch.last {
                        state.over = Over::Soon;
                    }
                    if idle && !wait(&mut state.source).await {
                        state.over = Over::Yes;
                    } else if idle {
                        continue;
                    }
                }
                Err(error) => {
                    tracing::error!(error = %error, "a stream ends: the database refused");
                    state.over = Over::Yes;
                    return Some((Ok(failed()), state));
                }
            }
        }
    })
}

/// Waits for a change or the heartbeat; `false`: streams end.
async fn wait<T>(source: &mut Source<T>) -> bool {
    tokio::select! {
        () = source.stop.reached(Phase::Draining) => false,
        Ok(()) = source.changes.changed() => true,
        () = source.clock.sleep(source.heartbeat) => true,
    }
}

fn failed() -> Event {
    Event::default().event("error").data("{\"detail\":\"connect again\"}")
}
