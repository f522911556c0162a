//! The words of a workflow file: `Plan`, `Step`, `Trigger` and what belongs to them.
//!
//! All are frozen and closed to subclasses, and copy their arguments into Rust when they are made:
//! no code of the file runs when a plan is written. Must not validate what the engine validates
//! again outside; only what cannot be put into the IR is refused here.

mod arguments;
mod convert;
mod function;
mod kinds;
mod options;
mod plan;
mod reference;
mod settings;
mod step;
mod trigger;

use pyo3::{
    prelude::*,
    types::{
        PyBool, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple,
        PyType,
    },
};

pub(crate) use self::{plan::PyPlan, step::PyStep};

/// Every name, as the builtins of files and the module `plue` have them.
pub(crate) fn members(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let members = PyDict::new(py);
    let classes: [(&str, Bound<'_, PyType>); 16] = [
        ("Artifacts", py.get_type::<settings::PyArtifacts>()),
        ("Budget", py.get_type::<settings::PyBudget>()),
        ("Cache", py.get_type::<settings::PyCache>()),
        ("Checkout", py.get_type::<settings::PyCheckout>()),
        ("Concurrency", py.get_type::<settings::PyConcurrency>()),
        ("Goto", py.get_type::<settings::PyGoto>()),
        ("Hooks", py.get_type::<plan::PyHooks>()),
        ("Input", py.get_type::<settings::PyInput>()),
        ("Key", py.get_type::<settings::PyKey>()),
        ("Mcp", py.get_type::<settings::PyMcp>()),
        ("Plan", py.get_type::<PyPlan>()),
        ("Prompt", py.get_type::<settings::PyPrompt>()),
        ("Retry", py.get_type::<settings::PyRetry>()),
        ("Service", py.get_type::<settings::PyService>()),
        ("Step", py.get_type::<PyStep>()),
        ("Trigger", py.get_type::<trigger::PyTrigger>()),
    ];
    for (name, class) in classes {
        members.set_item(name, class)?;
    }
    members.set_item("ref", wrap_pyfunction!(reference::make_ref, py)?)?;
    members.set_item("secret", wrap_pyfunction!(reference::make_secret, py)?)?;
    members.set_item("template", wrap_pyfunction!(reference::make_template, py)?)?;
    Ok(members)
}

/// Makes the classes that are no members.
pub(crate) fn warm_up(py: Python<'_>) {
    py.get_type::<reference::PyReference>();
    py.get_type::<super::survey::Absent>();
}

/// Name of a value's kind, for messages.
pub(crate) fn kind_of(value: &Bound<'_, PyAny>) -> String {
    let known = if value.is_none() {
        "None"
    } else if value.is_instance_of::<PyString>() {
        "text"
    } else if value.is_instance_of::<PyBool>() {
        "True or False"
    } else if value.is_instance_of::<PyInt>() || value.is_instance_of::<PyFloat>() {
        "a number"
    } else if value.is_instance_of::<PyList>() {
        "a list"
    } else if value.is_instance_of::<PyTuple>() {
        "a tuple"
    } else if value.is_instance_of::<PyDict>() {
        "a dictionary"
    } else if value.is_instance_of::<PySet>() || value.is_instance_of::<PyFrozenSet>() {
        "a set"
    } else if value.is_instance_of::<PyBytes>() {
        "bytes"
    } else {
        ""
    };
    if !known.is_empty() {
        return known.to_owned();
    }
    let name = match value.cast::<PyType>() {
        Ok(class) => return format!("the class {}", name_of(class)),
        Err(_) => name_of(&value.get_type()),
    };
    let article =
        if name.starts_with(['A', 'E', 'I', 'O', 'a', 'e', 'i', 'o']) { "an" } else { "a" };
    format!("{article} {name}")
}

fn name_of(class: &Bound<'_, PyType>) -> String {
    class.name().map_or_else(|_| "object".to_owned(), |name| name.to_string())
}
