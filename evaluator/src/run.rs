//! The evaluator from command line to exit status.

use std::process::ExitCode;

use pyo3::prelude::*;

use crate::jail::Jail;
use crate::options::Options;
use crate::{child, exit, hello, interpreter, kernel, language, with_sources, zygote};

/// Runs the evaluator; the result is its exit status (see [`exit`]).
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    let options = match Options::parse(arguments) {
        Ok(options) => options,
        Err(error) => return fail(exit::USAGE, &error),
    };
    kernel::default_signals();
    kernel::fixed_malloc_thresholds();
    child::quiet_panics();
    if let Err(error) = interpreter::start(options.hash_seed) {
        return fail(exit::INTERPRETER, &error);
    }
    Python::attach(|py| serve(py, &options))
}

fn serve(py: Python<'_>, options: &Options) -> ExitCode {
    #[cfg(feature = "raw-language")]
    if let Err(error) = crate::raw::prepare(py) {
        return fail(exit::INTERPRETER, &error);
    }
    let ready = language::prepare(py)
        .map_err(interpreter::Error::Python)
        .and_then(|()| interpreter::lock(py, options.hash_seed));
    if let Err(error) = ready {
        return fail(exit::INTERPRETER, &error);
    }
    let jail = match Jail::prepare(options) {
        Ok(jail) => jail,
        Err(error) => return fail(exit::SYSTEM, &error),
    };
    let layers = jail.harden();
    let refused = hello::is_refused(&layers);
    let verdict = if refused { exit::LAYER_MISSING } else { exit::DONE };
    if options.check {
        let printed = hello::print(&layers).is_ok();
        kernel::exit_now(if printed { verdict } else { exit::SYSTEM });
    }
    if !hello::send(layers) || refused {
        kernel::exit_now(verdict);
    }
    // Not through main's return: nothing is left to clean up, and CPython's own end would run
    // Python code under a filter that was not made for it.
    kernel::exit_now(zygote::serve(py, &jail, options.raw).0)
}

fn fail(code: i32, error: &dyn std::error::Error) -> ExitCode {
    eprintln!("plue-evaluator: {}", with_sources(error));
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
