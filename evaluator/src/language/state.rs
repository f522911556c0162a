//! State of one evaluation outside the interpreter: sources, facts, printed text, result.
//!
//! One evaluation runs at a time in a process, on one thread. Must not call Python while the state
//! is borrowed: user code that runs then would find it locked.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use plue_plan::{Code, Diagnostic};
use plue_wire::eval::{Facts, Need};
use pyo3::{exceptions, prelude::*, types::PyDict};

use super::source::SourceFile;

/// Most distinct problems whose code and hint are remembered.
const MAX_PROBLEMS: usize = 1_000;

/// An end that user code cannot catch: even if it swallows the exception, this is the outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The evaluation lacks facts.
    Needs(Vec<Need>),
    /// Too much was printed.
    Printed,
}

/// A module of `.plue/lib`.
pub(crate) enum Module {
    /// Checked and compiled, not yet run.
    Ready(Py<PyAny>),
    /// Running: importing it now is a cycle.
    Running,
    /// Its globals behind a façade.
    Done(Py<PyAny>),
}

/// Progress of a survey.
#[derive(Default)]
pub(crate) struct Survey {
    /// True in a survey.
    is_on: bool,
    /// Problems that a survey has found so far.
    pub(crate) found: Vec<Diagnostic>,
    /// Undefined names, in a survey.
    pub(crate) absent: BTreeSet<String>,
    /// True if a placeholder replaced a missing value.
    pub(crate) has_absent: bool,
}

/// A function of a source file, found again by its first line.
pub(crate) struct FunctionNode {
    /// Index of its file.
    pub(crate) file: usize,
    /// `co_firstlineno`: of the first decorator, or of `def`.
    pub(crate) first_line: u32,
    /// Name of the function.
    pub(crate) name: String,
    /// Syntax node, a `FunctionDef`.
    pub(crate) node: Py<PyAny>,
    /// Its body as written (the node's own body may have been emptied).
    pub(crate) body: Py<PyAny>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) files: Vec<SourceFile>,
    pub(crate) functions: Vec<FunctionNode>,
    pub(crate) modules: BTreeMap<String, Module>,
    /// Names of the modules that are running, outermost first.
    pub(crate) importing: Vec<String>,
    pub(crate) facts: Facts,
    pub(crate) printed: String,
    pub(crate) ending: Option<Ending>,
    pub(crate) survey: Survey,
    problems: BTreeMap<String, (Code, Option<String>)>,
    /// Sources of the expressions that stand in texts, by their marks.
    pub(crate) references: Vec<String>,
    /// Objects hashed by identity, kept alive so that no address is used twice.
    identities: BTreeMap<usize, (u64, Py<PyAny>)>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::new(State::default());
}

/// Borrows the state. Must not be nested.
pub(crate) fn with<R>(work: impl FnOnce(&mut State) -> R) -> R {
    STATE.with(|state| work(&mut state.borrow_mut()))
}

/// Resets the state for an evaluation.
pub(crate) fn reset(facts: Facts, is_on: bool) {
    let old = with(|state| {
        std::mem::replace(
            state,
            State { facts, survey: Survey { is_on, ..Survey::default() }, ..State::default() },
        )
    });
    drop(old);
}

/// True in a survey.
pub(crate) fn surveys() -> bool {
    with(|state| state.survey.is_on)
}

/// Python exception class of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Raise {
    /// `TypeError`
    Type,
    /// `ValueError`
    Value,
    /// `AttributeError`
    Attribute,
    /// `ImportError`
    Import,
    /// `FileNotFoundError`
    NoFile,
}

/// A Python exception whose code and hint are remembered in case it is not caught.
pub(crate) fn problem(raise: Raise, code: Code, message: String, hint: Option<String>) -> PyErr {
    with(|state| {
        if state.problems.len() < MAX_PROBLEMS {
            state.problems.insert(message.clone(), (code, hint));
        }
    });
    match raise {
        Raise::Type => exceptions::PyTypeError::new_err(message),
        Raise::Value => exceptions::PyValueError::new_err(message),
        Raise::Attribute => exceptions::PyAttributeError::new_err(message),
        Raise::Import => exceptions::PyImportError::new_err(message),
        Raise::NoFile => exceptions::PyFileNotFoundError::new_err(message),
    }
}

/// The code and hint of a problem that [`problem`] raised with this message.
pub(crate) fn remembered(message: &str) -> Option<(Code, Option<String>)> {
    with(|state| state.problems.get(message).cloned())
}

/// The number of an object in the order of first asking: a hash without addresses.
pub(crate) fn identity(object: &Bound<'_, PyAny>) -> u64 {
    let address = object.as_ptr() as usize;
    with(|state| {
        let next = state.identities.len() as u64 + 1;
        state.identities.entry(address).or_insert_with(|| (next, object.clone().unbind())).0
    })
}

/// Facts for a module's façade.
pub(crate) fn module_done(name: &str, facade: Py<PyAny>) {
    let old = with(|state| {
        state.importing.pop();
        state.modules.insert(name.to_owned(), Module::Done(facade))
    });
    drop(old);
}

/// The globals that every module of an evaluation starts with.
pub(crate) fn fresh_globals<'py>(
    py: Python<'py>,
    builtins: &Bound<'py, PyDict>,
    name: &str,
) -> PyResult<Bound<'py, PyDict>> {
    let globals = PyDict::new(py);
    globals.set_item("__builtins__", builtins)?;
    globals.set_item("__name__", name)?;
    Ok(globals)
}
