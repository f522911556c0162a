//! Importable names of a file: immutable façades over a closed set of names.
//!
//! A file never holds a module: a module's attributes lead to everything that it imported itself. A
//! façade has no `__name__` either, because `from x import y` falls back to
//! `sys.modules[x.__name__ + "." + y]`.

mod modules;

use std::collections::BTreeMap;

use pyo3::{
    prelude::*,
    types::{PyDict, PyTuple},
};

pub(crate) use self::modules::{MODULES, missing_hint};
use super::{
    codes, names,
    state::{self, Raise, problem},
    survey,
};

/// The names that every file has without an import.
pub(crate) const PLUE_NAMES: &[&str] = &[
    "Artifacts",
    "Budget",
    "Cache",
    "Checkout",
    "Concurrency",
    "Goto",
    "Hooks",
    "Input",
    "Key",
    "Mcp",
    "Plan",
    "Prompt",
    "Retry",
    "Service",
    "Step",
    "Trigger",
    "ref",
    "secret",
    "template",
];

/// A module as a file sees it.
#[pyclass(frozen, immutable_type, name = "module", module = "plue")]
pub(crate) struct Facade {
    name: String,
    members: Py<PyDict>,
}

// === impl Facade ===

impl Facade {
    pub(crate) fn new(name: &str, members: Bound<'_, PyDict>) -> Self {
        Self { name: name.to_owned(), members: members.unbind() }
    }
}

#[pymethods]
impl Facade {
    fn __getattr__(&self, py: Python<'_>, name: &str) -> PyResult<Py<PyAny>> {
        let members = self.members.bind(py);
        // Requested by `from plue import *`; the policy forbids it by name.
        if name == "__all__" && self.name == "plue" {
            return Ok(PyTuple::new(py, PLUE_NAMES)?.into_any().unbind());
        }
        if !name.starts_with("__")
            && let Some(value) = members.get_item(name)?
        {
            return Ok(value.unbind());
        }
        if state::surveys() && !name.starts_with("__") {
            return Ok(survey::absent(py)?.unbind());
        }
        let known: Vec<String> =
            members.keys().iter().filter_map(|key| key.extract().ok()).collect();
        let hint = missing_hint(&self.name, name)
            .or_else(|| names::suggestion(name, known.iter().map(String::as_str)));
        let message = format!("the module `{}` has no `{name}` while a plan is made", self.name);
        Err(problem(Raise::Attribute, codes::UNKNOWN_IMPORT, message, hint))
    }

    fn __repr__(&self) -> String {
        format!("<module {}>", self.name)
    }
}

/// The names of a module, or none when there is no such module.
pub(crate) fn names_of(module: &str) -> Option<&'static [&'static str]> {
    if module == "plue" {
        return Some(PLUE_NAMES);
    }
    MODULES.iter().find(|(name, _)| *name == module).map(|(_, names)| *names)
}

/// The modules that may be imported, except those of `.plue/lib`.
pub(crate) fn module_names<'a>() -> impl Iterator<Item = &'a str> {
    MODULES.iter().map(|(name, _)| *name).chain(["plue"])
}

/// True if every file has this name.
pub(crate) fn is_builtin(name: &str) -> bool {
    name == "__name__"
        || names::BUILTINS.contains(&name)
        || names::GUARDED_BUILTINS.contains(&name)
        || PLUE_NAMES.contains(&name)
}

/// The names that every file has.
pub(crate) fn builtin_names<'a>() -> impl Iterator<Item = &'a str> {
    [names::BUILTINS, names::GUARDED_BUILTINS, PLUE_NAMES].into_iter().flatten().copied()
}

/// Builds the façades: the standard library's names, replaced where the prelude has its own.
pub(crate) fn build(
    py: Python<'_>,
    prelude: &Bound<'_, PyDict>,
) -> PyResult<BTreeMap<&'static str, Py<Facade>>> {
    let mut facades = BTreeMap::new();
    let mut all: BTreeMap<&str, Bound<'_, PyDict>> = BTreeMap::new();
    for (module, names) in MODULES {
        let members = PyDict::new(py);
        let own = prelude.get_item(format!("own_{}", module.replace('.', "_")))?;
        let own = own.map(|own| own.cast_into::<PyDict>()).transpose()?;
        let real = if *module == "dataclasses" { None } else { Some(py.import(*module)?) };
        for name in *names {
            let replaced = match &own {
                Some(own) => own.get_item(*name)?,
                None => None,
            };
            let value = match (replaced, &real) {
                (Some(value), _) => value,
                (None, Some(real)) => real.getattr(*name)?,
                (None, None) => continue,
            };
            members.set_item(*name, value)?;
        }
        all.insert(module, members);
    }
    for (module, members) in &all {
        facades.insert(*module, Py::new(py, Facade::new(module, members.clone()))?);
    }
    // `collections.abc` is the one submodule.
    if let (Some(parent), Some(child)) = (all.get("collections"), facades.get("collections.abc")) {
        parent.set_item("abc", child)?;
    }
    Ok(facades)
}
