//! The output of a step against the JSON Schema that the step promises (`outputs=`), and the fields of
//! an approval. Schema and value are foreign: both are judged within a budget, on a blocking thread.

use std::time::Duration;

use plue_plan::{
    budget::{Budget, Meter, Stopped},
    codes,
    json_schema::{BoundedSchema, MAX_JUDGE_STEPS, Violation},
};
use plue_runtime::foreign::{self, ForeignError, Limits};
use serde_json::Value as Json;

/// Problems that one message names at most.
const MAX_NAMED: usize = 3;
/// The limits of one judgement.
const JUDGING: Limits = Limits {
    name: "judging by a JSON Schema",
    budget: Budget::of_steps(MAX_JUDGE_STEPS),
    cpu: Duration::from_secs(10),
    wall: Duration::from_secs(60),
};

/// Reason that a value was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// A text for the author: where the value differs and how, or the limit that judging it reached.
    /// Final.
    Refused(String),
    /// The judging was cut off; it may be done again.
    Interrupted(String),
}

/// Checks an output.
///
/// # Errors
/// It does not fit, or judging it was stopped.
pub(crate) async fn check(schema: &Json, output: &Json) -> Result<(), Unfit> {
    const WORDS: Words = Words {
        schema: "the step's `outputs`",
        misfit: "the output does not fit the step's `outputs`",
    };
    fit(schema, output, WORDS).await
}

/// Checks an output against the type of the context key that its step writes.
///
/// # Errors
/// It does not fit, or judging it was stopped.
pub(crate) async fn check_key(schema: &Json, output: &Json) -> Result<(), Unfit> {
    const WORDS: Words = Words {
        schema: "the type of the context key",
        misfit: "the output does not fit the type of the context key that the step writes",
    };
    let code = codes::CONTEXT_MISFIT;
    fit(schema, output, WORDS).await.map_err(|unfit| match unfit {
        Unfit::Refused(message) if message.starts_with(WORDS.misfit) => {
            Unfit::Refused(format!("{code}: {message}"))
        }
        other @ (Unfit::Refused(_) | Unfit::Interrupted(_)) => other,
    })
}

/// Checks the answer of a model.
///
/// # Errors
/// It does not fit, or judging it was stopped.
pub(crate) async fn check_answer(schema: &Json, answer: &Json) -> Result<(), Unfit> {
    const WORDS: Words = Words {
        schema: "the step's `output`",
        misfit: "the answer does not fit the step's `output`",
    };
    fit(schema, answer, WORDS).await
}

/// Checks the values that a person filled in against the `fields` of an approval.
///
/// # Errors
/// They do not fit, or judging them was stopped.
pub(crate) async fn check_fields(schema: &Json, filled: &Json) -> Result<(), Unfit> {
    const WORDS: Words = Words {
        schema: "the step's `fields`",
        misfit: "what was filled in does not fit the step's `fields`",
    };
    fit(schema, filled, WORDS).await
}

/// Wording of messages: the schema, and a value that does not fit it.
#[derive(Debug, Clone, Copy)]
struct Words {
    schema: &'static str,
    misfit: &'static str,
}

async fn fit(schema: &Json, value: &Json, words: Words) -> Result<(), Unfit> {
    let (schema, value) = (schema.clone(), value.clone());
    let judged = foreign::compute(JUDGING, move |meter| violations(schema, &value, meter)).await;
    let violations = match judged {
        Ok(Ok(violations)) => violations,
        Ok(Err(why)) => {
            let message = format!("{} is no usable JSON Schema: {why}", words.schema);
            return Err(Unfit::Refused(message));
        }
        Err(error @ (ForeignError::Stopped { .. } | ForeignError::Late { .. })) => {
            let code = codes::SCHEMA_TOO_COSTLY;
            return Err(Unfit::Refused(format!("{code}: {}: {error}", words.schema)));
        }
        Err(error @ ForeignError::Interrupted { .. }) => {
            return Err(Unfit::Interrupted(error.to_string()));
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
    Err(Unfit::Refused(format!("{}: {}", words.misfit, problems.join("; "))))
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
            Err(Unfit::Refused(message)) => message,
            other => panic!("{schema}: {other:?}"),
        }
    }

    #[tokio::test]
    async fn an_output_fits_its_schema_or_the_difference_is_named() {
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
