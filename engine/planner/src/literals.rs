//! Texts of Python workflows that look like references, `${steps.…}`, in fields that are not
//! evaluated. Workflows in YAML have their own warnings.

use plue_plan::{Diagnostic, Plan, Span, validate::SourceMap};
use serde_json::Value as Json;

use crate::codes;

/// Prefixes that an expression of a plan begins with.
const ROOTS: [&str; 7] =
    ["steps.", "steps[", "inputs.", "event.", "secrets.", "outputs.", "context."];
/// Warnings for one plan at most.
const MAX_WARNINGS: usize = 100;
/// Keys below which a text is evaluated, or is a schema.
const EVALUATED: [&str; 7] =
    ["$expr", "$template", "$secret", "when", "fields", "output", "subject"];

/// A warning for each text with something that only looks like an expression.
pub(crate) fn unevaluated(plan: &Plan, places: &SourceMap) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let Ok(Json::Object(mut whole)) = serde_json::to_value(plan) else { return found };
    for inner in ["steps", "hooks", "triggers", "inputs", "context"] {
        whole.remove(inner);
    }
    let of_plan = Looked { what: "the plan", span: places.plan.as_ref() };
    of_plan.fields(&Json::Object(whole), &mut found);
    for step in plan.all_steps() {
        let spans = places.steps.get(step.id.as_str());
        let span = spans.and_then(|spans| spans.first()).or(places.plan.as_ref());
        let what = format!("step `{}`", step.id);
        if let Ok(json) = serde_json::to_value(step) {
            Looked { what: &what, span }.fields(&json, &mut found);
        }
    }
    found.truncate(MAX_WARNINGS);
    found
}

/// A part of the plan.
struct Looked<'a> {
    what: &'a str,
    span: Option<&'a Span>,
}

// === impl Looked ===

impl Looked<'_> {
    fn fields(&self, json: &Json, found: &mut Vec<Diagnostic>) {
        for (field, value) in json.as_object().into_iter().flatten() {
            let is_step = self.what != "the plan";
            let hint = match (field.as_str(), is_step) {
                // A schema.
                ("outputs", true) => continue,
                (field, _) if EVALUATED.contains(&field) => continue,
                ("run" | "code", _) => {
                    "give it to the step: env={\"NAME\": ref(…)}, and read $NAME"
                }
                ("description" | "id", _) | ("name", false) => {
                    "it is part of the plan, and known before the run"
                }
                _ => "write an f-string with ref(…), or template(\"…${…}…\")",
            };
            if holds(value) {
                let message = format!("{}: `${{…}}` is not evaluated in `{field}`", self.what);
                let problem = Diagnostic::warning(codes::UNEVALUATED, message).hint(hint);
                found.push(problem.at(self.span.cloned()));
            }
        }
    }
}

/// True if a text below this value has one.
fn holds(value: &Json) -> bool {
    match value {
        Json::String(text) => text.split("${").skip(1).any(|rest| {
            let rest = rest.trim_start();
            ROOTS.iter().any(|root| rest.starts_with(root))
        }),
        Json::Array(items) => items.iter().any(holds),
        Json::Object(map) => {
            let evaluated = |key: &String| EVALUATED.contains(&key.as_str());
            map.iter().any(|(key, value)| !evaluated(key) && holds(value))
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unevaluated_literal_expressions_get_a_warning() {
        let json = r#"{"version":1,"name":"x","env":{"A":{"$template":"${steps.a.output}"}},"steps":[
            {"id":"a","kind":"bash","run":"echo ${HOME} ${steps.b.output}","env":{"B":"${inputs.x}"}},
            {"id":"b","kind":"approval","message":"${steps.a.output}?"},
            {"id":"c","kind":"bash","run":"echo ${PATH%%:*}","name":"${event.branch}"}]}"#;
        let plan = Plan::from_json(json.as_bytes()).unwrap();
        let found = unevaluated(&plan, &SourceMap::default());
        let fields: Vec<&str> = found.iter().map(|found| found.message.as_str()).collect();
        assert_eq!(
            fields,
            [
                "step `a`: `${…}` is not evaluated in `run`",
                "step `a`: `${…}` is not evaluated in `env`",
                "step `b`: `${…}` is not evaluated in `message`",
                "step `c`: `${…}` is not evaluated in `name`",
            ]
        );
    }
}
