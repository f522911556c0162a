//! Example cases of a prompt: inputs, and the text or the problem that must come of them.
//!
//! Must not look for files: callers hand in texts.

use plue_plan::{Diagnostic, Span};
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::{answer::AnswerCase, codes};

/// The cases of one file.
#[derive(Debug, Clone, PartialEq)]
pub struct Cases(pub Vec<Case>);

/// One example of a prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Name of the case in messages.
    pub id: String,
    /// Values of the inputs.
    pub inputs: Map<String, Json>,
    /// Expected result of the rendering.
    pub expected: Expected,
    /// Expected answer of a model; absent: no request to a model.
    pub answer: Option<AnswerCase>,
    file: Option<String>,
    body: Option<String>,
}

/// Expected result of a case.
#[derive(Debug, Clone, PartialEq)]
pub enum Expected {
    /// The rendered text equals this one.
    Render(String),
    /// A text that holds all of these.
    Contains(Vec<String>),
    /// A refusal whose problems hold all of these; none: any refusal.
    Error(Vec<String>),
    /// Any text: the case is about the answer.
    Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    id: String,
    #[serde(default, alias = "data")]
    inputs: Map<String, Json>,
    file: Option<String>,
    body: Option<String>,
    render: Option<String>,
    contains: Option<OneOrMany>,
    error: Option<String>,
    answer: Option<AnswerCase>,
    #[serde(default, rename = "note")]
    _note: String,
}

/// A text, or a list of texts.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

// === impl OneOrMany ===

impl From<OneOrMany> for Vec<String> {
    fn from(texts: OneOrMany) -> Self {
        match texts {
            OneOrMany::One(text) => vec![text],
            OneOrMany::Many(texts) => texts,
        }
    }
}

// === impl Cases ===

impl Cases {
    /// Reads a file of cases: a JSON list of objects.
    ///
    /// # Errors
    /// Every case that does not fit.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, Vec<Diagnostic>> {
        let bad =
            |message: String| Diagnostic::error(codes::BAD_CASES, message).at(Span::at(file, 1, 1));
        let list: Vec<Json> = serde_json::from_slice(bytes).map_err(|error| {
            let line = u32::try_from(error.line()).unwrap_or(1).max(1);
            let column = u32::try_from(error.column()).unwrap_or(1).max(1);
            vec![
                bad(format!("a JSON list of cases is expected: {error}"))
                    .at(Span::at(file, line, column)),
            ]
        })?;
        let (mut cases, mut problems) = (Vec::<Case>::new(), Vec::new());
        for (index, json) in list.into_iter().enumerate() {
            let name = json.get("id").and_then(Json::as_str).map(str::to_owned);
            let name = name.map_or(format!("case {}", index + 1), |id| format!("case `{id}`"));
            match Case::of(json) {
                Ok(case) if cases.iter().any(|known| known.id == case.id) => {
                    problems.push(bad(format!("{name}: the id is given twice")));
                }
                Ok(case) => cases.push(case),
                Err(message) => problems.push(bad(format!("{name}: {message}"))),
            }
        }
        if problems.is_empty() { Ok(Self(cases)) } else { Err(problems) }
    }
}

// === impl Case ===

impl Case {
    fn of(json: Json) -> Result<Self, String> {
        let raw: Raw = serde_json::from_value(json).map_err(|error| error.to_string())?;
        let expected = match (raw.render, raw.contains, raw.error) {
            (Some(text), None, None) => Expected::Render(text),
            (None, Some(texts), None) => Expected::Contains(texts.into()),
            (None, None, Some(error)) => Expected::Error(parts(&error)),
            (None, None, None) if raw.answer.is_some() => Expected::Text,
            _ => {
                let what =
                    "exactly one of `render`, `contains` and `error`, or `answer`, is needed";
                return Err(what.to_owned());
            }
        };
        if let Some(answer) = &raw.answer {
            if matches!(expected, Expected::Error(_)) {
                return Err("`error` and `answer` exclude each other".to_owned());
            }
            answer.check()?;
        }
        if raw.file.is_some() && raw.body.is_some() {
            return Err("`file` and `body` exclude each other".to_owned());
        }
        let Raw { id, inputs, answer, file, body, .. } = raw;
        Ok(Self { id, inputs, expected, answer, file, body })
    }

    /// The prompt that the case itself holds: `file` as it is, `body` with a frontmatter before it.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let body = |body: &String| format!("---\nname: case\n---\n{body}");
        self.file.clone().or_else(|| self.body.as_ref().map(body))
    }

    /// The difference between the result and the expectation; `None`: they agree.
    #[must_use]
    pub fn judge(&self, found: &Result<String, Vec<Diagnostic>>) -> Option<Diagnostic> {
        let why = match (&self.expected, found) {
            (Expected::Render(wanted), Ok(text)) => first_difference(wanted, text)?,
            (Expected::Contains(wanted), Ok(text)) => {
                let missing = wanted.iter().find(|part| !text.contains(part.as_str()))?;
                format!("the text does not contain {missing:?}")
            }
            (Expected::Text, Ok(_)) => return None,
            (Expected::Render(_) | Expected::Contains(_) | Expected::Text, Err(problems)) => {
                let all: Vec<_> = problems.iter().map(ToString::to_string).collect();
                format!("it was refused: {}", all.join("; "))
            }
            (Expected::Error(wanted), Err(problems)) => {
                let all: Vec<_> = problems.iter().map(ToString::to_string).collect();
                let all = all.join("\n");
                let missing = wanted.iter().find(|part| !all.contains(part.as_str()))?;
                format!("the refusal does not say {missing:?}: {all}")
            }
            (Expected::Error(_), Ok(_)) => "it rendered and should be refused".to_owned(),
        };
        Some(self.failed(&why))
    }

    /// The problem of a case that failed.
    #[must_use]
    pub fn failed(&self, why: &str) -> Diagnostic {
        Diagnostic::error(codes::CASE_FAILED, format!("case `{}`: {why}", self.id))
    }
}

/// `PLUE-T0020 … a.b`: a code and the texts that must follow. A text without a code is a remark for
/// readers, and any refusal fits.
fn parts(error: &str) -> Vec<String> {
    let coded = error.starts_with("PLUE-");
    error.split(" … ").filter(|_| coded).map(str::to_owned).collect()
}

fn first_difference(wanted: &str, found: &str) -> Option<String> {
    if wanted == found {
        return None;
    }
    let (mut a, mut b) = (wanted.split('\n'), found.split('\n'));
    let mut line = 0;
    loop {
        line += 1;
        match (a.next(), b.next()) {
            (Some(x), Some(y)) if x == y => {}
            (None, None) => return None,
            (x, y) => {
                let shown = |text: Option<&str>| {
                    text.map_or("nothing more".to_owned(), |text| format!("{text:?}"))
                };
                return Some(format!("line {line} is {}, expected {}", shown(y), shown(x)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(json: &str) -> Case {
        Cases::parse("c.json", json.as_bytes()).unwrap().0.remove(0)
    }

    #[test]
    fn a_case_fails_when_the_text_is_another_one() {
        let case = one(r#"[{"id": "a", "render": "x\ny"}]"#);
        assert_eq!(case.judge(&Ok("x\ny".to_owned())), None);
        let problem = case.judge(&Ok("x\nz".to_owned())).unwrap();
        assert!(problem.message.contains(r#"line 2 is "z", expected "y""#), "{problem}");
        assert!(case.judge(&Err(Vec::new())).is_some());
    }

    #[test]
    fn a_refusal_must_have_the_code_and_the_words() {
        let refused = Diagnostic::error(codes::MISSING_VALUE, "`a.b` has no value");
        let case = one(r#"[{"id": "a", "error": "PLUE-T0020 … a.b"}]"#);
        assert_eq!(case.judge(&Err(vec![refused.clone()])), None);
        assert!(case.judge(&Ok(String::new())).is_some());
        let other = one(r#"[{"id": "a", "error": "PLUE-T0021"}]"#);
        assert!(other.judge(&Err(vec![refused.clone()])).is_some());
        let any = one(r#"[{"id": "a", "error": "some words"}]"#);
        assert_eq!(any.judge(&Err(vec![refused])), None);
    }

    #[test]
    fn a_case_that_could_not_fail_is_refused_with_all_others() {
        let found = Cases::parse(
            "c.json",
            br#"[{"id": "a"}, {"id": "b", "render": "x", "colour": 1}, {"id": "c", "render": "x"}, {"id": "c", "error": "x"}]"#,
        );
        let messages: Vec<_> = found.unwrap_err().iter().map(|p| p.message.clone()).collect();
        assert_eq!(messages.len(), 3, "{messages:?}");
        let place = Cases::parse("c.json", b"[\n  {]").unwrap_err().remove(0).span.unwrap();
        assert_eq!(place.line, 2);
    }
}
