//! The small words: `Input`, `Key`, `Retry`, `Goto`, `Artifacts`, `Cache`, `Checkout`, `Concurrency`, `Budget`, `Service`, `Mcp`, `Prompt`.

use plue_plan::{
    DurationText, StepId,
    action::{Mcp, PromptFile},
    artifacts::{ArtifactRules, Artifacts, LostArtifacts, MissingArtifacts},
    context::{ContextKey, Merge},
    plan::{Input, InputType},
    policy::{Backoff, Budget, Cache, Checkout, Concurrency, Goto, Retry, Service},
};
use pyo3::{
    prelude::*,
    types::{PyDict, PyString, PyTuple},
};
use serde_json::Value as Json;

use super::{
    PyStep,
    arguments::{Arguments, Signature},
    convert,
    reference::{PyReference, is_marked},
};
use crate::language::codes;

const NONE: &[&str] = &[];

macro_rules! setting {
    ($(#[$doc:meta])* $rust:ident, $python:literal, $inner:ty, $build:path) => {
        $(#[$doc])*
        #[pyclass(frozen, immutable_type, name = $python, module = "plue")]
        pub(crate) struct $rust(pub(super) $inner);

        #[pymethods]
        impl $rust {
            #[new]
            #[pyo3(signature = (*args, **kwargs))]
            fn new(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
                $build(args, kwargs).map(Self)
            }

            fn __repr__(&self) -> &'static str {
                concat!("<", $python, ">")
            }
        }
    };
}

setting!(
    /// One input of a plan.
    PyInput, "Input", Input, input
);
setting!(
    /// A context key, with its name.
    PyKey, "Key", (String, ContextKey), key
);
setting!(
    /// Tries of a step.
    PyRetry, "Retry", Retry, retry
);
setting!(
    /// A bounded way back.
    PyGoto, "Goto", Goto, goto
);
setting!(
    /// Files that are kept, with rules.
    PyArtifacts, "Artifacts", Artifacts, artifacts
);
setting!(
    /// A cache of a directory.
    PyCache, "Cache", Cache, cache
);
setting!(
    /// The Git repository around the files.
    PyCheckout, "Checkout", Checkout, checkout
);
setting!(
    /// A group of runs that do not overlap.
    PyConcurrency, "Concurrency", Concurrency, concurrency
);
setting!(
    /// Spending limits of a run or step.
    PyBudget, "Budget", Budget, budget
);
setting!(
    /// A process that runs during a step.
    PyService, "Service", Service, service
);
setting!(
    /// An MCP server of a Claude step.
    PyMcp, "Mcp", Mcp, mcp
);
setting!(
    /// A prompt file with its inputs.
    PyPrompt, "Prompt", PromptFile, prompt
);

fn input(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Input> {
    const SIGNATURE: Signature = Signature {
        what: "Input",
        positional: &["type"],
        named: &["default", "required", "choices", "description"],
        shared: NONE,
        required: NONE,
        open: false,
    };
    let bound = SIGNATURE.bind(args, kwargs)?;
    let types = [
        ("string", InputType::String),
        ("integer", InputType::Integer),
        ("number", InputType::Number),
        ("boolean", InputType::Boolean),
        ("list", InputType::List),
        ("object", InputType::Object),
    ];
    let choices: Vec<Json> = bound
        .items("choices", "values")?
        .iter()
        .map(|item| convert::json(item, "`choices` of Input", false))
        .collect::<PyResult<_>>()?;
    Ok(Input {
        kind: bound.choice("type", &types)?.unwrap_or_default(),
        default: bound.json("default")?,
        description: bound.text("description")?,
        required: bound.flag("required")?.unwrap_or(false),
        choices,
    })
}

fn key(
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
) -> PyResult<(String, ContextKey)> {
    const SIGNATURE: Signature = Signature {
        what: "Key",
        positional: &["name", "schema"],
        named: &["merge"],
        shared: NONE,
        required: &["name"],
        open: false,
    };
    let bound = SIGNATURE.bind(args, kwargs)?;
    let merges = [
        ("error", Merge::Error),
        ("last", Merge::Last),
        ("list", Merge::List),
        ("map", Merge::Map),
    ];
    let merge = bound.choice("merge", &merges)?.unwrap_or_default();
    Ok((bound.required_text("name")?, ContextKey { schema: bound.json("schema")?, merge }))
}

fn retry(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Retry> {
    const SIGNATURE: Signature = Signature {
        what: "Retry",
        positional: &["max_attempts"],
        named: &["delay", "backoff", "max_delay", "jitter", "on"],
        shared: NONE,
        required: NONE,
        open: false,
    };
    let bound = SIGNATURE.bind(args, kwargs)?;
    let default = Retry::default();
    let backoff = [("fixed", Backoff::Fixed), ("exponential", Backoff::Exponential)];
    Ok(Retry {
        max_attempts: bound.count("max_attempts")?.unwrap_or(default.max_attempts),
        delay: DurationText::unless(bound.duration("delay")?, default.delay.as_str())
            .unwrap_or(default.delay),
        backoff: bound.choice("backoff", &backoff)?.unwrap_or_default(),
        max_delay: bound.duration("max_delay")?,
        jitter: bound.number("jitter")?,
        on: bound.texts("on")?,
    })
}

/// The id of a step given as text or as the step itself.
pub(super) fn step_id(bound: &Arguments<'_>, name: &str) -> PyResult<StepId> {
    if let Some(value) = bound.get(name)
        && let Ok(step) = value.cast::<PyStep>()
    {
        return Ok(step.get().step.id.clone());
    }
    Ok(StepId::new(bound.required_text(name)?))
}

fn goto(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Goto> {
    const SIGNATURE: Signature = Signature {
        what: "Goto",
        positional: &["target", "max_visits"],
        named: NONE,
        shared: NONE,
        required: &["target"],
        open: false,
    };
    let bound = SIGNATURE.bind(args, kwargs)?;
    Ok(Goto { goto: step_id(&bound, "target")?, max_visits: bound.count("max_visits")? })
}

fn artifacts(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Artifacts> {
    const SIGNATURE: Signature = Signature {
        what: "Artifacts",
        positional: &["paths"],
        named: &["missing", "lost"],
        shared: NONE,
        required: &["paths"],
        open: false,
    };
    let bound = SIGNATURE.bind(args, kwargs)?;
    let missing = [
        ("warn", MissingArtifacts::Warn),
        ("fail", MissingArtifacts::Fail),
        ("ignore", MissingArtifacts::Ignore),
    ];
    let lost = [("fail", LostArtifacts::Fail), ("warn", LostArtifacts::Warn)];
    Ok(Artifacts {
        paths: bound.texts("paths")?,
        rules: ArtifactRules {
            missing: bound.choice("missing", &missing)?.unwrap_or_default(),
            lost: bound.choice("lost", &lost)?.unwrap_or_default(),
        },
    })
}

fn cache(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Cache> {
    const SIGNATURE: Signature = Signature {
        what: "Cache",
        positional: &["key", "paths"],
        named: &["restore"],
        shared: NONE,
        required: &["key", "paths"],
        open: false,
    };
    let bound = SIGNATURE.bind(args, kwargs)?;
    Ok(Cache {
        key: text_value(&bound, "key")?,
        paths: bound.texts("paths")?,
        restore: bound.texts("restore")?,
    })
}

fn checkout(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Checkout> {
    const SIGNATURE: Signature = Signature {
        what: "Checkout",
        positional: NONE,
        named: &["fetch_depth", "tags", "submodules", "lfs"],
        shared: NONE,
        required: NONE,
        open: false,
    };
    let bound = SIGNATURE.bind(args, kwargs)?;
    let default = Checkout::default();
    Ok(Checkout {
        fetch_depth: bound.count("fetch_depth")?,
        tags: bound.flag("tags")?.unwrap_or(default.tags),
        submodules: bound.flag("submodules")?.unwrap_or(false),
        lfs: bound.flag("lfs")?.unwrap_or(false),
    })
}

/// `checkout=Checkout(…)` of a plan or step.
pub(super) fn checkout_of(bound: &Arguments<'_>) -> PyResult<Checkout> {
    let Some(value) = bound.get("checkout") else {
        return Ok(Checkout::default());
    };
    match value.cast::<PyCheckout>() {
        Ok(checkout) => Ok(checkout.get().0.clone()),
        Err(_) => {
            let hint = "write checkout=Checkout(fetch_depth=0)".to_owned();
            Err(bound.wrong("checkout", "a Checkout", value, Some(hint)))
        }
    }
}

fn concurrency(
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
) -> PyResult<Concurrency> {
    const SIGNATURE: Signature = Signature {
        what: "Concurrency",
        positional: &["group"],
        named: &["cancel_in_progress"],
        shared: NONE,
        required: &["group"],
        open: false,
    };
    let bound = SIGNATURE.bind(args, kwargs)?;
    Ok(Concurrency {
        group: text_value(&bound, "group")?,
        cancel_in_progress: bound.flag("cancel_in_progress")?.unwrap_or(false),
    })
}

/// True for a reference, and for a text with one in it.
pub(super) fn holds_reference(value: &Bound<'_, PyAny>) -> bool {
    let marked = |text: &Bound<'_, PyString>| text.to_str().is_ok_and(is_marked);
    value.is_instance_of::<PyReference>() || value.cast::<PyString>().is_ok_and(marked)
}

/// Text or a reference.
pub(super) fn text_value(bound: &Arguments<'_>, name: &str) -> PyResult<plue_plan::Value> {
    let is_reference = bound.get(name).is_some_and(holds_reference);
    match bound.value(name)? {
        Some(value) if is_reference => Ok(value),
        Some(_) | None => Ok(plue_plan::Value::text(bound.required_text(name)?)),
    }
}

fn budget(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Budget> {
    const SIGNATURE: Signature = Signature {
        what: "Budget",
        positional: NONE,
        named: &["usd", "tokens"],
        shared: NONE,
        required: NONE,
        open: false,
    };
    let bound = SIGNATURE.bind(args, kwargs)?;
    Ok(Budget { usd: bound.number("usd")?, tokens: bound.whole("tokens")? })
}

fn service(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Service> {
    const SIGNATURE: Signature = Signature {
        what: "Service",
        positional: &["image", "port"],
        named: &["env"],
        shared: NONE,
        required: &["image", "port"],
        open: false,
    };
    let bound = SIGNATURE.bind(args, kwargs)?;
    let port = bound.count("port")?.unwrap_or(0);
    let port = bound.forgive(u16::try_from(port).map_err(|_| {
        bound.refuse("port", codes::BAD_VALUE, "is a TCP port, at most 65535", None)
    }))?;
    Ok(Service { image: bound.required_text("image")?, port, env: bound.values("env")? })
}

fn mcp(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Mcp> {
    const SIGNATURE: Signature = Signature {
        what: "Mcp",
        positional: &["name"],
        named: &["command", "env", "url", "headers", "pin"],
        shared: NONE,
        required: &["name"],
        open: false,
    };
    let bound = SIGNATURE.bind(args, kwargs)?;
    Ok(Mcp {
        name: bound.required_text("name")?,
        command: bound.texts("command")?,
        env: bound.values("env")?,
        url: bound.text("url")?,
        headers: bound.values("headers")?,
        pin: bound.text("pin")?,
    })
}

fn prompt(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<PromptFile> {
    const SIGNATURE: Signature = Signature {
        what: "Prompt",
        positional: &["name"],
        named: NONE,
        shared: NONE,
        required: &["name"],
        open: true,
    };
    // An input of the prompt may be called `name`, so the file's name is positional when both are.
    let bound = SIGNATURE.bind(args, kwargs)?;
    let mut file = PromptFile {
        name: bound.required_text("name")?,
        inputs: std::collections::BTreeMap::new(),
    };
    for (key, value) in &bound.extra {
        let json = convert::json(value, &format!("`{key}` of Prompt({:?})", file.name), true)?;
        file.inputs.insert(key.clone(), plue_plan::Value(json));
    }
    Ok(file)
}

/// The default timeout of a plan: an equal one is not written into the IR.
pub(super) fn without_default(timeout: Option<DurationText>) -> Option<DurationText> {
    DurationText::unless(timeout, plue_plan::plan::DEFAULT_TIMEOUT)
}
