//! What is counted and measured of a run as it goes, after it is committed; and who is told of its end.
//!
//! Must not wait: a collector of traces that is slow loses ends, and runs go on.

use std::collections::HashMap;

use jiff::Timestamp;
use plue_flow::{Fact, fact::Outcome};
use plue_plan::AttemptId;
use plue_runtime::metrics::names;

use super::Driver;
use crate::trace::Ended;

/// When attempts that this driver has queued were queued; those that have begun are forgotten.
#[derive(Debug, Default)]
pub(super) struct Measured(HashMap<AttemptId, Timestamp>);

// === impl Measured ===

impl Measured {
    /// A runner has it.
    pub(super) fn assigned(&self, attempt: &AttemptId, now: Timestamp) {
        if let Some(queued) = self.0.get(attempt) {
            names::ATTEMPT_QUEUE.record(seconds(*queued, now), &[]);
        }
    }
}

// === impl Driver: measuring ===

impl Driver {
    /// Takes committed facts in.
    pub(super) fn measure(&mut self, facts: &[Fact]) {
        let now = self.time.now();
        for fact in facts {
            match fact {
                Fact::AttemptQueued { attempt, .. } => {
                    self.measured.0.insert(attempt.clone(), now);
                }
                Fact::AttemptStarted { attempt, began, .. } => {
                    if let Some(queued) = self.measured.0.remove(attempt) {
                        let claim = seconds(queued, began.unwrap_or(now));
                        names::ATTEMPT_CLAIM.record(claim, &[]);
                    }
                }
                Fact::AttemptEnded { attempt, outcome, .. } => {
                    self.measured.0.remove(attempt);
                    names::ATTEMPTS_ENDED.increment(&[("outcome", word(outcome))]);
                }
                Fact::RunEnded { status, .. } => {
                    let labels = [("status", status.as_str())];
                    names::RUNS_ENDED.increment(&labels);
                    names::RUN_DURATION.record(seconds(self.row.created_at, now), &labels);
                    self.tell_of_the_end();
                }
                Fact::RunCreated { .. }
                | Fact::RunStarted
                | Fact::ConditionEvaluated { .. }
                | Fact::AttemptUnschedulable { .. }
                | Fact::AttemptSchedulable { .. }
                | Fact::AttemptAssigned { .. }
                | Fact::AttemptWaiting { .. }
                | Fact::DecisionMade { .. }
                | Fact::CallsAsked { .. }
                | Fact::ChildStarted { .. }
                | Fact::OutputsEvaluated { .. }
                | Fact::AttemptRequeued { .. }
                | Fact::RetryScheduled { .. }
                | Fact::StepEnded { .. }
                | Fact::LoopedBack { .. }
                | Fact::CancelRequested { .. }
                | Fact::RunTimedOut
                | Fact::RunReopened { .. } => {}
            }
        }
    }

    fn tell_of_the_end(&self) {
        let Some(traces) = &self.shared.options.traces else { return };
        if !traces.of_run(&self.row.id, &self.origin).sampled {
            return;
        }
        let ended = Ended { run: self.row.id.clone(), seq: self.seq };
        if traces.ends.try_send(ended).is_err() {
            names::TRACES.increment(&[("outcome", "dropped")]);
        }
    }
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "success",
        Outcome::Exit { .. } => "exit",
        Outcome::TimedOut => "timed_out",
        Outcome::Cancelled => "cancelled",
        Outcome::Refused { .. } => "refused",
        Outcome::Failed { .. } => "failed",
        Outcome::Rejected { .. } => "rejected",
        Outcome::Infra { .. } => "infra",
    }
}
