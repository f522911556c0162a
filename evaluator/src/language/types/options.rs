//! The arguments that every step takes.

use plue_plan::{
    StepId, Value,
    artifacts::Artifacts,
    policy::{Cache, Goto, OnFailure, Retry, Service},
    step::StepOptions,
};
use pyo3::prelude::*;
use serde_json::Value as Json;

use super::{
    PyStep,
    arguments::Arguments,
    reference::PyReference,
    settings::{
        PyArtifacts, PyCache, PyGoto, PyKey, PyRetry, PyService, holds_reference, text_value,
    },
};
use crate::language::codes;

/// Parameters common to all steps.
pub(super) const COMMON: &[&str] = &[
    "depends_on",
    "name",
    "when",
    "env",
    "secrets",
    "timeout",
    "retry",
    "on_failure",
    "on_success",
    "runner",
    "image",
    "resources",
    "cwd",
    "outputs",
    "artifacts",
    "cache",
    "checkout",
    "services",
    "pure",
    "interactive",
    "required",
    "writes",
];

/// The same for `Step.workflow`, whose own `name` is the child's.
pub(super) const COMMON_UNNAMED: &[&str] = &[
    "depends_on",
    "when",
    "env",
    "secrets",
    "timeout",
    "retry",
    "on_failure",
    "on_success",
    "runner",
    "image",
    "resources",
    "cwd",
    "outputs",
    "artifacts",
    "cache",
    "checkout",
    "services",
    "pure",
    "interactive",
    "required",
    "writes",
];

/// `depends_on`: ids or steps.
pub(super) fn dependencies(bound: &Arguments<'_>) -> PyResult<Vec<StepId>> {
    let items = bound.items("depends_on", "ids or steps")?;
    bound.each(items, |index, item| {
        if let Ok(step) = item.cast::<PyStep>() {
            return Ok(step.get().step.id.clone());
        }
        let place = format!("depends_on[{index}]");
        match item.cast::<pyo3::types::PyString>() {
            Ok(text) => super::convert::text(text)
                .map(StepId::new)
                .map_err(|why| bound.refuse(&place, codes::BAD_TEXT, why, None)),
            Err(_) => {
                let nested = item.is_instance_of::<pyo3::types::PyList>();
                let hint = nested.then(|| "flatten it with depends_on=[*ids]".to_owned());
                Err(bound.wrong(&place, "the id of a step or a Step", item, hint))
            }
        }
    })
}

/// Reads the remaining options.
pub(super) fn options(bound: &mut Arguments<'_>, named: bool) -> PyResult<StepOptions> {
    Ok(StepOptions {
        name: if named { name(bound)? } else { None },
        when: bound.forgive(expression(bound, "when"))?,
        env: bound.values("env")?,
        secrets: bound.forgive(secrets(bound))?,
        timeout: bound.duration("timeout")?,
        retry: bound.forgive(retry(bound))?,
        on_failure: bound.forgive(on_failure(bound))?,
        on_success: bound.forgive(goto(bound, "on_success"))?,
        runner: bound.text("runner")?,
        image: bound.text("image")?,
        resources: bound.forgive(resources(bound))?,
        cwd: bound.text("cwd")?,
        outputs: bound.json("outputs")?,
        writes: writes(bound)?,
        artifacts: bound.forgive(artifacts(bound))?,
        cache: bound.forgive(cache(bound))?,
        checkout: bound.forgive(super::settings::checkout_of(bound))?,
        services: bound.forgive(services(bound))?,
        pure: bound.flag("pure")?.unwrap_or(false),
        interactive: bound.flag("interactive")?.unwrap_or(false),
        required: bound.flag("required")?.unwrap_or(false),
    })
}

/// The name that is shown: text or a reference, but no secret.
fn name(bound: &Arguments<'_>) -> PyResult<Option<Value>> {
    let is_secret = |value: &Bound<'_, PyAny>| {
        value.cast::<PyReference>().is_ok_and(|reference| reference.get().secret)
    };
    match bound.get("name") {
        Some(value) if is_secret(value) => {
            let why = "is a secret, and names are shown to everyone who sees the run";
            let hint = Some("give it to the step with secrets=[…]".to_owned());
            bound.forgive(Err(bound.refuse("name", codes::REFERENCE_AS_TEXT, why, hint)))
        }
        Some(value) if holds_reference(value) => text_value(bound, "name").map(Some),
        Some(_) | None => Ok(bound.text("name")?.map(Value::text)),
    }
}

/// Text of an expression, or what `ref` made.
pub(super) fn expression(bound: &Arguments<'_>, name: &str) -> PyResult<Option<String>> {
    if let Some(value) = bound.get(name) {
        if let Ok(reference) = value.cast::<PyReference>()
            && !reference.get().secret
            && !reference.get().is_template()
        {
            return Ok(Some(reference.get().source.clone()));
        }
        if value.is_instance_of::<pyo3::types::PyBool>() {
            let hint =
                "leave the step out of the list, or write an expression of the run".to_owned();
            return Err(bound.wrong(name, "a CEL expression as text", value, Some(hint)));
        }
    }
    bound.text(name)
}

/// The context key that a step writes: its name, or the key itself.
fn writes(bound: &Arguments<'_>) -> PyResult<Option<String>> {
    match bound.get("writes").map(|value| value.cast::<PyKey>()) {
        Some(Ok(key)) => Ok(Some(key.get().0.0.clone())),
        Some(Err(_)) | None => bound.text("writes"),
    }
}

fn secrets(bound: &Arguments<'_>) -> PyResult<Vec<String>> {
    let items = bound.items("secrets", "names")?;
    bound.each(items, |index, item| match item.cast::<PyReference>() {
        Ok(reference) if reference.get().secret => Ok(reference.get().source.clone()),
        Ok(_) | Err(_) => bound.plain(&format!("secrets[{index}]"), item),
    })
}

fn retry(bound: &Arguments<'_>) -> PyResult<Option<Retry>> {
    let Some(value) = bound.get("retry") else {
        return Ok(None);
    };
    match value.cast::<PyRetry>() {
        Ok(retry) => Ok(Some(retry.get().0.clone())),
        Err(_) => {
            let hint = match value.extract::<u32>() {
                Ok(number) => format!("write retry=Retry(max_attempts={number})"),
                Err(_) => "write retry=Retry(max_attempts=3)".to_owned(),
            };
            Err(bound.wrong("retry", "a Retry", value, Some(hint)))
        }
    }
}

fn on_failure(bound: &Arguments<'_>) -> PyResult<OnFailure> {
    if let Some(value) = bound.get("on_failure")
        && !value.is_instance_of::<pyo3::types::PyString>()
    {
        return match goto(bound, "on_failure")? {
            Some(goto) => Ok(OnFailure::Goto(goto)),
            None => Ok(OnFailure::Fail),
        };
    }
    let choices = [("fail", 0_u8), ("skip", 1), ("continue", 2)];
    Ok(match bound.choice("on_failure", &choices)? {
        Some(1) => OnFailure::Skip,
        Some(2) => OnFailure::Continue,
        Some(_) | None => OnFailure::Fail,
    })
}

fn goto(bound: &Arguments<'_>, name: &str) -> PyResult<Option<Goto>> {
    let Some(value) = bound.get(name) else {
        return Ok(None);
    };
    match value.cast::<PyGoto>() {
        Ok(goto) => Ok(Some(goto.get().0.clone())),
        Err(_) => {
            let hint = "write Goto(\"step\", max_visits=3)".to_owned();
            Err(bound.wrong(name, "a Goto", value, Some(hint)))
        }
    }
}

fn resources(bound: &Arguments<'_>) -> PyResult<std::collections::BTreeMap<String, Json>> {
    bound
        .entries("resources")?
        .into_iter()
        .map(|(key, value)| {
            let json = super::convert::json(&value, "`resources`", false)?;
            Ok((key, json))
        })
        .collect()
}

fn artifacts(bound: &Arguments<'_>) -> PyResult<Artifacts> {
    if let Some(value) = bound.get("artifacts")
        && let Ok(artifacts) = value.cast::<PyArtifacts>()
    {
        return Ok(artifacts.get().0.clone());
    }
    bound.texts("artifacts").map(Artifacts::from)
}

fn cache(bound: &Arguments<'_>) -> PyResult<Option<Cache>> {
    let Some(value) = bound.get("cache") else {
        return Ok(None);
    };
    match value.cast::<PyCache>() {
        Ok(cache) => Ok(Some(cache.get().0.clone())),
        Err(_) => {
            let hint = "write cache=Cache(key=…, paths=[…])".to_owned();
            Err(bound.wrong("cache", "a Cache", value, Some(hint)))
        }
    }
}

fn services(bound: &Arguments<'_>) -> PyResult<Vec<Service>> {
    let items = bound.items("services", "Services")?;
    items
        .iter()
        .map(|item| match item.cast::<PyService>() {
            Ok(service) => Ok(service.get().0.clone()),
            Err(_) => {
                let hint = "write services=[Service(\"postgres:16\", 5432)]".to_owned();
                Err(bound.wrong("services", "a list of Services", item, Some(hint)))
            }
        })
        .collect()
}
