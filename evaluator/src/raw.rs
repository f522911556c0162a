//! Test builds only: runs a file as ordinary Python, with every builtin and without any policy.
//!
//! It stands in for an attacker who has broken the language layer altogether, so that tests show
//! what the kernel alone holds. Must never be part of a release.

use std::ffi::CString;

use plue_wire::eval::{EvalOutcome, EvalRequest, RawPlan};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Defines `names()` and `finish(globals)`.
const PRELUDE: &str = include_str!("raw/prelude.py");
/// Key of the prelude's names in `sys.modules`.
const NAME: &str = "plue_raw";

/// Loads the stand-in.
///
/// # Errors
/// When the prelude does not run.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    let globals = PyDict::new(py);
    globals.set_item("__builtins__", py.import("builtins")?)?;
    py.run(&CString::new(PRELUDE)?, Some(&globals), None)?;
    py.import("sys")?.getattr("modules")?.set_item(NAME, globals)
}

/// Runs the workflow file.
pub(crate) fn evaluate(py: Python<'_>, request: &EvalRequest) -> (EvalOutcome, String) {
    let source = request.sources.get(&request.entry).map_or(&[][..], |bytes| &bytes.0);
    let run = || -> PyResult<String> {
        let prelude = py.import("sys")?.getattr("modules")?.get_item(NAME)?;
        let globals = prelude.get_item("names")?.call0()?;
        // Not `exec`: the audit hook would take it for an attack.
        py.run(&CString::new(source)?, Some(globals.cast::<PyDict>()?), None)?;
        prelude.get_item("finish")?.call1((globals,))?.extract()
    };
    let outcome = match run() {
        Ok(plan_json) => {
            EvalOutcome::Plans(vec![RawPlan { plan_json, places_json: "{}".to_owned() }])
        }
        Err(error) => {
            let name = error.get_type(py).to_string();
            EvalOutcome::Failed { diagnostics_json: serde_json::json!([name]).to_string() }
        }
    };
    (outcome, String::new())
}
