//! The text of a stream on its way to the runner. While the runner is behind, parts are joined: the
//! tokens of two hundred agents of one run would otherwise wait for each other one by one.
//!
//! Must not change or drop a byte.

use std::time::Duration;

use plue_runtime::{Clock, clock::Mark};
use plue_wire::runner::MAX_CHUNK_BYTES;

/// Time for which parts are joined at most.
const JOINED_FOR: Duration = Duration::from_millis(100);

/// Text that was not sent yet.
#[derive(Debug)]
pub(crate) struct Parts {
    clock: Clock,
    unsent: Vec<u8>,
    /// Time of its first part.
    since: Option<Mark>,
}

// === impl Parts ===

impl Parts {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, unsent: Vec::new(), since: None }
    }

    /// All text that is to be sent now; empty while it waits for more.
    pub(crate) fn push(&mut self, part: &[u8], is_behind: bool) -> Vec<u8> {
        self.unsent.extend_from_slice(part);
        let since = *self.since.get_or_insert_with(|| self.clock.mark());
        let is_due = !is_behind
            || self.unsent.len() >= MAX_CHUNK_BYTES
            || self.clock.elapsed(since) >= JOINED_FOR;
        if is_due { self.take() } else { Vec::new() }
    }

    /// All text that was not sent.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.since = None;
        std::mem::take(&mut self.unsent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn parts_are_joined_for_a_moment_while_the_runner_is_behind() {
        let clock = Clock::real();
        let mut parts = Parts::new(clock);
        assert_eq!(parts.push(b"a", false), b"a");
        assert_eq!(parts.push(b"b", true), b"");
        assert_eq!(parts.push(b"c", true), b"");
        assert_eq!(parts.push(b"d", false), b"bcd");
        assert_eq!(parts.push(b"e", true), b"");
        clock.sleep(JOINED_FOR).await;
        assert_eq!(parts.push(b"f", true), b"ef");
        assert_eq!(parts.push(&vec![b'g'; MAX_CHUNK_BYTES], true).len(), MAX_CHUNK_BYTES);
        assert_eq!(parts.push(b"h", true), b"");
        assert_eq!((parts.take(), parts.take()), (b"h".to_vec(), Vec::new()));
    }
}
