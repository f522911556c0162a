//! Inputs `Started`, `Ended` and `Lost`: what becomes of an attempt, and how attempts are named.

use jiff::Timestamp;
use plue_plan::{AttemptId, RunnerId, StepId};
use serde_json::Value as Json;

use super::{
    Run,
    state::{Attempt, Hold, Pressure},
};
use crate::{
    error::Rejected,
    fact::{Fact, NameValue, Outcome},
    status::AttemptStatus,
};

impl Run {
    /// The id of an attempt: `{run}:{step}:{visit}:{number}`. A step's id has no colon.
    pub(super) fn attempt_id(&self, at: usize, visit: u32, number: u32) -> AttemptId {
        let step = &self.definition(at).id;
        AttemptId::new(format!("{}:{step}:{visit}:{number}", self.id))
    }

    /// The step whose current attempt has this id, whether the attempt is open or not.
    pub(super) fn step_of(&self, id: &AttemptId) -> Option<usize> {
        let mut parts = id.as_str().rsplitn(4, ':').skip(2);
        let at = self.shape.find(&StepId::new(parts.next()?))?;
        let current = self.held.steps[at].attempt.as_ref()?;
        (current.id == *id).then_some(at)
    }

    /// A repeated report of the same reason is refused as no news.
    pub(super) fn admit_held(&self, attempt: AttemptId, reason: String) -> Result<Fact, Rejected> {
        let (at, current) = self.working(&attempt)?;
        let is_news = current.held.as_ref() != Some(&reason);
        if current.status != AttemptStatus::Queued || !is_news {
            return Err(stale(&attempt));
        }
        Ok(Fact::AttemptHeld { step: self.step_id(at), attempt, reason })
    }

    pub(super) fn admit_placed(&self, attempt: AttemptId) -> Result<Fact, Rejected> {
        let (at, current) = self.working(&attempt)?;
        if current.held.is_none() || !self.has_place() {
            return Err(stale(&attempt));
        }
        Ok(Fact::AttemptPlaced { step: self.step_id(at), attempt })
    }

    pub(super) fn admit_assigned(
        &self,
        attempt: AttemptId,
        runner: RunnerId,
    ) -> Result<Fact, Rejected> {
        let (at, current) = self.working(&attempt)?;
        if current.status != AttemptStatus::Queued || current.held.is_some() {
            return Err(stale(&attempt));
        }
        Ok(Fact::AttemptAssigned { step: self.step_id(at), attempt, runner })
    }

    pub(super) fn admit_started(
        &self,
        attempt: AttemptId,
        (runner, began): (Option<RunnerId>, Option<Timestamp>),
        name: Option<NameValue>,
    ) -> Result<Fact, Rejected> {
        let (at, current) = self.working(&attempt)?;
        if current.status == AttemptStatus::Running || current.held.is_some() {
            return Err(stale(&attempt));
        }
        Ok(Fact::AttemptStarted { step: self.step_id(at), attempt, runner, began, name })
    }

    pub(super) fn admit_ended(
        &self,
        attempt: AttemptId,
        outcome: Outcome,
        output: Json,
    ) -> Result<Fact, Rejected> {
        if let Outcome::Infra { message } = outcome {
            return self.admit_lost(attempt, message);
        }
        let (at, _) = self.working(&attempt)?;
        Ok(Fact::AttemptEnded { step: self.step_id(at), attempt, outcome, output, event: None })
    }

    /// A loss before the start of the process is free; after it, a failure, unless the attempt was
    /// asked to stop and did.
    pub(super) fn admit_lost(&self, attempt: AttemptId, reason: String) -> Result<Fact, Rejected> {
        let (at, current) = self.working(&attempt)?;
        let step = self.step_id(at);
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

    pub(super) fn working(&self, id: &AttemptId) -> Result<(usize, &Attempt), Rejected> {
        self.live()?;
        let at = self.step_of(id).ok_or_else(|| stale(id))?;
        let state = &self.held.steps[at];
        let open = state.attempt.as_ref().filter(|_| state.hold == Hold::Attempt);
        open.map(|attempt| (at, attempt)).ok_or_else(|| stale(id))
    }
}

pub(super) fn stale(attempt: &AttemptId) -> Rejected {
    Rejected::Stale { what: format!("attempt {attempt}") }
}
