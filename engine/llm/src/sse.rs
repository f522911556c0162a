//! Server-sent events out of bytes, in pieces of any size.
//!
//! Splits the stream into events, within a bound and once per byte, and leaves the fields to
//! `eventsource-stream`: fed with pieces of an event, that parser is quadratic, unbounded, and
//! panics on a byte order mark. Must not know the events of any API.
//!
//! Format:
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>.

use std::convert::Infallible;

use eventsource_stream::Eventsource;
use futures::{FutureExt, StreamExt, stream};

use crate::limits::{MAX_EVENT_BYTES, MAX_STREAM_BYTES};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The name of events that have no `event:` field.
const UNNAMED: &str = "message";

/// An event that has data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseEvent {
    /// `event:`; absent if the event has no such field.
    pub name: Option<String>,
    /// `data:`, lines joined by line feeds.
    pub data: String,
}

/// A stream that cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// One event is too large.
    #[error("an event of the stream is larger than {MAX_EVENT_BYTES} bytes")]
    EventTooLarge,
    /// The stream is too large.
    #[error("the stream is larger than {MAX_STREAM_BYTES} bytes")]
    StreamTooLarge,
    /// The bytes of an event are not UTF-8.
    #[error("an event of the stream is not UTF-8")]
    NotUtf8,
}

/// Decodes one stream. Memory: one event.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The event so far, line ends as line feeds.
    event: Vec<u8>,
    /// Length of `event` at the beginning of the current line.
    line_start: usize,
    /// The last byte was a carriage return: a line feed that follows belongs to it.
    after_carriage_return: bool,
    /// Bytes of the byte order mark matched; [`Mark::Passed`] once it is complete or found absent.
    mark: Mark,
    received: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Matched(usize),
    Passed,
}

// === impl Mark ===

impl Default for Mark {
    fn default() -> Self {
        Self::Matched(0)
    }
}

// === impl Decoder ===

impl Decoder {
    /// Adds `bytes` to the stream and `found` events to `events`.
    ///
    /// # Errors
    /// The stream passes a bound or is not UTF-8; it cannot be read on.
    pub fn push(&mut self, bytes: &[u8], events: &mut Vec<SseEvent>) -> Result<(), SseError> {
        self.received = self.received.saturating_add(bytes.len() as u64);
        if self.received > MAX_STREAM_BYTES {
            return Err(SseError::StreamTooLarge);
        }
        let mut rest = self.skip_mark(bytes);
        if self.after_carriage_return && !rest.is_empty() {
            self.after_carriage_return = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(end) = memchr::memchr2(b'\n', b'\r', rest) {
            self.extend(&rest[..end])?;
            let is_return = rest[end] == b'\r';
            rest = &rest[end + 1..];
            self.end_line(events)?;
            if is_return {
                match rest.split_first() {
                    None => self.after_carriage_return = true,
                    Some((b'\n', after)) => rest = after,
                    Some(_) => {}
                }
            }
        }
        self.extend(rest)
    }

    /// True if bytes of an unfinished event are left: the stream was cut.
    pub fn has_rest(&self) -> bool {
        !self.event.is_empty()
    }

    /// The bytes after the byte order mark, which may come in pieces.
    fn skip_mark<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let mut rest = bytes;
        while let Mark::Matched(count) = self.mark {
            let Some((first, after)) = rest.split_first() else { return rest };
            if BYTE_ORDER_MARK.get(count) == Some(first) {
                rest = after;
                let whole = count + 1 == BYTE_ORDER_MARK.len();
                self.mark = if whole { Mark::Passed } else { Mark::Matched(count + 1) };
            } else {
                // The beginning of a mark that is none belongs to the first line.
                self.event.extend_from_slice(&BYTE_ORDER_MARK[..count]);
                self.mark = Mark::Passed;
            }
        }
        rest
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), SseError> {
        if self.event.len() + bytes.len() > MAX_EVENT_BYTES {
            return Err(SseError::EventTooLarge);
        }
        self.event.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self, events: &mut Vec<SseEvent>) -> Result<(), SseError> {
        let is_blank = self.event.len() == self.line_start;
        self.extend(b"\n")?;
        self.line_start = self.event.len();
        if is_blank {
            let event = std::mem::take(&mut self.event);
            self.line_start = 0;
            events.extend(fields(&event)?);
        }
        Ok(())
    }
}

/// The fields of one whole event; `None` if it has no data.
fn fields(event: &[u8]) -> Result<Option<SseEvent>, SseError> {
    if std::str::from_utf8(event).is_err() {
        return Err(SseError::NotUtf8);
    }
    let once = stream::iter([Ok::<_, Infallible>(event)]);
    let parsed = once.eventsource().next().now_or_never().flatten();
    match parsed {
        None => Ok(None),
        Some(Err(_)) => Err(SseError::NotUtf8),
        Some(Ok(event)) => {
            let name = (event.event != UNNAMED && !event.event.is_empty()).then_some(event.event);
            Ok(Some(SseEvent { name, data: event.data }))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(pieces: &[&[u8]]) -> Result<Vec<SseEvent>, SseError> {
        let (mut decoder, mut events) = (Decoder::default(), Vec::new());
        for piece in pieces {
            decoder.push(piece, &mut events)?;
        }
        Ok(events)
    }

    fn event(name: &str, data: &str) -> SseEvent {
        SseEvent { name: Some(name.to_owned()), data: data.to_owned() }
    }

    #[test]
    fn byte_order_marks_are_skipped_in_pieces() {
        let text = b"\xef\xbb\xbfevent: a\ndata: 1\n\n";
        assert_eq!(decode(&[text]).expect("read"), [event("a", "1")]);
        assert_eq!(
            decode(&[&text[..1], &text[1..2], &text[2..]]).expect("read"),
            [event("a", "1")]
        );
    }

    #[test]
    fn every_line_end_of_the_format_ends_lines() {
        for end in ["\n", "\r\n", "\r"] {
            let text = "event: a\ndata: 1\ndata: 2\n\nevent: b\ndata: 3\n\n".replace('\n', end);
            assert_eq!(
                decode(&[text.as_bytes()]).expect("read"),
                [event("a", "1\n2"), event("b", "3")]
            );
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(decode(&bytes).expect("read"), [event("a", "1\n2"), event("b", "3")]);
        }
    }

    #[test]
    fn events_and_streams_have_bounds() {
        let long = vec![b'x'; MAX_EVENT_BYTES + 1];
        assert_eq!(decode(&[b"data: ", &long]), Err(SseError::EventTooLarge));
        let mut decoder = Decoder { received: MAX_STREAM_BYTES, ..Decoder::default() };
        assert_eq!(decoder.push(b"x", &mut Vec::new()), Err(SseError::StreamTooLarge));
    }

    #[test]
    fn invalid_utf8_is_refused() {
        assert_eq!(decode(&[b"data: \xff\n\n"]), Err(SseError::NotUtf8));
    }

    #[test]
    fn unfinished_events_are_seen() {
        let mut decoder = Decoder::default();
        decoder.push(b"data: 1\n\ndata: 2", &mut Vec::new()).expect("read");
        assert!(decoder.has_rest());
    }

    proptest! {
        #[test]
        fn pieces_do_not_change_events(
            text in "(event: [a-c]{0,2}|data: ?[a-z:é😀]{0,3}|:x|id: 1|retry: 2|)((\r\n|\n|\r)|(event: a|data: b)(\n|\r)){0,8}",
            size in 1_usize..7,
        ) {
            let whole = decode(&[text.as_bytes()]).expect("read");
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            prop_assert_eq!(whole, decode(&pieces).expect("read"));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&[&bytes]);
        }
    }
}
