//! The arguments that belong to one kind of step.

use std::collections::BTreeMap;

use plue_plan::{
    Action, Value,
    action::{
        Approval, Bash, Call, Llm, Mcp, Negotiate, OnTimeout, Plugin, Prompt, Python, Wait,
        Workflow,
    },
};
use pyo3::{
    prelude::*,
    types::{PyFunction, PyString},
};

use super::{
    arguments::{Arguments, Signature},
    convert, function,
    options::{COMMON, COMMON_UNNAMED},
    settings::{PyBudget, PyMcp, PyPrompt, text_value},
    trigger::PyTrigger,
};
use crate::language::codes;

pub(super) const BASH: Signature = Signature {
    what: "Step.bash",
    positional: &["id", "run"],
    named: &["shell"],
    shared: COMMON,
    required: &["id", "run"],
    open: false,
};

pub(super) fn bash(bound: &mut Arguments<'_>) -> PyResult<Action> {
    Ok(Action::Bash(Bash {
        run: bound.required_text("run")?,
        shell: bound.text("shell")?.unwrap_or_else(|| "bash".to_owned()),
    }))
}

pub(super) const PYTHON: Signature = Signature {
    what: "Step.python",
    positional: &["id", "code"],
    named: &["script", "args"],
    shared: COMMON,
    required: &["id"],
    open: false,
};

pub(super) fn python(bound: &mut Arguments<'_>) -> PyResult<Action> {
    let callable =
        bound.get("code").filter(|code| code.is_callable() && !code.is_instance_of::<PyString>());
    let (code, call) = match callable.cloned() {
        Some(code) if code.is_instance_of::<PyFunction>() => {
            let function = function::extract(&code, &bound.label())?;
            (Some(function.code), Some(function.name))
        }
        Some(code) => {
            let hint = "give the function itself, defined with `def` in this file".to_owned();
            return Err(bound.wrong("code", "text or a function of the file", &code, Some(hint)));
        }
        None => (bound.text("code")?, None),
    };
    let script = bound.text("script")?;
    if code.is_some() == script.is_some() {
        let why = if code.is_some() { "stands beside `script`" } else { "is missing" };
        let hint = "give either the code or script=\"path.py\"".to_owned();
        return Err(bound.refuse("code", codes::MISSING_ARGUMENT, why, Some(hint)));
    }
    Ok(Action::Python(Python { code, call, script, args: arguments(bound)? }))
}

/// Values that may read earlier steps.
fn arguments(bound: &Arguments<'_>) -> PyResult<Vec<Value>> {
    let items = bound.items("args", "values")?;
    bound.each(items, |index, item| {
        let place = bound.of(&format!("args[{index}]"));
        convert::json(item, &place, true).map(Value)
    })
}

pub(super) const LLM: Signature = Signature {
    what: "Step.llm",
    positional: &["id", "prompt"],
    named: &[
        "model",
        "fallback_models",
        "system",
        "tools",
        "approve",
        "approve_timeout",
        "mcp",
        "max_turns",
        "max_tokens",
        "budget",
        "output",
        "role",
        "effort",
    ],
    shared: COMMON,
    required: &["id", "prompt"],
    open: false,
};

pub(super) fn llm(bound: &mut Arguments<'_>) -> PyResult<Action> {
    let prompt = match bound.get("prompt").and_then(|prompt| prompt.cast::<PyPrompt>().ok()) {
        Some(prompt) => Prompt::File(prompt.get().0.clone()),
        None => Prompt::Text(text_value(bound, "prompt")?),
    };
    let budget = match bound.get("budget") {
        None => None,
        Some(value) => match value.cast::<PyBudget>() {
            Ok(budget) => Some(budget.get().0.clone()),
            Err(_) => {
                let hint = "write budget=Budget(usd=…)".to_owned();
                return Err(bound.wrong("budget", "a Budget", value, Some(hint)));
            }
        },
    };
    Ok(Action::Llm(Box::new(Llm {
        prompt,
        model: bound.text("model")?,
        fallback_models: bound.texts("fallback_models")?,
        system: bound.text("system")?,
        tools: bound.get("tools").map(|_| bound.texts("tools")).transpose()?,
        approve: bound.texts("approve")?,
        approve_timeout: bound.duration("approve_timeout")?,
        mcp: servers(bound)?,
        max_turns: bound.count("max_turns")?,
        max_tokens: bound.count("max_tokens")?,
        budget,
        output: bound.json("output")?,
        role: bound.text("role")?,
        effort: bound.text("effort")?,
    })))
}

fn servers(bound: &Arguments<'_>) -> PyResult<Vec<Mcp>> {
    let items = bound.items("mcp", "Mcps")?;
    let server = |item: &Bound<'_, PyAny>| match item.cast::<PyMcp>() {
        Ok(server) => Ok(server.get().0.clone()),
        Err(_) => {
            let hint = "write mcp=[Mcp(\"github\", command=[\"npx\", …])]".to_owned();
            Err(bound.wrong("mcp", "a list of Mcps", item, Some(hint)))
        }
    };
    items.iter().map(server).collect()
}

pub(super) const APPROVAL: Signature = Signature {
    what: "Step.approval",
    positional: &["id", "message"],
    named: &["approvers", "quorum", "on_timeout", "fields"],
    shared: COMMON,
    required: &["id"],
    open: false,
};

pub(super) fn approval(bound: &mut Arguments<'_>) -> PyResult<Action> {
    let choices = [("reject", OnTimeout::Reject), ("approve", OnTimeout::Approve)];
    let message = match bound.get("message") {
        Some(_) => Some(text_value(bound, "message")?),
        None => None,
    };
    Ok(Action::Approval(Approval {
        message,
        approvers: bound.texts("approvers")?,
        quorum: bound.count("quorum")?.unwrap_or(1),
        on_timeout: bound.choice("on_timeout", &choices)?.unwrap_or_default(),
        fields: bound.json("fields")?,
    }))
}

pub(super) const NEGOTIATE: Signature = Signature {
    what: "Step.negotiate",
    positional: &["id", "parties", "subject"],
    named: &["rounds", "accept"],
    shared: COMMON,
    required: &["id", "parties", "subject"],
    open: false,
};

pub(super) fn negotiate(bound: &mut Arguments<'_>) -> PyResult<Action> {
    Ok(Action::Negotiate(Negotiate {
        parties: bound.texts("parties")?,
        subject: bound.json("subject")?.unwrap_or_default(),
        rounds: bound.count("rounds")?,
        accept: bound.text("accept")?.filter(|accept| accept != "all"),
    }))
}

pub(super) const WORKFLOW: Signature = Signature {
    what: "Step.workflow",
    positional: &["id", "name"],
    named: &["plan", "inputs"],
    shared: COMMON_UNNAMED,
    required: &["id"],
    open: false,
};

pub(super) fn workflow(bound: &mut Arguments<'_>) -> PyResult<Action> {
    let (workflow, plan) = (bound.text("name")?, bound.value("plan")?);
    if workflow.is_some() == plan.is_some() {
        let why = if plan.is_some() { "stands beside `plan`" } else { "is missing" };
        let hint = "give either the workflow's name or plan=step.output(…)".to_owned();
        return Err(bound.refuse("name", codes::MISSING_ARGUMENT, why, Some(hint)));
    }
    Ok(Action::Workflow(Workflow { workflow, plan, inputs: bound.values("inputs")? }))
}

pub(super) const CALL: Signature = Signature {
    what: "Step.call",
    positional: &["id", "url"],
    named: &["method", "headers", "body", "callback"],
    shared: COMMON,
    required: &["id", "url"],
    open: false,
};

pub(super) fn call(bound: &mut Arguments<'_>) -> PyResult<Action> {
    Ok(Action::Call(Call {
        url: text_value(bound, "url")?,
        method: bound.text("method")?,
        headers: bound.values("headers")?,
        body: bound.value("body")?,
        callback: bound.flag("callback")?.unwrap_or(true),
    }))
}

pub(super) const WAIT: Signature = Signature {
    what: "Step.wait",
    positional: &["id", "event"],
    named: &["duration"],
    shared: COMMON,
    required: &["id"],
    open: false,
};

pub(super) fn wait(bound: &mut Arguments<'_>) -> PyResult<Action> {
    let event = match bound.get("event") {
        None => None,
        Some(value) => value.cast::<PyTrigger>().ok().map(|trigger| trigger.get().trigger.clone()),
    };
    let duration = match (&event, bound.get("event")) {
        (None, Some(_)) => bound.duration("event")?,
        (_, _) => bound.duration("duration")?,
    };
    if event.is_some() == duration.is_some() {
        let why = if event.is_some() { "stands beside `duration`" } else { "is missing" };
        let hint = "give either a Trigger or a duration like \"10m\"".to_owned();
        return Err(bound.refuse("event", codes::MISSING_ARGUMENT, why, Some(hint)));
    }
    Ok(Action::Wait(Wait { event: event.map(Box::new), duration }))
}

pub(super) const PLUGIN: Signature = Signature {
    what: "Step.plugin",
    positional: &["id", "kind"],
    named: &[],
    shared: COMMON,
    required: &["id", "kind"],
    open: true,
};

pub(super) fn plugin(bound: &mut Arguments<'_>) -> PyResult<Action> {
    let mut config = BTreeMap::new();
    for (key, value) in std::mem::take(&mut bound.extra) {
        let json = convert::json(&value, &format!("`{key}` of {}", bound.label()), true)?;
        config.insert(key, Value(json));
    }
    Ok(Action::Plugin(Plugin { plugin: bound.required_text("kind")?, config }))
}
