//! Names of steps that contain expressions, evaluated when an attempt starts.
//!
//! A name never fails its step: without a value it is displayed as written.

use plue_flow::{Run, fact::NameValue};
use plue_plan::{Step, Value, context::Reader};
use plue_runtime::mask::Secrets;
use plue_spec::{Reads, Scope, resolve_text};

use super::{
    environment::SecretSource,
    scope::{AttemptNumber, RunInputs, ScopeValues, within_budget},
};

/// Characters of a name's value.
const MAX_NAME: usize = 200;
/// Characters of the reason why a name has no value.
const MAX_REASON: usize = 1_000;

/// The name of a step, unless it is constant.
fn template(step: &Step) -> Option<&Value> {
    step.options.name.as_ref().filter(|name| !name.is_constant())
}

/// The stored name of a step in one of its attempts, evaluated within the budget; `None`: it is constant.
pub(crate) fn evaluate(
    step: &Step,
    run: &Run,
    inputs: &RunInputs,
    at: AttemptNumber,
    secrets: &dyn SecretSource,
) -> Option<NameValue> {
    let template = template(step)?;
    let value = within_budget(|meter| {
        let values = ScopeValues::of(run, Reader::Step(&step.id));
        value(template, &values.scope(inputs, at, meter))
    });
    Some(shown(value, secrets))
}

/// The evaluated text of a name.
///
/// # Errors
/// A text for the author: an expression has no value, or the name is empty.
fn value(name: &Value, scope: &Scope<'_>) -> Result<String, String> {
    let text =
        resolve_text(name, scope, &mut Reads::default()).map_err(|error| error.to_string())?;
    if text.trim().is_empty() { Err("it is empty".to_owned()) } else { Ok(text) }
}

/// The stored form of a value: masked, one line, bounded. Masked first: a cut secret would not be found.
fn shown(value: Result<String, String>, secrets: &dyn SecretSource) -> NameValue {
    let all = secrets.all();
    let masks = Secrets::new(all.iter().map(Vec::as_slice));
    let line = |text: String, most| plue_plan::shown::one_line(&masks.text(&text), most);
    value.map(|text| line(text, MAX_NAME)).map_err(|why| line(why, MAX_REASON))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::perform::environment::GivenSecrets;

    fn named(name: Value, inputs: &serde_json::Value) -> NameValue {
        let secrets = GivenSecrets([("T".to_owned(), b"hunter22".to_vec())].into());
        shown(value(&name, &Scope::new().inputs(inputs)), &secrets)
    }

    #[test]
    fn names_become_one_masked_line() {
        let long = "x".repeat(300);
        let inputs = json!({"tag": "1.2", "bad": "a\nb\u{1b}[31m\u{202e}c", "key": "hunter22", "long": long});
        let cut = format!("{}…", "x".repeat(199));
        for (name, expected) in [
            (Value::template("Release ${inputs.tag}"), "Release 1.2"),
            (Value::expr("inputs.tag"), "1.2"),
            (Value::template("${inputs.bad}"), "a b [31m c"),
            (Value::template("with ${inputs.key}"), "with ***"),
            (Value::expr("inputs.long"), &cut),
        ] {
            assert_eq!(named(name, &inputs), Ok(expected.to_owned()));
        }
        // The cut leaves no part of a secret.
        let text = format!("{}${{inputs.key}}", "x".repeat(196));
        assert_eq!(named(Value::template(text), &inputs), Ok(format!("{}***", "x".repeat(196))));
    }

    #[test]
    fn names_without_a_value_have_a_reason() {
        let why = named(Value::template("v${inputs.tag.major}"), &json!({"tag": "1"}));
        assert!(why.unwrap_err().contains("major"));
        let empty = named(Value::template("${inputs.tag}"), &json!({"tag": " "}));
        assert_eq!(empty, Err("it is empty".to_owned()));
    }
}
