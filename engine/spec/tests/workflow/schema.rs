//! The published schema against real files, in both directions.

use std::path::Path;

use jsonschema::Validator;
use serde_json::Value as Json;

use crate::files::files;

fn validator() -> Validator {
    let schema = plue_spec::workflow::schema::ALL[0];
    assert_eq!(schema.name, "workflow");
    jsonschema::draft202012::new(&(schema.schema)()).unwrap()
}

/// The file as JSON, aliases and merges followed; `None` if it is no YAML at all.
fn json(path: &Path) -> Option<Json> {
    let text = std::fs::read_to_string(path).unwrap();
    serde_saphyr::from_str(&text).ok()
}

fn is_plan(json: &Json) -> bool {
    json.get("version").is_some_and(|version| *version == 1) && json.get("steps").is_some()
}

#[test]
fn the_schema_accepts_every_valid_file() {
    let validator = validator();
    let examples = files("../../../../examples/in-yaml");
    let templates = files("../../../cli/templates");
    assert!(examples.len() >= 10 && templates.len() >= 8);
    let own = files("valid").into_iter().chain(files("shared/valid"));
    for path in own.chain(examples).chain(templates) {
        // Its ids are refused, and the other library knows neither tags of others nor this order.
        if path.ends_with("14_unicode_ids.yaml") || path.ends_with("yaml_core_types.yaml") {
            continue;
        }
        let json = json(&path).unwrap_or_else(|| panic!("{}", path.display()));
        if is_plan(&json) {
            continue;
        }
        let wrong: Vec<String> = validator
            .iter_errors(&json)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(wrong.is_empty(), "{}: {wrong:?}", path.display());
    }
}

#[test]
fn the_schema_refuses_what_is_wrong_in_form() {
    let validator = validator();
    for name in [
        "a_list.yaml",
        "a_text.yaml",
        "no_name.yaml",
        "no_tasks.yaml",
        "empty_tasks.yaml",
        "tasks_as_mapping.yaml",
        "no_id.yaml",
        "no_kind.yaml",
        "two_kinds.yaml",
        "numeric_id.yaml",
        "unknown_top_key.yaml",
        "unknown_nested_keys.yaml",
        "wrong_types.yaml",
        "bad_values.yaml",
        "version_two.yaml",
        "version_list.yaml",
        "secret_value.yaml",
        "triggers.yaml",
        "inputs.yaml",
        "duplicate_dependency.yaml",
        "everything_at_once.yaml",
    ] {
        let path = files("invalid").into_iter().find(|path| path.ends_with(name)).unwrap();
        let json = json(&path).unwrap_or_else(|| panic!("{name}"));
        assert!(!validator.is_valid(&json), "{name}");
    }
    for name in
        ["08_bad_enum.yaml", "12_unknown_field.yaml", "21_version.yaml", "10_negative_numbers.yaml"]
    {
        let path = files("shared/invalid").into_iter().find(|path| path.ends_with(name)).unwrap();
        assert!(!validator.is_valid(&json(&path).unwrap()), "{name}");
    }
}
