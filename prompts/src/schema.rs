//! JSON Schemas of inputs and outputs, draft 2020-12: what is accepted as one, and which inputs fit.
//!
//! Nothing is fetched: a `$ref` that leaves the document is refused. Must not invent values: a
//! `default` in a schema is a remark for readers.

use std::collections::BTreeMap;

use jsonschema::{
    Draft, PatternOptions, Validator, error::ValidationErrorKind as Kind, paths::Location,
    paths::LocationSegment,
};
use plue_plan::{Diagnostic, validate::did_you_mean};
use serde_json::{Map, Value as Json};

use crate::{codes, header::shown, limits, problems::capped};

/// Errors of the validator that are looked at; far more than are shown.
const MOST_ERRORS: usize = 10 * limits::MAX_PROBLEMS;

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// A schema that was accepted.
#[derive(Debug, Clone)]
pub(crate) struct Schema {
    json: Json,
    validator: Validator,
}

/// Accepts a schema, or says why not. `inputs`: it describes an object of inputs.
pub(crate) fn compile(json: Json, inputs: bool) -> Result<Schema, String> {
    let mut walk = Walk { root: &json, fanout: BTreeMap::new() };
    walk.references(&json)?;
    walk.fanout(&json, &mut Vec::new())?;
    let validator = jsonschema::options()
        .with_draft(Draft::Draft202012)
        // Linear time: a pattern of a repository must not stop the engine.
        .with_pattern_options(PatternOptions::regex())
        .offline()
        .build(&json)
        .map_err(|error| at(error.instance_path(), &error.to_string()))?;
    if inputs && !may_be_object(&json) {
        return Err("inputs have names, so the schema must have `type: object`".to_owned());
    }
    Ok(Schema { json, validator })
}

fn may_be_object(json: &Json) -> bool {
    match json.get("type") {
        None => json.is_object() || *json == Json::Bool(true),
        Some(Json::Array(types)) => types.contains(&Json::from("object")),
        Some(name) => *name == "object",
    }
}

struct Walk<'s> {
    root: &'s Json,
    /// The parts of each node that was counted, by its address in memory.
    fanout: BTreeMap<*const Json, usize>,
}

// === impl Walk ===

impl<'s> Walk<'s> {
    /// Every `$ref` stays inside, everywhere, also where no schema is expected: what the library
    /// takes for a schema must not be able to surprise us.
    fn references(&self, json: &Json) -> Result<(), String> {
        match json {
            Json::Object(map) => {
                for (key, value) in map {
                    match (key.as_str(), value.as_str()) {
                        ("$ref" | "$dynamicRef", Some(target)) => self.reference(target)?,
                        ("$schema", Some(draft)) if draft.trim_end_matches('#') != DRAFT => {
                            return Err(format!("`$schema` is `{}`, not {DRAFT}", shown(draft)));
                        }
                        ("$id", Some(_)) => {
                            return Err("`$id` does not exist here: nothing is fetched".to_owned());
                        }
                        _ => {}
                    }
                    self.references(value)?;
                }
                Ok(())
            }
            Json::Array(items) => items.iter().try_for_each(|item| self.references(item)),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Ok(()),
        }
    }

    fn reference(&self, target: &str) -> Result<(), String> {
        let quoted = shown(target);
        match target.strip_prefix('#') {
            None => Err(format!("`$ref: {quoted}` is outside this schema; copy it under `$defs`")),
            Some("") => Ok(()),
            Some(pointer) if self.root.pointer(pointer).is_some() => Ok(()),
            Some(_) => Err(format!("`$ref: {quoted}` refers to nothing")),
        }
    }

    /// How many nodes the schema has once every `$ref` is replaced by what it refers to: an upper
    /// bound of the work for one value. Recursion is refused, because ten alternatives that each
    /// refer to the whole judge a value of depth 20 in 10^20 steps.
    fn fanout(&mut self, json: &'s Json, open: &mut Vec<*const Json>) -> Result<usize, String> {
        let address: *const Json = json;
        if let Some(known) = self.fanout.get(&address) {
            return Ok(*known);
        }
        if open.contains(&address) {
            return Err("a `$ref` leads back to itself".to_owned());
        }
        open.push(address);
        let mut sum = 1_usize;
        match json {
            Json::Object(map) => {
                for (key, value) in map {
                    let inner = referred(self.root, key, value).unwrap_or(value);
                    sum = sum.saturating_add(self.fanout(inner, open)?);
                }
            }
            Json::Array(items) => {
                for item in items {
                    sum = sum.saturating_add(self.fanout(item, open)?);
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
        open.pop();
        if sum > limits::MAX_SCHEMA_FANOUT {
            return Err(format!(
                "with every `$ref` replaced it has more than {} parts",
                limits::MAX_SCHEMA_FANOUT
            ));
        }
        self.fanout.insert(address, sum);
        Ok(sum)
    }
}

fn referred<'s>(root: &'s Json, key: &str, value: &Json) -> Option<&'s Json> {
    if !matches!(key, "$ref" | "$dynamicRef") {
        return None;
    }
    root.pointer(value.as_str()?.strip_prefix('#')?)
}

// === impl Schema ===

impl Schema {
    /// The schema as it was written.
    pub(crate) fn json(&self) -> &Json {
        &self.json
    }

    /// Every problem of the inputs, those of one place in the order of their paths.
    pub(crate) fn problems(&self, inputs: &Json) -> Vec<Diagnostic> {
        self.problems_where(inputs, |_| true)
    }

    /// The problems that lie inside one of these inputs, so that others may still be missing.
    pub(crate) fn problems_inside(&self, inputs: &Json) -> Vec<Diagnostic> {
        self.problems_where(inputs, |place| !place.as_str().is_empty())
    }

    fn problems_where(&self, inputs: &Json, wanted: fn(&Location) -> bool) -> Vec<Diagnostic> {
        let mut found: Vec<Diagnostic> = Vec::new();
        let errors = self.validator.iter_errors(inputs).take(MOST_ERRORS);
        for error in errors.filter(|error| wanted(error.instance_path())) {
            let path = path(error.instance_path());
            match error.kind() {
                Kind::Required { property } => {
                    let name = property.as_str().unwrap_or_default();
                    found.push(missing(&step(&path, name)));
                }
                Kind::AdditionalProperties { unexpected }
                | Kind::UnevaluatedProperties { unexpected } => {
                    let known = self.names_at(error.instance_path());
                    found.extend(unexpected.iter().map(|name| unknown(&path, name, &known)));
                }
                // Foreign enumeration: everything else is "does not fit".
                _ => {
                    let message = shown_message(&error.masked().to_string());
                    let message = format!("`{path}` does not fit the schema: {message}");
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
        let required = self.json.get("required").and_then(Json::as_array);
        for name in required.into_iter().flatten().filter_map(Json::as_str) {
            if !given.contains(&name) {
                found.push(missing(&step("inputs", name)));
            }
        }
        let closed = self.json.get("additionalProperties") == Some(&Json::Bool(false));
        if closed && self.json.get("patternProperties").is_none() {
            let known = property_names(&self.json);
            for name in given.iter().filter(|name| !known.contains(name)) {
                found.push(unknown("inputs", name, &known));
            }
        }
        found
    }

    /// The property names of the schema at a place of the inputs, as far as `properties` and
    /// `items` lead there.
    fn names_at(&self, location: &Location) -> Vec<&str> {
        let mut schema = &self.json;
        for segment in location {
            let inner = match segment {
                LocationSegment::Property(name) => {
                    schema.get("properties").and_then(|all| all.get(name.as_ref()))
                }
                LocationSegment::Index(_) => schema.get("items"),
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

fn shown_message(message: &str) -> String {
    const MOST: usize = 200;
    message.chars().filter(|c| !c.is_control()).take(MOST).collect()
}

fn at(location: &Location, message: &str) -> String {
    let message = shown_message(message);
    match location.as_str() {
        "" => message,
        place => format!("at `{}`: {message}", shown(place)),
    }
}

/// `inputs.files[0].path`
fn path(location: &Location) -> String {
    location.into_iter().fold("inputs".to_owned(), |path, segment| match segment {
        LocationSegment::Property(name) => step(&path, name.as_ref()),
        LocationSegment::Index(index) => format!("{path}[{index}]"),
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
