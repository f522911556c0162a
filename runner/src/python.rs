//! Python steps: the small program that runs a step's code, started fresh for each step or forked
//! from a warm interpreter.

use std::{ffi::OsString, path::Path};

/// Runs a step's code, or forks processes that do.
const PROGRAM: &str = include_str!("python/step.py");

/// Arguments of `python3` for a step with its source in a file.
pub(crate) fn code_arguments(
    code: &Path,
    call: Option<&str>,
    returned: &Path,
    args: &[String],
) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = ["-u", "-c", PROGRAM, "code"].map(OsString::from).into();
    arguments.extend([
        code.into(),
        call.unwrap_or_default().into(),
        returned.into(),
    ]);
    arguments.extend(args.iter().map(OsString::from));
    arguments
}
