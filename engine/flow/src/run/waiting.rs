//! Waiting for the outside: inputs that begin and end it, and what the answers of people mean.

use jiff::Timestamp;
use plue_plan::{Action, AttemptId, StepId, action::OnTimeout};
use serde_json::{Value as Json, json};

use super::{
    Run,
    attempt::stale,
    shape::Phase,
    state::{Hold, Pressure, Wait},
};
use crate::{
    error::Rejected,
    fact::{Fact, NameValue, Outcome},
    status::{AttemptStatus, RunStatus},
    wait::{AskedCall, Awaited, Child, Decision},
};

/// A step that waits for something outside.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting<'r> {
    /// Step of the waiting attempt.
    pub step: StepId,
    /// The attempt that waits.
    pub attempt: AttemptId,
    /// Expected answer.
    pub what: &'r Awaited,
    /// Deadline of the wait, if it has one.
    pub until: Option<Timestamp>,
    /// The last event that the step has taken.
    pub taken: u64,
}

// === impl Run: inputs ===

impl Run {
    pub(super) fn admit_waits(
        &self,
        attempt: AttemptId,
        (what, until): (Awaited, Option<Timestamp>),
        name: Option<NameValue>,
    ) -> Result<Fact, Rejected> {
        let (at, current) = self.working(&attempt)?;
        if current.pressure > Pressure::None {
            let (outcome, output) = (Outcome::Cancelled, Json::Null);
            let step = self.step_id(at);
            return Ok(Fact::AttemptEnded { step, attempt, outcome, output, event: None });
        }
        Ok(Fact::AttemptWaiting { step: self.step_id(at), attempt, what, until, name })
    }

    pub(super) fn admit_decision(
        &self,
        attempt: AttemptId,
        decision: Decision,
    ) -> Result<Fact, Rejected> {
        let (at, wait) = self.awaiting(&attempt)?;
        let Awaited::Decision { approvers, .. } = &wait.what else {
            return Err(stale(&attempt));
        };
        if !approvers.is_empty() && !approvers.contains(&decision.by) {
            return Err(Rejected::NotAnApprover { approvers: approvers.clone() });
        }
        if wait.decisions.iter().any(|one| one.by == decision.by) {
            return Err(Rejected::AnsweredAlready { by: decision.by });
        }
        Ok(Fact::DecisionMade { step: self.step_id(at), attempt, decision })
    }

    pub(super) fn admit_asked_calls(
        &self,
        attempt: AttemptId,
        calls: Vec<AskedCall>,
        is_busy: bool,
    ) -> Result<Fact, Rejected> {
        let (at, current) = self.working(&attempt)?;
        let before: Vec<AskedCall> = current.asked.iter().filter_map(asked).collect();
        let is_same =
            before == calls && (calls.is_empty() || self.held.asked.get(&at) == Some(&is_busy));
        let is_stopping = current.pressure > Pressure::None && !calls.is_empty();
        if current.status != AttemptStatus::Running || is_same || is_stopping {
            return Err(stale(&attempt));
        }
        let is_news = calls
            .iter()
            .any(|call| before.iter().all(|other| other.request.call != call.request.call));
        Ok(Fact::CallsAsked { step: self.step_id(at), attempt, calls, is_busy, is_news })
    }

    pub(super) fn admit_answer(
        &self,
        attempt: AttemptId,
        event: Option<u64>,
        (outcome, output): (Outcome, Json),
    ) -> Result<Fact, Rejected> {
        let (at, wait) = self.awaiting(&attempt)?;
        let is_new = event.is_none_or(|event| event > self.held.steps[at].taken);
        let is_of_people = matches!(wait.what, Awaited::Decision { .. } | Awaited::Call(_));
        if !is_new || is_of_people || wait.what.is_time() {
            return Err(stale(&attempt));
        }
        Ok(Fact::AttemptEnded { step: self.step_id(at), attempt, outcome, output, event })
    }

    pub(super) fn admit_child(&self, attempt: AttemptId, child: Child) -> Result<Fact, Rejected> {
        let (at, current) = self.working(&attempt)?;
        if current.child.is_some() {
            return Err(stale(&attempt));
        }
        Ok(Fact::ChildStarted { step: self.step_id(at), attempt, child })
    }

    pub(super) fn admit_outputs(&self, value: Result<Json, String>) -> Result<Fact, Rejected> {
        if !self.awaits_outputs() {
            return Err(Rejected::Stale { what: "the outputs of the plan".to_owned() });
        }
        Ok(Fact::OutputsEvaluated { value })
    }

    fn awaiting(&self, id: &AttemptId) -> Result<(usize, &Wait), Rejected> {
        self.live()?;
        let at = self.step_of(id).ok_or_else(|| stale(id))?;
        let state = &self.held.steps[at];
        let open = state.attempt.as_ref().filter(|_| state.hold == Hold::Waiting);
        let wait = open.and_then(|attempt| attempt.wait.as_ref());
        Ok((at, wait.ok_or_else(|| stale(id))?))
    }
}

// === impl Run: decisions ===

impl Run {
    /// The end of an approval that people have settled.
    pub(super) fn decided(&self, at: usize) -> Option<Fact> {
        let decisions = &self.wait(at)?.decisions;
        let against = decisions.iter().find(|decision| !decision.approve);
        let (outcome, output) = match against {
            Some(decision) => {
                let why = decision.comment.as_ref();
                let why = why.map_or(String::new(), |comment| format!(": {comment}"));
                let message = format!("rejected by {}{why}", decision.by);
                (Outcome::Rejected { message }, told(std::slice::from_ref(decision)))
            }
            None => (Outcome::Success, told(decisions)),
        };
        self.stops_waiting(at, outcome, output)
    }

    /// The end of a wait whose time is over.
    pub(super) fn overdue(&self, at: usize) -> Option<Fact> {
        let (outcome, output) = match (&self.wait(at)?.what, &self.definition(at).action) {
            (Awaited::Time, _) => (Outcome::Success, Json::Null),
            (Awaited::Decision { .. }, Action::Approval(approval)) => match approval.on_timeout {
                OnTimeout::Approve => (Outcome::Success, told(&self.wait(at)?.decisions)),
                OnTimeout::Reject => {
                    let message = "nobody decided in time: on_timeout=\"reject\"".to_owned();
                    (Outcome::Rejected { message }, Json::Null)
                }
            },
            _ => (Outcome::TimedOut, Json::Null),
        };
        self.stops_waiting(at, outcome, output)
    }

    fn stops_waiting(&self, at: usize, outcome: Outcome, output: Json) -> Option<Fact> {
        let attempt = self.held.steps[at].attempt.as_ref()?.id.clone();
        Some(Fact::AttemptEnded { step: self.step_id(at), attempt, outcome, output, event: None })
    }

    /// True if only the plan's `outputs` are missing, which the last hooks may read.
    pub(super) fn awaits_outputs(&self) -> bool {
        let done = self.phase == Phase::Steps
            && Phase::Steps.slot().is_some_and(|slot| self.open[slot] == 0);
        done && self.outputs.is_none()
            && !self.plan.outputs.is_empty()
            && self.result() == RunStatus::Success
    }

    pub(super) fn wait(&self, at: usize) -> Option<&Wait> {
        self.held.steps[at].attempt.as_ref()?.wait.as_ref()
    }
}

// === impl Run: showing ===

impl Run {
    /// Waits for something outside of plue, in the order of the plan; calls of agents last.
    pub fn waiting(&self) -> impl Iterator<Item = Waiting<'_>> {
        let whole = self.held.waiting.iter().filter_map(|&at| {
            let wait = self.held.steps[at].attempt.as_ref()?.wait.as_ref()?;
            self.shown_wait(at, wait)
        });
        let calls = self.held.asked.keys().flat_map(move |&at| {
            let attempt = self.held.steps[at].attempt.as_ref();
            let asked = attempt.map(|attempt| attempt.asked.as_slice()).unwrap_or_default();
            asked.iter().filter_map(move |wait| self.shown_wait(at, wait))
        });
        whole.chain(calls)
    }

    fn shown_wait<'r>(&'r self, at: usize, wait: &'r Wait) -> Option<Waiting<'r>> {
        let state = &self.held.steps[at];
        Some(Waiting {
            step: self.step_id(at),
            attempt: state.attempt.as_ref()?.id.clone(),
            what: &wait.what,
            until: wait.until,
            taken: state.taken,
        })
    }

    /// Calls of an attempt that people are asked about, and whether its agent has other work.
    #[must_use]
    pub fn asked_calls(&self, attempt: &AttemptId) -> (Vec<AskedCall>, bool) {
        let Ok((at, current)) = self.working(attempt) else { return (Vec::new(), false) };
        let is_busy = self.held.asked.get(&at).copied().unwrap_or(false);
        (current.asked.iter().filter_map(asked).collect(), is_busy)
    }

    /// True if nothing happens before an answer from outside or its deadline.
    #[must_use]
    pub fn needs_an_answer(&self) -> bool {
        self.held.only_waits() && self.waiting().all(|waiting| !waiting.what.is_time())
    }

    /// The child run of an attempt of a `workflow` step.
    #[must_use]
    pub fn child(&self, attempt: &AttemptId) -> Option<&Child> {
        let at = self.step_of(attempt)?;
        self.held.steps[at].attempt.as_ref()?.child.as_ref()
    }

    /// The plan's `outputs`, once all its steps ended well.
    #[must_use]
    pub fn outputs(&self) -> Option<&Json> {
        self.outputs.as_ref()?.as_ref().ok()
    }
}

fn asked(wait: &Wait) -> Option<AskedCall> {
    let Awaited::Call(request) = &wait.what else { return None };
    Some(AskedCall { request: request.clone(), until: wait.until })
}

/// The output of an approval: what was filled in, later answers over earlier ones; without fields,
/// who answered and what they remarked.
fn told(decisions: &[Decision]) -> Json {
    let mut fields = serde_json::Map::new();
    for decision in decisions {
        fields.extend(decision.fields.clone());
    }
    if !fields.is_empty() {
        return Json::Object(fields);
    }
    let by: Vec<&str> = decisions.iter().map(|decision| decision.by.as_str()).collect();
    let comments = decisions.iter().filter_map(|decision| decision.comment.as_deref());
    json!({"by": by, "comment": comments.collect::<Vec<_>>().join("\n")})
}
