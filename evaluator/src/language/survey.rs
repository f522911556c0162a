//! A survey: an evaluation that goes on behind the problems of a file, so that all are shown at once.
//!
//! Its plans are drafts, in which what is wrong is left out or put right as it was probably meant. Must
//! not be lenient in any other evaluation, nor about what the guards refuse.

use plue_plan::{Code, Diagnostic};
use pyo3::{
    exceptions::PyAttributeError,
    prelude::*,
    types::{PyDict, PyTuple},
};

use super::{codes, failure, frames, prepared, state};

/// Problems of one survey that are kept.
const MAX_FOUND: usize = 500;

/// Problems behind which a file can run: what is not there is put in as [`Absent`].
const FORGIVABLE: [Code; 4] =
    [codes::FORBIDDEN_IMPORT, codes::UNKNOWN_IMPORT, codes::REMOVED_BUILTIN, codes::UNDEFINED_NAME];

/// True if a survey continues after all of these problems of the policy.
pub(crate) fn forgives(problems: &[Diagnostic]) -> bool {
    state::surveys() && problems.iter().all(|problem| FORGIVABLE.contains(&problem.code))
}

/// Keeps problems that were found.
pub(crate) fn found(problems: Vec<Diagnostic>) {
    state::with(|state| {
        let room = MAX_FOUND.saturating_sub(state.survey.found.len());
        state.survey.found.extend(problems.into_iter().take(room));
    });
}

/// In a survey, keeps the problem of a constructor at its call and goes on; else raises it.
pub(crate) fn raise(py: Python<'_>, error: PyErr) -> PyResult<()> {
    if !state::surveys() {
        return Err(error);
    }
    let mut problem = failure::describe(py, &error);
    problem.span = frames::call_place(py).and_then(|place| failure::span(&place));
    found(vec![problem]);
    Ok(())
}

/// The result of a constructor, or in a survey something in its place.
pub(crate) fn forgive<T>(
    py: Python<'_>,
    result: PyResult<T>,
    otherwise: impl FnOnce() -> T,
) -> PyResult<T> {
    match result {
        Ok(value) => Ok(value),
        Err(error) => raise(py, error).map(|()| otherwise()),
    }
}

/// In a survey, a text for an argument that has none; different each time, as ids are.
pub(crate) fn placeholder() -> Option<String> {
    let count = state::with(|state| state.survey.found.len());
    state::surveys().then(|| format!("_{count}"))
}

/// The builtins of a module: in a survey with something in the place of names that are not there.
pub(crate) fn builtins(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let builtins = prepared::get(py)?.builtins.bind(py).clone();
    let absent = state::with(|state| std::mem::take(&mut state.survey.absent));
    if absent.is_empty() {
        return Ok(builtins);
    }
    let filled = builtins.copy()?;
    for name in &absent {
        filled.set_item(name, Bound::new(py, Absent)?)?;
    }
    state::with(|state| state.survey.absent = absent);
    Ok(filled)
}

/// True if a placeholder was used, so that an exception may only be its consequence.
pub(crate) fn has_absent() -> bool {
    state::with(|state| state.survey.has_absent)
}

/// A stand-in for a module or name that is not there: it accepts every use and has no effect.
pub(crate) fn absent(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    state::with(|state| state.survey.has_absent = true);
    Ok(Bound::new(py, Absent)?.into_any())
}

/// Placeholder of a missing value.
#[pyclass(frozen, immutable_type, name = "Absent", module = "plue")]
pub(crate) struct Absent;

#[pymethods]
impl Absent {
    fn __getattr__(slf: Py<Self>, name: &str) -> PyResult<Py<Self>> {
        if name.starts_with("__") {
            return Err(PyAttributeError::new_err(name.to_owned()));
        }
        Ok(slf)
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__(
        slf: Py<Self>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> Py<Self> {
        let _ = (args, kwargs);
        slf
    }

    fn __getitem__(slf: Py<Self>, key: &Bound<'_, PyAny>) -> Py<Self> {
        let _ = key;
        slf
    }

    fn __iter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Ok(PyTuple::empty(slf.py()).try_iter()?.into_any())
    }

    fn __contains__(&self, item: &Bound<'_, PyAny>) -> bool {
        let _ = item;
        false
    }

    fn __len__(&self) -> usize {
        0
    }

    fn __bool__(&self) -> bool {
        false
    }

    fn __str__(&self) -> &'static str {
        ""
    }

    fn __repr__(&self) -> &'static str {
        "<absent>"
    }

    fn __format__(&self, spec: &str) -> &'static str {
        let _ = spec;
        ""
    }

    fn __add__(slf: Py<Self>, other: &Bound<'_, PyAny>) -> Py<Self> {
        let _ = other;
        slf
    }

    fn __radd__(slf: Py<Self>, other: &Bound<'_, PyAny>) -> Py<Self> {
        let _ = other;
        slf
    }

    fn __hash__(&self) -> u64 {
        0
    }
}
