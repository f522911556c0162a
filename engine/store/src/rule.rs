//! The rule that decides whether a runner's report about an attempt counts. Pure: the transactions
//! of this crate apply it to rows that they have locked, and the model of the protocol
//! (`tests/model`) to its own.

use plue_flow::AttemptStatus;
use plue_wire::runner::{Fence, ResultVerdict};

/// Owner of an attempt, and the number of its stored events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hold {
    /// The state of the attempt.
    pub state: AttemptStatus,
    /// The fence of its last assignment; 0: none, or none any more.
    pub fence: Fence,
    /// The last event that is stored.
    pub ack_seq: u64,
}

// === impl Hold ===

impl Hold {
    /// Whether this fence still has the attempt.
    #[must_use]
    pub fn is_by(&self, fence: Fence) -> bool {
        self.fence == fence
            && matches!(self.state, AttemptStatus::Assigned | AttemptStatus::Running)
    }

    /// Whether the event is the next one: what was stored before is left out, and so is what stands behind
    /// a gap.
    #[must_use]
    pub fn is_next(&self, seq: u64) -> bool {
        self.ack_seq.checked_add(1) == Some(seq)
    }

    /// Meaning of a result with this last number, after the events before it were taken.
    #[must_use]
    pub fn verdict(&self, fence: Fence, seq: u64) -> ResultVerdict {
        if self.is_by(fence) {
            return match self.ack_seq.checked_add(1) {
                Some(next) if next == seq => ResultVerdict::Recorded,
                Some(next) if next < seq => ResultVerdict::Need(next),
                // It counts events that it sent after its result: not a runner of ours.
                Some(_) | None => ResultVerdict::Fenced,
            };
        }
        let recorded =
            self.state == AttemptStatus::Done && self.fence == fence && self.ack_seq == seq;
        if recorded { ResultVerdict::Duplicate } else { ResultVerdict::Fenced }
    }
}
