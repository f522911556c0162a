//! Accepted schemas, and the format of paths.

use serde_json::{Value as Json, json};

use super::compile;

fn refusal(schema: Json) -> String {
    compile(schema, true).unwrap_err()
}

#[test]
fn what_leaves_the_document_is_refused() {
    for target in ["https://example.com/a", "other.json", "file:///etc/passwd", "//host/x"] {
        let message = refusal(json!({"properties": {"a": {"$ref": target}}}));
        assert!(message.contains("outside this schema"), "{message}");
    }
    assert!(refusal(json!({"$id": "https://example.com/"})).contains("`$id`"));
    assert!(refusal(json!({"$ref": "#/$defs/none"})).contains("refers to nothing"));
    let old = json!({"$schema": "http://json-schema.org/draft-07/schema#"});
    assert!(refusal(old).contains("2020-12"));
}

#[test]
fn properties_may_be_called_like_keywords() {
    let schema = json!({"type": "object", "properties": {"$ref": {"type": "string"}, "$id": {}}});
    let schema = compile(schema, true).unwrap();
    assert_eq!(schema.problems(&json!({"$ref": "x"})), []);
    assert_eq!(schema.problems(&json!({"$ref": 1})).len(), 1);
}

#[test]
fn a_schema_that_no_object_fits_is_refused_for_inputs_only() {
    assert!(refusal(json!({"type": "string"})).contains("type: object"));
    assert!(compile(json!({"type": ["object", "null"]}), true).is_ok());
    assert!(compile(json!({"type": "string"}), false).is_ok());
    assert!(compile(json!("object"), true).is_err());
}

#[test]
fn odd_names_are_quoted_in_paths() {
    let schema =
        json!({"required": ["a b", "x.y"], "properties": {"l": {"items": {"required": ["k"]}}}});
    let found = compile(schema, true).unwrap().problems(&json!({"l": [{}, {"k": 1}]}));
    let messages: Vec<&str> = found.iter().map(|found| found.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "`inputs.l[0].k` is missing",
            "`inputs[\"a b\"]` is missing",
            "`inputs[\"x.y\"]` is missing",
        ]
    );
}

#[test]
fn defaults_are_not_filled_in_and_draft_2020_12_keywords_count() {
    let schema = json!({"properties": {"a": {"default": 1}, "t": {"prefixItems": [{"type": "string"}]}},
        "required": ["a"]});
    let schema = compile(schema, true).unwrap();
    assert_eq!(schema.problems(&json!({})).len(), 1);
    assert_eq!(schema.problems(&json!({"a": 2, "t": [1]})).len(), 1);
}
