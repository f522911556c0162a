//! The inputs of a run against the declarations of its plan, given as texts (`--input`) or as
//! values (the API).
//!
//! Must not guess: a value is of the declared type, or it is refused.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::{
    diagnostic::{Code, Diagnostic},
    plan::{Input, InputType, Plan},
    trigger::Trigger,
    validate::{did_you_mean, fits},
};

/// An input does not fit.
pub const INPUT: Code = Code::new("PLUE-C0006");

/// Characters of a value that a message shows.
const MAX_SHOWN: usize = 80;

/// One input as it was given.
#[derive(Debug, Clone, PartialEq)]
pub enum Given {
    /// Text from a command line: JSON, except for inputs that are texts.
    Text(String),
    /// A value. A text stands for a value of another type if it is one as JSON; a number or a truth
    /// value stands for its text.
    Value(Json),
}

/// Treatment of a required input without a value.
#[derive(Debug, Clone, Copy)]
pub enum Missing {
    /// The input is left out.
    Allowed,
    /// A problem, with a hint made of the input's name and the kind of value that it takes.
    Refused(fn(&str, &str) -> String),
}

/// The inputs in the types that the plan declares, defaults filled in.
///
/// # Errors
/// All that is wrong, each with [`INPUT`].
pub fn typed(
    given: &[(String, Given)],
    plan: &Plan,
    missing: Missing,
) -> Result<BTreeMap<String, Json>, Vec<Diagnostic>> {
    let declared = declared(plan);
    let (mut values, mut problems) = (BTreeMap::new(), Vec::new());
    for (name, value) in given {
        match declared.get(name.as_str()) {
            None => problems.push(unknown(name, &declared)),
            Some(input) => match value.of_type(name, input) {
                Ok(value) => drop(values.insert(name.clone(), value)),
                Err(problem) => problems.push(problem),
            },
        }
    }
    for (name, input) in declared {
        if given.iter().any(|(given, _)| given == name) {
            continue;
        }
        if let Some(default) = &input.default {
            values.insert(name.to_owned(), default.clone());
        } else if let (true, Missing::Refused(hint)) = (input.required, missing) {
            let about =
                input.description.as_ref().map_or(String::new(), |text| format!(" ({text})"));
            problems.push(
                problem(format!("the input `{name}`{about} is required"))
                    .hint(hint(name, word(input.kind))),
            );
        }
    }
    if problems.is_empty() { Ok(values) } else { Err(problems) }
}

/// Inputs of the plan, and those of its manual triggers.
pub(crate) fn declared(plan: &Plan) -> BTreeMap<&str, &Input> {
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
    Diagnostic::error(INPUT, message)
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
    /// The value without a declared type: JSON if the text parses, else the text.
    #[must_use]
    pub fn json(&self) -> Json {
        match self {
            Self::Text(text) => {
                serde_json::from_str(text).unwrap_or_else(|_| Json::from(text.as_str()))
            }
            Self::Value(value) => value.clone(),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Text(text) => format!("{text:?}"),
            Self::Value(value) => {
                let text = value.to_string();
                if text.chars().count() <= MAX_SHOWN {
                    return text;
                }
                text.chars().take(MAX_SHOWN).chain(['…']).collect()
            }
        }
    }

    /// `1.10` and `true` are texts when a text is wanted; a quoted one that was typed loses its quotes.
    fn read_as(&self, kind: InputType) -> Json {
        match (kind, self) {
            (InputType::String, Self::Text(text)) => match self.json() {
                Json::String(text) => Json::String(text),
                _ => Json::from(text.as_str()),
            },
            (InputType::String, Self::Value(value @ (Json::Number(_) | Json::Bool(_)))) => {
                Json::String(value.to_string())
            }
            (InputType::String, Self::Value(value)) => value.clone(),
            (_, Self::Value(Json::String(text))) => {
                serde_json::from_str(text).unwrap_or_else(|_| Json::from(text.as_str()))
            }
            (_, _) => self.json(),
        }
    }

    fn of_type(&self, name: &str, input: &Input) -> Result<Json, Diagnostic> {
        let value = self.read_as(input.kind);
        let shown = self.shown();
        if !fits(input.kind, &value) {
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

    fn texts(pairs: &[(&str, &str)]) -> Vec<(String, Given)> {
        let given = |text: &str| Given::Text(text.to_owned());
        pairs.iter().map(|(name, text)| ((*name).to_owned(), given(text))).collect()
    }

    fn hint(name: &str, kind: &str) -> String {
        format!("{name}: {kind}")
    }

    #[test]
    fn texts_take_the_type_that_the_plan_declares() {
        let plan = plan(&json!({
            "version": {}, "n": { "type": "integer" }, "on": { "type": "boolean" },
            "list": { "type": "list" }, "env": { "default": "dev", "choices": ["dev", "prod"] },
        }));
        let given = texts(&[("version", "1.10"), ("n", "3"), ("on", "true"), ("list", "[1]")]);
        let values = typed(&given, &plan, Missing::Refused(hint)).unwrap();
        assert_eq!(
            serde_json::to_value(values).unwrap(),
            json!({ "version": "1.10", "n": 3, "on": true, "list": [1], "env": "dev" })
        );
    }

    #[test]
    fn values_parse_as_their_type() {
        let plan = plan(&json!({
            "t": {}, "n": { "type": "integer" }, "x": { "type": "number" }, "l": { "type": "list" },
        }));
        let of = |value: Json| {
            let given = value.as_object().unwrap().clone();
            given.into_iter().map(|(name, value)| (name, Given::Value(value))).collect::<Vec<_>>()
        };
        let good = of(json!({ "t": 1.5, "n": "1", "x": 1.5, "l": "[1]" }));
        let values = typed(&good, &plan, Missing::Allowed).unwrap();
        let expected = json!({ "t": "1.5", "n": 1, "x": 1.5, "l": [1] });
        assert_eq!(serde_json::to_value(values).unwrap(), expected);
        let wrong = of(json!({ "t": {}, "n": "1.5", "x": null, "l": "a" }));
        let problems = typed(&wrong, &plan, Missing::Allowed).unwrap_err();
        let mut messages: Vec<_> =
            problems.iter().map(|problem| problem.message.as_str()).collect();
        // As they were given, which a map of JSON need not keep.
        messages.sort_unstable();
        let expected = [
            "the input `l` is \"a\", expected a JSON list",
            "the input `n` is \"1.5\", expected a whole number",
            "the input `t` is {}, expected a text",
            "the input `x` is null, expected a number",
        ];
        assert_eq!(messages, expected);
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let plan = plan(&json!({
            "n": { "type": "integer" }, "env": { "choices": ["dev"] }, "must": { "required": true },
        }));
        let given = texts(&[("n", "3.5"), ("env", "prod"), ("mst", "1")]);
        let problems = typed(&given, &plan, Missing::Refused(hint)).unwrap_err();
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
        assert_eq!(problems[3].hint.as_deref(), Some("must: text"));
        assert!(typed(&[], &plan, Missing::Allowed).unwrap().is_empty());
    }
}
