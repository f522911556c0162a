//! The files are up to date, and what they accept is what the parser accepts.

use std::{fs, path::PathBuf};

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::ALL;
use crate::{Plan, arbitrary::plans, canonical::HashedPlan};

fn schema(name: &str) -> Json {
    let found = ALL.iter().find(|published| published.name == name).unwrap();
    (found.schema)()
}

fn accepts(schema: &Json, instance: &Json) -> bool {
    jsonschema::draft202012::new(schema).unwrap().is_valid(instance)
}

#[test]
fn row_1_03_the_published_schemas_are_those_of_the_types() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas");
    for published in ALL {
        let file = folder.join(format!("{}.json", published.name));
        let text = fs::read_to_string(&file).unwrap_or_default();
        let current = serde_json::from_str::<Json>(&text).unwrap_or_default();
        assert!(
            current == (published.schema)(),
            "{} is out of date: cargo run -p plue-plan --example write_schemas",
            file.display()
        );
        assert!(jsonschema::meta::is_valid(&current), "{}", published.name);
    }
}

#[test]
fn the_schema_refuses_what_the_parser_refuses() {
    let schema = schema("plan");
    let step = json!({"id": "a", "kind": "bash", "run": "true"});
    let plan = |step: Json| json!({"version": 1, "name": "x", "steps": [step]});
    let with = |key: &str, value: Json| {
        let mut step = step.clone();
        step[key] = value;
        plan(step)
    };
    assert!(accepts(&schema, &plan(step.clone())));
    for refused in [
        with("depend_on", json!([])),
        with("kind", json!("zsh")),
        with("run", json!(5)),
        with("depends_on", json!("test")),
        with("prompt", json!("a field of another kind")),
        with("retry", json!({"attempts": 3})),
        with("on_failure", json!("goto")),
        json!({"version": 1, "name": "x", "steps": [step], "extra": 1}),
        json!({"version": 1, "name": "x"}),
    ] {
        assert!(!accepts(&schema, &refused), "{refused}");
        assert!(Plan::from_json(refused.to_string().as_bytes()).is_err(), "{refused}");
    }
}

#[test]
fn diagnostics_fit_their_schema() {
    let found = crate::codes::tests::problems(r#"{"version":2,"name":"","steps":[]}"#);
    assert!(found.len() >= 3);
    let json = serde_json::to_value(&found).unwrap();
    assert!(accepts(&schema("diagnostics"), &json));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn row_1_03_every_valid_plan_fits_the_schema(before in plans(6), after in plans(6)) {
        let hashed = HashedPlan::new(before.clone()).unwrap();
        let json: Json = serde_json::from_slice(&hashed.bytes).unwrap();
        let validator = jsonschema::draft202012::new(&schema("plan")).unwrap();
        let wrong: Vec<String> = validator.iter_errors(&json).map(|e| e.to_string()).collect();
        prop_assert!(wrong.is_empty(), "{wrong:?}");
        let diff = serde_json::to_value(crate::diff::diff(&before, &after)).unwrap();
        prop_assert!(accepts(&schema("diff"), &diff));
    }
}
