//! The builtins that a file gets in a guarded form, as Rust functions: they have no frame and no
//! globals to reach.
//!
//! These make plans deterministic and mistakes explainable. They are not the boundary.

mod format;

use plue_wire::eval::MAX_PRINT_BYTES;
use pyo3::{
    exceptions::PyTypeError,
    intern,
    prelude::*,
    types::{PyBool, PyDict, PyFloat, PyInt, PyString, PyTuple, PyType},
};

pub(crate) use self::format::plue_format;
use super::{
    codes, frames, names, prepared,
    state::{self, Ending, Raise, problem},
};

pyo3::create_exception!(
    plue,
    Ended,
    pyo3::exceptions::PyBaseException,
    "Ends an evaluation. No file can name it, and swallowing it changes nothing."
);

/// Ends the evaluation; the first reason stands.
pub(crate) fn end(reason: Ending) -> PyErr {
    state::with(|state| {
        if state.ending.is_none() {
            state.ending = Some(reason);
        }
    });
    Ended::new_err("the evaluation has ended")
}

/// Refuses names that lead from a value to the interpreter.
fn check_attribute<'py>(object: &Bound<'py, PyAny>, name: &Bound<'py, PyAny>) -> PyResult<String> {
    let Ok(text) = name.cast_exact::<PyString>() else {
        return Err(PyTypeError::new_err("attribute name must be text"));
    };
    let text = text.to_str()?.to_owned();
    let hint = if text == "format" && format::is_text(object) {
        Some("call it, as in \"…\".format(x), or use an f-string".to_owned())
    } else {
        names::attribute_refusal(&text, false)
    };
    match hint {
        None => Ok(text),
        Some(hint) => {
            let message = format!("the attribute `{text}` is not available while a plan is made");
            Err(problem(Raise::Attribute, codes::FORBIDDEN_ATTRIBUTE, message, Some(hint)))
        }
    }
}

#[pyfunction(name = "getattr", signature = (object, name, *default))]
fn guarded_getattr<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyAny>,
    default: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    check_attribute(object, name)?;
    if default.len() > 1 {
        return Err(PyTypeError::new_err("getattr takes at most three arguments"));
    }
    match object.getattr(name.cast::<PyString>()?) {
        Err(error) if error.is_instance_of::<pyo3::exceptions::PyAttributeError>(object.py()) => {
            default.get_item(0).map_err(|_| error)
        }
        other => other,
    }
}

#[pyfunction(name = "hasattr")]
fn guarded_hasattr(object: &Bound<'_, PyAny>, name: &Bound<'_, PyAny>) -> PyResult<bool> {
    check_attribute(object, name)?;
    object.hasattr(name.cast::<PyString>()?)
}

/// Numbers have the same hash everywhere; texts do not, and addresses less so.
#[pyfunction(name = "hash")]
fn guarded_hash(object: &Bound<'_, PyAny>) -> PyResult<isize> {
    fn stable(object: &Bound<'_, PyAny>, depth: u32) -> bool {
        if let Ok(tuple) = object.cast_exact::<PyTuple>() {
            return depth < 16 && tuple.iter_borrowed().all(|item| stable(&item, depth + 1));
        }
        object.is_exact_instance_of::<PyInt>()
            || object.is_exact_instance_of::<PyFloat>()
            || object.is_exact_instance_of::<PyBool>()
    }
    if !stable(object, 0) {
        return Err(problem(
            Raise::Type,
            codes::GUARDED,
            "`hash` of anything but numbers differs from run to run".to_owned(),
            Some("compare the values themselves, or use them as keys of a dictionary".to_owned()),
        ));
    }
    object.hash()
}

/// `type` with one argument. Of a class it returns the class itself, which hides the metaclass.
///
/// A mapping to Python, because an object with `__getitem__` that is a sequence is also iterated by
/// it, and this one answers every index.
#[pyclass(frozen, immutable_type, mapping, name = "type", module = "builtins")]
pub(crate) struct TypeGuard;

#[pymethods]
impl TypeGuard {
    #[pyo3(signature = (*arguments))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        arguments: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if arguments.len() != 1 {
            return Err(problem(
                Raise::Type,
                codes::GUARDED,
                "`type` takes one argument while a plan is made".to_owned(),
                Some("write a class statement".to_owned()),
            ));
        }
        let object = arguments.get_item(0)?;
        let class = object.get_type();
        if object.is_instance_of::<PyType>() || class.is(slf.get_type()) {
            return Ok(slf.clone().into_any());
        }
        Ok(class.into_any())
    }

    /// Evaluates `type[Step]` in annotations.
    fn __getitem__<'py>(
        slf: &Bound<'py, Self>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        // Not `types.GenericAlias`: that one can be called, and would make classes.
        prepared::get(slf.py())?.classes.typing_type.bind(slf.py()).get_item(item)
    }

    fn __repr__(&self) -> &'static str {
        "<class 'type'>"
    }
}

/// `type` inside the second argument of `isinstance` means the real one.
fn classes<'py>(classes: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = classes.py();
    if classes.is_instance_of::<TypeGuard>() {
        return Ok(py.get_type::<PyType>().into_any());
    }
    if let Ok(tuple) = classes.cast::<PyTuple>()
        && tuple.iter_borrowed().any(|item| item.is_instance_of::<TypeGuard>())
    {
        let items: Vec<_> =
            tuple.iter().map(|item| self::classes(&item)).collect::<PyResult<_>>()?;
        return Ok(PyTuple::new(py, items)?.into_any());
    }
    Ok(classes.clone())
}

#[pyfunction(name = "isinstance")]
fn guarded_isinstance(object: &Bound<'_, PyAny>, class: &Bound<'_, PyAny>) -> PyResult<bool> {
    object.is_instance(&classes(class)?)
}

#[pyfunction(name = "issubclass")]
fn guarded_issubclass(object: &Bound<'_, PyAny>, class: &Bound<'_, PyAny>) -> PyResult<bool> {
    let builtins = prepared::get(object.py())?.functions.issubclass.bind(object.py()).clone();
    builtins.call1((object, classes(class)?))?.extract()
}

#[pyfunction(name = "print", signature = (*values, sep = None, end = None, file = None, flush = None))]
fn guarded_print(
    values: &Bound<'_, PyTuple>,
    sep: Option<&Bound<'_, PyAny>>,
    end: Option<&Bound<'_, PyAny>>,
    file: Option<&Bound<'_, PyAny>>,
    flush: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let _ = flush;
    if file.is_some() {
        return Err(problem(
            Raise::Type,
            codes::GUARDED,
            "`print` takes no `file` while a plan is made".to_owned(),
            Some("what is printed is shown beside the plan".to_owned()),
        ));
    }
    let part = |value: Option<&Bound<'_, PyAny>>, default: &str| match value {
        None => Ok(default.to_owned()),
        Some(value) => value
            .cast::<PyString>()
            .map(|text| text.to_string_lossy().into_owned())
            .map_err(|_| PyTypeError::new_err("sep and end are text")),
    };
    let sep = part(sep, " ")?;
    let mut line = String::new();
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            line.push_str(&sep);
        }
        line.push_str(&value.str()?.to_string_lossy());
        if line.len() > MAX_PRINT_BYTES {
            break;
        }
    }
    line.push_str(&part(end, "\n")?);
    print_text(&line)
}

fn print_text(line: &str) -> PyResult<()> {
    let fits = state::with(|state| {
        let room = MAX_PRINT_BYTES - state.printed.len().min(MAX_PRINT_BYTES);
        let mut cut = line.len().min(room);
        while !line.is_char_boundary(cut) {
            cut -= 1;
        }
        state.printed.push_str(&line[..cut]);
        cut == line.len()
    });
    if fits { Ok(()) } else { Err(end(Ending::Printed)) }
}

#[pyfunction(name = "__build_class__", signature = (body, name, *bases, **keywords))]
fn build_class<'py>(
    body: &Bound<'py, PyAny>,
    name: &Bound<'py, PyAny>,
    bases: &Bound<'py, PyTuple>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = body.py();
    let prepared = prepared::get(py)?;
    for base in bases.iter_borrowed() {
        let bad = base.is_instance_of::<TypeGuard>()
            || base
                .cast::<PyType>()
                .is_ok_and(|class| class.is_subclass_of::<PyType>().unwrap_or(true));
        if bad {
            return Err(problem(
                Raise::Type,
                codes::CLASS_KEYWORD,
                "metaclasses are not available while a plan is made".to_owned(),
                Some("derive from plain classes".to_owned()),
            ));
        }
    }
    if let Some(keywords) = keywords {
        for (key, value) in keywords {
            if key.extract::<&str>()? != "total" || !value.is_exact_instance_of::<PyBool>() {
                return Err(PyTypeError::new_err("a class takes no keywords"));
            }
        }
    }
    let base = prepared.classes.base.bind(py);
    let mut all: Vec<Bound<'_, PyAny>> = bases.iter().collect();
    if all.len() == 1 && all[0].is(py.get_type::<PyAny>()) {
        all.clear();
    }
    // Objects whose text would hold an address get one without, and a hash without.
    let bare = all.iter().all(|class| {
        class.cast::<PyType>().is_ok_and(|class| {
            frames::has_no_text(class)
                && prepared
                    .classes
                    .plain_metaclasses
                    .iter()
                    .any(|meta| class.get_type().is(meta.bind(py)))
        })
    });
    if bare {
        all.push(base.clone());
    }
    let mut arguments = vec![body.clone(), name.clone()];
    arguments.extend(all);
    prepared.functions.build_class.bind(py).call(PyTuple::new(py, arguments)?, keywords)
}

/// The body of functions that are only the code of steps.
#[pyfunction(name = "__plue_elsewhere__")]
fn elsewhere() -> PyResult<()> {
    Err(problem(
        Raise::Type,
        codes::STEP_FUNCTION,
        "this function is the code of a step: it runs on the runner and not while a plan is made"
            .to_owned(),
        Some("write a second function for what the plan needs".to_owned()),
    ))
}

/// The number of an object in the order of asking.
#[pyfunction]
pub(crate) fn identity(object: &Bound<'_, PyAny>) -> u64 {
    state::identity(object)
}

/// Refuses names of fields that lead from a value to the interpreter.
#[pyfunction]
pub(crate) fn check_field(name: &str) -> PyResult<()> {
    match names::attribute_refusal(name, true) {
        None if name.starts_with("__") => Err(PyTypeError::new_err("a field has a plain name")),
        None => Ok(()),
        Some(hint) => {
            let message = format!("`{name}` cannot be the name of a field");
            Err(problem(Raise::Type, codes::FORBIDDEN_ATTRIBUTE, message, Some(hint)))
        }
    }
}

/// Puts the guards into the builtins of files.
pub(crate) fn install(builtins: &Bound<'_, PyDict>) -> PyResult<()> {
    let py = builtins.py();
    let functions = [
        wrap_pyfunction!(guarded_getattr, py)?,
        wrap_pyfunction!(guarded_hasattr, py)?,
        wrap_pyfunction!(guarded_hash, py)?,
        wrap_pyfunction!(guarded_isinstance, py)?,
        wrap_pyfunction!(guarded_issubclass, py)?,
        wrap_pyfunction!(guarded_print, py)?,
        wrap_pyfunction!(format::guarded_format, py)?,
        wrap_pyfunction!(build_class, py)?,
        wrap_pyfunction!(plue_format, py)?,
        wrap_pyfunction!(elsewhere, py)?,
        wrap_pyfunction!(super::modules::import, py)?,
    ];
    for function in functions {
        builtins.set_item(function.getattr(intern!(py, "__name__"))?, function)?;
    }
    builtins.set_item("type", Py::new(py, TypeGuard)?)
}

/// Types whose text holds an address although it is their own.
pub(crate) fn types_with_addresses(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyType>>> {
    let source = c"def function():\n    yield\nclass C:\n    def method(self):\n        pass\nasync def co():\n    pass\nasync def ag():\n    yield\n";
    let globals = PyDict::new(py);
    py.run(source, Some(&globals), None)?;
    let get = |code: &std::ffi::CStr| py.eval(code, Some(&globals), None).map(|v| v.get_type());
    let coroutine = py.eval(c"co()", Some(&globals), None)?;
    coroutine.call_method0("close")?;
    Ok(vec![
        get(c"function")?,
        get(c"function()")?,
        get(c"C().method")?,
        get(c"[].append")?,
        get(c"[].__len__")?,
        get(c"function.__code__")?,
        get(c"(lambda x: lambda: x)(1).__closure__[0]")?,
        coroutine.get_type(),
        get(c"ag()")?,
        get(c"globals")?,
    ])
}

/// True if a callable is a builtin method, which `.format` of a text would be.
pub(super) fn is_builtin_method(object: &Bound<'_, PyAny>) -> bool {
    let name = object.get_type().name();
    let name = name.as_ref().ok().and_then(|name| name.to_str().ok());
    object.is_instance_of::<pyo3::types::PyCFunction>()
        || matches!(
            name,
            Some(
                "method_descriptor"
                    | "method-wrapper"
                    | "wrapper_descriptor"
                    | "classmethod_descriptor"
            )
        )
}
