//! The language layer: the allowed subset of Python in a `.plue.py` file, and its evaluation to
//! plans.
//!
//! It exists for good messages, determinism and tripwires. It is *not* the boundary: the kernel
//! layers are. Must not open a file, read a clock or the environment after [`prepare`].
//!
//! Reading order: `runtime` (one evaluation), `source` and `policy` (before anything runs),
//! `prepared`, `facade` and `guards` (at run time), `types` and `context` (the API of a file),
//! `failure` (messages of errors), `survey` (all problems of a file at once).

pub mod codes;

mod context;
mod facade;
mod failure;
mod frames;
mod guards;
mod modules;
mod names;
mod policy;
mod prepared;
mod runtime;
mod source;
mod state;
mod survey;
mod types;

use plue_wire::eval::{EvalOutcome, EvalRequest};
use pyo3::prelude::*;

/// Imports and preloads everything an evaluation may need. Once per zygote, after the interpreter
/// is up and before the jail closes, on the thread that will evaluate.
///
/// The caller locks the interpreter (its finders, its streams, its heap) afterwards.
///
/// # Errors
/// The standard library or the embedded prelude does not load.
pub fn prepare(py: Python<'_>) -> PyResult<()> {
    prepared::load(py)
}

/// Evaluates one request; in the forked child. Gives the outcome and what the file printed.
///
/// Needs no file, clock, environment or network. Every problem of the file becomes
/// [`EvalOutcome::Failed`]; the plans are *not* validated here (the parent does that).
pub fn evaluate(py: Python<'_>, request: &EvalRequest) -> (EvalOutcome, String) {
    runtime::evaluate(py, request)
}
