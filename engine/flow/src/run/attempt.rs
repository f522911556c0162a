//! Inputs `Started`, `Ended` and `Lost`: what becomes of an attempt, and how attempts are named.

use jiff::Timestamp;
use plue_plan::{AttemptId, RunnerId, StepId};
use serde_json::Value as Json;

use super::{
    Run,
    state::{Attempt, Pressure, Stage},
};
use crate::{
    error::Rejected,
    fact::{Fact, NameValue, Outcome},
    status::AttemptStatus,
};

/// The id of an attempt: `{run}:{step}:{visit}:{number}`. A step's id has no colon.
pub(in crate::run) fn attempt_id(run: &Run, at: usize, visit: u32, number: u32) -> AttemptId {
    let step = &run.definition(at).id;
    AttemptId::new(format!("{}:{step}:{visit}:{number}", run.id))
}

/// The step whose current attempt has this id, whether the attempt is open or not.
pub(in crate::run) fn step_of(run: &Run, id: &AttemptId) -> Option<usize> {
    let mut parts = id.as_str().rsplitn(4, ':').skip(2);
    let at = run.shape.find(&StepId::new(parts.next()?))?;
    let current = run.work.steps[at].attempt.as_ref()?;
    (current.id == *id).then_some(at)
}

/// A repeated report of the same reason is refused as no news.
pub(in crate::run) fn admit_unschedulable(
    run: &Run,
    attempt: AttemptId,
    reason: String,
) -> Result<Fact, Rejected> {
    let (at, current) = working(run, &attempt)?;
    let is_news = current.unschedulable.as_ref() != Some(&reason);
    if current.status != AttemptStatus::Queued || !is_news {
        return Err(stale(&attempt));
    }
    Ok(Fact::AttemptUnschedulable { step: run.step_id(at), attempt, reason })
}

pub(in crate::run) fn admit_schedulable(run: &Run, attempt: AttemptId) -> Result<Fact, Rejected> {
    let (at, current) = working(run, &attempt)?;
    if current.unschedulable.is_none() || !run.has_capacity() {
        return Err(stale(&attempt));
    }
    Ok(Fact::AttemptSchedulable { step: run.step_id(at), attempt })
}

pub(in crate::run) fn admit_assigned(
    run: &Run,
    attempt: AttemptId,
    runner: RunnerId,
) -> Result<Fact, Rejected> {
    let (at, current) = working(run, &attempt)?;
    if current.status != AttemptStatus::Queued || current.unschedulable.is_some() {
        return Err(stale(&attempt));
    }
    Ok(Fact::AttemptAssigned { step: run.step_id(at), attempt, runner })
}

pub(in crate::run) fn admit_started(
    run: &Run,
    attempt: AttemptId,
    (runner, began): (Option<RunnerId>, Option<Timestamp>),
    name: Option<NameValue>,
) -> Result<Fact, Rejected> {
    let (at, current) = working(run, &attempt)?;
    if current.status == AttemptStatus::Running || current.unschedulable.is_some() {
        return Err(stale(&attempt));
    }
    Ok(Fact::AttemptStarted { step: run.step_id(at), attempt, runner, began, name })
}

pub(in crate::run) fn admit_ended(
    run: &Run,
    attempt: AttemptId,
    outcome: Outcome,
    output: Json,
) -> Result<Fact, Rejected> {
    if let Outcome::Infra { message } = outcome {
        return admit_lost(run, attempt, message);
    }
    let (at, _) = working(run, &attempt)?;
    Ok(Fact::AttemptEnded { step: run.step_id(at), attempt, outcome, output, event: None })
}

/// A loss before the start of the process is free; after it, a failure, unless the attempt was
/// asked to stop and did.
pub(in crate::run) fn admit_lost(
    run: &Run,
    attempt: AttemptId,
    reason: String,
) -> Result<Fact, Rejected> {
    let (at, current) = working(run, &attempt)?;
    let step = run.step_id(at);
    let unstarted = current.status != AttemptStatus::Running;
    if unstarted && current.pressure == Pressure::None {
        return Ok(Fact::AttemptRequeued { step, attempt, reason });
    }
    let outcome = match current.pressure {
        Pressure::None => Outcome::Infra { message: reason },
        Pressure::Term | Pressure::Kill => Outcome::Cancelled,
    };
    let output = Json::Null;
    Ok(Fact::AttemptEnded { step, attempt, outcome, output, event: None })
}

pub(in crate::run) fn working<'r>(
    run: &'r Run,
    id: &AttemptId,
) -> Result<(usize, &'r Attempt), Rejected> {
    run.live()?;
    let at = step_of(run, id).ok_or_else(|| stale(id))?;
    let state = &run.work.steps[at];
    let open = state.attempt.as_ref().filter(|_| state.stage == Stage::Attempt);
    open.map(|attempt| (at, attempt)).ok_or_else(|| stale(id))
}

pub(in crate::run) fn stale(attempt: &AttemptId) -> Rejected {
    Rejected::Stale { what: format!("attempt {attempt}") }
}
