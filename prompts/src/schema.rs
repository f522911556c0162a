//! JSON Schemas of inputs and outputs, draft 2020-12: what is accepted as one, and which inputs fit.
//!
//! Nothing is fetched: a `$ref` that leaves the document is refused. Must not invent values: a
//! `default` in a schema is a remark for readers.

use plue_plan::{
    Diagnostic,
    budget::{Budget, Meter},
    json_schema::{BoundedSchema, Kind, MAX_JUDGE_STEPS, Segment, Violation},
    validate::did_you_mean,
};
use serde_json::{Map, Value as Json};

use crate::{codes, header::shown, problems::capped};

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// A schema that was accepted.
#[derive(Debug, Clone)]
pub(crate) struct Schema(BoundedSchema);

/// Accepts a schema, or returns the reason against it. `inputs`: it describes an object of inputs.
pub(crate) fn compile(json: Json, inputs: bool) -> Result<Schema, String> {
    dialect(&json)?;
    let schema = BoundedSchema::new(json).map_err(|error| error.to_string())?;
    if inputs && !may_be_object(schema.json()) {
        return Err("inputs have names, so the schema must have `type: object`".to_owned());
    }
    Ok(Schema(schema))
}

fn may_be_object(json: &Json) -> bool {
    match json.get("type") {
        None => json.is_object() || *json == Json::Bool(true),
        Some(Json::Array(types)) => types.contains(&Json::from("object")),
        Some(name) => *name == "object",
    }
}

/// Neither another draft nor a name of its own, at any depth.
fn dialect(json: &Json) -> Result<(), String> {
    match json {
        Json::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), value.as_str()) {
                    ("$schema", Some(draft)) if draft.trim_end_matches('#') != DRAFT => {
                        return Err(format!("`$schema` is `{}`, not {DRAFT}", shown(draft)));
                    }
                    ("$id", Some(_)) => {
                        return Err("`$id` does not exist here: nothing is fetched".to_owned());
                    }
                    _ => {}
                }
                dialect(value)?;
            }
            Ok(())
        }
        Json::Array(items) => items.iter().try_for_each(dialect),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Ok(()),
    }
}

// === impl Schema ===

impl Schema {
    /// The schema as it was written.
    pub(crate) const fn json(&self) -> &Json {
        self.0.json()
    }

    /// Every problem of the inputs, those of one place in the order of their paths.
    pub(crate) fn problems(&self, inputs: &Json) -> Vec<Diagnostic> {
        self.problems_where(inputs, |_| true)
    }

    /// The problems that lie inside one of these inputs, so that others may still be missing.
    pub(crate) fn problems_inside(&self, inputs: &Json) -> Vec<Diagnostic> {
        self.problems_where(inputs, |violation| !violation.path.is_empty())
    }

    fn problems_where(&self, inputs: &Json, wanted: fn(&Violation) -> bool) -> Vec<Diagnostic> {
        let mut found: Vec<Diagnostic> = Vec::new();
        let meter = Meter::new(Budget::of_steps(MAX_JUDGE_STEPS));
        let violations = match self.0.violations(inputs, &meter) {
            Ok(violations) => violations,
            Err(stopped) => {
                let message = format!("the inputs cannot be judged by the schema: {stopped}");
                return vec![Diagnostic::error(codes::INVALID_INPUT, message)];
            }
        };
        for violation in violations.iter().filter(|violation| wanted(violation)) {
            let path = path(&violation.path);
            match &violation.kind {
                Kind::Missing(name) => found.push(missing(&step(&path, name))),
                Kind::Unknown(unexpected) => {
                    let known = self.names_at(&violation.path);
                    found.extend(unexpected.iter().map(|name| unknown(&path, name, &known)));
                }
                Kind::Misfit => {
                    let message = format!("`{path}` does not fit the schema: {}", violation.masked);
                    found.push(Diagnostic::error(codes::INVALID_INPUT, message));
                }
            }
        }
        found.sort_by(|a, b| a.message.cmp(&b.message));
        capped(found)
    }

    /// The problems that can be seen without values: names that are missing or not allowed.
    pub(crate) fn name_problems(&self, given: &[&str]) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        let required = self.json().get("required").and_then(Json::as_array);
        for name in required.into_iter().flatten().filter_map(Json::as_str) {
            if !given.contains(&name) {
                found.push(missing(&step("inputs", name)));
            }
        }
        let closed = self.json().get("additionalProperties") == Some(&Json::Bool(false));
        if closed && self.json().get("patternProperties").is_none() {
            let known = property_names(self.json());
            for name in given.iter().filter(|name| !known.contains(name)) {
                found.push(unknown("inputs", name, &known));
            }
        }
        found
    }

    /// The property names of the schema at a place of the inputs, as far as `properties` and
    /// `items` lead there.
    fn names_at(&self, path: &[Segment]) -> Vec<&str> {
        let mut schema = self.json();
        for segment in path {
            let inner = match segment {
                Segment::Property(name) => schema.get("properties").and_then(|all| all.get(name)),
                Segment::Index(_) => schema.get("items"),
            };
            match inner {
                Some(inner) => schema = inner,
                None => return Vec::new(),
            }
        }
        property_names(schema)
    }
}

fn property_names(schema: &Json) -> Vec<&str> {
    let properties = schema.get("properties").and_then(Json::as_object);
    properties.into_iter().flat_map(Map::keys).map(String::as_str).collect()
}

fn missing(path: &str) -> Diagnostic {
    Diagnostic::error(codes::MISSING_INPUT, format!("`{path}` is missing"))
}

fn unknown(path: &str, name: &str, known: &[&str]) -> Diagnostic {
    let message = format!("`{}` is not allowed by the schema", step(path, name));
    let problem = Diagnostic::error(codes::UNKNOWN_INPUT, message);
    match did_you_mean(name, known.iter().copied()) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem,
    }
}

/// Formats a path: `inputs.files[0].path`.
fn path(path: &[Segment]) -> String {
    path.iter().fold("inputs".to_owned(), |path, segment| match segment {
        Segment::Property(name) => step(&path, name),
        Segment::Index(index) => format!("{path}[{index}]"),
    })
}

fn step(path: &str, name: &str) -> String {
    if crate::header::is_name(name) && !name.contains('.') {
        format!("{path}.{name}")
    } else {
        format!("{path}[\"{}\"]", shown(name))
    }
}

#[cfg(test)]
mod tests;
