//! The constants of a drive: the run's row, plan, event and secrets, the mode of its driver, its clock.
//!
//! Evaluates expressions of the run, over a state of its flow that the caller owns.

use std::sync::Arc;

use plue_flow::{Effect, Run, fact::Outcome};
use plue_plan::{
    Action, AttemptId, Event, Plan, Step, StepId,
    context::{Reader, schema_of},
};
use plue_runtime::{Phase, Stop};
use plue_spec::Scope;
use plue_store::RunRow;
use serde_json::Value as Json;

use super::monotonic_clock::MonotonicClock;
use crate::{
    claude::Claude,
    engine::Shared,
    loaded::Origin,
    perform::{
        engine_step::{Performer, performer, refusal},
        environment::SecretSource,
        output::{self, SchemaMismatch},
        scope::{AttemptNumber, RunInputs, ScopeValues, within_budget},
    },
    reach::Guard,
};

mod agent;
mod attempt;

/// Shared by the owners of one driver; never changes while the run is driven.
pub(crate) struct RunContext {
    pub(crate) shared: Arc<Shared>,
    pub(crate) row: RunRow,
    pub(crate) plan: Arc<Plan>,
    pub(crate) event: Event,
    /// The event as runners receive it.
    pub(crate) event_json: String,
    pub(crate) inputs: RunInputs,
    pub(crate) origin: Origin,
    /// Path of the workflow file.
    pub(crate) source: String,
    /// Empty for a change from a fork.
    pub(crate) secrets: Arc<dyn SecretSource>,
    pub(crate) stop: Stop,
    pub(crate) mode: DriveMode,
    pub(crate) time: MonotonicClock,
}

/// Conditions under which a driver leaves its run before the end.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DriveMode {
    /// Leave the run as soon as it only waits for answers from outside.
    pub(crate) leave_when_waiting: bool,
    /// Commit the inputs of the run; the next driver performs their effects.
    pub(crate) commit_only: bool,
}

// === impl RunContext ===

impl RunContext {
    pub(crate) fn step(&self, step: &StepId) -> Option<&Step> {
        self.plan.step(step)
    }

    /// The settings of Claude steps; `None` without a key, except in a replay.
    pub(crate) fn claude(&self) -> Option<&Claude> {
        let claude = self.shared.options.claude.as_ref();
        claude.filter(|claude| claude.client.is_some() || self.origin.replay.is_some())
    }

    pub(crate) fn is_agent(&self, step: &StepId) -> bool {
        matches!(self.step(step).map(|step| &step.action), Some(Action::Llm(_)))
    }

    pub(crate) fn performer(&self, step: &StepId) -> Performer {
        let has_claude = self.claude().is_some();
        self.step(step).map_or(Performer::None, |step| performer(&step.action, has_claude))
    }

    /// Whether a step has no attempt row, because the engine performs it and the journal has it all.
    pub(crate) fn is_engine_step(&self, step: &StepId) -> bool {
        self.performer(step) != Performer::Runner
    }

    /// Whether the effect starts a task of this engine after its commit.
    pub(crate) fn is_engine_work(&self, effect: &Effect) -> bool {
        matches!(effect, Effect::Perform { step, .. } if self.performer(step) == Performer::Engine)
    }

    /// Whether the effect needs a runner.
    pub(crate) fn is_runner_work(&self, effect: &Effect) -> bool {
        matches!(effect, Effect::Perform { step, .. } if !self.is_engine_step(step))
    }

    /// The outcome of a step that this engine cannot perform.
    pub(crate) fn refusal(&self, step: &StepId) -> Option<Outcome> {
        let has_claude = self.claude().is_some();
        self.step(step).and_then(|step| refusal(&step.action, has_claude))
    }

    /// Whether the change that the run is about comes from a fork.
    pub(crate) fn is_from_fork(&self) -> bool {
        self.origin.is_from_fork(&self.event)
    }

    /// Addresses that requests of this run may reach. The operator's exceptions do not apply to runs of
    /// forks.
    pub(crate) fn guard(&self) -> Guard {
        if self.is_from_fork() { Guard::default() } else { self.shared.options.calls.clone() }
    }

    /// Whether the run is to be left to another engine, or to the next start, once no step of it runs.
    pub(crate) fn hands_over(&self) -> bool {
        let hand_over = self.shared.options.driving.hand_over;
        self.mode.commit_only || (hand_over && self.stop.phase() >= Phase::Draining)
    }

    pub(crate) fn is_aborting(&self) -> bool {
        self.stop.phase() >= Phase::Aborting
    }

    /// The `traceparent` of an attempt; `None` if the engine has no traces.
    pub(crate) fn traceparent(&self, step: &StepId, at: AttemptNumber) -> Option<String> {
        let traces = self.shared.options.traces.as_ref()?;
        let AttemptNumber { visit, number } = at;
        let attempt = AttemptId::new(format!("{}:{step}:{visit}:{number}", self.row.id));
        Some(traces.of_attempt(&self.row.id, &self.origin, &attempt).to_string())
    }

    /// Evaluates expressions of a step within the budget, in the scope of one attempt.
    ///
    /// # Errors
    /// A text for the author.
    pub(crate) fn evaluate<T>(
        &self,
        run: &Run,
        step: &StepId,
        at: AttemptNumber,
        evaluate: impl FnOnce(&Scope<'_>) -> Result<T, String>,
    ) -> Result<T, String> {
        within_budget(|meter| {
            let values = ScopeValues::of(run, Reader::Step(step));
            evaluate(&values.scope(&self.inputs, at, meter))
        })
    }

    /// The outcome of an attempt, refused if its output does not fit the schemas of its step and of the
    /// context key that the step writes.
    pub(crate) async fn checked_outcome(
        &self,
        run: &Run,
        attempt: &AttemptId,
        outcome: Outcome,
        output: &Json,
    ) -> Outcome {
        let step = run.attempt(attempt).and_then(|view| self.plan.step(&view.step));
        let (Outcome::Success, Some(step)) = (&outcome, step) else { return outcome };
        let mut checked = Ok(());
        if let Some(schema) = &step.options.outputs {
            checked = output::check(schema, output).await;
        }
        if let (Ok(()), Some(schema)) = (&checked, schema_of(&self.plan, step)) {
            checked = output::check_key(schema, output).await;
        }
        match checked {
            Ok(()) => outcome,
            Err(SchemaMismatch::Refused(message)) => Outcome::Refused { message },
            Err(SchemaMismatch::Interrupted(message)) => Outcome::Infra { message },
        }
    }
}
