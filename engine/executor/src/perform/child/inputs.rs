//! The inputs of a child run against what its plan declares.

use std::collections::BTreeMap;

use plue_plan::{plan::Input, validate::fits};
use serde_json::{Map, Value as Json};

/// The inputs of a run: given values of the declared types, defaults filled in.
///
/// # Errors
/// All problems in one text.
pub(crate) fn typed(
    declared: &BTreeMap<String, Input>,
    given: BTreeMap<String, Json>,
) -> Result<Map<String, Json>, String> {
    let mut problems = Vec::new();
    let mut inputs = Map::new();
    for (name, value) in given {
        match declared.get(&name) {
            None => problems.push(format!("the plan declares no input `{name}`")),
            Some(input) => {
                problems.extend(problem(&name, input, &value));
                inputs.insert(name, value);
            }
        }
    }
    for (name, input) in declared {
        if inputs.contains_key(name) {
            continue;
        }
        match &input.default {
            Some(default) => drop(inputs.insert(name.clone(), default.clone())),
            None if input.required => problems.push(format!("the input `{name}` is required")),
            None => {}
        }
    }
    if problems.is_empty() { Ok(inputs) } else { Err(problems.join("; ")) }
}

fn problem(name: &str, input: &Input, value: &Json) -> Option<String> {
    if !fits(input.kind, value) {
        let kind = serde_json::to_value(input.kind).unwrap_or_default();
        let kind = kind.as_str().unwrap_or_default().to_owned();
        return Some(format!("the input `{name}` is no {kind}"));
    }
    let listed = input.choices.is_empty() || input.choices.contains(value);
    (!listed).then(|| format!("the input `{name}` is none of its choices"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn declared() -> BTreeMap<String, Input> {
        serde_json::from_value(json!({
            "n": {"type": "integer", "required": true},
            "env": {"default": "dev", "choices": ["dev", "prod"]},
            "flag": {"type": "boolean"},
        }))
        .unwrap()
    }

    fn given(value: Json) -> BTreeMap<String, Json> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn missing_inputs_get_their_defaults() {
        let inputs = typed(&declared(), given(json!({"n": 3}))).unwrap();
        assert_eq!(Json::Object(inputs), json!({"n": 3, "env": "dev"}));
    }

    #[test]
    fn all_problems_are_reported_together() {
        let refused =
            typed(&declared(), given(json!({"env": "x", "flag": 1, "z": 1}))).unwrap_err();
        for part in ["`z`", "`flag` is no boolean", "none of its choices", "`n` is required"] {
            assert!(refused.contains(part), "{refused}");
        }
    }
}
