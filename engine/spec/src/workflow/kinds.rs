//! Tasks that are neither commands nor programs: agents and what `uses` names.

use std::collections::BTreeMap;

use plue_plan::{
    Action, Value,
    action::{
        Approval, Call, Llm, Mcp, Negotiate, OnTimeout, Plugin, Prompt, PromptFile, Wait, Workflow,
    },
    validate::did_you_mean,
};

use crate::workflow::options::budget;
use crate::workflow::trigger::trigger;
use crate::workflow::value::{check_spelling, value};
use crate::{
    codes,
    workflow::{
        fields::{Field, Fields},
        lower::Lower,
        problems::quoted,
        task::{TaskFields, only},
        yaml::{Data, Node},
    },
};

/// The prompt that puts a request and further parameters together.
const TASK_PROMPT: &str = "task";
/// Values of `uses` that are not plugins.
pub(super) const USES: [&str; 5] = ["approval", "negotiate", "workflow", "call", "wait"];

pub(super) fn llm(
    lower: &mut Lower<'_, '_>,
    fields: &mut Fields<'_>,
    task_fields: &TaskFields<'_>,
    agent: Option<String>,
) -> Option<Action> {
    let prompt = match task_fields.prompt {
        Some(field) => prompt(lower, field, task_fields),
        None => Some(request(lower, fields, task_fields)),
    };
    let role = match agent {
        Some(agent) => Some(agent),
        None => fields.fixed("role", &mut lower.problems),
    };
    let llm = Llm {
        prompt: prompt.unwrap_or(Prompt::Text(Value::text("…"))),
        model: fields.fixed("model", &mut lower.problems),
        fallback_models: fields.texts("fallback_models", &mut lower.problems),
        system: fields.fixed("system", &mut lower.problems),
        tools: fields.take("tools").map(|field| fields.texts_of(field, &mut lower.problems)),
        approve: fields.texts("approve", &mut lower.problems),
        approve_timeout: fields.duration("approve_timeout", &mut lower.problems),
        mcp: servers(lower, fields),
        max_turns: fields.count("max_turns", &mut lower.problems),
        max_tokens: fields.count("max_tokens", &mut lower.problems),
        budget: {
            let field = fields.take("budget");
            budget(lower, field)
        },
        output: fields.json("output"),
        role,
        effort: fields.fixed("effort", &mut lower.problems),
    };
    Some(Action::Llm(Box::new(llm)))
}

fn servers(lower: &mut Lower<'_, '_>, fields: &mut Fields<'_>) -> Vec<Mcp> {
    let Some(field) = fields.take("mcp") else {
        return Vec::new();
    };
    let items = fields.items_of(field, "servers", &mut lower.problems);
    items.iter().filter_map(|item| server(lower, item)).collect()
}

fn server(lower: &mut Lower<'_, '_>, node: &Node) -> Option<Mcp> {
    let mut fields = lower.fields(node, "an MCP server")?;
    let name = fields.fixed("name", &mut lower.problems);
    if name.is_none() {
        fields.missing("name", "like {name: github, command: [npx, …]}", &mut lower.problems);
    }
    let command = fields.texts("command", &mut lower.problems);
    let env = lower.values_field(&mut fields, "env");
    let url = fields.fixed("url", &mut lower.problems);
    let headers = lower.values_field(&mut fields, "headers");
    let pin = fields.fixed("pin", &mut lower.problems);
    fields.finish(&mut lower.problems);
    Some(Mcp { name: name?, command, env, url, headers, pin })
}

/// A request, or a prompt file: `{name: code-review, inputs: {…}}`.
fn prompt(
    lower: &mut Lower<'_, '_>,
    field: Field<'_>,
    task_fields: &TaskFields<'_>,
) -> Option<Prompt> {
    if let Data::Map(_) = field.node.data {
        let mut file = lower.fields(field.node, "`prompt`")?;
        let name = file.fixed("name", &mut lower.problems);
        let mut inputs = lower.values_field(&mut file, "inputs");
        if name.is_none() {
            let hint = "the name of a file of .plue/prompts, or of one that comes with plue";
            file.missing("name", hint, &mut lower.problems);
        }
        if let Some(parameters) = task_fields.parameters {
            if !inputs.is_empty() {
                let message = "`parameters` are the inputs of the prompt, which has `inputs` too";
                lower.problems.error(codes::FIELD_VALUE, parameters.key, message);
            }
            inputs.extend(lower.values(&file, parameters));
        }
        file.finish(&mut lower.problems);
        return Some(Prompt::File(PromptFile { name: name?, inputs }));
    }
    if let Some(parameters) = task_fields.parameters {
        let message = "`parameters` are the inputs of a prompt, and this prompt is a text";
        let hint = "name a prompt file, or write them into the text";
        lower.problems.push(codes::FIELD_VALUE, parameters.key, message, hint);
    }
    super::fields::plain(field.node, "`prompt`", &mut lower.problems)?;
    Some(Prompt::Text(value(lower, field.node)))
}

/// `parameters.task` is the request; with other parameters it is an input of a prompt.
fn request(lower: &mut Lower<'_, '_>, fields: &Fields<'_>, task_fields: &TaskFields<'_>) -> Prompt {
    let Some(field) = task_fields.parameters else {
        return Prompt::Text(Value::text(task_fields.request()));
    };
    if let Some(Data::Text(_)) = only(field.node, "task").map(|task| &task.data) {
        let task = only(field.node, "task").unwrap_or(field.node);
        return Prompt::Text(value(lower, task));
    }
    let mut inputs = lower.values(fields, field);
    if inputs.is_empty() {
        return Prompt::Text(Value::text(task_fields.request()));
    }
    inputs.entry("task".to_owned()).or_insert_with(|| Value::text(task_fields.request()));
    Prompt::File(PromptFile { name: TASK_PROMPT.to_owned(), inputs })
}

/// `uses: approval`, or the kind of a plugin.
pub(super) fn uses(
    lower: &mut Lower<'_, '_>,
    fields: &mut Fields<'_>,
    field: Field<'_>,
) -> Option<Action> {
    let kind = fields.text_of(field, &mut lower.problems);
    let Some(kind) = kind else {
        fields.forget();
        return None;
    };
    match kind.as_str() {
        "approval" => Some(approval(lower, fields)),
        "negotiate" => negotiate(lower, fields),
        "workflow" => Some(workflow(lower, fields)),
        "call" => call(lower, fields),
        "wait" => Some(wait(lower, fields)),
        other => {
            let plugin = other.strip_prefix("plugin:").unwrap_or(other);
            let near = did_you_mean(other, USES).filter(|near| near.len() >= 4);
            if let (Some(near), false) = (near, other.starts_with("plugin:")) {
                let message = format!("{} uses {}", fields.what, quoted(other));
                let hint = format!("did you mean `{near}`? A plugin is written `plugin:{other}`");
                lower.problems.push(codes::FIELD_VALUE, field.node.place, message, hint);
                fields.forget();
                return None;
            }
            let config = lower.values_field(fields, "with");
            Some(Action::Plugin(Plugin { plugin: plugin.to_owned(), config }))
        }
    }
}

fn approval(lower: &mut Lower<'_, '_>, fields: &mut Fields<'_>) -> Action {
    let choices = [("reject", OnTimeout::Reject), ("approve", OnTimeout::Approve)];
    Action::Approval(Approval {
        message: lower.text_value_field(fields, "message"),
        approvers: fields.texts("approvers", &mut lower.problems),
        quorum: fields.count("quorum", &mut lower.problems).unwrap_or(1),
        on_timeout: fields.choice("on_timeout", &choices, &mut lower.problems).unwrap_or_default(),
        fields: fields.json("fields"),
    })
}

fn negotiate(lower: &mut Lower<'_, '_>, fields: &mut Fields<'_>) -> Option<Action> {
    let parties = fields.texts("parties", &mut lower.problems);
    let subject = fields.json("subject");
    if subject.is_none() {
        fields.missing("subject", "a JSON Schema of a proposal", &mut lower.problems);
    }
    let rounds = fields.count("rounds", &mut lower.problems);
    let accept = fields.fixed("accept", &mut lower.problems).filter(|accept| accept != "all");
    Some(Action::Negotiate(Negotiate { parties, subject: subject?, rounds, accept }))
}

fn workflow(lower: &mut Lower<'_, '_>, fields: &mut Fields<'_>) -> Action {
    Action::Workflow(Workflow {
        workflow: fields.fixed("workflow", &mut lower.problems),
        plan: lower.value_field(fields, "plan"),
        inputs: lower.values_field(fields, "inputs"),
    })
}

fn call(lower: &mut Lower<'_, '_>, fields: &mut Fields<'_>) -> Option<Action> {
    let url = lower.text_value_field(fields, "url");
    if url.is_none() {
        fields.missing("url", "where the call goes", &mut lower.problems);
    }
    let call = Call {
        url: url.clone().unwrap_or_else(|| Value::text("")),
        method: fields.fixed("method", &mut lower.problems),
        headers: lower.values_field(fields, "headers"),
        body: lower.value_field(fields, "body"),
        callback: fields.flag("callback", &mut lower.problems).unwrap_or(true),
    };
    url.map(|_| Action::Call(call))
}

fn wait(lower: &mut Lower<'_, '_>, fields: &mut Fields<'_>) -> Action {
    let event = fields.take("event").and_then(|field| trigger(lower, field.node));
    let duration = fields.duration("duration", &mut lower.problems);
    Action::Wait(Wait { event: event.map(Box::new), duration })
}

/// Reads `context.variables`, which are constants.
pub(super) fn constants(lower: &mut Lower<'_, '_>, field: Field<'_>) -> BTreeMap<String, ()> {
    let Some(entries) = field.node.entries() else {
        let message = format!("`variables` is a mapping, not {}", field.node.kind());
        lower.problems.error(codes::FIELD_TYPE, field.node.place, message);
        return BTreeMap::new();
    };
    for (_, node) in entries {
        constant(lower, node);
    }
    entries.iter().map(|(key, _)| (key.text.clone(), ())).collect()
}

fn constant(lower: &mut Lower<'_, '_>, node: &Node) {
    match &node.data {
        Data::Text(text) if text.contains("${") => {
            let message = "a variable is a constant, and `${…}` is not replaced in it";
            let hint = "write the expression where it is used";
            lower.problems.push(codes::NOT_REPLACED, node.place, message, hint);
        }
        Data::Number(_, spelled) => check_spelling(lower, spelled, node.place),
        Data::List(items) => items.iter().for_each(|item| constant(lower, item)),
        Data::Map(entries) => entries.iter().for_each(|(_, item)| constant(lower, item)),
        Data::Null | Data::Bool(_) | Data::Text(_) => {}
    }
}
