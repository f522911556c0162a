//! Content of tool results on its way to the runner: bounded where it is made, masked and cut there.
//!
//! Masks come before the last cut, so that no half of a secret passes for something else. Must not
//! know tools.

use plue_runtime::mask::Secrets;
use plue_wire::{
    eval::Bytes,
    runner::{MAX_TOOL_RESULT_BYTES, ToolResult},
};
use serde::{Deserialize, Serialize};

/// Bytes that are stored of the beginning.
const HEAD_BYTES: usize = MAX_TOOL_RESULT_BYTES;
/// Bytes that are stored of the end; the older half is context for masking.
const TAIL_BYTES: usize = MAX_TOOL_RESULT_BYTES;
/// Bytes of the marker that stands where the middle is missing.
const MARKER_BYTES: usize = 128;
/// Bytes of one reply on the socket.
pub(crate) const MAX_REPLY_FRAME_BYTES: usize = 1024 * 1024;

/// Attendant → runner: a call has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reply {
    id: String,
    is_error: bool,
    content: Content,
}

/// Bytes of which a middle may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Content {
    head: Bytes,
    /// Bytes between `head` and `tail` that are gone.
    omitted: u64,
    tail: Bytes,
}

// === impl Reply ===

impl Reply {
    pub(super) fn new(id: String, content: Content, is_error: bool) -> Self {
        Self { id, is_error, content }
    }

    /// Bytes in it.
    pub(super) fn size(&self) -> usize {
        self.id.len() + self.content.head.0.len() + self.content.tail.0.len()
    }

    /// The result for the engine.
    pub(crate) fn masked(self, secrets: &Secrets) -> ToolResult {
        let content = Bytes(self.content.masked(secrets));
        ToolResult { id: self.id, content, is_error: self.is_error }
    }
}

// === impl Content ===

impl Content {
    pub(super) fn text(text: impl Into<String>) -> Self {
        let mut content = Self::default();
        content.push(text.into().as_bytes());
        content
    }

    /// Appends bytes; beyond the limits, those in the middle go.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = HEAD_BYTES.saturating_sub(self.head.0.len());
        let (head, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.0.extend_from_slice(head);
        let tail = &mut self.tail.0;
        let over = rest.len().saturating_sub(TAIL_BYTES);
        let newest = rest.get(over..).unwrap_or_default();
        let dropped = (tail.len() + newest.len()).saturating_sub(2 * TAIL_BYTES);
        if over > 0 || dropped > 0 {
            // Rare: the buffer has twice the stored size.
            let goes = if over > 0 { tail.len() } else { (tail.len() + newest.len()) - TAIL_BYTES };
            tail.drain(..goes.min(tail.len()));
            self.omitted += (over + goes) as u64;
        }
        tail.extend_from_slice(newest);
    }

    /// All bytes, unless some are missing.
    pub(super) fn whole(mut self) -> Option<Vec<u8>> {
        self.head.0.append(&mut self.tail.0);
        (self.omitted == 0).then_some(self.head.0)
    }

    /// Whether nothing was put in.
    pub(super) fn is_empty(&self) -> bool {
        self.head.0.is_empty()
    }

    /// Whether the last byte is no line's end.
    pub(super) fn is_mid_line(&self) -> bool {
        self.tail.0.last().or(self.head.0.last()).is_some_and(|last| *last != b'\n')
    }

    /// Cuts it to the size of a reply.
    pub(super) fn trimmed(mut self) -> Self {
        let over = self.tail.0.len().saturating_sub(TAIL_BYTES);
        self.tail.0.drain(..over);
        self.omitted += over as u64;
        self
    }

    fn masked(self, secrets: &Secrets) -> Vec<u8> {
        let mut stream = secrets.stream();
        let mut masked = stream.push(self.head.0);
        if self.omitted == 0 {
            masked.extend(stream.push(self.tail.0));
            masked.extend(stream.finish());
            if masked.len() <= MAX_TOOL_RESULT_BYTES {
                return masked;
            }
            let half = masked.len() - MAX_TOOL_RESULT_BYTES / 2;
            let tail = masked.split_off(half);
            return joined(masked, 0, tail);
        }
        // A possible start of a secret at the end of the head is left out: it is not finished.
        let mut early = self.tail.0;
        let late = early.split_off(early.len() / 2);
        let mut stream = secrets.stream();
        let shown_not = stream.push(early).len() as u64;
        let mut tail = stream.push(late);
        tail.extend(stream.finish());
        joined(masked, self.omitted + shown_not, tail)
    }
}

/// Both parts with a marker between them, within the limit.
fn joined(mut head: Vec<u8>, omitted: u64, mut tail: Vec<u8>) -> Vec<u8> {
    let half = (MAX_TOOL_RESULT_BYTES - MARKER_BYTES) / 2;
    let over_head = head.len().saturating_sub(half);
    head.truncate(half);
    while head.last().is_some_and(|byte| *byte >= 0x80) && std::str::from_utf8(&head).is_err() {
        let Err(error) = std::str::from_utf8(&head) else { break };
        if error.error_len().is_some() {
            // Not text anyway.
            break;
        }
        head.truncate(error.valid_up_to());
    }
    let over_tail = tail.len().saturating_sub(half);
    tail.drain(..over_tail);
    let broken = tail.iter().take(3).take_while(|byte| **byte & 0xC0 == 0x80).count();
    tail.drain(..broken);
    let omitted = omitted + (over_head + over_tail + broken) as u64;
    head.extend_from_slice(format!("\n[plue: {omitted} bytes are left out here]\n").as_bytes());
    head.extend(tail);
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(pieces: &[&[u8]], secret: &[u8]) -> Vec<u8> {
        let mut content = Content::default();
        pieces.iter().for_each(|piece| content.push(piece));
        content.trimmed().masked(&Secrets::new([secret]))
    }

    #[test]
    fn short_content_stays_whole() {
        assert_eq!(masked(&[b"a ", b"s3cret", b" b"], b"s3cret"), b"a *** b");
        assert_eq!(masked(&[], b"s3cret"), b"");
    }

    #[test]
    fn long_content_loses_its_middle() {
        for size in [MAX_TOOL_RESULT_BYTES + 1, 2 * MAX_TOOL_RESULT_BYTES, 3_000_000] {
            for piece in [7_000, size] {
                let text: Vec<u8> = (0..size).map(|at| b'a' + (at % 26) as u8).collect();
                let pieces: Vec<_> = text.chunks(piece).collect();
                let shown = masked(&pieces, b"0000");
                assert!(shown.len() <= MAX_TOOL_RESULT_BYTES, "{size}");
                assert_eq!(shown[..1_000], text[..1_000]);
                assert_eq!(shown[shown.len() - 1_000..], text[size - 1_000..]);
                let shown = String::from_utf8(shown).unwrap();
                let (_, rest) = shown.split_once("[plue: ").unwrap();
                let (missing, _) = rest.split_once(" bytes").unwrap();
                let marker = format!("\n[plue: {missing} bytes are left out here]\n").len();
                let missing: usize = missing.parse().unwrap();
                assert_eq!(missing + shown.len() - marker, size, "{size} in pieces of {piece}");
            }
        }
    }

    /// No part of a secret is left next to the marker, at any cut.
    #[test]
    fn cuts_leave_no_part_of_a_secret() {
        let secret = b"Zx0123456789abcdefghijY";
        for shift in 0..secret.len() {
            let mut text = vec![b'.'; shift];
            while text.len() < 4 * MAX_TOOL_RESULT_BYTES {
                text.extend_from_slice(secret);
            }
            text.extend_from_slice(b" end");
            let shown = String::from_utf8(masked(&[&text], secret)).unwrap();
            assert!(!shown.contains("Zx0") && !shown.contains("jY"), "shift {shift}");
            assert!(shown.ends_with(" end"));
        }
    }
}
