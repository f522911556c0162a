//! The effect "evaluate the plan's outputs": pure, so the result is committed in the same transaction.

use plue_flow::Run;
use plue_plan::{budget::Meter, context::Reader, limits::MAX_OUTPUT_BYTES};
use plue_spec::{Reads, resolve};
use serde_json::{Map, Value as Json};

use super::scope::{AttemptNumber, RunInputs, ScopeValues, within_budget};

/// Evaluates the `outputs` of the plan.
///
/// # Errors
/// A text for the author: the output that has no value, names a secret or is too large.
pub(crate) fn evaluate(run: &Run, inputs: &RunInputs) -> Result<Json, String> {
    within_budget(|meter| evaluate_within(meter, run, inputs))
}

fn evaluate_within(meter: &Meter, run: &Run, inputs: &RunInputs) -> Result<Json, String> {
    let visible = ScopeValues::of(run, Reader::After);
    let scope = visible.scope(inputs, AttemptNumber::FIRST, meter);
    let mut values = Map::new();
    for (name, value) in &run.plan().outputs {
        let resolved = resolve(value, &scope, &mut Reads::default())
            .map_err(|error| format!("output `{name}`: {error}"))?;
        if let Some(secret) = resolved.secrets.first() {
            return Err(format!("output `{name}` names the secret `{}`", secret.name));
        }
        values.insert(name.clone(), resolved.value);
    }
    let values = Json::Object(values);
    let size = values.to_string().len();
    if size > MAX_OUTPUT_BYTES {
        return Err(format!("the outputs have {size} bytes, more than {MAX_OUTPUT_BYTES}"));
    }
    Ok(values)
}
