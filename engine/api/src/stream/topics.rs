//! Several sources over one connection: the stream of a browser, which has few connections for all of its
//! tabs.
//!
//! `id` of an event holds the number of each topic after it, in the order of the request, so that a lost
//! connection continues behind `Last-Event-ID`. Must not end because one topic ends.

use std::{task::Poll, time::Duration};

use axum::{body::Bytes, response::Response};
use futures::{FutureExt as _, future};
use plue_runtime::{Clock, Phase, Stop, clock::Mark};

use super::{
    ASKED_AGAIN, Follow,
    channel::{Channel, Pull},
    places::StreamPermit,
    response,
};
use crate::{limit::Holder, problem::Problem, server::Api};

/// Period of the mark by which a page sees that its connection lives.
const ALIVE: Duration = Duration::from_secs(15);
const ALIVE_FRAME: &[u8] = b"event: alive\ndata: {}\n\n";
/// Time after an event of a topic until its next one.
const REST: Duration = Duration::from_millis(250);

/// A topic that a client asks for.
pub(crate) struct Topic {
    /// Name of the topic, without characters that JSON escapes.
    pub(crate) name: String,
    /// Its source; none: it is unknown, or hidden from the caller.
    pub(crate) follow: Option<Follow>,
    /// The number that the client has.
    pub(crate) cursor: u64,
    /// Whether events carry the data of their source; others only call for a look.
    pub(crate) has_data: bool,
}

struct Line {
    name: String,
    channel: Option<Channel>,
    cursor: u64,
    has_data: bool,
    sent: Option<Mark>,
    /// Whether its end was sent.
    is_over: bool,
}

struct State {
    lines: Vec<Line>,
    /// The line that is asked first, so that a busy topic does not hold back the others.
    first: usize,
    clock: Clock,
    started: Mark,
    stop: Stop,
    _place: StreamPermit,
}

/// The events of the topics, until the client leaves.
///
/// # Errors
/// There are too many streams, of this caller or of all.
pub(crate) fn events(api: &Api, holder: &Holder, topics: Vec<Topic>) -> Result<Response, Problem> {
    let place = api.places().take(holder)?;
    let line = |topic: Topic| Line {
        name: topic.name,
        channel: topic.follow.map(|follow| Channel::of(api, follow)),
        cursor: topic.cursor,
        has_data: topic.has_data,
        sent: None,
        is_over: false,
    };
    let state = State {
        lines: topics.into_iter().map(line).collect(),
        first: 0,
        clock: api.clock(),
        started: api.clock().mark(),
        stop: api.stop(),
        _place: place,
    };
    Ok(response(futures::stream::unfold(state, |mut state| async move {
        let bytes = state.next().await?;
        Some((bytes, state))
    })))
}

// === impl State ===

impl State {
    /// The next event; none: the connection ends, and the client comes back.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.lines.is_empty() || self.clock.elapsed(self.started) > ASKED_AGAIN {
                return None;
            }
            let mut rests = false;
            for step in 0..self.lines.len() {
                let at = (self.first + step) % self.lines.len();
                let line = &mut self.lines[at];
                if line.is_over {
                    continue;
                }
                if line.rests(self.clock) {
                    rests = true;
                    continue;
                }
                line.sent = None;
                if let Some(rest) = line.pull(self.clock).await? {
                    self.first = at + 1;
                    return Some(self.frame(at, &rest));
                }
            }
            let wait = if rests { REST } else { ALIVE };
            let changes = self.lines.iter_mut().filter(|line| !line.is_over && line.sent.is_none());
            let mut changes: Vec<_> = changes
                .filter_map(|line| line.channel.as_mut())
                .map(|channel| channel.changed().boxed())
                .collect();
            // The first change of any line; without lines there is none.
            let changed = future::poll_fn(|context| {
                let ready =
                    changes.iter_mut().find_map(|change| match change.poll_unpin(context) {
                        Poll::Ready(changed) => Some(changed),
                        Poll::Pending => None,
                    });
                ready.map_or(Poll::Pending, Poll::Ready)
            });
            tokio::select! {
                () = self.stop.reached(Phase::Draining) => return None,
                changed = changed => changed.ok()?,
                () = self.clock.sleep(wait) => if !rests {
                    return Some(Bytes::from_static(ALIVE_FRAME));
                },
            }
        }
    }

    fn frame(&self, at: usize, rest: &str) -> Bytes {
        let ids: Vec<String> = self.lines.iter().map(|line| line.cursor.to_string()).collect();
        let Line { name, cursor, .. } = &self.lines[at];
        let ids = ids.join(",");
        Bytes::from(format!(
            "event: topic\nid: {ids}\ndata: {{\"topic\":\"{name}\",\"seq\":{cursor}{rest}}}\n\n"
        ))
    }
}

// === impl Line ===

impl Line {
    /// Whether its next event waits, because the last one was just now.
    fn rests(&self, clock: Clock) -> bool {
        self.sent.is_some_and(|sent| clock.elapsed(sent) < REST)
    }

    /// Further fields of its next event; `Some(None)`: there is no event; none: the source failed.
    async fn pull(&mut self, clock: Clock) -> Option<Option<String>> {
        let Some(channel) = &mut self.channel else {
            self.is_over = true;
            return Some(Some(",\"ended\":true".to_owned()));
        };
        loop {
            match channel.pull().await {
                Pull::Nothing => return Some(None),
                Pull::Failed => return None,
                Pull::Ended => {
                    self.is_over = true;
                    return Some(Some(",\"ended\":true".to_owned()));
                }
                Pull::Frame(frame) if frame.seq <= self.cursor => {}
                Pull::Frame(frame) => {
                    self.cursor = channel.cursor();
                    self.sent = (!self.has_data).then(|| clock.mark());
                    let data = frame.data().filter(|_| self.has_data);
                    return Some(Some(data.map_or(String::new(), |(event, data)| {
                        format!(",\"event\":\"{event}\",\"data\":{data}")
                    })));
                }
            }
        }
    }
}
