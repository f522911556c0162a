//! JSON Schemas inside a plan: the shapes of the keywords that everybody uses, and no `$ref` that
//! leaves the document (nothing is fetched to judge a value).
//!
//! And a bound of the work that judging a value can take ([`json_schema::admit`]). Must not validate
//! values: that is done when a step ends. Keywords unknown here pass.

use serde_json::{Map, Value as Json};

use crate::{
    codes,
    json_schema::{self, Unbounded},
    limits,
    validate::report::{Quoted, Report, Site},
    walk::Field,
};

const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];
const ONE: [&str; 12] = [
    "items",
    "additionalProperties",
    "additionalItems",
    "not",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
];
const MANY: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
const NAMED: [&str; 5] =
    ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];
const COUNTS: [&str; 8] = [
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "minContains",
    "maxContains",
];
const NUMBERS: [&str; 5] =
    ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];
const TEXTS: [&str; 5] = ["pattern", "format", "title", "description", "$comment"];

struct Checker<'r, 'a> {
    report: &'r mut Report,
    site: Site<'a>,
    field: Field<'a>,
    root: &'a Json,
    /// A reference was reported.
    bad_reference: bool,
}

pub(super) fn schema(report: &mut Report, site: Site<'_>, field: Field<'_>, root: &Json) {
    let mut checker = Checker { report, site, field, root, bad_reference: false };
    checker.schema("#", root, 1);
    checker.bound();
}

impl Checker<'_, '_> {
    fn wrong(&mut self, at: &str, what: &str) {
        let field = self.field;
        let at = Quoted(at);
        self.report.push(self.site.error(
            codes::BAD_SCHEMA,
            format_args!("the JSON Schema of `{field}`, at {at}: {what}"),
        ));
    }

    /// References are reported where they stand, as far as the walk sees them.
    fn bound(&mut self) {
        let (code, why) = match json_schema::admit(self.root) {
            Ok(()) => return,
            Err(Unbounded::Outside(_) | Unbounded::Nothing(_)) if self.bad_reference => return,
            Err(why @ Unbounded::Outside(_)) => (codes::REMOTE_REF, why),
            Err(why @ Unbounded::Nothing(_)) => (codes::BAD_SCHEMA, why),
            Err(
                why @ (Unbounded::Recursive
                | Unbounded::TooLarge
                | Unbounded::TooDeep
                | Unbounded::NestedId
                | Unbounded::LongPattern(_)),
            ) => (codes::UNBOUNDED_SCHEMA, why),
        };
        let field = self.field;
        self.report
            .push(self.site.error(code, format_args!("the JSON Schema of `{field}`: {why}")));
    }

    fn schema(&mut self, at: &str, json: &Json, depth: usize) {
        // Depth is reported where all values are walked.
        if depth > limits::MAX_VALUE_DEPTH {
            return;
        }
        match json {
            Json::Bool(_) => {}
            Json::Object(map) => {
                for (key, value) in map {
                    self.keyword(&format!("{at}/{key}"), (key, value), depth);
                }
                self.closed_bounds(at, map);
            }
            Json::Null | Json::Number(_) | Json::String(_) | Json::Array(_) => {
                self.wrong(at, "a schema is an object, `true` or `false`");
            }
        }
    }

    fn keyword(&mut self, at: &str, (key, value): (&str, &Json), depth: usize) {
        match key {
            "type" => self.types(at, value),
            "enum" if !value.is_array() => self.wrong(at, "`enum` is a list"),
            "required" if !is_texts(value) => self.wrong(at, "`required` is a list of names"),
            "$ref" | "$dynamicRef" => self.reference(at, value),
            "items" if value.is_array() => self.list(at, value, depth),
            key if ONE.contains(&key) => self.schema(at, value, depth + 1),
            key if MANY.contains(&key) => self.list(at, value, depth),
            key if NAMED.contains(&key) => match value.as_object() {
                Some(map) => {
                    for (name, inner) in map {
                        self.schema(&format!("{at}/{name}"), inner, depth + 2);
                    }
                }
                None => self.wrong(at, "this is an object of schemas by name"),
            },
            key if COUNTS.contains(&key) && value.as_u64().is_none() => {
                self.wrong(at, "this is a whole number, 0 or more");
            }
            key if NUMBERS.contains(&key) && !value.is_number() => {
                self.wrong(at, "this is a number");
            }
            key if TEXTS.contains(&key) && !value.is_string() => self.wrong(at, "this is a text"),
            _ => {}
        }
    }

    fn list(&mut self, at: &str, value: &Json, depth: usize) {
        match value.as_array() {
            Some(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.schema(&format!("{at}/{index}"), item, depth + 2);
                }
            }
            None => self.wrong(at, "this is a list of schemas"),
        }
    }

    fn types(&mut self, at: &str, value: &Json) {
        let names: Vec<Option<&str>> = match value {
            Json::String(name) => vec![Some(name)],
            Json::Array(names) => names.iter().map(Json::as_str).collect(),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => vec![None],
        };
        for name in names {
            match name {
                Some(name) if TYPES.contains(&name) => {}
                Some(name) => {
                    let (field, site) = (self.field, self.site);
                    let problem = site.error(
                        codes::BAD_SCHEMA,
                        format_args!(
                            "the JSON Schema of `{field}`, at {}: {} is no type",
                            Quoted(at),
                            Quoted(name)
                        ),
                    );
                    let known = TYPES.into_iter();
                    let all = "the types are array, boolean, integer, null, number, object, string";
                    self.report.push_near(problem, name, known, all);
                }
                None => self.wrong(at, "`type` is a text or a list of texts"),
            }
        }
    }

    fn reference(&mut self, at: &str, value: &Json) {
        let (field, site) = (self.field, self.site);
        match value.as_str().map(|target| (target, target.strip_prefix('#'))) {
            None => self.wrong(at, "`$ref` is a text"),
            Some((target, None)) => self.report.push(
                site.error(
                    codes::REMOTE_REF,
                    format_args!(
                        "the JSON Schema of `{field}`, at {}: {} is outside this schema",
                        Quoted(at),
                        Quoted(target)
                    ),
                )
                .hint("copy it under `$defs` and refer to `#/$defs/…`"),
            ),
            // Anchors and percent-encoded pointers hide what they refer to.
            Some((target, Some(pointer)))
                if pointer.contains('%') || self.root.pointer(pointer).is_none() =>
            {
                let what = format!("{} refers to nothing", Quoted(target));
                self.wrong(at, &what);
            }
            Some(_) => return,
        }
        self.bad_reference = true;
    }

    /// `required` names that a closed object does not have: no value could ever fit.
    fn closed_bounds(&mut self, at: &str, map: &Map<String, Json>) {
        let closed = map.get("additionalProperties") == Some(&Json::Bool(false));
        let (Some(Json::Array(required)), Some(Json::Object(known))) =
            (map.get("required"), map.get("properties"))
        else {
            return;
        };
        if !closed || map.contains_key("patternProperties") {
            return;
        }
        for name in required.iter().filter_map(Json::as_str) {
            if !known.contains_key(name) {
                let what = format!(
                    "{} is required, but no property of that name is allowed",
                    Quoted(name)
                );
                self.wrong(at, &what);
            }
        }
    }
}

fn is_texts(value: &Json) -> bool {
    value.as_array().is_some_and(|items| items.iter().all(Json::is_string))
}
