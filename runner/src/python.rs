//! Python steps: the small program that runs a step's code, started fresh for each step or forked
//! from a warm interpreter.

mod marshal;
pub(crate) mod pyenv;
pub(crate) mod warm;

use std::{
    ffi::{OsStr, OsString},
    path::Path,
};

use crate::attempt::launch::Environment;

/// Runs a step's code, or forks processes that do.
pub(crate) const PROGRAM: &str = include_str!("python/step.py");

/// Arguments of `python3` for a step with its source in a file.
pub(crate) fn code_arguments(
    code: &Path,
    call: Option<&str>,
    returned: &Path,
    args: &[String],
) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = ["-u", "-c", PROGRAM, "code"].map(OsString::from).into();
    arguments.extend([code.into(), call.unwrap_or_default().into(), returned.into()]);
    arguments.extend(args.iter().map(OsString::from));
    arguments
}

/// Whether an interpreter that was started with `warm` behaves like one started with `wanted`:
/// these variables are read once, when Python or the dynamic linker starts.
pub(crate) fn fits(wanted: &Environment, warm: &Environment) -> bool {
    let names = wanted.keys().chain(warm.keys());
    names.filter(|name| is_read_at_start(name)).all(|name| wanted.get(name) == warm.get(name))
}

fn is_read_at_start(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let starts = ["PYTHON", "LD_", "LC_", "MALLOC_", "GLIBC_"];
    let whole = ["PATH", "HOME", "LANG", "VIRTUAL_ENV", "PYENV_VERSION"];
    starts.iter().any(|start| name.starts_with(start)) || whole.contains(&name.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        let pairs = pairs.iter();
        pairs.map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn variables_read_at_startup_need_a_new_interpreter() {
        let warm = environment(&[("PATH", "/bin"), ("LANG", "C")]);
        let cases = [
            (&[("PATH", "/bin"), ("LANG", "C"), ("X", "1")][..], true),
            (&[("PATH", "/usr/bin"), ("LANG", "C")], false),
            (&[("PATH", "/bin")], false),
            (&[("PATH", "/bin"), ("LANG", "C"), ("PYTHONPATH", "lib")], false),
            (&[("PATH", "/bin"), ("LANG", "C"), ("LD_PRELOAD", "x")], false),
        ];
        for (wanted, expected) in cases {
            assert_eq!(fits(&environment(wanted), &warm), expected, "{wanted:?}");
        }
    }
}
