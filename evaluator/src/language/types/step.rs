//! `Step`: one constructor per kind.

use std::{borrow::Cow, hash::Hasher};

use plue_plan::{Action, Span, Step, StepId, action::Bash};
use pyo3::{
    prelude::*,
    types::{PyDict, PyList, PyTuple},
};

use super::{
    arguments::{Arguments, Signature},
    kinds,
    options::{dependencies, options},
    reference::{self, PyReference},
};
use crate::language::{
    codes, failure, frames,
    state::{Raise, problem},
    survey,
};

/// Python class `Step`.
#[pyclass(frozen, immutable_type, name = "Step", module = "plue")]
pub(crate) struct PyStep {
    pub(super) step: Step,
    pub(super) place: Option<Span>,
}

/// Builds a step of one kind.
fn build<'py>(
    signature: &Signature,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
    action: impl FnOnce(&mut Arguments<'py>) -> PyResult<Action>,
) -> PyResult<PyStep> {
    let mut bound = signature.bind(args, kwargs)?;
    let id = StepId::new(bound.required_text("id")?);
    let named = signature.shared.contains(&"name");
    let action = action(&mut bound);
    let action = survey::forgive(args.py(), action, || {
        Action::Bash(Bash { run: "true".to_owned(), shell: "bash".to_owned() })
    })?;
    let step = Step {
        id,
        depends_on: dependencies(&bound)?,
        action,
        options: options(&mut bound, named)?,
    };
    let place = frames::call_place(args.py()).and_then(|place| failure::span(&place));
    Ok(PyStep { step, place })
}

#[pymethods]
impl PyStep {
    #[new]
    #[pyo3(signature = (*args, **kwargs))]
    fn new(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let _ = (args, kwargs);
        let hint = "write Step.bash(id, run), Step.python(id, code), Step.llm(id, prompt), …";
        let message = "a Step is made by one of its kinds".to_owned();
        Err(problem(Raise::Type, codes::UNKNOWN_ARGUMENT, message, Some(hint.to_owned())))
    }

    #[staticmethod]
    #[pyo3(signature = (*args, **kwargs))]
    fn bash(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        build(&kinds::BASH, args, kwargs, kinds::bash)
    }

    #[staticmethod]
    #[pyo3(signature = (*args, **kwargs))]
    fn python(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        build(&kinds::PYTHON, args, kwargs, kinds::python)
    }

    #[staticmethod]
    #[pyo3(signature = (*args, **kwargs))]
    fn llm(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        build(&kinds::LLM, args, kwargs, kinds::llm)
    }

    #[staticmethod]
    #[pyo3(signature = (*args, **kwargs))]
    fn approval(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        build(&kinds::APPROVAL, args, kwargs, kinds::approval)
    }

    #[staticmethod]
    #[pyo3(signature = (*args, **kwargs))]
    fn negotiate(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        build(&kinds::NEGOTIATE, args, kwargs, kinds::negotiate)
    }

    #[staticmethod]
    #[pyo3(signature = (*args, **kwargs))]
    fn workflow(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        build(&kinds::WORKFLOW, args, kwargs, kinds::workflow)
    }

    #[staticmethod]
    #[pyo3(signature = (*args, **kwargs))]
    fn call(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        build(&kinds::CALL, args, kwargs, kinds::call)
    }

    #[staticmethod]
    #[pyo3(signature = (*args, **kwargs))]
    fn wait(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        build(&kinds::WAIT, args, kwargs, kinds::wait)
    }

    #[staticmethod]
    #[pyo3(signature = (*args, **kwargs))]
    fn plugin(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        build(&kinds::PLUGIN, args, kwargs, kinds::plugin)
    }

    /// An expression for the step's output or a part of it.
    #[pyo3(signature = (path = None))]
    fn output(&self, path: Option<&Bound<'_, PyAny>>) -> PyResult<PyReference> {
        reference::output(self.step.id.as_str(), path)
    }

    #[getter]
    fn id(&self) -> &str {
        self.step.id.as_str()
    }

    #[getter]
    fn name(&self) -> Option<Cow<'_, str>> {
        self.step.name()
    }

    #[getter]
    fn kind(&self) -> &'static str {
        self.step.action.kind()
    }

    #[getter]
    fn depends_on<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.step.depends_on.iter().map(StepId::as_str))
    }

    fn __repr__(&self) -> String {
        format!("Step.{}({:?})", self.step.action.kind(), self.step.id.as_str())
    }

    fn __eq__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> bool {
        slf.is(other)
    }

    /// The same in every process, because it depends on the id alone.
    fn __hash__(&self) -> u64 {
        let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
        hasher.write(self.step.id.as_str().as_bytes());
        hasher.finish()
    }

    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __deepcopy__(slf: Py<Self>, memo: &Bound<'_, PyAny>) -> Py<Self> {
        let _ = memo;
        slf
    }
}

/// FNV-1a, 64 bits.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
