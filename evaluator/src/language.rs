//! The language layer: what a `.plue.py` file may say, and how it becomes plans.
//!
//! It exists for good messages, determinism and tripwires. It is *not* the boundary: the kernel
//! layers are (`docs/design`, "the kernel is the boundary, not the language"). Must not open a
//! file, read a clock or the environment after [`prepare`].

use plue_wire::eval::{EvalOutcome, EvalRequest};
use pyo3::prelude::*;

/// Imports and preloads everything an evaluation may need. Once per zygote, after the interpreter
/// is up and before the jail closes.
///
/// # Errors
/// The standard library or the embedded prelude does not load.
pub fn prepare(_py: Python<'_>) -> PyResult<()> {
    Ok(())
}

/// Evaluates one request; in the forked child. Gives the outcome and what the file printed.
pub fn evaluate(_py: Python<'_>, _request: &EvalRequest) -> (EvalOutcome, String) {
    (EvalOutcome::Needs(Vec::new()), String::new())
}
