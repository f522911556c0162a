//! Validation of outputs, answers and fields against JSON Schemas. Schema and value are untrusted: they are
//! validated within a budget, on a blocking thread.

use std::time::Duration;

use plue_plan::{
    budget::{Budget, Meter, Stopped},
    codes,
    json_schema::{BoundedSchema, MAX_JUDGE_STEPS, Violation},
};
use plue_runtime::foreign::{self, ForeignError, Limits};
use serde_json::Value as Json;

/// Most problems in one message.
const MAX_NAMED: usize = 3;
/// The limits of one validation.
const JUDGING: Limits = Limits {
    name: "judging by a JSON Schema",
    budget: Budget::of_steps(MAX_JUDGE_STEPS),
    cpu: Duration::from_secs(10),
    wall: Duration::from_secs(60),
};

/// The reason that a value was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SchemaMismatch {
    /// A text for the author: the differences, or the exceeded limit. Final.
    Refused(String),
    /// The validation was interrupted; it may be repeated.
    Interrupted(String),
}

/// Checks an output against its step's `outputs`.
///
/// # Errors
/// A mismatch, or an interrupted validation.
pub(crate) async fn check(schema: &Json, output: &Json) -> Result<(), SchemaMismatch> {
    const WORDS: Words = Words {
        schema: "the step's `outputs`",
        misfit: "the output does not fit the step's `outputs`",
    };
    fit(schema, output, WORDS).await
}

/// Checks an output against the type of the context key that its step writes.
///
/// # Errors
/// A mismatch, or an interrupted validation.
pub(crate) async fn check_key(schema: &Json, output: &Json) -> Result<(), SchemaMismatch> {
    const WORDS: Words = Words {
        schema: "the type of the context key",
        misfit: "the output does not fit the type of the context key that the step writes",
    };
    let code = codes::CONTEXT_MISFIT;
    fit(schema, output, WORDS).await.map_err(|unfit| match unfit {
        SchemaMismatch::Refused(message) if message.starts_with(WORDS.misfit) => {
            SchemaMismatch::Refused(format!("{code}: {message}"))
        }
        other @ (SchemaMismatch::Refused(_) | SchemaMismatch::Interrupted(_)) => other,
    })
}

/// Checks the answer of a model against its step's `output`.
///
/// # Errors
/// A mismatch, or an interrupted validation.
pub(crate) async fn check_answer(schema: &Json, answer: &Json) -> Result<(), SchemaMismatch> {
    const WORDS: Words = Words {
        schema: "the step's `output`",
        misfit: "the answer does not fit the step's `output`",
    };
    fit(schema, answer, WORDS).await
}

/// Checks the values that a person filled in against the `fields` of an approval.
///
/// # Errors
/// A mismatch, or an interrupted validation.
pub(crate) async fn check_fields(schema: &Json, filled: &Json) -> Result<(), SchemaMismatch> {
    const WORDS: Words = Words {
        schema: "the step's `fields`",
        misfit: "what was filled in does not fit the step's `fields`",
    };
    fit(schema, filled, WORDS).await
}

/// Wording of messages: the schema, and the mismatch.
#[derive(Debug, Clone, Copy)]
struct Words {
    schema: &'static str,
    misfit: &'static str,
}

async fn fit(schema: &Json, value: &Json, words: Words) -> Result<(), SchemaMismatch> {
    let (schema, value) = (schema.clone(), value.clone());
    let judged = foreign::compute(JUDGING, move |meter| violations(schema, &value, meter)).await;
    let violations = match judged {
        Ok(Ok(violations)) => violations,
        Ok(Err(why)) => {
            let message = format!("{} is no usable JSON Schema: {why}", words.schema);
            return Err(SchemaMismatch::Refused(message));
        }
        Err(error @ (ForeignError::Stopped { .. } | ForeignError::Late { .. })) => {
            let code = codes::SCHEMA_TOO_COSTLY;
            return Err(SchemaMismatch::Refused(format!("{code}: {}: {error}", words.schema)));
        }
        Err(error @ ForeignError::Interrupted { .. }) => {
            return Err(SchemaMismatch::Interrupted(error.to_string()));
        }
    };
    let mut problems: Vec<String> = violations
        .iter()
        .take(MAX_NAMED)
        .map(|violation| match violation.pointer().as_str() {
            "" => violation.message.clone(),
            path => format!("{path}: {}", violation.message),
        })
        .collect();
    if problems.is_empty() {
        return Ok(());
    }
    problems.sort();
    Err(SchemaMismatch::Refused(format!("{}: {}", words.misfit, problems.join("; "))))
}

fn violations(
    schema: Json,
    value: &Json,
    meter: &Meter,
) -> Result<Result<Vec<Violation>, String>, Stopped> {
    match BoundedSchema::new(schema) {
        Ok(schema) => schema.violations(value, meter).map(Ok),
        Err(why) => Ok(Err(why.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    async fn refusal(schema: Json, output: Json) -> String {
        match check(&schema, &output).await {
            Err(SchemaMismatch::Refused(message)) => message,
            other => panic!("{schema}: {other:?}"),
        }
    }

    #[tokio::test]
    async fn differences_from_the_schema_are_named() {
        let schema = json!({
            "type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}},
        });
        assert_eq!(check(&schema, &json!({"n": 1})).await, Ok(()));
        let missing = refusal(schema.clone(), json!({})).await;
        assert!(missing.contains("\"n\" is a required property"), "{missing}");
        let wrong = refusal(schema, json!({"n": "x"})).await;
        assert!(wrong.contains("/n: "), "{wrong}");
    }

    #[tokio::test]
    async fn schemas_without_a_bound_are_refused() {
        let back = json!({"$ref": "#/$defs/n"});
        let bomb = json!({"$defs": {"n": {"anyOf": vec![json!({"items": back}); 8]}}, "$ref": "#/$defs/n"});
        let deep = (0..60).fold(json!(1), |inner, _| json!([inner]));
        let refused = refusal(bomb, deep).await;
        assert!(refused.contains("a `$ref` leads back to itself"), "{refused}");
    }

    #[tokio::test]
    async fn costly_judgements_are_refused_with_a_code() {
        let words: Vec<String> = (0..9_000).map(|at| format!("word {at}")).collect();
        let items: Vec<Json> = (0..50_000).map(|at| json!(format!("other {at}"))).collect();
        let refused = refusal(json!({"items": {"enum": words}}), json!(items)).await;
        assert!(refused.starts_with("PLUE-P0073: the step's `outputs`: "), "{refused}");
    }
}
