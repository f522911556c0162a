//! From a Python exception to diagnostics: the place in the user's file, the message, the advice.
//!
//! Must not show a frame that is not the user's, and must survive an exception whose own text
//! raises.

use plue_plan::{Diagnostic, Span, diagnostic::Related};
use pyo3::{
    exceptions::{PyAttributeError, PyMemoryError, PyNameError, PyRecursionError, PySyntaxError},
    prelude::*,
    types::{PySlice, PyString, PyType},
};

use super::{
    codes, context, facade,
    frames::{self, SourceLocation},
    names,
    source::SourceFile,
    state,
};

/// Characters of a message at most.
const MAX_MESSAGE: isize = 4_096;
/// Places of a traceback shown in addition to the innermost one.
const MAX_RELATED: usize = 10;

/// The span of a place in one of the evaluation's files.
pub(crate) fn span(place: &SourceLocation) -> Option<Span> {
    state::with(|state| {
        let file = state.files.get(place.file)?;
        Some(file.span(place.start, place.end))
    })
}

/// Diagnostic of a failed evaluation.
pub(crate) fn diagnose(py: Python<'_>, error: &PyErr) -> Diagnostic {
    let places: Vec<SourceLocation> = error
        .traceback(py)
        .map(|traceback| frames::traceback_places(traceback.as_any()))
        .unwrap_or_default();
    let mut problem = describe(py, error);
    problem.span = places.last().and_then(span);
    let outer = places.len().saturating_sub(1);
    let shown = outer.min(MAX_RELATED);
    problem.related = places[outer - shown..outer]
        .iter()
        .rev()
        .filter_map(|place| {
            let span = span(place)?;
            let message = match place.function.as_str() {
                "<module>" => "called from the module".to_owned(),
                name => format!("called from `{name}`"),
            };
            Some(Related { message, span })
        })
        .collect();
    problem
}

pub(crate) fn describe(py: Python<'_>, error: &PyErr) -> Diagnostic {
    if error.is_instance_of::<PyRecursionError>(py) {
        return Diagnostic::error(codes::RECURSION, "the file recursed too deeply")
            .hint("use a loop");
    }
    if error.is_instance_of::<PyMemoryError>(py) {
        return Diagnostic::error(codes::MEMORY, "the file used more memory than the limit");
    }
    let text = message(error.value(py));
    if let Some((code, hint)) = state::remembered(&text) {
        let mut problem = Diagnostic::error(code, text);
        problem.hint = hint;
        return problem;
    }
    let class =
        error.get_type(py).name().map_or_else(|_| "exception".to_owned(), |name| name.to_string());
    let full = if text.is_empty() { class } else { format!("{class}: {text}") };
    let mut problem = Diagnostic::error(codes::EXCEPTION, full);
    if error.is_instance_of::<PyNameError>(py) {
        explain_name(py, error, &mut problem);
    } else if error.is_instance_of::<PyAttributeError>(py) {
        problem.hint = attribute_hint(error.value(py).as_any());
    }
    problem
}

/// The text of an exception, cut to the limit; empty when making it fails.
fn message(value: &Bound<'_, PyAny>) -> String {
    let py = value.py();
    let Ok(text) = value.str() else {
        return String::new();
    };
    let long = text.len().is_ok_and(|length| length > MAX_MESSAGE as usize);
    let cut = if long {
        text.get_item(PySlice::new(py, 0, MAX_MESSAGE, 1))
    } else {
        Ok(text.clone().into_any())
    };
    let cut = cut.ok().and_then(|cut| cut.cast_into::<PyString>().ok());
    let mut message = cut.map(|cut| cut.to_string_lossy().into_owned()).unwrap_or_default();
    if long {
        message.push('…');
    }
    message
}

fn name_of(value: &Bound<'_, PyAny>) -> Option<String> {
    value.getattr("name").ok()?.extract().ok()
}

fn explain_name(py: Python<'_>, error: &PyErr, problem: &mut Diagnostic) {
    let Some(name) = name_of(error.value(py)) else {
        return;
    };
    if let Some(hint) = names::removed_builtin(&name) {
        problem.code = codes::REMOVED_BUILTIN;
        problem.message = format!("`{name}` is not available while a plan is made");
        problem.hint = Some(hint.to_owned());
    } else {
        problem.code = codes::UNDEFINED_NAME;
        problem.hint = names::suggestion(&name, facade::builtin_names());
    }
}

fn attribute_hint(value: &Bound<'_, PyAny>) -> Option<String> {
    let name = name_of(value)?;
    let object = value.getattr("obj").ok()?;
    if object.is_none() {
        return context::is_event_field(&name).then(|| {
            "`ctx.event` is None while workflows are only listed: check it first".to_owned()
        });
    }
    let known: Vec<String> =
        object.dir().ok()?.iter().filter_map(|name| name.extract().ok()).collect();
    let public: Vec<&str> =
        known.iter().map(String::as_str).filter(|known| !known.starts_with('_')).collect();
    names::suggestion(&name, public.iter().copied()).or_else(|| {
        // A class of ours has few methods: better all of them than none.
        let class = object.cast::<PyType>().ok()?;
        let ours = class.module().ok()? == "plue";
        let name = class.name().ok()?;
        ours.then(|| format!("{name} has {}", public.join(", ")))
    })
}

/// Diagnostic of a parser's or compiler's error.
pub(crate) fn syntax(py: Python<'_>, error: &PyErr, file: &SourceFile) -> Diagnostic {
    let deep =
        error.is_instance_of::<PyRecursionError>(py) || error.is_instance_of::<PyMemoryError>(py);
    if deep {
        return Diagnostic::error(codes::TOO_COMPLEX, "the code is nested too deeply to be read")
            .at(Span::at(&file.path, 1, 1))
            .hint("split it into functions, use a list and a loop");
    }
    let value = error.value(py);
    if !error.is_instance_of::<PySyntaxError>(py) {
        return Diagnostic::error(codes::SYNTAX, message(value)).at(Span::at(&file.path, 1, 1));
    }
    let number = |name: &str| -> Option<u32> { value.getattr(name).ok()?.extract().ok() };
    let line = number("lineno").unwrap_or(1).max(1);
    let mut span = Span::at(&file.path, line, number("offset").unwrap_or(1).max(1));
    let end_line = number("end_lineno").filter(|end| *end >= line);
    let end_column = number("end_offset").filter(|column| *column > 0);
    if let (Some(end_line), Some(end_column)) = (end_line, end_column)
        && (end_line > line || end_column > span.column)
    {
        span.end_line = (end_line != line).then_some(end_line);
        span.end_column = Some(end_column);
    }
    let text = value.getattr("msg").map(|text| message(&text)).unwrap_or_default();
    let nested = text.contains("too many nested") || text.contains("too many statically nested");
    let code = if nested { codes::TOO_COMPLEX } else { codes::SYNTAX };
    Diagnostic::error(code, text).at(span)
}
