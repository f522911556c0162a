//! Waiting for the outside: inputs that begin and end it, and the meaning of people's answers.

use jiff::Timestamp;
use plue_plan::{Action, AttemptId, action::OnTimeout};
use serde_json::{Value as Json, json};

use super::{
    Run,
    attempt::stale,
    shape::Phase,
    state::{Pressure, Stage, Wait},
};
use crate::run::{
    attempt::{step_of, working},
    evolve::phase::result,
};
use crate::{
    error::Rejected,
    fact::{Fact, NameValue, Outcome},
    status::{AttemptStatus, RunStatus},
    wait::{AskedCall, Awaited, Child, Decision},
};

pub(in crate::run) fn admit_waits(
    run: &Run,
    attempt: AttemptId,
    (what, until): (Awaited, Option<Timestamp>),
    name: Option<NameValue>,
) -> Result<Fact, Rejected> {
    let (at, current) = working(run, &attempt)?;
    if current.pressure > Pressure::None {
        let (outcome, output) = (Outcome::Cancelled, Json::Null);
        let step = run.step_id(at);
        return Ok(Fact::AttemptEnded { step, attempt, outcome, output, event: None });
    }
    Ok(Fact::AttemptWaiting { step: run.step_id(at), attempt, what, until, name })
}

pub(in crate::run) fn admit_decision(
    run: &Run,
    attempt: AttemptId,
    decision: Decision,
) -> Result<Fact, Rejected> {
    let (at, wait) = awaiting(run, &attempt)?;
    let Awaited::Decision { approvers, .. } = &wait.what else {
        return Err(stale(&attempt));
    };
    if !approvers.is_empty() && !approvers.contains(&decision.by) {
        return Err(Rejected::NotAnApprover { approvers: approvers.clone() });
    }
    if wait.decisions.iter().any(|one| one.by == decision.by) {
        return Err(Rejected::AnsweredAlready { by: decision.by });
    }
    Ok(Fact::DecisionMade { step: run.step_id(at), attempt, decision })
}

pub(in crate::run) fn admit_asked_calls(
    run: &Run,
    attempt: AttemptId,
    calls: Vec<AskedCall>,
    is_busy: bool,
) -> Result<Fact, Rejected> {
    let (at, current) = working(run, &attempt)?;
    let before: Vec<AskedCall> = current.asked.iter().filter_map(asked).collect();
    let is_same =
        before == calls && (calls.is_empty() || run.work.asked.get(&at) == Some(&is_busy));
    let is_stopping = current.pressure > Pressure::None && !calls.is_empty();
    if current.status != AttemptStatus::Running || is_same || is_stopping {
        return Err(stale(&attempt));
    }
    let is_news =
        calls.iter().any(|call| before.iter().all(|other| other.request.call != call.request.call));
    Ok(Fact::CallsAsked { step: run.step_id(at), attempt, calls, is_busy, is_news })
}

pub(in crate::run) fn admit_answer(
    run: &Run,
    attempt: AttemptId,
    event: Option<u64>,
    (outcome, output): (Outcome, Json),
) -> Result<Fact, Rejected> {
    let (at, wait) = awaiting(run, &attempt)?;
    let is_new = event.is_none_or(|event| event > run.work.steps[at].taken);
    let is_of_people = matches!(wait.what, Awaited::Decision { .. } | Awaited::Call(_));
    if !is_new || is_of_people || wait.what.is_time() {
        return Err(stale(&attempt));
    }
    Ok(Fact::AttemptEnded { step: run.step_id(at), attempt, outcome, output, event })
}

pub(in crate::run) fn admit_child(
    run: &Run,
    attempt: AttemptId,
    child: Child,
) -> Result<Fact, Rejected> {
    let (at, current) = working(run, &attempt)?;
    if current.child.is_some() {
        return Err(stale(&attempt));
    }
    Ok(Fact::ChildStarted { step: run.step_id(at), attempt, child })
}

pub(in crate::run) fn admit_outputs(
    run: &Run,
    value: Result<Json, String>,
) -> Result<Fact, Rejected> {
    if !awaits_outputs(run) {
        return Err(Rejected::Stale { what: "the outputs of the plan".to_owned() });
    }
    Ok(Fact::OutputsEvaluated { value })
}

fn awaiting<'r>(run: &'r Run, id: &AttemptId) -> Result<(usize, &'r Wait), Rejected> {
    run.live()?;
    let at = step_of(run, id).ok_or_else(|| stale(id))?;
    let state = &run.work.steps[at];
    let open = state.attempt.as_ref().filter(|_| state.stage == Stage::Waiting);
    let wait = open.and_then(|attempt| attempt.wait.as_ref());
    Ok((at, wait.ok_or_else(|| stale(id))?))
}

/// The end of an approval that people have settled.
pub(in crate::run) fn decided(run: &Run, at: usize) -> Option<Fact> {
    let decisions = &wait(run, at)?.decisions;
    let against = decisions.iter().find(|decision| !decision.approve);
    let (outcome, output) = match against {
        Some(decision) => {
            let why = decision.comment.as_ref();
            let why = why.map_or(String::new(), |comment| format!(": {comment}"));
            let message = format!("rejected by {}{why}", decision.by);
            (Outcome::Rejected { message }, answers(std::slice::from_ref(decision)))
        }
        None => (Outcome::Success, answers(decisions)),
    };
    stops_waiting(run, at, outcome, output)
}

/// The end of a wait whose time is over.
pub(in crate::run) fn overdue(run: &Run, at: usize) -> Option<Fact> {
    let (outcome, output) = match (&wait(run, at)?.what, &run.definition(at).action) {
        (Awaited::Time, _) => (Outcome::Success, Json::Null),
        (Awaited::Decision { .. }, Action::Approval(approval)) => match approval.on_timeout {
            OnTimeout::Approve => (Outcome::Success, answers(&wait(run, at)?.decisions)),
            OnTimeout::Reject => {
                let message = "no decision in time: on_timeout=\"reject\"".to_owned();
                (Outcome::Rejected { message }, Json::Null)
            }
        },
        _ => (Outcome::TimedOut, Json::Null),
    };
    stops_waiting(run, at, outcome, output)
}

fn stops_waiting(run: &Run, at: usize, outcome: Outcome, output: Json) -> Option<Fact> {
    let attempt = run.work.steps[at].attempt.as_ref()?.id.clone();
    Some(Fact::AttemptEnded { step: run.step_id(at), attempt, outcome, output, event: None })
}

/// True if only the plan's `outputs` are missing, which the last hooks may read.
pub(in crate::run) fn awaits_outputs(run: &Run) -> bool {
    let done =
        run.phase == Phase::Steps && Phase::Steps.slot().is_some_and(|slot| run.open[slot] == 0);
    done && run.outputs.is_none()
        && !run.plan.outputs.is_empty()
        && result(run) == RunStatus::Success
}

pub(in crate::run) fn wait(run: &Run, at: usize) -> Option<&Wait> {
    run.work.steps[at].attempt.as_ref()?.wait.as_ref()
}

pub(in crate::run) fn asked(wait: &Wait) -> Option<AskedCall> {
    let Awaited::Call(request) = &wait.what else { return None };
    Some(AskedCall { request: request.clone(), until: wait.until })
}

/// The output of an approval: the filled-in fields, later answers over earlier ones; without fields,
/// the approvers and their comments.
fn answers(decisions: &[Decision]) -> Json {
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
