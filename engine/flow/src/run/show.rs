//! Read access to a run: rows and open work. Must not decide anything.

use std::{borrow::Cow, sync::Arc};

use jiff::Timestamp;
use plue_plan::{AttemptId, Plan, PlanHash, RunId, StepId};
use serde_json::Value as Json;

use super::{
    Run,
    state::{Halt, Pressure, Stage, Wait},
};
use crate::run::{
    attempt::{step_of, working},
    evolve::attempt::perform_effect,
    evolve::phase::result,
    next::deadline,
    waiting::{asked, awaits_outputs},
};
use crate::{
    effect::Effect,
    status::RunStatus,
    view::{AttemptView, RunView, StepValuesView, StepView},
    wait::{AskedCall, Awaited, Child},
};

/// A step that waits for something outside.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting<'r> {
    /// Step of the waiting attempt.
    pub step: StepId,
    /// The attempt that waits.
    pub attempt: AttemptId,
    /// The answer that it waits for.
    pub what: &'r Awaited,
    /// Deadline of the wait, if it has one.
    pub until: Option<Timestamp>,
    /// The last event that the step has taken.
    pub taken: u64,
}

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

    /// The status after the last fact.
    #[must_use]
    pub fn status(&self) -> RunStatus {
        self.lifecycle.status
    }

    /// True if the run ended. It may still be reopened.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.lifecycle.status.is_terminal()
    }

    /// The result the run has so far: what hooks see as the status of the run, and what it ends as
    /// if nothing else happens.
    #[must_use]
    pub fn result_so_far(&self) -> RunStatus {
        result(self)
    }

    /// Values of the `run` row.
    #[must_use]
    pub fn view(&self) -> RunView {
        RunView {
            status: self.lifecycle.status,
            reason: self.lifecycle.reason.clone(),
            started_at: self.lifecycle.started_at,
            ended_at: self.lifecycle.ended_at,
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

    /// The values of a step that expressions read; `None` if the plan has no such step.
    #[must_use]
    pub fn step_values(&self, step: &str) -> Option<StepValuesView<'_>> {
        let at = self.shape.find_name(step)?;
        let state = &self.work.steps[at];
        Some(StepValuesView {
            step: &self.definition(at).id,
            status: state.status,
            reason: state.reason.as_ref(),
            visit: state.visits.current,
            attempts: state.number,
            output: &state.output,
        })
    }

    /// Output of the step's last attempt that ended; null if it has none. Preserved through loops,
    /// so that a revisited step can read the output of the step that sent it back.
    #[must_use]
    pub fn output(&self, step: &StepId) -> Option<&Json> {
        self.shape.find(step).map(|at| &self.work.steps[at].output)
    }

    /// The step's name: its value once the step has started in its visit, else the name as it is
    /// written; `None` if it has no name.
    #[must_use]
    pub fn name(&self, step: &StepId) -> Option<Cow<'_, str>> {
        let at = self.shape.find(step)?;
        let value = self.work.steps[at].name.as_deref();
        value.map(Cow::Borrowed).or_else(|| self.definition(at).name())
    }

    /// An attempt, if it is the last one of its step's current visit; older ones are in the journal
    /// only.
    #[must_use]
    pub fn attempt(&self, id: &AttemptId) -> Option<AttemptView> {
        let at = step_of(self, id)?;
        let state = &self.work.steps[at];
        let attempt = state.attempt.as_ref()?;
        Some(AttemptView {
            attempt: attempt.id.clone(),
            step: self.step_id(at),
            visit: state.visits.current,
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
    pub fn unschedulable(&self) -> impl Iterator<Item = (StepId, AttemptId, &str)> {
        self.work.unplaced.iter().filter_map(|&at| {
            let attempt = self.work.steps[at].attempt.as_ref()?;
            Some((self.step_id(at), attempt.id.clone(), attempt.unschedulable.as_deref()?))
        })
    }

    /// True if the attempt is unschedulable, or was at its end: only the journal has it.
    #[must_use]
    pub fn is_unschedulable(&self, id: &AttemptId) -> bool {
        let attempt = step_of(self, id).and_then(|at| self.work.steps[at].attempt.as_ref());
        attempt.is_some_and(|attempt| attempt.unschedulable.is_some())
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
        if self.lifecycle.status.is_terminal() {
            return vec![Effect::Finish];
        }
        let mut effects = Vec::new();
        for &at in &self.work.conditions {
            let (step, visit) = (self.step_id(at), self.work.steps[at].visits.current);
            effects.push(Effect::EvaluateCondition { step, visit });
        }
        if awaits_outputs(self) {
            effects.push(Effect::EvaluateOutputs);
        }
        for &at in &self.work.working {
            effects.extend(perform_effect(self, at));
            effects.extend(self.stop_effect(at));
        }
        effects
    }

    /// True if the effect is still to be performed.
    pub(super) fn is_pending(&self, effect: &Effect) -> bool {
        match effect {
            Effect::EvaluateCondition { step, visit } => self.shape.find(step).is_some_and(|at| {
                let state = &self.work.steps[at];
                state.stage == Stage::Condition && state.visits.current == *visit
            }),
            Effect::Perform { attempt, .. } => {
                let at = step_of(self, attempt);
                at.is_some_and(|at| self.work.steps[at].stage == Stage::Attempt)
            }
            Effect::EvaluateOutputs => awaits_outputs(self),
            Effect::Stop { .. } | Effect::Finish => true,
        }
    }

    fn stop_effect(&self, at: usize) -> Option<Effect> {
        let attempt = self.work.steps[at].attempt.as_ref()?;
        (attempt.pressure > Pressure::None).then(|| Effect::Stop {
            attempt: attempt.id.clone(),
            kill: attempt.pressure == Pressure::Kill,
        })
    }

    fn step_view_at(&self, at: usize) -> StepView {
        let state = &self.work.steps[at];
        StepView {
            step: self.step_id(at),
            status: state.status,
            reason: state.reason.clone(),
            visit: state.visits.current,
            attempts: state.number,
            ready_at: state.times.ready,
            started_at: state.times.started,
            ended_at: state.times.ended,
            output: state.output.clone(),
        }
    }

    /// Principal that cancelled the run, if the cancellation cut it short.
    #[must_use]
    pub fn cancelled_by(&self) -> Option<&str> {
        match &self.stop.halt {
            Some(Halt::Cancelled { by }) => Some(by),
            Some(Halt::TimedOut) | None => None,
        }
    }

    /// Waits for something outside of plue, in the order of the plan; calls of agents last.
    pub fn waiting(&self) -> impl Iterator<Item = Waiting<'_>> {
        let whole = self.work.waiting.iter().filter_map(|&at| {
            let wait = self.work.steps[at].attempt.as_ref()?.wait.as_ref()?;
            self.shown_wait(at, wait)
        });
        let calls = self.work.asked.keys().flat_map(move |&at| {
            let attempt = self.work.steps[at].attempt.as_ref();
            let asked = attempt.map(|attempt| attempt.asked.as_slice()).unwrap_or_default();
            asked.iter().filter_map(move |wait| self.shown_wait(at, wait))
        });
        whole.chain(calls)
    }

    fn shown_wait<'r>(&'r self, at: usize, wait: &'r Wait) -> Option<Waiting<'r>> {
        let state = &self.work.steps[at];
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
        let Ok((at, current)) = working(self, attempt) else { return (Vec::new(), false) };
        let is_busy = self.work.asked.get(&at).copied().unwrap_or(false);
        (current.asked.iter().filter_map(asked).collect(), is_busy)
    }

    /// True if nothing happens before an answer from outside or its deadline.
    #[must_use]
    pub fn needs_an_answer(&self) -> bool {
        self.work.only_waits() && self.waiting().all(|waiting| !waiting.what.is_time())
    }

    /// The child run of an attempt of a `workflow` step.
    #[must_use]
    pub fn child(&self, attempt: &AttemptId) -> Option<&Child> {
        let at = step_of(self, attempt)?;
        self.work.steps[at].attempt.as_ref()?.child.as_ref()
    }

    /// The plan's `outputs`, once all its steps ended well.
    #[must_use]
    pub fn outputs(&self) -> Option<&Json> {
        self.outputs.as_ref()?.as_ref().ok()
    }

    /// The earliest time at which a tick changes something: a retry that a place is free for, the
    /// end of a wait, or the run's timeout.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.lifecycle.status.is_terminal() {
            return None;
        }
        let retry = self.work.retries.first().filter(|_| self.has_capacity());
        let alarm = self.work.alarms.first();
        let times = [deadline(self), retry.map(|(due, _)| *due), alarm.map(|(due, _)| *due)];
        times.into_iter().flatten().min()
    }

    /// True if `max_parallel` allows a further attempt.
    #[must_use]
    pub fn has_capacity(&self) -> bool {
        let places = self.plan.max_parallel.map_or(usize::MAX, |most| most.max(1) as usize);
        self.work.working.len() - self.work.unplaced.len() < places
    }
}
