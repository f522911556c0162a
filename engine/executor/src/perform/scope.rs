//! The scope of a run's expressions, from the state of its flow.

use std::{borrow::Cow, time::Duration};

use plue_flow::{Run, StepStatus, fact::Reason};
use plue_plan::{
    budget::{Budget, Meter},
    context::{Reader, VisibleKeys, visible},
};
use plue_runtime::foreign::{self, Limits};
use plue_spec::{Scope, StepSource, StepValues, expression::MAX_COST};
use serde_json::Value as Json;

/// Units of work of expressions that are evaluated together: those of one step, or of the run.
const MAX_TOGETHER: u64 = 8 * MAX_COST;
const EXPRESSIONS: Limits = Limits {
    name: "evaluating expressions",
    budget: Budget::of_steps(MAX_TOGETHER),
    cpu: Duration::from_secs(2),
    wall: Duration::from_secs(60),
};

/// Evaluates expressions within the budget, off the async workers. Each scope must be
/// [`Scope::metered`].
///
/// # Errors
/// A text for the author.
pub(crate) fn within_budget<T>(
    evaluate: impl FnOnce(&Meter) -> Result<T, String>,
) -> Result<T, String> {
    let evaluated = foreign::here_aside(EXPRESSIONS, |meter| Ok(evaluate(meter)));
    evaluated.unwrap_or_else(|stopped| Err(stopped.to_string()))
}

/// Event and inputs of a run, as its expressions see them; fixed at submission.
#[derive(Debug, Clone)]
pub(crate) struct RunInputs {
    /// The event as an object.
    pub(crate) event: Json,
    /// Typed inputs as an object, with defaults applied.
    pub(crate) inputs: Json,
}

/// One attempt of a step: the visit of its step, and the number of the attempt in that visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AttemptNumber {
    pub(crate) visit: u32,
    pub(crate) number: u32,
}

/// The steps and context keys that one reader may see; a [`Scope`] borrows from it.
#[derive(Debug)]
pub(crate) struct ScopeValues<'r> {
    run: &'r Run,
    keys: VisibleKeys<'r>,
}

// === impl AttemptNumber ===

impl AttemptNumber {
    pub(crate) const FIRST: Self = Self { visit: 1, number: 1 };
}

// === impl ScopeValues ===

impl<'r> ScopeValues<'r> {
    pub(crate) fn of(run: &'r Run, reader: Reader<'_>) -> Self {
        Self { run, keys: visible(run.plan(), reader) }
    }

    /// The scope for one attempt of one step.
    pub(crate) fn scope<'a>(
        &'a self,
        inputs: &'a RunInputs,
        at: AttemptNumber,
        meter: &'a Meter,
    ) -> Scope<'a> {
        Scope::new()
            .metered(meter)
            .event(&inputs.event)
            .inputs(&inputs.inputs)
            .turn(at.visit, at.number)
            .context(&self.keys)
            .steps_from(self)
    }
}

impl StepSource for ScopeValues<'_> {
    fn step(&self, id: &str) -> Option<(&str, StepValues<'_>)> {
        let view = self.run.step_values(id)?;
        // A carried step succeeded in the run that its output is from.
        let (status, reason) = match view.reason {
            Some(Reason::Carried { .. }) => (StepStatus::Success, None),
            reason => (view.status, reason),
        };
        let values = StepValues {
            status: status.as_str(),
            output: view.output,
            error: reason.map(|reason| Cow::Owned(reason.to_string())),
            visit: view.visit,
            attempts: view.attempts,
        };
        Some((view.step.as_str(), values))
    }

    fn ids(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.run.plan().all_steps().map(|step| step.id.as_str()))
    }
}
