//! Scheduling: whether a runner can have an attempt, now or later.
//!
//! An unschedulable attempt has no row, so that no runner claims it; the journal has the reason. It is
//! checked again after every change, and by every engine that recovers the run, as its runners may have
//! other resources.

use plue_flow::{Effect, Input, Run};
use plue_plan::{AttemptId, Step, StepId};

use super::Runners;
use crate::batch::Incoming;

// === impl Runners: scheduling ===

impl Runners {
    /// The input for an attempt that was just queued and that no runner can have.
    pub(crate) fn unschedulable(&self, run: &Run, effect: &Effect) -> Option<Incoming> {
        let Effect::Perform { step, attempt, .. } = effect else { return None };
        if self.context.is_engine_step(step) || self.is_scheduled(attempt) {
            return None;
        }
        let reason = self.refusal(run, step, &[])?;
        Some(Incoming::plain(Input::Unschedulable { attempt: attempt.clone(), reason }))
    }

    /// Inputs for unschedulable attempts that a runner can have now, or whose reason has changed.
    pub(crate) fn rescheduled(&self, run: &Run) -> Vec<Incoming> {
        let mut scheduled: Vec<&Step> = Vec::new();
        let mut inputs = Vec::new();
        for (step, attempt, before) in run.unschedulable() {
            match self.refusal(run, &step, &scheduled) {
                None if !run.has_capacity() => {}
                None => {
                    scheduled.extend(self.context.step(&step));
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

    /// The reason that no runner can have the step in addition to the running and `scheduled` ones.
    fn refusal(&self, run: &Run, step: &StepId, scheduled: &[&Step]) -> Option<String> {
        let context = &self.context;
        let step = context.step(step)?;
        if let Some(refusal) = &self.isolation_refusal {
            return Some(refusal.clone());
        }
        if let Some(elsewhere) = &self.elsewhere {
            return self.leased.is_none().then(|| elsewhere.refusal());
        }
        let capacity = &context.shared.options.capacity;
        let running = self.scheduled_steps(run).chain(scheduled.iter().copied());
        capacity.admit((&context.plan, step), running).err()
    }

    /// Whether the attempt is with a runner or on its way to one.
    fn is_scheduled(&self, attempt: &AttemptId) -> bool {
        self.claims.contains_key(attempt) || self.prepared.contains_key(attempt)
    }

    /// Steps with attempts that are with a runner or on their way to one.
    fn scheduled_steps(&self, run: &Run) -> impl Iterator<Item = &Step> {
        let attempts = self.claims.keys().chain(self.prepared.keys());
        attempts.filter_map(|attempt| {
            let view = run.attempt(attempt)?;
            self.context.step(&view.step).filter(|_| !view.status.is_terminal())
        })
    }
}
