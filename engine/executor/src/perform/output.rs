//! The output of a step against the JSON Schema that the step promises (`outputs=`).

use serde_json::Value as Json;

/// Problems that one message names at most.
const MAX_NAMED: usize = 3;

/// Checks an output. References in the schema lead nowhere but into itself: plan validation refuses
/// others, and the library is built without any way to fetch them.
///
/// # Errors
/// A text for the author: where the output differs and how.
pub(crate) fn check(schema: &Json, output: &Json) -> Result<(), String> {
    fit(schema, output, "the step's `outputs`", "the output does not fit the step's `outputs`")
}

/// Checks what a person filled in against the `fields` of an approval.
///
/// # Errors
/// A text for that person: where it differs and how.
pub(crate) fn check_fields(schema: &Json, filled: &Json) -> Result<(), String> {
    fit(
        schema,
        filled,
        "the step's `fields`",
        "what was filled in does not fit the step's `fields`",
    )
}

fn fit(schema: &Json, output: &Json, whose: &str, what: &str) -> Result<(), String> {
    let validator = jsonschema::draft202012::new(schema)
        .map_err(|error| format!("{whose} is no usable JSON Schema: {error}"))?;
    let mut problems: Vec<String> = validator
        .iter_errors(output)
        .take(MAX_NAMED)
        .map(|error| match error.instance_path().as_str() {
            "" => error.to_string(),
            path => format!("{path}: {error}"),
        })
        .collect();
    if problems.is_empty() {
        return Ok(());
    }
    problems.sort();
    Err(format!("{what}: {}", problems.join("; ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_output_fits_its_schema_or_the_difference_is_named() {
        let schema = json!({
            "type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}},
        });
        assert_eq!(check(&schema, &json!({"n": 1})), Ok(()));
        let missing = check(&schema, &json!({})).unwrap_err();
        assert!(missing.contains("\"n\" is a required property"), "{missing}");
        let wrong = check(&schema, &json!({"n": "x"})).unwrap_err();
        assert!(wrong.contains("/n: "), "{wrong}");
    }
}
