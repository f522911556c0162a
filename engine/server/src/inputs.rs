//! Inputs of a run by hand, checked against what its plan declares: types, choices, defaults, what is
//! required and what nobody knows.
//!
//! Pure. Must not guess: what does not fit is a problem with the name of the input.

use std::collections::BTreeMap;

use plue_plan::{
    Code, Diagnostic, Plan, Trigger,
    plan::{Input, InputType},
    validate::did_you_mean,
};
use serde_json::{Map, Value as Json};

/// An input does not fit; the page is the command line's, which says the same.
const INPUT: Code = Code::new("PLUE-C0006");

/// The inputs in the types that the plan declares, defaults filled in; or all that is wrong.
///
/// # Errors
/// Each input that does not fit, is missing, or is not declared.
pub fn typed(plan: &Plan, given: &Map<String, Json>) -> Result<Map<String, Json>, Vec<Diagnostic>> {
    let declared = declared(plan);
    let (mut values, mut problems) = (Map::new(), Vec::new());
    for (name, value) in given {
        match declared.get(name.as_str()).map(|input| of_type(name, input, value)) {
            None => problems.push(unknown(name, &declared)),
            Some(Ok(value)) => drop(values.insert(name.clone(), value)),
            Some(Err(problem)) => problems.push(problem),
        }
    }
    for (name, input) in declared.iter().filter(|(name, _)| !given.contains_key(**name)) {
        if let Some(default) = &input.default {
            values.insert((*name).to_owned(), default.clone());
        } else if input.required {
            problems.push(problem(format!("the input `{name}` is required")));
        }
    }
    if problems.is_empty() { Ok(values) } else { Err(problems) }
}

/// Inputs of the plan, and those that its manual triggers ask for beside them.
fn declared(plan: &Plan) -> BTreeMap<&str, &Input> {
    let manual = plan.triggers.iter().filter_map(|trigger| match trigger {
        Trigger::Manual { inputs } => Some(inputs),
        Trigger::Push { .. }
        | Trigger::PullRequest { .. }
        | Trigger::Issue { .. }
        | Trigger::IssueComment { .. }
        | Trigger::Schedule { .. }
        | Trigger::Webhook { .. }
        | Trigger::Event { .. }
        | Trigger::Workflow { .. } => None,
    });
    let all = manual.chain([&plan.inputs]).flatten();
    all.map(|(name, input)| (name.as_str(), input)).collect()
}

/// A text stands for a value of another type if it is one as JSON, as on the command line; a number or
/// a truth value stands for its text.
fn of_type(name: &str, input: &Input, given: &Json) -> Result<Json, Diagnostic> {
    let value = match (input.kind, given) {
        (InputType::String, Json::Number(_) | Json::Bool(_)) => Json::String(given.to_string()),
        (InputType::String, _) => given.clone(),
        (_, Json::String(text)) => serde_json::from_str(text).unwrap_or_else(|_| given.clone()),
        (_, _) => given.clone(),
    };
    let fits = match input.kind {
        InputType::String => value.is_string(),
        InputType::Integer => value.is_i64() || value.is_u64(),
        InputType::Number => value.is_number(),
        InputType::Boolean => value.is_boolean(),
        InputType::List => value.is_array(),
        InputType::Object => value.is_object(),
    };
    let shown: String = given.to_string().chars().take(80).collect();
    if !fits {
        let kind = word(input.kind);
        return Err(problem(format!("the input `{name}` is {shown}, expected a {kind}")));
    }
    if input.choices.is_empty() || input.choices.contains(&value) {
        return Ok(value);
    }
    let choices: Vec<_> = input.choices.iter().map(Json::to_string).collect();
    Err(problem(format!("the input `{name}` is {shown}, which is none of its choices"))
        .hint(format!("one of {}", choices.join(", "))))
}

fn unknown(name: &str, declared: &BTreeMap<&str, &Input>) -> Diagnostic {
    let shown: String = name.chars().take(80).collect();
    let problem = problem(format!("the plan has no input `{shown}`"));
    if let Some(near) = did_you_mean(name, declared.keys().copied()) {
        return problem.hint(format!("did you mean `{near}`?"));
    }
    let names: Vec<&str> = declared.keys().copied().collect();
    problem.hint(match names.as_slice() {
        [] => "it declares no inputs".to_owned(),
        names => format!("its inputs are {}", names.join(", ")),
    })
}

fn problem(message: String) -> Diagnostic {
    Diagnostic::error(INPUT, message)
}

fn word(kind: InputType) -> &'static str {
    match kind {
        InputType::String => "text",
        InputType::Integer => "whole number",
        InputType::Number => "number",
        InputType::Boolean => "truth value",
        InputType::List => "list",
        InputType::Object => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(declared: &Json, given: &Json) -> Result<Json, Vec<String>> {
        let mut plan = Plan::new("p", Vec::new());
        plan.inputs = serde_json::from_value(declared.clone()).unwrap();
        let read = typed(&plan, given.as_object().unwrap()).map(Json::Object);
        read.map_err(|problems| problems.into_iter().map(|problem| problem.message).collect())
    }

    #[test]
    fn values_take_the_type_that_the_plan_declares_and_defaults_are_filled_in() {
        let declared = json!({
            "version": {}, "n": {"type": "integer"}, "on": {"type": "boolean"},
            "list": {"type": "list"}, "env": {"default": "dev", "choices": ["dev", "prod"]},
        });
        let given = json!({"version": 3, "n": "3", "on": true, "list": "[1]"});
        let wanted = json!({"version": "3", "n": 3, "on": true, "list": [1], "env": "dev"});
        assert_eq!(read(&declared, &given), Ok(wanted));
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let declared = json!({
            "n": {"type": "integer"}, "env": {"choices": ["dev"]}, "must": {"required": true},
            "text": {},
        });
        let given = json!({"n": 3.5, "env": "prod", "mst": 1, "text": {}});
        let mut problems = read(&declared, &given).unwrap_err();
        problems.sort();
        assert_eq!(
            problems,
            [
                "the input `env` is \"prod\", which is none of its choices",
                "the input `must` is required",
                "the input `n` is 3.5, expected a whole number",
                "the input `text` is {}, expected a text",
                "the plan has no input `mst`",
            ]
        );
    }
}
