//! `ctx.event`: the event as frozen records with the names of `plue_plan::event`.

use plue_plan::Event;
use pyo3::{
    exceptions::PyAttributeError,
    prelude::*,
    types::{PyDict, PyList},
};
use serde_json::{Map, Value as Json};

use super::malformed;
use crate::language::{
    codes, names,
    state::{Raise, problem},
};

/// The fields of a record; some hold records.
struct Shape {
    name: &'static str,
    fields: &'static [(&'static str, Option<&'static Shape>)],
}

const BRANCH: Shape =
    Shape { name: "branch", fields: &[("ref", None), ("repository", None), ("sha", None)] };
const PULL_REQUEST: Shape = Shape {
    name: "pull request",
    fields: &[
        ("base", Some(&BRANCH)),
        ("draft", None),
        ("fork", None),
        ("head", Some(&BRANCH)),
        ("labels", None),
        ("number", None),
        ("title", None),
    ],
};
const ISSUE: Shape =
    Shape { name: "issue", fields: &[("labels", None), ("number", None), ("title", None)] };
const COMMENT: Shape = Shape { name: "comment", fields: &[("author", None), ("body", None)] };
const SCHEDULE: Shape =
    Shape { name: "schedule", fields: &[("cron", None), ("scheduled_at", None)] };
const EVENT: Shape = Shape {
    name: "event",
    fields: &[
        ("action", None),
        ("actor", None),
        ("association", None),
        ("before", None),
        ("branch", None),
        ("comment", Some(&COMMENT)),
        ("default_branch", None),
        ("issue", Some(&ISSUE)),
        ("payload", None),
        ("pull_request", Some(&PULL_REQUEST)),
        ("ref", None),
        ("repository", None),
        ("schedule", Some(&SCHEDULE)),
        ("sha", None),
        ("tag", None),
        ("type", None),
    ],
};

/// A record of the event.
#[pyclass(frozen, immutable_type, name = "Record", module = "plue")]
pub(super) struct Record {
    shape: &'static Shape,
    values: Map<String, Json>,
}

/// True if events have a field of this name.
pub(crate) fn is_field(name: &str) -> bool {
    EVENT.fields.iter().any(|(field, _)| *field == name)
}

/// Makes the class of the records.
pub(super) fn warm_up(py: Python<'_>) {
    py.get_type::<Record>();
}

/// Reads the event of a request.
pub(super) fn build(py: Python<'_>, json: &str) -> PyResult<Py<PyAny>> {
    let event: Event = serde_json::from_str(json)
        .map_err(|error| malformed(format!("the event is malformed: {error}")))?;
    match serde_json::to_value(&event) {
        Ok(Json::Object(mut values)) => {
            values.entry("payload").or_insert_with(|| Json::Object(Map::new()));
            record(py, &EVENT, values)
        }
        Ok(_) | Err(_) => Err(malformed("the event is malformed".to_owned())),
    }
}

fn record(py: Python<'_>, shape: &'static Shape, values: Map<String, Json>) -> PyResult<Py<PyAny>> {
    Ok(Py::new(py, Record { shape, values })?.into_any())
}

#[pymethods]
impl Record {
    fn __getattr__(&self, py: Python<'_>, name: &str) -> PyResult<Py<PyAny>> {
        if name.starts_with("__") {
            return Err(PyAttributeError::new_err(name.to_owned()));
        }
        let fields = self.shape.fields;
        let Some((_, inner)) = fields.iter().find(|(field, _)| *field == name) else {
            let hint = names::suggestion(name, fields.iter().map(|(field, _)| *field));
            let message = format!("the {} has no `{name}`", self.shape.name);
            return Err(problem(Raise::Attribute, codes::UNKNOWN_ARGUMENT, message, hint));
        };
        match (self.values.get(name), inner) {
            (None, _) => Ok(py.None()),
            (Some(Json::Object(values)), Some(shape)) => record(py, shape, values.clone()),
            (Some(value), _) => to_python(py, value),
        }
    }

    fn __repr__(&self) -> String {
        format!("<{}>", self.shape.name)
    }
}

/// A JSON value in Python: new lists and dictionaries every time.
pub(super) fn to_python(py: Python<'_>, json: &Json) -> PyResult<Py<PyAny>> {
    Ok(match json {
        Json::Null => py.None(),
        Json::Bool(flag) => flag.into_pyobject(py)?.to_owned().into_any().unbind(),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => whole.into_pyobject(py)?.into_any().unbind(),
            (None, Some(whole)) => whole.into_pyobject(py)?.into_any().unbind(),
            (None, None) => number.as_f64().unwrap_or(0.0).into_pyobject(py)?.into_any().unbind(),
        },
        Json::String(text) => text.into_pyobject(py)?.into_any().unbind(),
        Json::Array(items) => {
            let items =
                items.iter().map(|item| to_python(py, item)).collect::<PyResult<Vec<_>>>()?;
            PyList::new(py, items)?.into_any().unbind()
        }
        Json::Object(map) => {
            let dict = PyDict::new(py);
            for (key, value) in map {
                dict.set_item(key, to_python(py, value)?)?;
            }
            dict.into_any().unbind()
        }
    })
}
