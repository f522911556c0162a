//! `ctx`: the only input of a workflow besides its source.
//!
//! Reads are answered from the facts of the request. A missing fact ends the evaluation with a list
//! of needs; the engine repeats the request with them. Must not be a way to anything outside the
//! request.

mod event;
mod paths;

use plue_wire::eval::{EvalRequest, FileFact, Need};
use pyo3::{
    exceptions::PyAttributeError,
    prelude::*,
    types::{PyDict, PyList},
};

pub(crate) use self::event::is_field as is_event_field;
use self::paths::{path_of, pattern_of};
use super::{
    codes, guards, names, prepared,
    state::{self, Ending, Raise, problem},
};

/// Paths of one `ctx.glob` that are requested together when the first of them is read.
const MAX_READ_AHEAD: usize = 256;

const MEMBERS: [&str; 6] = ["changed_files", "event", "exists", "glob", "inputs", "read"];

/// The context of one evaluation.
#[pyclass(frozen, immutable_type, name = "Context", module = "plue")]
pub(crate) struct Context {
    /// `None`: the file has to ask for it.
    event: Option<Py<PyAny>>,
    inputs: Py<PyAny>,
}

/// Builds the context of a request.
pub(crate) fn build<'py>(py: Python<'py>, request: &EvalRequest) -> PyResult<Bound<'py, Context>> {
    let event = match &request.event_json {
        _ if request.withholds_event => None,
        Some(json) => Some(event::build(py, json)?),
        None => Some(py.None()),
    };
    let parsed: serde_json::Value = serde_json::from_str(&request.inputs_json)
        .map_err(|error| malformed(format!("the inputs of the run are no JSON object: {error}")))?;
    let inputs = event::to_python(py, &parsed)?.into_bound(py);
    if !inputs.is_instance_of::<PyDict>() {
        return Err(malformed("the inputs of the run are no JSON object".to_owned()));
    }
    let proxy = prepared::get(py)?.classes.mapping_proxy.bind(py);
    Bound::new(py, Context { event, inputs: proxy.call1((inputs,))?.unbind() })
}

/// Makes the classes of the context.
pub(crate) fn warm_up(py: Python<'_>) {
    py.get_type::<Context>();
    event::warm_up(py);
}

fn malformed(message: String) -> PyErr {
    problem(Raise::Value, codes::BAD_REQUEST, message, None)
}

fn need(needs: Vec<Need>) -> PyErr {
    guards::end(Ending::Needs(needs))
}

#[pymethods]
impl Context {
    /// The event, or `None` when the workflow is only listed.
    #[getter]
    fn event(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let event = self.event.as_ref().map(|event| event.clone_ref(py));
        event.ok_or_else(|| need(vec![Need::Event]))
    }

    /// Inputs of the run.
    #[getter]
    fn inputs(&self, py: Python<'_>) -> Py<PyAny> {
        self.inputs.clone_ref(py)
    }

    /// Paths that the event changed, sorted.
    #[getter]
    fn changed_files<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        match state::with(|state| state.facts.changed_files.clone()) {
            Some(paths) => PyList::new(py, paths),
            None => Err(need(vec![Need::ChangedFiles])),
        }
    }

    /// The text of a file of the commit.
    fn read(&self, path: &Bound<'_, PyAny>) -> PyResult<String> {
        let path = path_of("ctx.read", path)?;
        let fact = state::with(|state| state.facts.files.get(&path).cloned());
        match fact {
            Some(FileFact::Text(text)) => Ok(text),
            Some(FileFact::Absent) => Err(problem(
                Raise::NoFile,
                codes::UNREADABLE,
                format!("the commit has no file `{path}`"),
                Some("ask with ctx.exists(path) first".to_owned()),
            )),
            Some(FileFact::NotText) => Err(problem(
                Raise::Value,
                codes::UNREADABLE,
                format!("the file `{path}` is not UTF-8 text, or too large to read"),
                Some("read it in a step".to_owned()),
            )),
            Some(FileFact::Present) | None => Err(need(read_ahead(path))),
        }
    }

    /// The paths of the commit that match a pattern, sorted.
    fn glob<'py>(&self, pattern: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        let py = pattern.py();
        let pattern = pattern_of("ctx.glob", pattern)?;
        match state::with(|state| state.facts.globs.get(&pattern).cloned()) {
            Some(paths) => PyList::new(py, paths),
            None => Err(need(vec![Need::Glob(pattern)])),
        }
    }

    /// True if the commit has this file.
    fn exists(&self, path: &Bound<'_, PyAny>) -> PyResult<bool> {
        let path = path_of("ctx.exists", path)?;
        match state::with(|state| state.facts.files.get(&path).cloned()) {
            Some(FileFact::Absent) => Ok(false),
            Some(FileFact::Text(_) | FileFact::NotText | FileFact::Present) => Ok(true),
            None => Err(need(vec![Need::Exists(path)])),
        }
    }

    fn __getattr__(&self, name: &str) -> PyResult<Py<PyAny>> {
        if name.starts_with("__") {
            return Err(PyAttributeError::new_err(name.to_owned()));
        }
        let hint = match name {
            "env" | "environ" => {
                Some("the environment belongs to steps; use ctx.inputs".to_owned())
            }
            "secrets" => Some("use secret(\"NAME\") in a step's env".to_owned()),
            other => names::suggestion(other, MEMBERS),
        };
        let message = format!("the context has no `{name}`");
        Err(problem(Raise::Attribute, codes::UNKNOWN_ARGUMENT, message, hint))
    }

    fn __repr__(&self) -> &'static str {
        "<Context>"
    }
}

/// Needs of a read: the file, and the rest of the glob that listed it, because files that were
/// listed together are read one after the other.
fn read_ahead(path: String) -> Vec<Need> {
    let mut paths = vec![path];
    state::with(|state| {
        for listed in state.facts.globs.values() {
            if listed.len() <= MAX_READ_AHEAD && listed.contains(&paths[0]) {
                let unknown = listed.iter().filter(|other| {
                    matches!(state.facts.files.get(*other), None | Some(FileFact::Present))
                });
                let more: Vec<String> =
                    unknown.filter(|other| **other != paths[0]).cloned().collect();
                paths.extend(more);
                break;
            }
        }
    });
    paths.into_iter().map(Need::Read).collect()
}
