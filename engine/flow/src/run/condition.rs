//! Input `Condition`: the value of a step's `when`.

use plue_plan::StepId;
use serde_json::Value as Json;

use super::{Run, state::Hold};
use crate::{error::Rejected, fact::Fact};

impl Run {
    pub(super) fn admit_condition(
        &self,
        step: StepId,
        visit: u32,
        value: Result<bool, String>,
        reads: Vec<(String, Json)>,
    ) -> Result<Fact, Rejected> {
        self.live()?;
        let Some(at) = self.shape.find(&step) else {
            return Err(Rejected::UnknownStep { step });
        };
        let state = &self.held.steps[at];
        if state.hold != Hold::Condition || state.visit != visit {
            let what = format!("the condition of {step}, visit {visit},");
            return Err(Rejected::Stale { what });
        }
        Ok(Fact::ConditionEvaluated { step, visit, value, reads })
    }
}
