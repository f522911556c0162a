//! Inputs of the command line: `key=value` texts, checked against what the plan declares.

use std::collections::BTreeMap;

use plue_plan::{
    Diagnostic, Plan, Trigger,
    plan::{Input, InputType},
    validate::did_you_mean,
};
use serde_json::{Map, Value as Json};

use crate::failure::{Failure, codes};

/// One input as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given {
    name: String,
    text: String,
}

/// What a required input without a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Left out.
    Allowed,
    /// A problem.
    Refused,
}

/// Splits `key=value`; the first `=` counts.
pub(super) fn parse(pairs: &[String]) -> Result<Vec<Given>, Failure> {
    let mut given: Vec<Given> = Vec::with_capacity(pairs.len());
    for pair in pairs {
        let Some((name, text)) = pair.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(Failure::usage(format!("--input {pair}: expected KEY=VALUE")));
        };
        if given.iter().any(|other| other.name == name) {
            return Err(Failure::usage(format!("--input {name} is given twice")));
        }
        given.push(Given { name: name.to_owned(), text: text.to_owned() });
    }
    Ok(given)
}

/// The inputs before anybody said what type they have: JSON if they are, else text.
pub(super) fn raw(given: &[Given]) -> Map<String, Json> {
    given.iter().map(|one| (one.name.clone(), one.json())).collect()
}

/// The inputs in the types that the plan declares, defaults filled in; or all that is wrong.
pub(super) fn typed(
    given: &[Given],
    plan: &Plan,
    missing: Missing,
) -> Result<BTreeMap<String, Json>, Vec<Diagnostic>> {
    let declared = declared(plan);
    let (mut values, mut problems) = (BTreeMap::new(), Vec::new());
    for one in given {
        match declared.get(one.name.as_str()) {
            None => problems.push(unknown(&one.name, &declared)),
            Some(input) => match one.of_type(input) {
                Ok(value) => drop(values.insert(one.name.clone(), value)),
                Err(problem) => problems.push(problem),
            },
        }
    }
    for (name, input) in declared {
        if given.iter().any(|one| one.name == name) {
            continue;
        }
        if let Some(default) = &input.default {
            values.insert(name.to_owned(), default.clone());
        } else if input.required && missing == Missing::Refused {
            let about =
                input.description.as_ref().map_or(String::new(), |text| format!(" ({text})"));
            problems.push(
                problem(format!("the input `{name}`{about} is required"))
                    .hint(format!("give it: --input {name}=<{}>", word(input.kind))),
            );
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

fn unknown(name: &str, declared: &BTreeMap<&str, &Input>) -> Diagnostic {
    let problem = problem(format!("the plan has no input `{name}`"));
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
    Diagnostic::error(codes::INPUT, message)
}

fn word(kind: InputType) -> &'static str {
    match kind {
        InputType::String => "text",
        InputType::Integer => "whole number",
        InputType::Number => "number",
        InputType::Boolean => "true or false",
        InputType::List => "JSON list",
        InputType::Object => "JSON object",
    }
}

// === impl Given ===

impl Given {
    fn json(&self) -> Json {
        serde_json::from_str(&self.text).unwrap_or_else(|_| Json::from(self.text.as_str()))
    }

    fn of_type(&self, input: &Input) -> Result<Json, Diagnostic> {
        let Self { name, text } = self;
        let json = self.json();
        let fits = match input.kind {
            InputType::String => true,
            InputType::Integer => json.is_i64() || json.is_u64(),
            InputType::Number => json.is_number(),
            InputType::Boolean => json.is_boolean(),
            InputType::List => json.is_array(),
            InputType::Object => json.is_object(),
        };
        if !fits {
            let kind = word(input.kind);
            return Err(problem(format!("the input `{name}` is {text:?}, expected a {kind}")));
        }
        // `1.10` and `true` are texts when a text is wanted; a quoted one loses its quotes.
        let value = match (input.kind, json) {
            (InputType::String, Json::String(text)) => Json::String(text),
            (InputType::String, _) => Json::from(text.as_str()),
            (_, json) => json,
        };
        if input.choices.is_empty() || input.choices.contains(&value) {
            return Ok(value);
        }
        let choices: Vec<_> = input.choices.iter().map(Json::to_string).collect();
        Err(problem(format!("the input `{name}` is {text:?}, which is none of its choices"))
            .hint(format!("one of {}", choices.join(", "))))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan(inputs: &Json) -> Plan {
        let mut plan = Plan::new("p", Vec::new());
        plan.inputs = serde_json::from_value(inputs.clone()).unwrap();
        plan
    }

    fn given(pairs: &[&str]) -> Vec<Given> {
        parse(&pairs.iter().map(|pair| (*pair).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn values_take_the_type_that_the_plan_declares() {
        let plan = plan(&json!({
            "version": {}, "n": { "type": "integer" }, "on": { "type": "boolean" },
            "list": { "type": "list" }, "env": { "default": "dev", "choices": ["dev", "prod"] },
        }));
        let given = given(&["version=1.10", "n=3", "on=true", "list=[1]"]);
        let values = typed(&given, &plan, Missing::Refused).unwrap();
        assert_eq!(
            serde_json::to_value(values).unwrap(),
            json!({ "version": "1.10", "n": 3, "on": true, "list": [1], "env": "dev" })
        );
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let plan = plan(&json!({
            "n": { "type": "integer" }, "env": { "choices": ["dev"] }, "must": { "required": true },
        }));
        let given = given(&["n=3.5", "env=prod", "mst=1"]);
        let problems = typed(&given, &plan, Missing::Refused).unwrap_err();
        let messages: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                "the input `n` is \"3.5\", expected a whole number",
                "the input `env` is \"prod\", which is none of its choices",
                "the plan has no input `mst`",
                "the input `must` is required",
            ]
        );
        assert_eq!(problems[2].hint.as_deref(), Some("did you mean `must`?"));
        assert!(typed(&[], &plan, Missing::Allowed).unwrap().is_empty());
    }

    #[test]
    fn a_pair_without_a_key_or_given_twice_is_refused() {
        for pairs in [vec!["a"], vec!["=1"], vec!["a=1", "a=2"]] {
            let pairs: Vec<_> = pairs.into_iter().map(str::to_owned).collect();
            assert!(parse(&pairs).is_err(), "{pairs:?}");
        }
    }
}
