//! Placing: whether a runner can have an attempt, now or later.
//!
//! An attempt that no runner can have has no row: the journal says that it is held and why, and a
//! runner cannot claim it. It is looked at again whenever something has happened, so that it goes on
//! when other steps have ended, or when an engine with other runners takes the run up.

use plue_flow::{Effect, Input};
use plue_plan::{AttemptId, Step, StepId};

use super::Driver;
use crate::batch::Incoming;

impl Driver {
    /// What the run is told of an attempt that was just queued and that no runner can have.
    pub(super) fn in_the_way(&self, effect: &Effect) -> Option<Incoming> {
        let Effect::Perform { step, attempt, .. } = effect else { return None };
        if self.is_engine_step(step) || self.is_placed(attempt) {
            return None;
        }
        let reason = self.why_held(step, &[])?;
        Some(Incoming::plain(Input::Unschedulable { attempt: attempt.clone(), reason }))
    }

    /// Held attempts that a runner can have now, or that wait for something else than before.
    pub(super) fn placements(&self) -> Vec<Incoming> {
        let mut placed: Vec<&Step> = Vec::new();
        let mut inputs = Vec::new();
        for (step, attempt, before) in self.run.unschedulable() {
            match self.why_held(&step, &placed) {
                None if !self.run.has_capacity() => {}
                None => {
                    placed.extend(self.plan.step(&step));
                    inputs.push(Incoming::plain(Input::Schedulable { attempt }));
                }
                Some(reason) if reason != before => {
                    inputs.push(Incoming::plain(Input::Unschedulable { attempt, reason }));
                }
                Some(_) => {}
            }
        }
        inputs
    }

    fn why_held(&self, step: &StepId, besides: &[&Step]) -> Option<String> {
        let step = self.plan.step(step)?;
        if let Some(why) = &self.not_apart {
            return Some(why.clone());
        }
        let capacity = &self.shared.options.capacity;
        let beside = self.at_runners().chain(besides.iter().copied());
        capacity.place((&self.plan, step), beside).err()
    }

    /// Whether the attempt is with a runner, or on its way to one.
    fn is_placed(&self, attempt: &AttemptId) -> bool {
        self.claims.contains_key(attempt) || self.prepared.contains_key(attempt)
    }

    /// Steps whose attempts are with a runner, or on their way.
    fn at_runners(&self) -> impl Iterator<Item = &Step> {
        let attempts = self.claims.keys().chain(self.prepared.keys());
        attempts.filter_map(|attempt| {
            let view = self.run.attempt(attempt)?;
            self.plan.step(&view.step).filter(|_| !view.status.is_terminal())
        })
    }
}
