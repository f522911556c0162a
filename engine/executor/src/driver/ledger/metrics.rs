//! Metrics of a run, recorded after each commit, and the report of its end to the exporter of traces.
//!
//! Never blocks: if the exporter is slow, ends of traces are dropped and counted.

use std::collections::HashMap;

use jiff::Timestamp;
use plue_flow::{Fact, fact::Outcome};
use plue_plan::AttemptId;
use plue_runtime::metrics::names;

use crate::{driver::context::RunContext, trace::Ended};

/// Times at which this driver queued the attempts that have not started.
#[derive(Debug, Default)]
pub(super) struct RunMetrics(HashMap<AttemptId, Timestamp>);

// === impl RunMetrics ===

impl RunMetrics {
    /// Records how long an attempt was queued.
    pub(super) fn assigned(&self, attempt: &AttemptId, now: Timestamp) {
        if let Some(queued) = self.0.get(attempt) {
            names::ATTEMPT_QUEUE.record(seconds(*queued, now), &[]);
        }
    }

    /// Records committed facts; `seq`: the number of facts in the journal.
    pub(super) fn committed(&mut self, context: &RunContext, seq: u64, facts: &[Fact]) {
        let now = context.time.now();
        for fact in facts {
            match fact {
                Fact::AttemptQueued { attempt, .. } => {
                    self.0.insert(attempt.clone(), now);
                }
                Fact::AttemptStarted { attempt, began, .. } => {
                    if let Some(queued) = self.0.remove(attempt) {
                        let claim = seconds(queued, began.unwrap_or(now));
                        names::ATTEMPT_CLAIM.record(claim, &[]);
                    }
                }
                Fact::AttemptEnded { attempt, outcome, .. } => {
                    self.0.remove(attempt);
                    names::ATTEMPTS_ENDED.increment(&[("outcome", label(outcome))]);
                }
                Fact::RunEnded { status, .. } => {
                    let labels = [("status", status.as_str())];
                    names::RUNS_ENDED.increment(&labels);
                    names::RUN_DURATION.record(seconds(context.row.created_at, now), &labels);
                    report_end(context, seq);
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
}

/// Reports the end of a sampled run to the exporter.
fn report_end(context: &RunContext, seq: u64) {
    let Some(traces) = &context.shared.options.traces else { return };
    let run = &context.row.id;
    if !traces.of_run(run, &context.origin).sampled {
        return;
    }
    if traces.ends.try_send(Ended { run: run.clone(), seq }).is_err() {
        names::TRACES.increment(&[("outcome", "dropped")]);
    }
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

fn label(outcome: &Outcome) -> &'static str {
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
