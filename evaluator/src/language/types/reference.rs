//! `ref(…)`, `secret(…)` and `template(…)`: data in the plan, never text pasted into a command.
//!
//! In a text, as in `f"Release {ref('v', 'tag')}"`, a reference is a mark. In a value of the plan,
//! marks become `${…}` of a template; everywhere else a text with a mark is refused.

use plue_plan::Value;
use pyo3::{prelude::*, types::PyString};

use super::{PyStep, convert, kind_of, settings::PyKey};
use crate::language::{
    codes,
    state::{self, Raise, problem},
};

/// Words of CEL that cannot follow a dot.
const RESERVED: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// An expression or a secret.
#[pyclass(frozen, immutable_type, name = "Reference", module = "plue")]
pub(crate) struct PyReference {
    pub(super) value: Value,
    /// The expression, or the name of the secret.
    pub(super) source: String,
    pub(super) secret: bool,
    /// True if `value` is a template.
    template: bool,
}

/// The first and the last character of a mark, which no text of a person holds.
const MARK: (char, char) = ('\u{fdd0}', '\u{fdd1}');
/// References in texts of one file at most.
const MAX_MARKS: usize = 10_000;

/// True if a text holds a reference.
pub(super) fn is_marked(text: &str) -> bool {
    text.contains([MARK.0, MARK.1])
}

/// The template that a text with references is; `None`: its marks are not ours.
pub(super) fn template_of(text: &str) -> Option<String> {
    let mut parts = text.split(MARK.0);
    let mut template = literal(parts.next()?);
    for part in parts {
        let (index, rest) = part.split_once(MARK.1)?;
        let source =
            state::with(|state| state.references.get(index.parse::<usize>().ok()?).cloned())?;
        template.push_str(&format!("${{{source}}}"));
        template.push_str(&literal(rest));
    }
    Some(template)
}

/// `${` of the file's own text stays as it is.
fn literal(text: &str) -> String {
    text.replace("${", "$${")
}

// === impl PyReference ===

impl PyReference {
    fn expression(source: String) -> Self {
        Self { value: Value::expr(source.as_str()), source, secret: false, template: false }
    }

    /// The mark that stands for it in a text.
    fn as_text(&self) -> PyResult<String> {
        if self.secret || self.template {
            return Err(self.no_text());
        }
        let index = state::with(|state| {
            let index = state.references.len();
            state.references.push(self.source.clone());
            index
        });
        if index >= MAX_MARKS {
            let message = format!("texts of the file hold more than {MAX_MARKS} references");
            return Err(problem(Raise::Value, codes::BAD_VALUE, message, None));
        }
        Ok(format!("{}{index}{}", MARK.0, MARK.1))
    }

    /// True for a template, which an expression cannot be.
    pub(super) fn is_template(&self) -> bool {
        self.template
    }

    fn no_text(&self) -> PyErr {
        let message = format!("{} has no text while the plan is made", self.__repr__());
        let hint = "pass it as a value, as in env={\"NAME\": …}, and read the variable in the step";
        problem(Raise::Type, codes::REFERENCE_AS_TEXT, message, Some(hint.to_owned()))
    }
}

#[pymethods]
impl PyReference {
    fn __repr__(&self) -> String {
        let word = match (self.secret, self.template) {
            (true, _) => "secret",
            (_, true) => "template",
            (false, false) => "ref",
        };
        format!("{word}({:?})", self.source)
    }

    fn __str__(&self) -> PyResult<String> {
        self.as_text()
    }

    fn __format__(&self, spec: &str) -> PyResult<String> {
        if !spec.is_empty() {
            let message = format!("{} takes no format `{spec}`", self.__repr__());
            let hint = "it has no value while the plan is made; use a function of the expression";
            let hint = Some(hint.to_owned());
            return Err(problem(Raise::Value, codes::REFERENCE_AS_TEXT, message, hint));
        }
        self.as_text()
    }

    fn __bool__(&self) -> PyResult<bool> {
        let message = format!("{} has no value while the plan is made", self.__repr__());
        let hint = "decide in the run, with when=\"…\"".to_owned();
        Err(problem(Raise::Type, codes::REFERENCE_AS_TEXT, message, Some(hint)))
    }
}

/// `ref("step", "a.b")`: the output of a step, or a part of it; `ref(key, "a.b")`: of a context key.
#[pyfunction(name = "ref", signature = (step, path = None))]
pub(super) fn make_ref(
    step: &Bound<'_, PyAny>,
    path: Option<&Bound<'_, PyAny>>,
) -> PyResult<PyReference> {
    if let Ok(step) = step.cast::<PyStep>() {
        return output(step.get().step.id.as_str(), path);
    }
    if let Ok(key) = step.cast::<PyKey>() {
        let mut source = String::from("context");
        push_part(&mut source, &key.get().0.0);
        return part_of(source, path);
    }
    output(&argument("ref", "step", step)?, path)
}

/// `secret("NAME")`: a secret by name.
#[pyfunction(name = "secret", signature = (name))]
pub(super) fn make_secret(name: &Bound<'_, PyAny>) -> PyResult<PyReference> {
    let name = argument("secret", "name", name)?;
    let value = Value::secret(name.as_str());
    Ok(PyReference { value, source: name, secret: true, template: false })
}

/// `template("Release ${steps.v.output.tag}?")`: a text with expressions in it.
#[pyfunction(name = "template", signature = (text))]
pub(super) fn make_template(text: &Bound<'_, PyAny>) -> PyResult<PyReference> {
    let Ok(written) = text.cast::<PyString>() else {
        let message = format!("`text` of template is text, not {}", kind_of(text));
        return Err(problem(Raise::Type, codes::WRONG_TYPE, message, None));
    };
    let written = convert::unmarked(written).map_err(|why| {
        problem(Raise::Value, codes::BAD_TEXT, format!("`text` of template {why}"), None)
    })?;
    let value = Value::template(written.as_str());
    Ok(PyReference { value, source: written, secret: false, template: true })
}

fn argument(what: &str, name: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    let Ok(text) = value.cast::<PyString>() else {
        let message = format!("`{name}` of {what} is text, not {}", kind_of(value));
        return Err(problem(Raise::Type, codes::WRONG_TYPE, message, None));
    };
    convert::text(text).map_err(|why| {
        problem(Raise::Value, codes::BAD_TEXT, format!("`{name}` of {what} {why}"), None)
    })
}

/// The expression for a step's output.
pub(super) fn output(id: &str, path: Option<&Bound<'_, PyAny>>) -> PyResult<PyReference> {
    let mut source = String::from("steps");
    push_part(&mut source, id);
    source.push_str(".output");
    part_of(source, path)
}

/// The expression for a value, or the part of it that `path` names.
fn part_of(mut source: String, path: Option<&Bound<'_, PyAny>>) -> PyResult<PyReference> {
    if let Some(path) = path.filter(|path| !path.is_none()) {
        for part in argument("ref", "path", path)?.split('.') {
            if part.is_empty() {
                let message = "`path` of ref has an empty part".to_owned();
                let hint = "write the parts with dots between them, like \"a.b\"".to_owned();
                return Err(problem(Raise::Value, codes::BAD_VALUE, message, Some(hint)));
            }
            if part.bytes().all(|b| b.is_ascii_digit()) {
                source.push_str(&format!("[{part}]"));
            } else {
                push_part(&mut source, part);
            }
        }
    }
    Ok(PyReference::expression(source))
}

fn push_part(source: &mut String, part: &str) {
    let plain = part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !part.starts_with(|c: char| c.is_ascii_digit())
        && !part.is_empty()
        && !RESERVED.contains(&part);
    if plain {
        source.push('.');
        source.push_str(part);
    } else {
        source.push_str("[\"");
        for c in part.chars() {
            if matches!(c, '"' | '\\') {
                source.push('\\');
            }
            source.push(c);
        }
        source.push_str("\"]");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_no_identifier_is_written_as_an_index() {
        let written = |part: &str| {
            let mut source = String::from("steps");
            push_part(&mut source, part);
            source
        };
        assert_eq!(written("test"), "steps.test");
        assert_eq!(written("x-y"), "steps[\"x-y\"]");
        assert_eq!(written("in"), "steps[\"in\"]");
        assert_eq!(written("1a"), "steps[\"1a\"]");
        assert_eq!(written("a\"b"), "steps[\"a\\\"b\"]");
    }
}
