//! Admission of schemas, the cost of judging values, and bounds that keep both from hanging.

use serde_json::{Value as Json, json};

use super::*;
use crate::budget::{Budget, Unit};

fn meter() -> Meter {
    Meter::new(Budget::of_steps(MAX_JUDGE_STEPS))
}

fn refusal(schema: Json) -> Unbounded {
    match BoundedSchema::new(schema.clone()) {
        Err(SchemaError::Unbounded(why)) => why,
        other => panic!("{schema} is not refused: {other:?}"),
    }
}

fn violations(schema: Json, value: &Json) -> Vec<String> {
    let schema = BoundedSchema::new(schema).unwrap();
    let found = schema.violations(value, &meter()).unwrap();
    found.iter().map(|one| format!("{}: {}", one.pointer(), one.message)).collect()
}

/// `levels` of one applicator inside each other.
fn nested(levels: usize, wrap: impl Fn(Json) -> Json) -> Json {
    (0..levels).fold(json!({"type": "string"}), |inner, _| wrap(inner))
}

#[test]
fn recursion_is_refused_through_every_applicator() {
    let back = json!({"$ref": "#"});
    let schemas = [
        json!({"anyOf": [back, back]}),
        json!({"allOf": [{"not": back}]}),
        json!({"oneOf": [{"if": true, "then": back}]}),
        json!({"dependentSchemas": {"a": back}}),
        json!({"properties": {"a": {"items": back}}}),
        json!({"patternProperties": {".": back}}),
        json!({"additionalProperties": back}),
        json!({"unevaluatedProperties": back}),
        json!({"unevaluatedItems": back}),
        json!({"prefixItems": [back], "contains": true}),
        json!({"contains": back}),
        json!({"propertyNames": back}),
        json!({"$dynamicRef": "#"}),
        json!({"$recursiveRef": "#"}),
        json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
        json!({"$ref": "#/$defs/a/b", "$defs": {"a": {"b": {"$ref": "#/$defs/a"}}}}),
    ];
    for schema in schemas {
        assert_eq!(refusal(schema), Unbounded::Recursive);
    }
}

#[test]
fn hidden_targets_are_refused() {
    for target in ["#anchor", "#/$defs/a%62", "#/$defs/none"] {
        let schema = json!({"$ref": target, "$defs": {"ab": {"$anchor": "anchor"}}});
        assert!(matches!(refusal(schema), Unbounded::Nothing(_)), "{target}");
    }
    let dynamic = json!({"$dynamicAnchor": "node", "items": {"$dynamicRef": "#node"}});
    assert!(matches!(refusal(dynamic), Unbounded::Nothing(_)));
    for target in ["https://example.com/a", "other.json#/a", "file:///etc/passwd", "//host"] {
        assert!(matches!(refusal(json!({"$ref": target})), Unbounded::Outside(_)), "{target}");
    }
    let inner = json!({"properties": {"a": {"$id": "b", "items": {"$ref": "#"}}}});
    assert_eq!(refusal(inner), Unbounded::NestedId);
    assert!(BoundedSchema::new(json!({"$id": "https://example.com/a"})).is_ok());
}

#[test]
fn references_that_multiply_are_refused() {
    let mut defs = serde_json::Map::new();
    defs.insert("d0".to_owned(), json!({"type": "string"}));
    for level in 1..20 {
        let inner = json!({"$ref": format!("#/$defs/d{}", level - 1)});
        let key = ["allOf", "anyOf", "oneOf", "prefixItems"][level % 4];
        defs.insert(format!("d{level}"), json!({key: [inner, inner, inner]}));
    }
    assert_eq!(refusal(json!({"$ref": "#/$defs/d19", "$defs": defs})), Unbounded::TooLarge);
}

#[test]
fn reference_chains_are_refused_before_stack_overflow() {
    for count in [200, 5_000] {
        let mut defs = serde_json::Map::new();
        for at in 0..count {
            defs.insert(format!("d{at}"), json!({"$ref": format!("#/$defs/d{}", at + 1)}));
        }
        defs.insert(format!("d{count}"), json!({}));
        assert_eq!(refusal(json!({"$ref": "#/$defs/d0", "$defs": defs})), Unbounded::TooDeep);
    }
}

#[test]
fn unevaluated_keywords_make_nesting_dear() {
    let deep =
        |levels| nested(levels, |inner| json!({"allOf": [inner], "unevaluatedProperties": false}));
    assert_eq!(refusal(deep(12)), Unbounded::TooLarge);
    assert_eq!(violations(deep(4), &json!("a")), [""; 0]);
    let conditional = nested(12, |inner| json!({"if": inner, "unevaluatedItems": false}));
    assert_eq!(refusal(conditional), Unbounded::TooLarge);
}

#[test]
fn plain_nesting_within_the_depth_is_accepted() {
    for key in ["allOf", "anyOf", "oneOf"] {
        let schema = nested(30, |inner| json!({key: [inner, {"type": "null"}]}));
        let found = violations(schema, &json!(1));
        assert_eq!(found.len(), if key == "allOf" { 31 } else { 1 }, "{key}: {found:?}");
    }
    assert_eq!(violations(nested(30, |inner| json!({"not": inner})), &json!("a")), [""; 0]);
}

#[test]
fn patterns_are_limited_in_length_number_and_size() {
    let long = "a".repeat(MAX_PATTERN_BYTES + 1);
    assert_eq!(refusal(json!({"pattern": long})), Unbounded::LongPattern(MAX_PATTERN_BYTES + 1));
    let many: serde_json::Map<String, Json> =
        (0..2_000).map(|at| (format!("^{at}$"), json!(true))).collect();
    assert_eq!(refusal(json!({"patternProperties": many})), Unbounded::TooLarge);
    for bomb in ["(((a{100}){100}){100}){100}", "\\pL{1000}", "(a{1000}b{1000}){9}"] {
        let refused = BoundedSchema::new(json!({"pattern": bomb}));
        assert!(refused.is_err(), "{bomb}");
    }
    for bomb in ["(a|a)*b", "(a+)+$", "^(([a-z])+.)+[A-Z]([a-z])+$"] {
        let text = json!(format!("{}!", "a".repeat(100_000)));
        assert_eq!(violations(json!({"pattern": bomb}), &text).len(), 1, "{bomb}");
    }
    // Features that the regex engine lacks are refused, not interpreted by a slower one.
    assert!(BoundedSchema::new(json!({"pattern": "(a)\\1(?=b)"})).is_err());
}

#[test]
fn work_beyond_the_budget_is_refused_early() {
    let words: Vec<String> = (0..9_000).map(|at| format!("word {at}")).collect();
    let items: Vec<Json> = (0..50_000).map(|at| json!(format!("other {at}"))).collect();
    let names: serde_json::Map<String, Json> =
        (0..20_000).map(|at| (format!("name {at}"), json!(at))).collect();
    let patterns: serde_json::Map<String, Json> =
        (0..200).map(|at| (format!("[a-z]{{1,100}}{at}"), json!({"minimum": 0}))).collect();
    let repeated = json!({"pattern": "[01]*1[01]{900}$"});
    let cases = [
        (json!({"items": {"enum": words}}), json!(items)),
        (json!({"items": {"allOf": vec![json!({"const": words}); 1]}}), json!(items)),
        (json!({"contains": {"enum": words}, "minContains": 50_000}), json!(items)),
        (json!({"propertyNames": {"enum": words}}), json!(names)),
        (json!({"patternProperties": patterns}), json!(names)),
        (repeated, json!("01".repeat(400_000))),
    ];
    for (schema, value) in cases {
        let schema = BoundedSchema::new(schema).unwrap();
        let stopped = schema.violations(&value, &meter()).unwrap_err();
        assert_eq!(stopped, Stopped::Exhausted { unit: Unit::Steps, limit: MAX_JUDGE_STEPS });
    }
}

#[test]
fn large_values_are_judged_within_the_budget() {
    let numbers: Vec<Json> = (0..100_000).map(Json::from).collect();
    let schema = json!({
        "type": "array", "uniqueItems": true, "contains": {"const": 99_999},
        "items": {"type": "integer", "multipleOf": 1, "minimum": 0},
    });
    assert_eq!(violations(schema.clone(), &json!(numbers)), [""; 0]);
    let mut wrong = numbers;
    wrong.push(json!("x"));
    assert_eq!(
        violations(schema, &json!(wrong)),
        [": the value does not fit, and is too large to name the places"]
    );
    let decimals = json!({"items": {"multipleOf": 1e-300}});
    let values: Vec<Json> = (0..10_000).map(|_| json!(1.7e308)).collect();
    assert!(violations(decimals, &json!(values)).len() <= MAX_VIOLATIONS);
}

#[test]
fn messages_repeat_only_the_beginning_of_values() {
    let found = violations(json!({"type": "integer"}), &json!("x".repeat(900_000)));
    assert!(found[0].len() < 400, "{}", found[0].len());
}

#[test]
fn violations_name_their_place() {
    let schema = json!({"properties": {"a/b": {"items": {"type": "integer"}}}});
    let found = violations(schema, &json!({"a/b": [1, "x"]}));
    assert_eq!(found, ["/a~1b/1: \"x\" is not of type \"integer\""]);
}

#[test]
fn stopped_meters_stop_the_judging() {
    let schema = BoundedSchema::new(json!({"type": "string"})).unwrap();
    let late = Meter::stoppable(Budget::of_steps(MAX_JUDGE_STEPS), || true);
    assert_eq!(schema.violations(&json!("a"), &late), Err(Stopped::Deadline));
}
