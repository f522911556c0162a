//! `str.format` without attribute access, and the builtin `format`.
//!
//! A template reads arguments by number or name and items by `[key]`. `{x.y}` is refused: it is
//! the classic way from a text to the interpreter.

use plue_plan::Code;
use pyo3::{
    exceptions::{PyIndexError, PyKeyError, PyValueError},
    intern,
    prelude::*,
    types::{PyDict, PyString, PyTuple, PyType},
};

use super::is_builtin_method;
use crate::language::{
    codes,
    state::{Raise, problem},
};

/// Nesting of fields in format specifications, as in `{:{width}}`.
const MAX_NESTING: u32 = 2;

/// True if `.format` of the object would be `str.format`.
pub(super) fn is_text(object: &Bound<'_, PyAny>) -> bool {
    let of_str = |class: &Bound<'_, PyType>| class.is_subclass_of::<PyString>().unwrap_or(true);
    object.is_instance_of::<PyString>() || object.cast::<PyType>().is_ok_and(of_str)
}

#[pyfunction(name = "format", signature = (value, spec = None))]
pub(super) fn guarded_format<'py>(
    value: &Bound<'py, PyAny>,
    spec: Option<&Bound<'py, PyString>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    let empty = PyString::new(py, "");
    apply(value, spec.unwrap_or(&empty))
}

fn apply<'py>(
    value: &Bound<'py, PyAny>,
    spec: &Bound<'py, PyString>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    super::prepared::get(py)?.functions.format.bind(py).call1((value, spec))
}

/// Replaces calls of `.format(…)`.
#[pyfunction(name = "__plue_format__", signature = (object, *args, **kwargs))]
pub(crate) fn plue_format<'py>(
    object: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    if let Ok(template) = object.cast::<PyString>() {
        return render_all(template, args.clone(), kwargs);
    }
    if is_text(object) {
        let template = args.get_item(0)?;
        let template = template.cast::<PyString>()?;
        let rest = args.get_slice(1, args.len());
        return render_all(template, rest, kwargs);
    }
    let method = object.getattr(intern!(py, "format"))?;
    if is_builtin_method(&method) {
        let message = "`.format` can only be called on the template itself".to_owned();
        return Err(refusal(codes::FORMAT_VALUE, message, "use an f-string"));
    }
    method.call(args, kwargs)
}

fn refusal(code: Code, message: String, hint: &str) -> PyErr {
    problem(Raise::Value, code, message, Some(hint.to_owned()))
}

fn render_all<'py>(
    template: &Bound<'py, PyString>,
    args: Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = template.py();
    let mut formatter = Formatter { args, kwargs: kwargs.cloned(), next: Some(0), numbered: false };
    let text = formatter.render(template.to_str()?, MAX_NESTING)?;
    Ok(PyString::new(py, &text).into_any())
}

struct Formatter<'py> {
    args: Bound<'py, PyTuple>,
    kwargs: Option<Bound<'py, PyDict>>,
    /// The next automatic number; `None` after an explicit one.
    next: Option<usize>,
    numbered: bool,
}

// === impl Formatter ===

impl<'py> Formatter<'py> {
    fn render(&mut self, template: &str, nesting: u32) -> PyResult<String> {
        let mut out = String::new();
        let mut rest = template;
        while let Some(at) = rest.find(['{', '}']) {
            out.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                out.push_str(brace);
                rest = after;
                continue;
            }
            if brace == "}" {
                return Err(PyValueError::new_err("Single '}' encountered in format string"));
            }
            let end = field_end(rest)
                .ok_or_else(|| PyValueError::new_err("expected '}' before end of string"))?;
            out.push_str(&self.field(&rest[..end], nesting)?);
            rest = &rest[end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }

    fn field(&mut self, field: &str, nesting: u32) -> PyResult<String> {
        if nesting == 0 {
            return Err(PyValueError::new_err("Max string recursion exceeded"));
        }
        let (head, spec) = split_spec(field);
        let (name, conversion) = match head.rsplit_once('!') {
            Some((name, conversion)) => (name, Some(conversion)),
            None => (head, None),
        };
        let mut value = self.value(name)?;
        let py = value.py();
        match conversion {
            None => {}
            Some("s") => value = value.str()?.into_any(),
            Some("r") => value = value.repr()?.into_any(),
            Some("a") => {
                let ascii = super::prepared::get(py)?.functions.ascii.bind(py);
                value = ascii.call1((&value,))?;
            }
            Some(other) => {
                let message = format!("Unknown conversion specifier '{other}'");
                return Err(PyValueError::new_err(message));
            }
        }
        let spec = if spec.contains(['{', '}']) {
            self.render(spec, nesting - 1)?
        } else {
            spec.to_owned()
        };
        let text = apply(&value, &PyString::new(py, &spec))?;
        text.cast::<PyString>()?.to_str().map(str::to_owned)
    }

    fn value(&mut self, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let base_end = name.find(['.', '[']).unwrap_or(name.len());
        let (base, mut items) = name.split_at(base_end);
        let mut value = self.argument(base)?;
        while !items.is_empty() {
            let Some(inner) = items.strip_prefix('[') else {
                let message = format!("`{{{name}}}` reads an attribute, which a template cannot");
                return Err(refusal(
                    codes::FORMAT_VALUE,
                    message,
                    "use an f-string, or pass the attribute as an argument",
                ));
            };
            let end = inner
                .find(']')
                .ok_or_else(|| PyValueError::new_err("Missing ']' in format string"))?;
            value = match inner[..end].parse::<usize>() {
                Ok(index) => value.get_item(index)?,
                Err(_) => value.get_item(&inner[..end])?,
            };
            items = &inner[end + 1..];
        }
        Ok(value)
    }

    fn argument(&mut self, base: &str) -> PyResult<Bound<'py, PyAny>> {
        let index = if base.is_empty() {
            let Some(next) = self.next.filter(|_| !self.numbered) else {
                return Err(PyValueError::new_err(
                    "cannot switch from manual field specification to automatic field numbering",
                ));
            };
            self.next = Some(next + 1);
            next
        } else if let Ok(index) = base.parse::<usize>() {
            if self.next != Some(0) {
                return Err(PyValueError::new_err(
                    "cannot switch from automatic field numbering to manual field specification",
                ));
            }
            self.numbered = true;
            index
        } else {
            let found = self.kwargs.as_ref().map(|kwargs| kwargs.get_item(base)).transpose()?;
            return found.flatten().ok_or_else(|| PyKeyError::new_err(base.to_owned()));
        };
        self.args.get_item(index).map_err(|_| {
            PyIndexError::new_err(format!(
                "Replacement index {index} out of range for positional args tuple"
            ))
        })
    }
}

/// The end of a field: its closing brace, nested fields skipped.
fn field_end(text: &str) -> Option<usize> {
    let mut depth = 0_u32;
    let mut brackets = false;
    for (at, c) in text.char_indices() {
        match c {
            '[' if depth == 0 => brackets = true,
            ']' => brackets = false,
            '{' if !brackets => depth += 1,
            '}' if depth > 0 && !brackets => depth -= 1,
            '}' if !brackets => return Some(at),
            _ => {}
        }
    }
    None
}

/// Name and conversion, and the specification after the first `:` outside brackets.
fn split_spec(field: &str) -> (&str, &str) {
    let mut brackets = false;
    for (at, c) in field.char_indices() {
        match c {
            '[' => brackets = true,
            ']' => brackets = false,
            ':' if !brackets => return (&field[..at], &field[at + 1..]),
            _ => {}
        }
    }
    (field, "")
}
