//! Input `Condition`: the value of a step's `when`.

use plue_plan::StepId;
use serde_json::Value as Json;

use super::{Run, state::Stage};
use crate::{error::Rejected, fact::Fact};

pub(in crate::run) fn admit_condition(
    run: &Run,
    step: StepId,
    visit: u32,
    value: Result<bool, String>,
    reads: Vec<(String, Json)>,
) -> Result<Fact, Rejected> {
    run.live()?;
    let Some(at) = run.shape.find(&step) else {
        return Err(Rejected::UnknownStep { step });
    };
    let state = &run.work.steps[at];
    if state.stage != Stage::Condition || state.visits.current != visit {
        let what = format!("the condition of {step}, visit {visit},");
        return Err(Rejected::Stale { what });
    }
    Ok(Fact::ConditionEvaluated { step, visit, value, reads })
}
