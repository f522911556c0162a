//! Attempts that are lost before their process was seen: free by the rules of the flow, so that
//! bounding them is left to us. A runner that cannot start anything must not be asked as fast as it
//! can refuse.
//!
//! Counts in memory: whoever takes the run up tries anew.

use std::{collections::HashMap, time::Duration};

use plue_flow::{AttemptStatus, Input, fact::Outcome};
use plue_plan::AttemptId;
use plue_runtime::clock::Mark;

use super::Driver;
use crate::batch::Incoming;

/// Times that an attempt may be lost before its process was seen.
const MAX_LOSSES: u32 = 5;
/// Pause after the second loss; it is four times as long after each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Losses {
    counts: HashMap<AttemptId, u32>,
    /// Losses that the run is not told yet, and when it will be.
    waiting: Vec<(Mark, Duration, Incoming)>,
}

// === impl Losses ===

impl Losses {
    /// Whoever reports a loss reports it again to the next session.
    pub(super) fn forget_waiting(&mut self) {
        self.waiting.clear();
    }

    fn is_waiting(&self, attempt: &AttemptId) -> bool {
        self.waiting.iter().any(|(_, _, entry)| attempt_of(&entry.input) == Some(attempt))
    }
}

// === impl Driver: losses ===

impl Driver {
    /// Puts losses off that come again, and ends what was lost too often.
    pub(super) fn bound_losses(&mut self, incoming: Vec<Incoming>) -> Vec<Incoming> {
        let mut now = Vec::with_capacity(incoming.len());
        for entry in incoming {
            match self.free_loss(&entry, &now) {
                Some((attempt, reason)) => now.extend(self.bound(entry, attempt, &reason)),
                None => now.push(entry),
            }
        }
        now
    }

    fn bound(&mut self, entry: Incoming, attempt: AttemptId, reason: &str) -> Option<Incoming> {
        if self.losses.is_waiting(&attempt) {
            return None;
        }
        let count = self.losses.counts.entry(attempt.clone()).or_default();
        *count += 1;
        if *count == 1 {
            return Some(entry);
        }
        if *count >= MAX_LOSSES {
            let message = format!("no process could be started, {count} times: {reason}");
            let outcome = Outcome::Refused { message };
            let output = serde_json::Value::Null;
            return Some(Incoming { input: Input::Ended { attempt, outcome, output }, ..entry });
        }
        let pause = FIRST_PAUSE * 4_u32.pow(*count - 2);
        self.losses.waiting.push((self.shared.clock.mark(), pause, entry));
        None
    }

    /// The attempt and the reason, if this is the loss of an attempt whose process was not seen.
    fn free_loss(&self, entry: &Incoming, before: &[Incoming]) -> Option<(AttemptId, String)> {
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
        let is_started = |entry: &Incoming| matches!(&entry.input, Input::Started { attempt: started, .. } if started == attempt);
        let view = self.run.attempt(attempt)?;
        let is_free = matches!(view.status, AttemptStatus::Queued | AttemptStatus::Assigned);
        (is_free && !before.iter().any(is_started)).then(|| (attempt.clone(), reason.clone()))
    }

    /// How long until a loss that was put off is due.
    pub(super) fn next_loss(&self) -> Option<Duration> {
        let clock = self.shared.clock;
        let waits = self.losses.waiting.iter();
        waits.map(|(since, pause, _)| pause.saturating_sub(clock.elapsed(*since))).min()
    }

    /// Losses whose pause is over.
    pub(super) fn due_losses(&mut self) -> Vec<Incoming> {
        let clock = self.shared.clock;
        let is_due =
            |(since, pause, _): &mut (Mark, Duration, Incoming)| clock.elapsed(*since) >= *pause;
        self.losses.waiting.extract_if(.., is_due).map(|(_, _, entry)| entry).collect()
    }
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
