//! `Plan` and `Hooks`.

use std::collections::BTreeMap;

use plue_plan::{
    Plan, Step,
    context::ContextKey,
    plan::{Hooks, IR_VERSION, Input},
    policy::{Budget, Concurrency, PlanOnFailure},
    validate::SourceMap,
};
use pyo3::{
    prelude::*,
    types::{PyDict, PyList, PyTuple},
};

use super::{
    PyStep,
    arguments::{Arguments, Signature},
    settings::{PyBudget, PyConcurrency, PyInput, PyKey, checkout_of, without_default},
    trigger::PyTrigger,
};
use crate::language::{codes, failure, frames, survey};

/// Python class `Plan`.
#[pyclass(frozen, immutable_type, name = "Plan", module = "plue")]
pub(crate) struct PyPlan {
    pub(crate) plan: Plan,
    pub(crate) places: SourceMap,
}

/// Steps around a run.
#[pyclass(frozen, immutable_type, name = "Hooks", module = "plue")]
pub(crate) struct PyHooks {
    hooks: Hooks,
    /// Their places, in the order of `Hooks::all`.
    places: Vec<Option<plue_plan::Span>>,
}

const PLAN: Signature = Signature {
    what: "Plan",
    positional: &["name", "triggers", "steps"],
    named: &[
        "description",
        "goal",
        "inputs",
        "context",
        "env",
        "secrets",
        "runner",
        "image",
        "timeout",
        "max_parallel",
        "on_failure",
        "concurrency",
        "checkout",
        "hooks",
        "budget",
        "outputs",
        "tags",
    ],
    shared: &[],
    required: &["name"],
    open: false,
};

const HOOKS: Signature = Signature {
    what: "Hooks",
    positional: &[],
    named: &["on_start", "on_success", "on_failure", "on_complete"],
    shared: &[],
    required: &[],
    open: false,
};

#[pymethods]
impl PyPlan {
    #[new]
    #[pyo3(signature = (*args, **kwargs))]
    fn new(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let bound = PLAN.bind(args, kwargs)?;
        let mut places = SourceMap {
            plan: frames::call_place(args.py()).and_then(|place| failure::span(&place)),
            ..SourceMap::default()
        };
        let steps = take_steps(&bound, "steps", &mut |step, place| note(&mut places, step, place))?;
        let hooks = bound.forgive(hooks(&bound, &mut places))?;
        let mut triggers = Vec::new();
        for (index, item) in bound.items("triggers", "Triggers")?.iter().enumerate() {
            let Ok(trigger) = item.cast::<PyTrigger>() else {
                let hint = trigger_hint(item);
                let place = format!("triggers[{index}]");
                survey::raise(args.py(), bound.wrong(&place, "a Trigger", item, hint))?;
                continue;
            };
            if let Some(place) = &trigger.get().place {
                places.triggers.insert(triggers.len(), place.clone());
            }
            triggers.push(trigger.get().trigger.clone());
        }
        let plan = assemble(&bound, steps, hooks, triggers)?;
        Ok(Self { plan, places })
    }

    #[getter]
    fn name(&self) -> &str {
        &self.plan.name
    }

    fn __repr__(&self) -> String {
        format!("Plan({:?})", self.plan.name)
    }
}

fn trigger_hint(item: &Bound<'_, PyAny>) -> Option<String> {
    if item.is_callable() {
        Some("call it, as in Trigger.on_pull_request()".to_owned())
    } else if item.is_instance_of::<PyStep>() {
        Some("steps belong into steps=[…]".to_owned())
    } else {
        None
    }
}

fn assemble(
    bound: &Arguments<'_>,
    steps: Vec<Step>,
    hooks: Hooks,
    triggers: Vec<plue_plan::Trigger>,
) -> PyResult<Plan> {
    let on_failure = [("stop", PlanOnFailure::Stop), ("continue", PlanOnFailure::Continue)];
    Ok(Plan {
        version: IR_VERSION,
        name: bound.required_text("name")?,
        description: bound.text("description")?,
        goal: bound.text("goal")?,
        inputs: bound.forgive(inputs(bound))?,
        context: bound.forgive(keys(bound))?,
        env: bound.values("env")?,
        secrets: sources(bound)?,
        runner: bound.text("runner")?,
        image: bound.text("image")?,
        timeout: without_default(bound.duration("timeout")?),
        max_parallel: bound.count("max_parallel")?,
        on_failure: bound.choice("on_failure", &on_failure)?.unwrap_or_default(),
        concurrency: bound.forgive(concurrency(bound))?,
        checkout: bound.forgive(checkout_of(bound))?,
        hooks,
        budget: bound.forgive(budget(bound))?,
        outputs: bound.values("outputs")?,
        tags: bound.texts("tags")?,
        triggers,
        steps,
    })
}

fn concurrency(bound: &Arguments<'_>) -> PyResult<Option<Concurrency>> {
    let Some(value) = bound.get("concurrency") else {
        return Ok(None);
    };
    match value.cast::<PyConcurrency>() {
        Ok(concurrency) => Ok(Some(concurrency.get().0.clone())),
        Err(_) => {
            let hint = "write concurrency=Concurrency(\"group\")".to_owned();
            Err(bound.wrong("concurrency", "a Concurrency", value, Some(hint)))
        }
    }
}

fn budget(bound: &Arguments<'_>) -> PyResult<Option<Budget>> {
    let Some(value) = bound.get("budget") else {
        return Ok(None);
    };
    match value.cast::<PyBudget>() {
        Ok(budget) => Ok(Some(budget.get().0.clone())),
        Err(_) => {
            let hint = "write budget=Budget(usd=…)".to_owned();
            Err(bound.wrong("budget", "a Budget", value, Some(hint)))
        }
    }
}

/// `secrets={"NAME": "env:NAME"}`: where runs of one machine take secrets from.
fn sources(bound: &Arguments<'_>) -> PyResult<BTreeMap<String, String>> {
    let entries = bound.entries("secrets")?.into_iter();
    entries
        .map(|(name, source)| {
            let place = format!("secrets[{name:?}]");
            Ok((name, bound.plain(&place, &source)?))
        })
        .collect()
}

/// Reads `context=[Key(…), …]`.
fn keys(bound: &Arguments<'_>) -> PyResult<BTreeMap<String, ContextKey>> {
    let mut keys = BTreeMap::new();
    for (index, item) in bound.items("context", "Keys")?.iter().enumerate() {
        let Ok(key) = item.cast::<PyKey>() else {
            let hint = "write context=[Key(\"name\", {\"type\": \"object\"})]".to_owned();
            return Err(bound.wrong(&format!("context[{index}]"), "a Key", item, Some(hint)));
        };
        let (name, key) = key.get().0.clone();
        if keys.insert(name.clone(), key).is_some() {
            let why = format!("has two keys {name:?}");
            return Err(bound.refuse("context", codes::BAD_VALUE, &why, None));
        }
    }
    Ok(keys)
}

fn note(places: &mut SourceMap, step: &Step, place: Option<&plue_plan::Span>) {
    if let Some(place) = place {
        places.steps.entry(step.id.clone()).or_default().push(place.clone());
    }
}

/// The steps of a list argument.
fn take_steps(
    bound: &Arguments<'_>,
    name: &str,
    seen: &mut dyn FnMut(&Step, Option<&plue_plan::Span>),
) -> PyResult<Vec<Step>> {
    let items = bound.items(name, "Steps")?;
    let mut steps = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let Ok(step) = item.cast::<PyStep>() else {
            let nested = item.is_instance_of::<PyList>() || item.is_instance_of::<PyTuple>();
            let hint = if nested {
                Some(format!("flatten it with {name}=[*first, *second]"))
            } else if item.is_none() {
                Some("leave it out: a function that returns a step may have no `return`".to_owned())
            } else {
                None
            };
            let wrong = bound.wrong(&format!("{name}[{index}]"), "a Step", item, hint);
            survey::raise(item.py(), wrong)?;
            continue;
        };
        let step = step.get();
        seen(&step.step, step.place.as_ref());
        steps.push(step.step.clone());
    }
    Ok(steps)
}

fn hooks(bound: &Arguments<'_>, places: &mut SourceMap) -> PyResult<Hooks> {
    let Some(value) = bound.get("hooks") else {
        return Ok(Hooks::default());
    };
    let Ok(hooks) = value.cast::<PyHooks>() else {
        let hint = "write hooks=Hooks(on_failure=[…])".to_owned();
        return Err(bound.wrong("hooks", "a Hooks", value, Some(hint)));
    };
    let hooks = hooks.get();
    for (step, place) in hooks.hooks.all().zip(&hooks.places) {
        note(places, step, place.as_ref());
    }
    Ok(hooks.hooks.clone())
}

/// Reads `inputs={name: Input(…)}`.
pub(super) fn inputs(bound: &Arguments<'_>) -> PyResult<BTreeMap<String, Input>> {
    bound
        .entries("inputs")?
        .into_iter()
        .map(|(name, value)| match value.cast::<PyInput>() {
            Ok(input) => Ok((name, input.get().0.clone())),
            Err(_) => {
                let hint = "write inputs={\"name\": Input(default=…)}".to_owned();
                Err(bound.wrong(&format!("inputs[{name:?}]"), "an Input", &value, Some(hint)))
            }
        })
        .collect()
}

#[pymethods]
impl PyHooks {
    #[new]
    #[pyo3(signature = (*args, **kwargs))]
    fn new(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let bound = HOOKS.bind(args, kwargs)?;
        let mut places = Vec::new();
        let mut list =
            |name: &str| take_steps(&bound, name, &mut |_, place| places.push(place.cloned()));
        // In the order of `Hooks::all`.
        let hooks = Hooks {
            on_start: list("on_start")?,
            on_success: list("on_success")?,
            on_failure: list("on_failure")?,
            on_complete: list("on_complete")?,
        };
        Ok(Self { hooks, places })
    }

    fn __repr__(&self) -> &'static str {
        "<Hooks>"
    }
}
