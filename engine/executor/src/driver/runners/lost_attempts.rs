//! Attempts that are lost before their process started. The flow retries them for free, so they are
//! bounded here: a runner that cannot start processes must not be asked as fast as it can refuse.
//!
//! The counts are in memory; the next driver begins at zero.

use std::{collections::HashMap, time::Duration};

use plue_flow::{AttemptStatus, Input, Run, fact::Outcome};
use plue_plan::AttemptId;
use plue_runtime::{Clock, clock::Mark};

use crate::batch::Incoming;

/// Times that an attempt may be lost before its process started.
const MAX_LOST: u32 = 5;
/// Pause after the second loss; four times as long after each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
pub(crate) struct LostAttempts {
    counts: HashMap<AttemptId, u32>,
    delayed: Vec<DelayedLoss>,
}

/// A loss that is an input once its pause is over.
#[derive(Debug)]
struct DelayedLoss {
    since: Mark,
    pause: Duration,
    entry: Incoming,
}

// === impl LostAttempts ===

impl LostAttempts {
    /// Delays repeated losses, and ends attempts that were lost too often.
    pub(super) fn bound(
        &mut self,
        run: &Run,
        incoming: Vec<Incoming>,
        clock: Clock,
    ) -> Vec<Incoming> {
        let mut now = Vec::with_capacity(incoming.len());
        for entry in incoming {
            match free_loss(run, &entry, &now) {
                Some(loss) => now.extend(self.bound_one(entry, loss, clock)),
                None => now.push(entry),
            }
        }
        now
    }

    fn bound_one(&mut self, entry: Incoming, loss: FreeLoss, clock: Clock) -> Option<Incoming> {
        let FreeLoss { attempt, reason } = loss;
        if self.is_delayed(&attempt) {
            return None;
        }
        let count = self.counts.entry(attempt.clone()).or_default();
        *count += 1;
        if *count == 1 {
            return Some(entry);
        }
        if *count >= MAX_LOST {
            let message = format!("no process could be started, {count} times: {reason}");
            let outcome = Outcome::Refused { message };
            let output = serde_json::Value::Null;
            return Some(Incoming { input: Input::Ended { attempt, outcome, output }, ..entry });
        }
        let pause = FIRST_PAUSE * 4_u32.pow(*count - 2);
        self.delayed.push(DelayedLoss { since: clock.mark(), pause, entry });
        None
    }

    /// The runner reports losses again to the next session.
    pub(super) fn forget_waiting(&mut self) {
        self.delayed.clear();
    }

    fn is_delayed(&self, attempt: &AttemptId) -> bool {
        self.delayed.iter().any(|loss| attempt_of(&loss.entry.input) == Some(attempt))
    }

    /// The time until the next delayed loss is due.
    pub(crate) fn next_due(&self, clock: Clock) -> Option<Duration> {
        let pauses = self.delayed.iter();
        pauses.map(|loss| loss.pause.saturating_sub(clock.elapsed(loss.since))).min()
    }

    /// Takes the losses whose pause is over.
    pub(crate) fn take_due(&mut self, clock: Clock) -> Vec<Incoming> {
        let is_due = |loss: &mut DelayedLoss| clock.elapsed(loss.since) >= loss.pause;
        self.delayed.extract_if(.., is_due).map(|loss| loss.entry).collect()
    }
}

/// The loss of an attempt whose process did not start.
struct FreeLoss {
    attempt: AttemptId,
    reason: String,
}

/// `before`: inputs of the same batch; one of them may be the start of the attempt.
fn free_loss(run: &Run, entry: &Incoming, before: &[Incoming]) -> Option<FreeLoss> {
    let (attempt, reason) = match &entry.input {
        Input::Lost { attempt, reason } => (attempt, reason),
        Input::Ended { attempt, outcome: Outcome::Infra { message }, .. } => (attempt, message),
        Input::Ended { .. }
        | Input::Start
        | Input::Tick
        | Input::Condition { .. }
        | Input::Unschedulable { .. }
        | Input::Schedulable { .. }
        | Input::Assigned { .. }
        | Input::Started { .. }
        | Input::Waits { .. }
        | Input::Decide { .. }
        | Input::AsksCalls { .. }
        | Input::Answer { .. }
        | Input::Child { .. }
        | Input::Outputs { .. }
        | Input::Cancel { .. }
        | Input::Reopen { .. } => return None,
    };
    let is_start = |entry: &Incoming| matches!(&entry.input, Input::Started { attempt: started, .. } if started == attempt);
    let view = run.attempt(attempt)?;
    let is_free = matches!(view.status, AttemptStatus::Queued | AttemptStatus::Assigned);
    let (attempt, reason) = (attempt.clone(), reason.clone());
    (is_free && !before.iter().any(is_start)).then_some(FreeLoss { attempt, reason })
}

fn attempt_of(input: &Input) -> Option<&AttemptId> {
    match input {
        Input::Lost { attempt, .. } | Input::Ended { attempt, .. } => Some(attempt),
        Input::Start
        | Input::Tick
        | Input::Condition { .. }
        | Input::Unschedulable { .. }
        | Input::Schedulable { .. }
        | Input::Assigned { .. }
        | Input::Started { .. }
        | Input::Waits { .. }
        | Input::Decide { .. }
        | Input::AsksCalls { .. }
        | Input::Answer { .. }
        | Input::Child { .. }
        | Input::Outputs { .. }
        | Input::Cancel { .. }
        | Input::Reopen { .. } => None,
    }
}
