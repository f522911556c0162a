//! What expressions of a run can see, from the state of its flow.

use std::time::Duration;

use plue_flow::{Run, StepStatus, StepView, fact::Reason};
use plue_plan::{
    budget::{Budget, Meter},
    context::{Reader, VisibleKeys, visible},
};
use plue_runtime::foreign::{self, Limits};
use plue_spec::{Scope, StepValues, expression::MAX_COST};
use serde_json::Value as Json;

/// Units of work of all expressions that are evaluated in one go: those of one step, or of the run.
const MAX_TOGETHER: u64 = 8 * MAX_COST;
const EXPRESSIONS: Limits = Limits {
    name: "evaluating expressions",
    budget: Budget::of_steps(MAX_TOGETHER),
    cpu: Duration::from_secs(2),
    wall: Duration::from_secs(60),
};

/// Evaluates expressions within the budget, off the async workers. The scope of each is to be
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

/// What a run's expressions see beside its steps; fixed when the run is made.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    /// JSON of the event.
    pub(crate) event: Json,
    /// The inputs, an object.
    pub(crate) inputs: Json,
}

/// The steps and context keys of a run as the expressions of one reader see them; owns what a [`Scope`]
/// borrows.
pub(crate) struct Seen<'r> {
    steps: Vec<(StepView, Option<String>)>,
    keys: VisibleKeys<'r>,
}

// === impl Seen ===

impl<'r> Seen<'r> {
    pub(crate) fn of(run: &'r Run, reader: Reader<'_>) -> Self {
        let steps = run.step_views().map(|mut view| {
            // It succeeded in the run that its output is from.
            if let Some(Reason::Carried { .. }) = view.reason {
                (view.status, view.reason) = (StepStatus::Success, None);
            }
            let error = view.reason.as_ref().map(ToString::to_string);
            (view, error)
        });
        Self { steps: steps.collect(), keys: visible(run.plan(), reader) }
    }

    /// The scope for one attempt of one step.
    pub(crate) fn scope<'a>(
        &'a self,
        surroundings: &'a Surroundings,
        (visit, attempt): (u32, u32),
        meter: &'a Meter,
    ) -> Scope<'a> {
        let mut scope = Scope::new()
            .metered(meter)
            .event(&surroundings.event)
            .inputs(&surroundings.inputs)
            .turn(visit, attempt)
            .context(&self.keys);
        for (view, error) in &self.steps {
            let values = StepValues {
                status: view.status.as_str(),
                output: &view.output,
                error: error.as_deref(),
                visit: view.visit,
                attempts: view.attempts,
            };
            scope.add_step(view.step.as_str(), values);
        }
        scope
    }
}
