//! Objects made once by the zygote for every evaluation: policy tables, façades, builtins.
//!
//! Must not change after [`load`]; children share its pages.

use std::collections::{BTreeMap, BTreeSet};

use plue_wire::eval::{Bytes, EvalRequest, Facts};
use pyo3::{
    exceptions::PyRuntimeError,
    prelude::*,
    sync::PyOnceLock,
    types::{PyBytes, PyCode, PyCodeMethods as _, PyDict, PyType},
};

use super::{
    context,
    facade::{self, Facade},
    frames, guards, names,
    policy::Kinds,
    runtime, state, types,
};

pub(crate) struct Prepared {
    pub(crate) kinds: Kinds,
    pub(crate) builtins: Py<PyDict>,
    pub(crate) facades: BTreeMap<&'static str, Py<Facade>>,
    pub(crate) functions: PythonFunctions,
    pub(crate) classes: PythonClasses,
    /// `_symtable.SCOPE_OFF`
    pub(crate) scope_offset: u32,
    /// The names of all real builtins: those that a function finds on the runner.
    pub(crate) runner_builtins: BTreeSet<String>,
}

/// Functions of the interpreter that guards call.
pub(crate) struct PythonFunctions {
    pub(crate) ascii: Py<PyAny>,
    pub(crate) build_class: Py<PyAny>,
    pub(crate) compile: Py<PyAny>,
    pub(crate) format: Py<PyAny>,
    pub(crate) issubclass: Py<PyAny>,
    pub(crate) symtable: Py<PyAny>,
}

/// Classes of the interpreter and of the prelude.
pub(crate) struct PythonClasses {
    /// The base that gives plain classes a text and a hash.
    pub(crate) base: Py<PyAny>,
    /// `type` and `ABCMeta`.
    pub(crate) plain_metaclasses: Vec<Py<PyAny>>,
    /// `typing.Type`
    pub(crate) typing_type: Py<PyAny>,
    /// `types.MappingProxyType`
    pub(crate) mapping_proxy: Py<PyAny>,
}

static PREPARED: PyOnceLock<Prepared> = PyOnceLock::new();

/// `facade/prelude.py`, compiled by build.rs.
const PRELUDE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/prelude.code"));

/// Modules that the standard library imports late, or that an error message needs.
const PRELOADED: &[&str] = &[
    "encodings.ascii",
    "encodings.latin_1",
    "encodings.utf_8",
    "heapq",
    "unicodedata",
    "warnings",
];

/// The result of [`load`].
pub(crate) fn get(py: Python<'_>) -> PyResult<&Prepared> {
    PREPARED.get(py).ok_or_else(|| PyRuntimeError::new_err("language::prepare was not called"))
}

/// Makes everything. A second call changes nothing.
pub(crate) fn load(py: Python<'_>) -> PyResult<()> {
    // The keys of Rust's hash maps come from `getrandom`, which the jail forbids: take them now.
    let _ = std::hash::RandomState::new();
    if PREPARED.get(py).is_some() {
        return Ok(());
    }
    for module in PRELOADED {
        py.import(*module)?;
    }
    let prelude = run_prelude(py)?;
    let mut facades = facade::build(py, &prelude)?;
    let plue = types::members(py)?;
    let builtins = make_builtins(py, &plue)?;
    let plue = Py::new(py, Facade::new("plue", plue))?;
    facades.insert("plue", plue);
    let real = py.import("builtins")?;
    let get = |name: &str| -> PyResult<Py<PyAny>> { Ok(real.getattr(name)?.unbind()) };
    let base = prelude
        .get_item("Base")?
        .ok_or_else(|| PyRuntimeError::new_err("the prelude has no Base"))?;
    let prepared = Prepared {
        kinds: Kinds::load(py)?,
        builtins: builtins.unbind(),
        facades,
        functions: PythonFunctions {
            ascii: get("ascii")?,
            build_class: get("__build_class__")?,
            compile: get("compile")?,
            format: get("format")?,
            issubclass: get("issubclass")?,
            symtable: py.import("_symtable")?.getattr("symtable")?.unbind(),
        },
        classes: PythonClasses {
            base: base.unbind(),
            plain_metaclasses: vec![
                py.get_type::<PyType>().into_any().unbind(),
                py.import("abc")?.getattr("ABCMeta")?.unbind(),
            ],
            typing_type: py.import("typing")?.getattr("Type")?.unbind(),
            mapping_proxy: py.import("types")?.getattr("MappingProxyType")?.unbind(),
        },
        scope_offset: py.import("_symtable")?.getattr("SCOPE_OFF")?.extract()?,
        runner_builtins: real.dict().keys().iter().filter_map(|name| name.extract().ok()).collect(),
    };
    let _ = PREPARED.set(py, prepared);
    let addresses = guards::types_with_addresses(py)?;
    frames::hide_addresses(py, &addresses)?;
    warm_up(py)?;
    Ok(())
}

fn run_prelude(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let globals = PyDict::new(py);
    globals.set_item("__builtins__", py.import("builtins")?)?;
    globals.set_item("__name__", "plue")?;
    globals.set_item("identity", wrap_pyfunction!(guards::identity, py)?)?;
    globals.set_item("check_field", wrap_pyfunction!(guards::check_field, py)?)?;
    let code = py.import("marshal")?.call_method1("loads", (PyBytes::new(py, PRELUDE),))?;
    code.cast_into::<PyCode>()?.run(Some(&globals), None)?;
    Ok(globals)
}

fn make_builtins<'py>(py: Python<'py>, plue: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyDict>> {
    let real = py.import("builtins")?;
    let builtins = PyDict::new(py);
    for name in names::BUILTINS {
        builtins.set_item(*name, real.getattr(*name)?)?;
    }
    guards::install(&builtins)?;
    builtins.update(plue.as_mapping())?;
    Ok(builtins)
}

/// A file that passes through most of the layer, and one that fails.
const WARM_UP: [&str; 2] = [
    "def workflow(ctx):\n    return Plan('x', steps=[Step.bash('a', '{}'.format(ctx.event))])\n",
    "def workflow():\n    return Plam('x')\n",
];

/// Triggers lazy initialisation before the fork: otherwise each child pays for it, and one that
/// runs out of memory meanwhile hangs.
fn warm_up(py: Python<'_>) -> PyResult<()> {
    py.get_type::<pyo3::panic::PanicException>();
    py.get_type::<guards::Ended>();
    context::warm_up(py);
    types::warm_up(py);
    for source in WARM_UP {
        let request = EvalRequest {
            id: 0,
            entry: "w.plue.py".to_owned(),
            sources: [("w.plue.py".to_owned(), Bytes(source.as_bytes().to_vec()))].into(),
            event_json: None,
            withholds_event: false,
            inputs_json: "{}".to_owned(),
            facts: Facts::default(),
            survey: false,
        };
        runtime::evaluate(py, &request);
    }
    state::reset(Facts::default(), false);
    Ok(())
}
