//! What expressions of a run can see, from the state of its flow.

use plue_flow::{Run, StepView};
use plue_spec::{Scope, StepValues};
use serde_json::Value as Json;

/// What a run's expressions see beside its steps; fixed when the run is made.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    /// JSON of the event.
    pub(crate) event: Json,
    /// The inputs, an object.
    pub(crate) inputs: Json,
}

/// The steps of a run as expressions see them; owns what a [`Scope`] borrows.
pub(crate) struct Seen {
    steps: Vec<(StepView, Option<String>)>,
}

// === impl Seen ===

impl Seen {
    pub(crate) fn of(run: &Run) -> Self {
        let steps = run.step_views().map(|view| {
            let error = view.reason.as_ref().map(ToString::to_string);
            (view, error)
        });
        Self { steps: steps.collect() }
    }

    /// The scope for one attempt of one step.
    pub(crate) fn scope<'a>(
        &'a self,
        surroundings: &'a Surroundings,
        visit: u32,
        attempt: u32,
    ) -> Scope<'a> {
        let mut scope = Scope::new()
            .event(&surroundings.event)
            .inputs(&surroundings.inputs)
            .turn(visit, attempt);
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
