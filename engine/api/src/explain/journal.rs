//! The journal of a run, sorted by step and put into words. Must not know how it is printed.

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};
use plue_flow::{
    Fact, StepStatus,
    fact::{NameValue, Reason},
    wait::{AskedCall, Decision},
};
use plue_plan::{Plan, StepId};
use plue_store::StepRow;
use serde_json::Value as Json;

use super::words;
use crate::records::story::{Condition, Dependency, Moment, Read};

/// The events of a journal, in words.
#[derive(Debug)]
pub(super) struct Journal {
    /// To the whole run.
    pub(super) events: Vec<Moment>,
    /// Conditions and events of each step.
    steps: BTreeMap<StepId, (Vec<Condition>, Vec<Moment>)>,
    /// The zone of times in words.
    zone: TimeZone,
}

// === impl Journal ===

impl Journal {
    pub(super) fn read(facts: &[(Timestamp, Fact)], plan: &Plan, zone: &TimeZone) -> Self {
        let zone = zone.clone();
        let mut journal = Self { events: Vec::new(), steps: BTreeMap::new(), zone };
        for (at, fact) in facts {
            journal.take(*at, fact, plan);
        }
        journal
    }

    /// Conditions and events of a step.
    pub(super) fn of(&self, step: &StepId) -> (Vec<Condition>, Vec<Moment>) {
        self.steps.get(step).cloned().unwrap_or_default()
    }

    fn take(&mut self, at: Timestamp, fact: &Fact, plan: &Plan) {
        match fact {
            Fact::RunCreated { only, .. } if only.is_empty() => self.run(at, "created".to_owned()),
            Fact::RunCreated { only, carried, .. } => {
                self.run(at, format!("created for {} only", listed(only)));
                for one in carried {
                    self.add(at, &one.step, format!("its output is that of run {}", one.run));
                }
            }
            Fact::RunStarted => self.run(at, "started".to_owned()),
            Fact::ConditionEvaluated { step, visit, value, reads } => {
                let source = plan.step(step).and_then(|step| step.options.when.clone());
                let condition = condition(source.unwrap_or_default(), *visit, value, reads);
                self.step(step).0.push(condition);
            }
            Fact::AttemptStarted { step, name, .. } => self.unnamed(at, step, name.as_ref()),
            Fact::AttemptWaiting { step, what, until, name, .. } => {
                self.unnamed(at, step, name.as_ref());
                let until = until.map_or(String::new(), |until| {
                    format!(", until {} at the latest", words::time(until, &self.zone))
                });
                self.add(at, step, format!("it {what}{until}"));
            }
            Fact::DecisionMade { step, decision, .. } => self.add(at, step, decided(decision)),
            Fact::CallsAsked { step, calls, .. } => self.add(at, step, asked(calls)),
            Fact::ChildStarted { step, child, .. } => {
                let what = format!("child run {} of plan {}", child.run, child.plan.short());
                self.add(at, step, what);
            }
            Fact::OutputsEvaluated { value: Err(message) } => self.run(at, message.clone()),
            Fact::AttemptRequeued { step, reason, .. } => {
                self.add(at, step, requeued(reason));
            }
            Fact::AttemptUnschedulable { step, reason, .. } => {
                self.add(at, step, format!("it waits for a runner: {reason}"));
            }
            Fact::AttemptSchedulable { step, .. } => {
                self.add(at, step, "there was a runner for it".to_owned());
            }
            Fact::RetryScheduled { step, number, at: due, .. } => {
                let wait = words::duration(at, *due);
                let due = words::time(*due, &self.zone);
                self.add(at, step, format!("attempt {number} was set for {due} (in {wait})"));
            }
            Fact::LoopedBack { from, to, steps } => {
                self.add(at, from, format!("it went back to `{to}`"));
                for step in steps.iter().filter(|step| *step != from) {
                    self.add(at, step, format!("`{from}` went back to `{to}`, so it runs again"));
                }
            }
            Fact::CancelRequested { by, kill } => {
                let how = if *kill { "killed" } else { "cancelled" };
                self.run(at, format!("{how} by {by}"));
            }
            Fact::RunTimedOut => self.run(at, "its time was over".to_owned()),
            Fact::RunReopened { by, steps } => {
                self.run(at, format!("{by} let {} run again", listed(steps)));
            }
            Fact::RunEnded { status, reason } => {
                let why = reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
                self.run(at, format!("ended {status}{why}"));
            }
            // Attempts and steps have rows of their own; an older visit's end is reported here.
            Fact::StepEnded { step, visit, status, reason } => {
                let why = reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
                self.add(at, step, format!("visit {visit} ended {status}{why}"));
            }
            Fact::OutputsEvaluated { value: Ok(_) }
            | Fact::AttemptQueued { .. }
            | Fact::AttemptAssigned { .. }
            | Fact::AttemptEnded { .. } => {}
        }
    }

    /// Adds the reason that a step's name is shown as written, if its value could not be computed.
    fn unnamed(&mut self, at: Timestamp, step: &StepId, name: Option<&NameValue>) {
        if let Some(Err(why)) = name {
            self.add(at, step, format!("its name is shown as written: {why}"));
        }
    }

    fn run(&mut self, at: Timestamp, what: String) {
        self.events.push(Moment { at: at.to_string(), what });
    }

    fn step(&mut self, step: &StepId) -> &mut (Vec<Condition>, Vec<Moment>) {
        self.steps.entry(step.clone()).or_default()
    }

    fn add(&mut self, at: Timestamp, step: &StepId, what: String) {
        self.step(step).1.push(Moment { at: at.to_string(), what });
    }
}

/// The dependencies of a step, each with its end.
pub(super) fn dependencies(ids: &[StepId], rows: &[StepRow]) -> Vec<Dependency> {
    ids.iter()
        .filter_map(|id| rows.iter().find(|row| row.view.step == *id))
        .map(dependency)
        .collect()
}

/// The steps that kept this one from running, down to the one that failed by itself.
pub(super) fn blocked_by(step: &StepId, rows: &[StepRow]) -> Vec<Dependency> {
    let mut chain: Vec<Dependency> = Vec::new();
    let mut at = step;
    // No step is looked at twice, so a damaged database cannot make this endless.
    while chain.len() < rows.len() {
        let row = rows.iter().find(|row| row.view.step == *at);
        let Some(Reason::Blocked { by, .. } | Reason::Stopped { by }) =
            row.and_then(|row| row.view.reason.as_ref())
        else {
            break;
        };
        let Some(next) = rows.iter().find(|row| row.view.step == *by) else { break };
        chain.push(dependency(next));
        at = by;
    }
    chain
}

fn dependency(row: &StepRow) -> Dependency {
    let view = &row.view;
    let ended = view.status.is_terminal().then_some(view.ended_at).flatten();
    let quiet = view.status == StepStatus::Success;
    Dependency {
        step: view.step.to_string(),
        status: view.status.to_string(),
        reason: view.reason.as_ref().filter(|_| !quiet).map(ToString::to_string),
        ended_at: ended.map(|at| at.to_string()),
    }
}

fn requeued(reason: &str) -> String {
    format!("its runner was lost before it started ({reason}); it was queued again")
}

fn listed(steps: &[StepId]) -> String {
    steps.iter().map(|step| format!("`{step}`")).collect::<Vec<_>>().join(", ")
}

/// A condition as it was evaluated.
fn condition(
    expression: String,
    visit: u32,
    value: &Result<bool, String>,
    reads: &[(String, Json)],
) -> Condition {
    let read = |(path, value): &(String, Json)| Read { path: path.clone(), value: value.clone() };
    Condition {
        visit,
        expression,
        value: value.as_ref().ok().copied(),
        error: value.as_ref().err().cloned(),
        reads: reads.iter().map(read).collect(),
    }
}

/// The calls of a step that wait for people; a step without calls has had all of them decided.
fn asked(calls: &[AskedCall]) -> String {
    if calls.is_empty() {
        return "people have decided about its calls".to_owned();
    }
    let tools: Vec<_> = calls.iter().map(|call| call.request.tool.as_str()).collect();
    format!("it waits for approval of {}", tools.join(", "))
}

fn decided(decision: &Decision) -> String {
    let what = if decision.approve { "approved" } else { "rejected" };
    let why = decision.comment.as_ref();
    let why = why.map_or(String::new(), |comment| format!(": {comment}"));
    format!("{} {what} it{why}", decision.by)
}
