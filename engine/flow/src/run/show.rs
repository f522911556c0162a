//! Read access to a run: rows and open work. Must not decide anything.

use std::{borrow::Cow, sync::Arc};

use plue_plan::{AttemptId, Plan, PlanHash, RunId, StepId};
use serde_json::Value as Json;

use super::{
    Run,
    state::{Halt, Hold, Pressure},
};
use crate::{
    effect::Effect,
    status::RunStatus,
    view::{AttemptView, RunView, StepView},
};

impl Run {
    /// Id of the run.
    #[must_use]
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// Plan of the run.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The hash that the run was created with.
    #[must_use]
    pub fn plan_hash(&self) -> Option<&PlanHash> {
        self.hash.as_ref()
    }

    /// Current status.
    #[must_use]
    pub fn status(&self) -> RunStatus {
        self.status
    }

    /// True if the run ended. It may still be reopened.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.status.is_terminal()
    }

    /// The result the run has so far: what hooks see as the status of the run, and what it ends as
    /// if nothing else happens.
    #[must_use]
    pub fn result_so_far(&self) -> RunStatus {
        self.result()
    }

    /// Values of the `run` row.
    #[must_use]
    pub fn view(&self) -> RunView {
        RunView {
            status: self.status,
            reason: self.reason.clone(),
            started_at: self.started_at,
            ended_at: self.ended_at,
        }
    }

    /// Values of a `step` row; `None` if the plan has no such step.
    #[must_use]
    pub fn step_view(&self, step: &StepId) -> Option<StepView> {
        self.shape.find(step).map(|at| self.step_view_at(at))
    }

    /// All `step` rows: the plan's steps in order, then hooks.
    pub fn step_views(&self) -> impl Iterator<Item = StepView> {
        (0..self.shape.len()).map(|at| self.step_view_at(at))
    }

    /// Output of the step's last attempt that ended; null if it has none. Preserved through loops,
    /// so that a revisited step can read the output of the step that sent it back.
    #[must_use]
    pub fn output(&self, step: &StepId) -> Option<&Json> {
        self.shape.find(step).map(|at| &self.held.steps[at].output)
    }

    /// The step's name: its value once the step has started in its visit, else the name as it is
    /// written; `None` if it has no name.
    #[must_use]
    pub fn name(&self, step: &StepId) -> Option<Cow<'_, str>> {
        let at = self.shape.find(step)?;
        let value = self.held.steps[at].name.as_deref();
        value.map(Cow::Borrowed).or_else(|| self.definition(at).name())
    }

    /// An attempt, if it is the last one of its step's current visit; older ones are in the journal
    /// only.
    #[must_use]
    pub fn attempt(&self, id: &AttemptId) -> Option<AttemptView> {
        let at = self.step_of(id)?;
        let state = &self.held.steps[at];
        let attempt = state.attempt.as_ref()?;
        Some(AttemptView {
            attempt: attempt.id.clone(),
            step: self.step_id(at),
            visit: state.visit,
            number: state.number,
            status: attempt.status,
            stop: match attempt.pressure {
                Pressure::None => None,
                Pressure::Term => Some(false),
                Pressure::Kill => Some(true),
            },
        })
    }

    /// Queued attempts that no runner can have, with the reasons, in the order of the plan.
    pub fn held(&self) -> impl Iterator<Item = (StepId, AttemptId, &str)> {
        self.held.unplaced.iter().filter_map(|&at| {
            let attempt = self.held.steps[at].attempt.as_ref()?;
            Some((self.step_id(at), attempt.id.clone(), attempt.held.as_deref()?))
        })
    }

    /// True if the attempt is unschedulable, or was at its end: only the journal has it.
    #[must_use]
    pub fn is_held(&self, id: &AttemptId) -> bool {
        let attempt = self.step_of(id).and_then(|at| self.held.steps[at].attempt.as_ref());
        attempt.is_some_and(|attempt| attempt.held.is_some())
    }

    /// The step and everything behind it, in the order of the plan: what `--from` selects. Empty if
    /// the plan has no such step.
    #[must_use]
    pub fn descendants(&self, step: &StepId) -> Vec<StepId> {
        let below = self.shape.descendants(self.shape.find(step));
        below.into_iter().map(|at| self.step_id(at)).collect()
    }

    /// Effects that should be in progress now, derived from the state alone. After a crash, or at
    /// any time, the shell compares them with its own work: `Perform` of a running attempt means
    /// "follow it, or report it lost".
    #[must_use]
    pub fn pending_effects(&self) -> Vec<Effect> {
        if self.status.is_terminal() {
            return vec![Effect::Finish];
        }
        let mut effects = Vec::new();
        for &at in &self.held.conditions {
            let (step, visit) = (self.step_id(at), self.held.steps[at].visit);
            effects.push(Effect::EvaluateCondition { step, visit });
        }
        if self.awaits_outputs() {
            effects.push(Effect::EvaluateOutputs);
        }
        for &at in &self.held.working {
            effects.extend(self.perform_effect(at));
            effects.extend(self.stop_effect(at));
        }
        effects
    }

    /// True if the effect is still to be performed.
    pub(super) fn is_wanted(&self, effect: &Effect) -> bool {
        match effect {
            Effect::EvaluateCondition { step, visit } => self.shape.find(step).is_some_and(|at| {
                let state = &self.held.steps[at];
                state.hold == Hold::Condition && state.visit == *visit
            }),
            Effect::Perform { attempt, .. } => {
                let at = self.step_of(attempt);
                at.is_some_and(|at| self.held.steps[at].hold == Hold::Attempt)
            }
            Effect::EvaluateOutputs => self.awaits_outputs(),
            Effect::Stop { .. } | Effect::Finish => true,
        }
    }

    fn stop_effect(&self, at: usize) -> Option<Effect> {
        let attempt = self.held.steps[at].attempt.as_ref()?;
        (attempt.pressure > Pressure::None).then(|| Effect::Stop {
            attempt: attempt.id.clone(),
            kill: attempt.pressure == Pressure::Kill,
        })
    }

    fn step_view_at(&self, at: usize) -> StepView {
        let state = &self.held.steps[at];
        StepView {
            step: self.step_id(at),
            status: state.status,
            reason: state.reason.clone(),
            visit: state.visit,
            attempts: state.number,
            ready_at: state.ready_at,
            started_at: state.started_at,
            ended_at: state.ended_at,
            output: state.output.clone(),
        }
    }

    /// Principal that cancelled the run, if the cancellation cut it short.
    #[must_use]
    pub fn cancelled_by(&self) -> Option<&str> {
        match &self.halt {
            Some(Halt::Cancelled { by }) => Some(by),
            Some(Halt::TimedOut) | None => None,
        }
    }
}
