//! The part of an example case that is about the model's answer: what it must hold, and the results of
//! the tools that the model calls on the way.
//!
//! Must not ask a model: callers hand in answers.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::cases::OneOrMany;

/// Characters of an answer that a message repeats.
const EXCERPT: usize = 400;

/// The expectations of a case about an answer.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnswerCase {
    /// Texts that the answer contains; a JSON answer as compact JSON.
    #[serde(deserialize_with = "texts")]
    pub contains: Vec<String>,
    /// Texts that it does not contain.
    #[serde(deserialize_with = "texts")]
    pub lacks: Vec<String>,
    /// Regular expressions of which each fits a part of the text.
    #[serde(deserialize_with = "texts")]
    pub matches: Vec<String>,
    /// JSON Schema of the answer, in addition to the prompt's `output`.
    pub schema: Option<Json>,
    /// Values by their path in a JSON answer, such as `findings.0.severity`.
    pub equals: Map<String, Json>,
    /// Results of the tools that the model may call, by name. A tool without one fails the case.
    pub results: BTreeMap<String, String>,
}

// === impl AnswerCase ===

impl AnswerCase {
    /// Checks that the case could fail at all.
    ///
    /// # Errors
    /// The case has no expectation of the answer.
    pub(crate) fn check(&self) -> Result<(), String> {
        let is_empty = self.contains.is_empty()
            && self.lacks.is_empty()
            && self.matches.is_empty()
            && self.equals.is_empty();
        if is_empty && self.schema.is_none() {
            return Err(
                "`answer` needs one of `contains`, `lacks`, `matches`, `schema` and `equals`"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Everything that the answer lacks or should not have, except for its schemas.
    #[must_use]
    pub fn judge(&self, answer: &Json) -> Vec<String> {
        let text = text_of(answer);
        let missing = self.contains.iter().filter(|part| !text.contains(part.as_str()));
        let mut problems: Vec<String> =
            missing.map(|part| format!("the answer does not contain {part:?}")).collect();
        let unwanted = self.lacks.iter().filter(|part| text.contains(part.as_str()));
        problems.extend(unwanted.map(|part| format!("the answer contains {part:?}")));
        for (path, wanted) in &self.equals {
            match at(answer, path) {
                Some(found) if equal(found, wanted) => {}
                Some(found) => {
                    let found = excerpt(&found.to_string());
                    problems.push(format!("`{path}` of the answer is {found}, expected {wanted}"));
                }
                None => problems.push(format!("the answer has no `{path}`, expected {wanted}")),
            }
        }
        problems
    }

    /// The schemas to judge by, with the value that each is about and a name for messages.
    #[must_use]
    pub fn schemas(&self, answer: &Json) -> Vec<(String, Json, Json)> {
        let text = Json::String(text_of(answer));
        let patterns = self.matches.iter().map(|pattern| {
            let schema = json!({ "type": "string", "pattern": pattern });
            (format!("the answer does not match {pattern:?}"), schema, text.clone())
        });
        let own = self.schema.iter().map(|schema| {
            ("the answer does not fit `schema`".to_owned(), schema.clone(), answer.clone())
        });
        patterns.chain(own).collect()
    }
}

/// The beginning of an answer, for messages.
#[must_use]
pub fn excerpt(text: &str) -> String {
    let mut shown: String = text.chars().take(EXCERPT).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// An answer as text: JSON is compact.
#[must_use]
pub fn text_of(answer: &Json) -> String {
    match answer {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The value at a path of names and indices, as templates write it.
fn at<'j>(answer: &'j Json, path: &str) -> Option<&'j Json> {
    path.split('.').try_fold(answer, |value, part| match value {
        Json::Array(items) => items.get(part.parse::<usize>().ok()?),
        Json::Object(fields) => fields.get(part),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => None,
    })
}

/// Equality of JSON in which `1` and `1.0` are equal.
fn equal(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Number(a), Json::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Json::Object(a), Json::Object(b)) => {
            let same =
                |(key, value): (&String, &Json)| b.get(key).is_some_and(|it| equal(value, it));
            a.len() == b.len() && a.iter().all(same)
        }
        _ => one == other,
    }
}

fn texts<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    OneOrMany::deserialize(from).map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(json: Json) -> AnswerCase {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn answers_are_judged_by_text_and_path() {
        let case = case(json!({
            "contains": "high", "lacks": ["password"],
            "equals": { "findings.0.line": 3, "findings.1": null, "score": 1 },
        }));
        let answer = json!({ "findings": [{ "line": 4, "severity": "high" }], "score": 1.0 });
        let problems = case.judge(&answer);
        assert_eq!(
            problems,
            [
                "`findings.0.line` of the answer is 4, expected 3",
                "the answer has no `findings.1`, expected null"
            ]
        );
        let problems = case.judge(&json!("the password is low"));
        assert!(problems[0].contains("does not contain \"high\""), "{problems:?}");
        assert!(problems[1].contains("contains \"password\""), "{problems:?}");
    }

    #[test]
    fn patterns_are_schemas_of_the_text() {
        let case = case(json!({ "matches": "^a.c$", "schema": { "type": "object" } }));
        let schemas = case.schemas(&json!("abc"));
        assert_eq!(schemas[0].1, json!({ "type": "string", "pattern": "^a.c$" }));
        assert_eq!((&schemas[0].2, schemas.len()), (&json!("abc"), 2));
    }

    #[test]
    fn cases_that_expect_nothing_are_refused() {
        assert!(case(json!({ "results": { "git": "x" } })).check().is_err());
        assert!(case(json!({ "lacks": "x" })).check().is_ok());
    }
}
