//! The effect "evaluate a condition": pure, so the result is committed in the same transaction.

use plue_flow::{Input, Run};
use plue_plan::{StepId, context::Reader};
use plue_spec::{Expression, Reads};

use super::scope::{AttemptNumber, RunInputs, ScopeValues, within_budget};

/// Evaluates the `when` of a step.
pub(crate) fn evaluate(run: &Run, inputs: &RunInputs, step: &StepId, visit: u32) -> Input {
    let mut reads = Reads::default();
    let source = run.plan().step(step).and_then(|step| step.options.when.as_deref());
    let value = source.map_or(Ok(true), |source| {
        within_budget(|meter| {
            let values = ScopeValues::of(run, Reader::Step(step));
            let scope = values.scope(inputs, AttemptNumber { visit, number: 1 }, meter);
            let expression = Expression::parse(source).map_err(|error| error.to_string())?;
            expression.truth(&scope, &mut reads).map_err(|error| error.to_string())
        })
    });
    let reads = reads.values.into_iter().map(|read| (read.path, read.value)).collect();
    Input::Condition { step: step.clone(), visit, value, reads }
}
