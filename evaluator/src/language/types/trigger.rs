//! `Trigger`: one constructor per kind of event.

use plue_plan::{Span, Trigger, trigger::Misfire};
use pyo3::{
    prelude::*,
    types::{PyDict, PyList, PySet, PyTuple},
};

use super::{
    arguments::{Arguments, Signature},
    kind_of,
    options::expression,
    plan::inputs,
};
use crate::language::{
    codes, failure, frames,
    state::{Raise, problem},
};

/// Python class `Trigger`.
#[pyclass(frozen, immutable_type, name = "Trigger", module = "plue")]
pub(crate) struct PyTrigger {
    pub(super) trigger: Trigger,
    pub(super) place: Option<Span>,
}

const fn signature(
    what: &'static str,
    positional: &'static [&'static str],
    named: &'static [&'static str],
) -> Signature {
    Signature { what, positional, named, shared: &[], required: positional, open: false }
}

fn build<'py>(
    signature: &Signature,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
    make: impl FnOnce(&Arguments<'py>) -> PyResult<Trigger>,
) -> PyResult<PyTrigger> {
    let trigger = make(&signature.bind(args, kwargs)?)?;
    let place = frames::call_place(args.py()).and_then(|place| failure::span(&place));
    Ok(PyTrigger { trigger, place })
}

/// `branch="main"` and `branches=["main", "release/*"]` are the same list.
fn one_or_many(bound: &Arguments<'_>, one: &str, many: &str) -> PyResult<Vec<String>> {
    let Some(value) = bound.get(one) else {
        return bound.texts(many);
    };
    let several = value.is_instance_of::<PyList>()
        || value.is_instance_of::<PyTuple>()
        || value.is_instance_of::<PySet>();
    if several {
        let message =
            format!("`{one}` of {} must be one pattern, not {}", bound.label(), kind_of(value));
        let hint = format!("write {many}=[…]");
        return Err(problem(Raise::Type, codes::WRONG_TYPE, message, Some(hint)));
    }
    if bound.get(many).is_some() {
        let why = format!("stands beside `{many}`");
        let hint = format!("write {many}=[…] alone");
        return Err(bound.refuse(one, codes::BAD_VALUE, &why, Some(hint)));
    }
    Ok(vec![bound.required_text(one)?])
}

#[pymethods]
impl PyTrigger {
    #[new]
    #[pyo3(signature = (*args, **kwargs))]
    fn new(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let _ = (args, kwargs);
        let hint = "write Trigger.on_push(branch=\"main\"), Trigger.on_pull_request(), …";
        let message = "a Trigger is made by one of its kinds".to_owned();
        Err(problem(Raise::Type, codes::UNKNOWN_ARGUMENT, message, Some(hint.to_owned())))
    }

    #[staticmethod]
    #[pyo3(signature = (*args, **kwargs))]
    fn on_push(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        const NAMED: &[&str] = &["branch", "branches", "tag", "tags", "paths", "paths_ignore"];
        build(&signature("Trigger.on_push", &[], NAMED), args, kwargs, |bound| {
            Ok(Trigger::Push {
                branches: bound.forgive(one_or_many(bound, "branch", "branches"))?,
                tags: bound.forgive(one_or_many(bound, "tag", "tags"))?,
                paths: bound.texts("paths")?,
                paths_ignore: bound.texts("paths_ignore")?,
            })
        })
    }

    #[staticmethod]
    #[pyo3(signature = (*args, **kwargs))]
    fn on_pull_request(
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        const NAMED: &[&str] = &["types", "branch", "branches", "paths"];
        build(&signature("Trigger.on_pull_request", &[], NAMED), args, kwargs, |bound| {
            Ok(Trigger::PullRequest {
                types: bound.texts("types")?,
                branches: bound.forgive(one_or_many(bound, "branch", "branches"))?,
                paths: bound.texts("paths")?,
            })
        })
    }

    #[staticmethod]
    #[pyo3(signature = (*args, **kwargs))]
    fn on_issue(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        build(&signature("Trigger.on_issue", &[], &["types", "labels"]), args, kwargs, |bound| {
            Ok(Trigger::Issue { types: bound.texts("types")?, labels: bound.texts("labels")? })
        })
    }

    #[staticmethod]
    #[pyo3(signature = (*args, **kwargs))]
    fn on_issue_comment(
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        build(&signature("Trigger.on_issue_comment", &[], &["contains"]), args, kwargs, |bound| {
            Ok(Trigger::IssueComment { contains: bound.text("contains")? })
        })
    }

    #[staticmethod]
    #[pyo3(signature = (*args, **kwargs))]
    fn on_schedule(
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let misfires = [
            ("run_once", Misfire::RunOnce),
            ("skip", Misfire::Skip),
            ("catch_up", Misfire::CatchUp),
        ];
        let signature = signature("Trigger.on_schedule", &["cron"], &["tz", "misfire"]);
        build(&signature, args, kwargs, |bound| {
            Ok(Trigger::Schedule {
                cron: bound.required_text("cron")?,
                tz: bound.text("tz")?.unwrap_or_else(|| "UTC".to_owned()),
                misfire: bound.choice("misfire", &misfires)?.unwrap_or_default(),
            })
        })
    }

    #[staticmethod]
    #[pyo3(signature = (*args, **kwargs))]
    fn on_manual(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        build(&signature("Trigger.on_manual", &[], &["inputs"]), args, kwargs, |bound| {
            Ok(Trigger::Manual { inputs: inputs(bound)? })
        })
    }

    #[staticmethod]
    #[pyo3(signature = (*args, **kwargs))]
    fn on_webhook(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        build(&signature("Trigger.on_webhook", &["name"], &[]), args, kwargs, |bound| {
            Ok(Trigger::Webhook { name: bound.required_text("name")? })
        })
    }

    #[staticmethod]
    #[pyo3(signature = (*args, **kwargs))]
    fn on_event(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        build(&signature("Trigger.on_event", &["topic"], &["when"]), args, kwargs, |bound| {
            Ok(Trigger::Event {
                topic: bound.required_text("topic")?,
                when: bound.forgive(expression(bound, "when"))?,
            })
        })
    }

    #[staticmethod]
    #[pyo3(signature = (*args, **kwargs))]
    fn on_workflow(
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        build(&signature("Trigger.on_workflow", &["name"], &["outcome"]), args, kwargs, |bound| {
            Ok(Trigger::Workflow {
                name: bound.required_text("name")?,
                outcome: bound.text("outcome")?,
            })
        })
    }

    fn __repr__(&self) -> &'static str {
        match self.trigger {
            Trigger::Push { .. } => "<Trigger.on_push>",
            Trigger::PullRequest { .. } => "<Trigger.on_pull_request>",
            Trigger::Issue { .. } => "<Trigger.on_issue>",
            Trigger::IssueComment { .. } => "<Trigger.on_issue_comment>",
            Trigger::Schedule { .. } => "<Trigger.on_schedule>",
            Trigger::Manual { .. } => "<Trigger.on_manual>",
            Trigger::Webhook { .. } => "<Trigger.on_webhook>",
            Trigger::Event { .. } => "<Trigger.on_event>",
            Trigger::Workflow { .. } => "<Trigger.on_workflow>",
        }
    }
}
