//! The `when` of an `on_event`: an expression over the event and nothing else.

use plue_plan::{Event, budget::Meter};
use plue_spec::{Expression, Reads, Scope};

use crate::why_not::WhyNot;

/// Whether the condition holds. One that cannot be evaluated lets nothing through.
pub(crate) fn holds(when: &str, event: &Event, meter: &Meter) -> Result<(), WhyNot> {
    let failed = |problem: String| WhyNot::ConditionFailed { when: when.to_owned(), problem };
    let event = serde_json::to_value(event).map_err(|error| failed(error.to_string()))?;
    let expression = Expression::parse(when).map_err(|error| failed(error.to_string()))?;
    let scope = Scope::new().event(&event).metered(meter);
    match expression.truth(&scope, &mut Reads::default()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(WhyNot::Condition { when: when.to_owned() }),
        Err(error) => Err(failed(error.to_string())),
    }
}
