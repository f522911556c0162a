//! `import` while a plan is made: façades, and the modules of `.plue/lib`, each run once.
//!
//! Must not reach Python's own import system.

use pyo3::{
    prelude::*,
    types::{PyCode, PyCodeMethods as _},
};

use super::{
    codes,
    facade::{self, Facade},
    names, prepared,
    state::{self, Module, Raise, problem},
    survey,
};

/// The `__import__` of files.
#[pyfunction(name = "__import__", signature = (name, globals = None, locals = None, fromlist = None, level = 0))]
pub(crate) fn import<'py>(
    py: Python<'py>,
    name: &str,
    globals: Option<&Bound<'py, PyAny>>,
    locals: Option<&Bound<'py, PyAny>>,
    fromlist: Option<&Bound<'py, PyAny>>,
    level: i32,
) -> PyResult<Bound<'py, PyAny>> {
    let _ = (globals, locals);
    let prepared = prepared::get(py)?;
    if level == 0 && facade::names_of(name).is_some() {
        // `import a.b` binds `a`; `from a.b import c` wants `a.b`.
        let whole = fromlist.is_some_and(|list| list.is_truthy().unwrap_or(true));
        let key = if whole { name } else { name.split('.').next().unwrap_or(name) };
        if let Some(facade) = prepared.facades.get(key) {
            return Ok(facade.bind(py).clone().into_any());
        }
    }
    if level == 0 && state::with(|state| state.modules.contains_key(name)) {
        return library(py, name);
    }
    if state::surveys() {
        return survey::absent(py);
    }
    let message = format!("the module `{name}` is not available while a plan is made");
    let hint = names::removed_module(name).map(str::to_owned);
    Err(problem(Raise::Import, codes::FORBIDDEN_IMPORT, message, hint))
}

enum Start {
    Done(Py<PyAny>),
    Run(Py<PyAny>),
    Cycle(String),
}

fn library<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let start = state::with(|state| {
        let start = match state.modules.get_mut(name) {
            Some(Module::Done(facade)) => Start::Done(facade.clone_ref(py)),
            Some(module @ Module::Ready(_)) => match std::mem::replace(module, Module::Running) {
                Module::Ready(code) => Start::Run(code),
                Module::Running | Module::Done(_) => Start::Cycle(name.to_owned()),
            },
            Some(Module::Running) | None => {
                let from = state.importing.iter().position(|other| other == name).unwrap_or(0);
                let mut path = state.importing[from..].to_vec();
                path.push(name.to_owned());
                Start::Cycle(path.join(" → "))
            }
        };
        if let Start::Run(_) = &start {
            state.importing.push(name.to_owned());
        }
        start
    });
    match start {
        Start::Done(facade) => Ok(facade.into_bound(py)),
        Start::Cycle(path) => {
            let message = format!("modules import each other in a circle: {path}");
            let hint = "move what both need into a third module".to_owned();
            Err(problem(Raise::Import, codes::IMPORT_CYCLE, message, Some(hint)))
        }
        Start::Run(code) => run(py, name, code.bind(py)),
    }
}

fn run<'py>(py: Python<'py>, name: &str, code: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let globals = state::fresh_globals(py, &survey::builtins(py)?, name)?;
    code.cast::<PyCode>()?.run(Some(&globals), None)?;
    let facade = Bound::new(py, Facade::new(name, globals))?.into_any();
    state::module_done(name, facade.clone().unbind());
    Ok(facade)
}
