//! From Python values to JSON: only values with an exact JSON form, without running code of the
//! file.

use plue_plan::{
    Value,
    limits::MAX_VALUE_DEPTH,
    value::{EXPR_KEY, SECRET_KEY, TEMPLATE_KEY},
};
use pyo3::{
    prelude::*,
    types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple},
};
use serde_json::{Map, Number, Value as Json};

use super::{
    kind_of,
    reference::{PyReference, is_marked, template_of},
};
use crate::language::{
    codes,
    state::{Raise, problem},
    survey::Absent,
};

/// Nodes of one value at most.
const MAX_NODES: usize = 200_000;
/// The largest whole number that every JSON reader keeps: 2^53.
const MAX_WHOLE: i64 = 1 << 53;

/// Text that JSON can hold and that is known now: no half characters, no NUL, no reference.
pub(super) fn text(text: &Bound<'_, PyString>) -> Result<String, &'static str> {
    match unmarked(text) {
        Ok(text) if is_marked(&text) => {
            Err("holds a reference, which has no value while the plan is made")
        }
        other => other,
    }
}

/// Text that JSON can hold; it may hold references.
pub(super) fn unmarked(text: &Bound<'_, PyString>) -> Result<String, &'static str> {
    match text.to_str() {
        Ok(text) if text.contains('\0') => Err("holds the character NUL"),
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err("holds half a character (a lone surrogate)"),
    }
}

/// A JSON value; `place` names it in messages.
pub(super) fn json(value: &Bound<'_, PyAny>, place: &str, references: bool) -> PyResult<Json> {
    let mut converter = Converter { place, references, nodes: 0 };
    converter.convert(value, &mut String::new(), 0)
}

struct Converter<'a> {
    place: &'a str,
    references: bool,
    nodes: usize,
}

// === impl Converter ===

impl Converter<'_> {
    fn refuse(&self, path: &str, why: &str, hint: Option<&str>) -> PyErr {
        let at = if path.is_empty() { String::new() } else { format!(" at {path}") };
        let message = format!("{}{at} {why}", self.place);
        problem(Raise::Type, codes::NOT_JSON, message, hint.map(str::to_owned))
    }

    fn convert(
        &mut self,
        value: &Bound<'_, PyAny>,
        path: &mut String,
        depth: usize,
    ) -> PyResult<Json> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(self.refuse(path, "is too large", None));
        }
        if depth > MAX_VALUE_DEPTH {
            return Err(self.refuse(path, "is nested too deeply", None));
        }
        if value.is_none() || value.is_instance_of::<Absent>() {
            return Ok(Json::Null);
        }
        if let Ok(text) = value.cast::<PyString>() {
            let text = unmarked(text).map_err(|why| self.refuse(path, why, None))?;
            if !is_marked(&text) {
                return Ok(Json::String(text));
            }
            let template = if self.references { template_of(&text) } else { None };
            return template
                .map(|template| Value::template(template).0)
                .ok_or_else(|| self.refuse(path, "holds a reference, and takes none", None));
        }
        if let Ok(flag) = value.cast::<PyBool>() {
            return Ok(Json::Bool(flag.is_true()));
        }
        if value.is_instance_of::<PyInt>() {
            return match value.extract::<i64>() {
                Ok(number) if number.abs() <= MAX_WHOLE => Ok(Json::Number(number.into())),
                _ => Err(self.refuse(path, "is a number beyond 2^53", Some("write it as text"))),
            };
        }
        if value.is_instance_of::<PyFloat>() {
            let number = value.extract::<f64>().ok().and_then(Number::from_f64);
            return number
                .map(Json::Number)
                .ok_or_else(|| self.refuse(path, "is not a finite number", None));
        }
        if let Ok(reference) = value.cast::<PyReference>() {
            return if self.references {
                Ok(reference.get().value.0.clone())
            } else {
                Err(self.refuse(path, "takes no reference", None))
            };
        }
        self.container(value, path, depth)
    }

    fn container(
        &mut self,
        value: &Bound<'_, PyAny>,
        path: &mut String,
        depth: usize,
    ) -> PyResult<Json> {
        let items: Vec<Bound<'_, PyAny>> = if let Ok(dict) = value.cast::<PyDict>() {
            return self.object(dict, path, depth);
        } else if let Ok(list) = value.cast::<PyList>() {
            list.iter().collect()
        } else if let Ok(tuple) = value.cast::<PyTuple>() {
            tuple.iter().collect()
        } else {
            let why = format!("is {}, which is no JSON value", kind_of(value));
            return Err(self.refuse(path, &why, hint_for(value)));
        };
        let length = path.len();
        let mut array = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            path.push_str(&format!("[{index}]"));
            array.push(self.convert(item, path, depth + 1)?);
            path.truncate(length);
        }
        Ok(Json::Array(array))
    }

    fn object(
        &mut self,
        dict: &Bound<'_, PyDict>,
        path: &mut String,
        depth: usize,
    ) -> PyResult<Json> {
        let length = path.len();
        let mut map = Map::new();
        for (key, item) in dict {
            let Ok(key) = key.cast::<PyString>() else {
                let why = format!("has {} as a key, and keys are text", kind_of(&key));
                return Err(self.refuse(path, &why, None));
            };
            let key = text(key).map_err(|why| self.refuse(path, why, None))?;
            if self.references && [EXPR_KEY, SECRET_KEY, TEMPLATE_KEY].contains(&key.as_str()) {
                let why = format!("has the reserved key `{key}`");
                return Err(self.refuse(path, &why, Some("use ref(…) and secret(…)")));
            }
            path.push_str(&format!("[{key:?}]"));
            let item = self.convert(&item, path, depth + 1)?;
            path.truncate(length);
            map.insert(key, item);
        }
        Ok(Json::Object(map))
    }
}

fn hint_for(value: &Bound<'_, PyAny>) -> Option<&'static str> {
    match kind_of(value).as_str() {
        "a set" => Some("a set has no order that is the same every time; use sorted(…)"),
        "a Step" => Some("refer to its output with step.output(…)"),
        "bytes" => Some("use text"),
        "a mappingproxy" => Some("copy it with dict(…)"),
        _ => value.hasattr("value").unwrap_or(false).then_some("of an Enum member, take .value"),
    }
}
