//! Schemas of results in the subset of JSON Schema that the API takes for `output_config.format` and for
//! strict tools.
//!
//! A constraint that the API refuses becomes words of the description, as in the official SDKs; the result is
//! still checked against the author's schema. Must not send a schema that allows less than the author's
//! where nothing else would be allowed: such schemas have no form here.

use serde_json::{Map, Value as Json, json};

/// Formats of strings that the API knows.
const FORMATS: [&str; 10] =
    ["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"];
/// Keywords without a meaning for a model.
const SILENT: [&str; 3] = ["$schema", "$id", "$comment"];
/// Keywords that add values which the subset cannot name.
const OPEN: [&str; 3] = ["patternProperties", "prefixItems", "allOf"];
/// Generations of nested schemas; deeper ones have no form.
const MAX_DEPTH: usize = 64;

/// The schema as the API takes it; `None`: the subset has no form of it, such as an object with free names.
#[must_use]
pub fn accepted(schema: &Json) -> Option<Json> {
    subset(schema, 0)
}

fn subset(schema: &Json, depth: usize) -> Option<Json> {
    let fields = schema.as_object().filter(|_| depth < MAX_DEPTH)?;
    if OPEN.iter().any(|open| fields.contains_key(*open)) {
        return None;
    }
    let mut rest = fields.clone();
    rest.retain(|name, _| !SILENT.contains(&name.as_str()));
    let mut out = Map::new();
    for name in ["$defs", "definitions"] {
        if let Some(parts) = rest.shift_remove(name) {
            out.insert(name.to_owned(), Json::Object(all(parts.as_object()?, depth)?));
        }
    }
    if let Some(reference) = rest.shift_remove("$ref") {
        // The API takes nothing next to a reference, and other keywords would constrain further.
        out.insert("$ref".to_owned(), reference);
        return Some(Json::Object(out));
    }
    for name in ["title", "description"] {
        if let Some(text) = rest.shift_remove(name) {
            out.insert(name.to_owned(), text);
        }
    }
    shape(&mut rest, &mut out, depth)?;
    describe(&rest, &mut out);
    Some(Json::Object(out))
}

/// Moves the keywords that name the possible values.
fn shape(rest: &mut Map<String, Json>, out: &mut Map<String, Json>, depth: usize) -> Option<()> {
    let kind = rest.shift_remove("type");
    let variants = rest.shift_remove("anyOf").or_else(|| rest.shift_remove("oneOf"));
    if let Some(variants) = variants {
        let is_plain = kind.is_none() && !rest.contains_key("properties");
        let variants = variants.as_array().filter(|_| is_plain)?;
        let variants: Option<Vec<Json>> = variants.iter().map(|it| subset(it, depth + 1)).collect();
        out.insert("anyOf".to_owned(), Json::Array(variants?));
        return Some(());
    }
    let literals = literals(rest, out);
    match kind {
        Some(Json::String(kind)) => {
            out.insert("type".to_owned(), json!(kind));
            if !literals {
                typed(&kind, rest, out, depth)?;
            }
        }
        // The literals have their types.
        Some(Json::Array(_)) | None if literals => {}
        Some(Json::Array(kinds)) => {
            let variants: Option<Vec<Json>> = kinds
                .iter()
                .map(|kind| {
                    let kind = kind.as_str()?;
                    let mut variant = Map::from_iter([("type".to_owned(), json!(kind))]);
                    typed(kind, &mut of_kind(kind, rest), &mut variant, depth)?;
                    Some(Json::Object(variant))
                })
                .collect();
            rest.retain(|name, _| !is_moved(name));
            out.insert("anyOf".to_owned(), Json::Array(variants?));
        }
        Some(_) | None => return None,
    }
    Some(())
}

/// Moves `enum` and `const` of plain values.
fn literals(rest: &mut Map<String, Json>, out: &mut Map<String, Json>) -> bool {
    let is_plain = |value: &Json| !value.is_object() && !value.is_array();
    let is_list = |value: &Json| {
        value.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(is_plain))
    };
    let mut has_moved = false;
    for (name, fits) in [("enum", &is_list as &dyn Fn(&Json) -> bool), ("const", &is_plain)] {
        if rest.get(name).is_some_and(fits)
            && let Some(value) = rest.shift_remove(name)
        {
            out.insert(name.to_owned(), value);
            has_moved = true;
        }
    }
    has_moved
}

/// Moves the keywords of one type.
fn typed(
    kind: &str,
    rest: &mut Map<String, Json>,
    out: &mut Map<String, Json>,
    depth: usize,
) -> Option<()> {
    match kind {
        "object" => object(rest, out, depth)?,
        "array" => {
            let items = subset(&rest.shift_remove("items")?, depth + 1)?;
            out.insert("items".to_owned(), items);
            if rest.get("minItems").is_some_and(|least| *least == json!(0) || *least == json!(1))
                && let Some(least) = rest.shift_remove("minItems")
            {
                out.insert("minItems".to_owned(), least);
            }
        }
        "string" => {
            let is_known = |format: &Json| format.as_str().is_some_and(|it| FORMATS.contains(&it));
            if rest.get("format").is_some_and(is_known)
                && let Some(format) = rest.shift_remove("format")
            {
                out.insert("format".to_owned(), format);
            }
        }
        _ => {}
    }
    Some(())
}

/// Moves the keywords of an object. It becomes closed; free names, and required ones without a schema, have
/// no form.
fn object(rest: &mut Map<String, Json>, out: &mut Map<String, Json>, depth: usize) -> Option<()> {
    let properties = rest.shift_remove("properties");
    let properties = match &properties {
        Some(properties) => all(properties.as_object()?, depth)?,
        None => Map::new(),
    };
    match rest.shift_remove("additionalProperties") {
        Some(Json::Bool(false)) => {}
        // Names that are not listed are not needed, as long as some are.
        Some(Json::Bool(true)) | None if !properties.is_empty() => {}
        Some(_) | None => return None,
    }
    if let Some(required) = rest.shift_remove("required") {
        let is_listed =
            |name: &Json| name.as_str().is_some_and(|name| properties.contains_key(name));
        if !required.as_array()?.iter().all(is_listed) {
            return None;
        }
        out.insert("required".to_owned(), required);
    }
    out.insert("properties".to_owned(), Json::Object(properties));
    out.insert("additionalProperties".to_owned(), json!(false));
    Some(())
}

fn all(schemas: &Map<String, Json>, depth: usize) -> Option<Map<String, Json>> {
    let each = |(name, schema): (&String, &Json)| Some((name.clone(), subset(schema, depth + 1)?));
    schemas.iter().map(each).collect()
}

/// True for a keyword that [`typed`] moves.
fn is_moved(name: &str) -> bool {
    matches!(name, "properties" | "required" | "additionalProperties" | "items" | "format")
}

/// The moved keywords that concern one type of several; others are described once for all of them.
fn of_kind(kind: &str, rest: &Map<String, Json>) -> Map<String, Json> {
    let mut own = rest.clone();
    own.retain(|name, _| match kind {
        "object" => matches!(name.as_str(), "properties" | "required" | "additionalProperties"),
        "array" => name == "items",
        "string" => name == "format",
        _ => false,
    });
    own
}

/// Writes what is left into the description, for the model to follow.
fn describe(rest: &Map<String, Json>, out: &mut Map<String, Json>) {
    if rest.is_empty() {
        return;
    }
    let each: Vec<String> = rest.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let rules = format!("{{{}}}", each.join(", "));
    let text = match out.get("description").and_then(Json::as_str) {
        Some(text) => format!("{text}\n\n{rules}"),
        None => rules,
    };
    out.insert("description".to_owned(), Json::String(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_constraints_become_words() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "required": ["risk"],
            "properties": {
                "risk": {"type": "integer", "minimum": 0, "maximum": 10, "description": "From 0."},
                "title": {"type": "string", "maxLength": 200, "pattern": "^[A-Z]"},
                "at": {"type": "string", "format": "date-time"},
                "mail": {"type": "string", "format": "idn-email"},
                "files": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 9},
                "kind": {"type": "string", "enum": ["a", "b"]},
                "none": {"type": ["string", "null"], "minLength": 1},
            },
        });
        let sent = accepted(&schema).unwrap();
        assert_eq!(
            sent,
            json!({
                "type": "object",
                "required": ["risk"],
                "properties": {
                    "risk": {"description": "From 0.\n\n{minimum: 0, maximum: 10}", "type": "integer"},
                    "title": {"type": "string", "description": "{maxLength: 200, pattern: \"^[A-Z]\"}"},
                    "at": {"type": "string", "format": "date-time"},
                    "mail": {"type": "string", "description": "{format: \"idn-email\"}"},
                    "files": {
                        "type": "array", "items": {"type": "string"}, "minItems": 1,
                        "description": "{maxItems: 9}",
                    },
                    "kind": {"type": "string", "enum": ["a", "b"]},
                    "none": {
                        "anyOf": [{"type": "string"}, {"type": "null"}],
                        "description": "{minLength: 1}",
                    },
                },
                "additionalProperties": false,
            })
        );
        assert_eq!(accepted(&sent), Some(sent.clone()), "a second time changes nothing");
    }

    #[test]
    fn alternatives_and_references_are_kept() {
        let schema = json!({
            "oneOf": [{"$ref": "#/$defs/A"}, {"const": 3}],
            "$defs": {"A": {"type": "object", "properties": {"x": {"type": "number", "multipleOf": 2}}}},
        });
        assert_eq!(
            accepted(&schema).unwrap(),
            json!({
                "$defs": {"A": {
                    "type": "object",
                    "properties": {"x": {"type": "number", "description": "{multipleOf: 2}"}},
                    "additionalProperties": false,
                }},
                "anyOf": [{"$ref": "#/$defs/A"}, {"const": 3}],
            })
        );
    }

    #[test]
    fn open_schemas_have_no_form() {
        for schema in [
            json!(true),
            json!({}),
            json!({"type": "object"}),
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            json!({"type": "object", "patternProperties": {"^x": {"type": "string"}}}),
            json!({"type": "object", "properties": {"a": {}}}),
            json!({"type": "object", "properties": {"a": {"type": "null"}}, "required": ["b"]}),
            json!({"type": "array"}),
            json!({"allOf": [{"type": "string"}, {"type": "string", "maxLength": 3}]}),
            json!({"type": "object", "properties": {}, "anyOf": [{"required": ["a"]}]}),
        ] {
            assert_eq!(accepted(&schema), None, "{schema}");
        }
        let closed = json!({"type": "object", "properties": {}, "additionalProperties": false});
        assert_eq!(accepted(&closed), Some(closed));
    }

    #[test]
    fn deep_schemas_have_no_form() {
        let mut schema = json!({"type": "string"});
        for _ in 0..MAX_DEPTH {
            schema = json!({"type": "array", "items": schema});
        }
        assert_eq!(accepted(&schema), None);
    }
}
