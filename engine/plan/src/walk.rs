//! Every place of a plan in which a value, an expression or a JSON Schema stands.
//!
//! The one list of such places: validation, canonical form and diff all go through it, so that a
//! new field cannot be forgotten by one of them. Must not judge what it finds.

use std::{collections::BTreeMap, fmt};

use serde_json::Value as Json;

use crate::{
    action::{Action, Call, Llm, Prompt},
    plan::{Input, Plan},
    step::Step,
    trigger::Trigger,
    value::Value,
};

/// A field of a step, a trigger or the plan, and the key in it if it is a mapping.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'a>(pub(crate) &'static str, pub(crate) Option<&'a str>);

/// Content of a visited part.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part<'a> {
    /// JSON that may hold references.
    Value(&'a Value),
    /// Plain JSON.
    Data(&'a Json),
    /// A JSON Schema.
    Schema(&'a Json),
    /// An expression in CEL.
    Cel(&'a str),
}

pub(crate) type See<'s, 'a> = &'s mut dyn FnMut(Field<'a>, Part<'a>);

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)?;
        match self.1 {
            Some(key) => write!(f, ".{}", key.escape_debug()),
            None => Ok(()),
        }
    }
}

/// The parts of one step.
pub(crate) fn step_parts<'a>(step: &'a Step, see: See<'_, 'a>) {
    let options = &step.options;
    if let Some(name) = &options.name {
        see(Field("name", None), Part::Value(name));
    }
    if let Some(when) = &options.when {
        see(Field("when", None), Part::Cel(when));
    }
    values("env", &options.env, see);
    for (key, value) in &options.resources {
        see(Field("resources", Some(key)), Part::Data(value));
    }
    schema("outputs", options.outputs.as_ref(), see);
    if let Some(cache) = &options.cache {
        see(Field("cache.key", None), Part::Value(&cache.key));
    }
    for service in &options.services {
        values("services.env", &service.env, see);
    }
    action_parts(&step.action, see);
}

fn action_parts<'a>(action: &'a Action, see: See<'_, 'a>) {
    match action {
        Action::Bash(_) => {}
        Action::Python(python) => {
            for value in &python.args {
                see(Field("args", None), Part::Value(value));
            }
        }
        Action::Llm(llm) => llm_parts(llm, see),
        Action::Approval(approval) => {
            if let Some(message) = &approval.message {
                see(Field("message", None), Part::Value(message));
            }
            schema("fields", approval.fields.as_ref(), see);
        }
        Action::Negotiate(negotiate) => schema("subject", Some(&negotiate.subject), see),
        Action::Workflow(workflow) => {
            if let Some(plan) = &workflow.plan {
                see(Field("plan", None), Part::Value(plan));
            }
            values("inputs", &workflow.inputs, see);
        }
        Action::Call(call) => call_parts(call, see),
        Action::Wait(wait) => {
            if let Some(event) = &wait.event {
                trigger_parts(event, see);
            }
        }
        Action::Plugin(plugin) => values("config", &plugin.config, see),
    }
}

fn llm_parts<'a>(llm: &'a Llm, see: See<'_, 'a>) {
    match &llm.prompt {
        Prompt::Text(text) => see(Field("prompt", None), Part::Value(text)),
        Prompt::File(file) => values("prompt.inputs", &file.inputs, see),
    }
    for server in &llm.mcp {
        values("mcp.env", &server.env, see);
        values("mcp.headers", &server.headers, see);
    }
    schema("output", llm.output.as_ref(), see);
}

fn call_parts<'a>(call: &'a Call, see: See<'_, 'a>) {
    see(Field("url", None), Part::Value(&call.url));
    values("headers", &call.headers, see);
    if let Some(body) = &call.body {
        see(Field("body", None), Part::Value(body));
    }
}

/// The parts of one trigger.
pub(crate) fn trigger_parts<'a>(trigger: &'a Trigger, see: See<'_, 'a>) {
    match trigger {
        Trigger::Manual { inputs } => input_parts(inputs, see),
        Trigger::Event { when: Some(when), .. } => see(Field("when", None), Part::Cel(when)),
        Trigger::Event { when: None, .. }
        | Trigger::Push { .. }
        | Trigger::PullRequest { .. }
        | Trigger::Issue { .. }
        | Trigger::IssueComment { .. }
        | Trigger::Schedule { .. }
        | Trigger::Webhook { .. }
        | Trigger::Workflow { .. } => {}
    }
}

/// The parts of the plan itself, without those of its steps and triggers.
pub(crate) fn plan_parts<'a>(plan: &'a Plan, see: See<'_, 'a>) {
    input_parts(&plan.inputs, see);
    for (name, key) in &plan.context {
        if let Some(json) = &key.schema {
            see(Field("context", Some(name)), Part::Schema(json));
        }
    }
    values("env", &plan.env, see);
    if let Some(concurrency) = &plan.concurrency {
        let field = Field("concurrency.group", None);
        see(field, Part::Value(&concurrency.group));
    }
    values("outputs", &plan.outputs, see);
}

/// All parts there are.
pub(crate) fn all_parts<'a>(plan: &'a Plan, see: See<'_, 'a>) {
    plan_parts(plan, see);
    for trigger in &plan.triggers {
        trigger_parts(trigger, see);
    }
    for step in plan.all_steps() {
        step_parts(step, see);
    }
}

fn input_parts<'a>(inputs: &'a BTreeMap<String, Input>, see: See<'_, 'a>) {
    for (name, input) in inputs {
        for value in input.default.iter().chain(&input.choices) {
            see(Field("inputs", Some(name)), Part::Data(value));
        }
    }
}

fn values<'a>(field: &'static str, map: &'a BTreeMap<String, Value>, see: See<'_, 'a>) {
    for (key, value) in map {
        see(Field(field, Some(key)), Part::Value(value));
    }
}

fn schema<'a>(field: &'static str, json: Option<&'a Json>, see: See<'_, 'a>) {
    if let Some(json) = json {
        see(Field(field, None), Part::Schema(json));
    }
}
