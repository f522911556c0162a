//! The whole file: settings, triggers, inputs, hooks, and the plan that they make.

use std::collections::BTreeMap;

use plue_plan::{
    Plan,
    context::{ContextKey, Merge},
    plan::{Hooks, IR_VERSION, Input, InputType},
    policy::{Checkout, Concurrency, PlanOnFailure},
    validate::did_you_mean,
};
use serde_json::{Map, Value as Json};

use crate::workflow::kinds::constants;
use crate::workflow::options::budget;
use crate::workflow::secrets::secret_entries;
use crate::workflow::task::lower_tasks;
use crate::workflow::trigger::{inputs, trigger};
use crate::workflow::value::value;
use crate::{
    codes,
    workflow::{
        fields::{Field, Fields},
        lower::Lower,
        options::without_default,
        problems::quoted,
        yaml::{Data, Node},
    },
};

/// Tasks at the same time if the file sets no limit.
pub const DEFAULT_MAX_PARALLEL: u32 = 3;
/// The version of the format.
pub const FORMAT_VERSION: &str = "1.0";
/// `max_parallel` without a limit.
pub const UNLIMITED: &str = "unlimited";

/// Values of the mapping `settings`.
#[derive(Default)]
struct Settings {
    max_parallel: Option<u32>,
    timeout: Option<plue_plan::DurationText>,
    on_failure: PlanOnFailure,
}

/// The plan of a file; what could not be read is left out and reported.
pub(super) fn plan(lower: &mut Lower<'_, '_>, root: &Node) -> Option<Plan> {
    let mut fields = lower.fields(root, "the workflow")?;
    fields.leave_out_extensions();
    version(lower, &mut fields);
    let name = fields.fixed("name", &mut lower.problems);
    if name.is_none() && root.get("name").is_none_or(|name| matches!(name.data, Data::Null)) {
        fields.missing("name", "what people call it", &mut lower.problems);
    }
    let context = context(lower, &mut fields);
    if let Some(secrets) = fields.take("secrets") {
        secret_entries(lower, secrets);
    }
    let tags = tags(lower, &mut fields);
    let settings = fields.take("settings").map(|field| settings(lower, field.node));
    let settings = settings.unwrap_or_else(|| Settings {
        max_parallel: Some(DEFAULT_MAX_PARALLEL),
        ..Settings::default()
    });
    let triggers = fields.take("triggers");
    let inputs = inputs(lower, &mut fields);
    let hooks = fields.take("hooks").map(|field| hooks(lower, field.node)).unwrap_or_default();
    let tasks = fields.take("tasks");
    if tasks.is_none() {
        fields.missing("tasks", "like tasks: [{id: test, run: make test}]", &mut lower.problems);
    }
    let steps = lower_tasks(lower, tasks, &fields);
    let mut plan = Plan {
        version: IR_VERSION,
        name: name.unwrap_or_else(|| "?".to_owned()),
        description: fields.text("description", &mut lower.problems),
        goal: fields.text("goal", &mut lower.problems),
        inputs,
        context,
        env: lower.values_field(&mut fields, "env"),
        secrets: std::mem::take(&mut lower.sources),
        runner: fields.fixed("runner", &mut lower.problems),
        image: fields.fixed("image", &mut lower.problems),
        timeout: settings.timeout,
        max_parallel: settings.max_parallel,
        on_failure: settings.on_failure,
        concurrency: fields.take("concurrency").and_then(|field| concurrency(lower, field.node)),
        checkout: checkout(lower, &mut fields),
        hooks,
        budget: {
            let field = fields.take("budget");
            budget(lower, field)
        },
        outputs: lower.values_field(&mut fields, "outputs"),
        tags,
        triggers: lower_triggers(lower, triggers, &fields),
        steps,
    };
    fields.finish(&mut lower.problems);
    imply_inputs(lower, &mut plan, root);
    Some(plan)
}

fn version(lower: &mut Lower<'_, '_>, fields: &mut Fields<'_>) {
    let Some(field) = fields.take("version") else { return };
    let version = match &field.node.data {
        Data::Text(text) => text.as_str(),
        Data::Number(_, spelled) => spelled.as_str(),
        Data::Null | Data::Bool(_) | Data::List(_) | Data::Map(_) => "",
    };
    if !matches!(version, FORMAT_VERSION | "1") {
        let message = match version {
            "" => format!("the version of the format is {}", field.node.kind()),
            other => format!("the version {} of the format is not supported", quoted(other)),
        };
        let hint = format!("this plue reads version: \"{FORMAT_VERSION}\"");
        lower.problems.push(codes::FORMAT_VERSION, field.node.place, message, hint);
    }
}

fn context(lower: &mut Lower<'_, '_>, fields: &mut Fields<'_>) -> BTreeMap<String, ContextKey> {
    let mut keys = BTreeMap::new();
    let Some(field) = fields.take("context") else { return keys };
    let Some(mut context) = lower.fields(field.node, "`context`") else { return keys };
    if let Some(field) = context.take("keys") {
        keys = lower_keys(lower, &context, field);
    }
    if let Some(variables) = context.take("variables") {
        constants(lower, variables);
    }
    if let Some(secrets) = context.take("secrets") {
        secret_entries(lower, secrets);
    }
    context.finish(&mut lower.problems);
    keys
}

/// `context.keys`: for each key the JSON Schema of its values, and its `merge` among the keywords.
fn lower_keys(
    lower: &mut Lower<'_, '_>,
    context: &Fields<'_>,
    field: Field<'_>,
) -> BTreeMap<String, ContextKey> {
    let Some(entries) = field.node.entries() else {
        let hint = Some("like {plan: {type: object}}".to_owned());
        context.wrong(field, "a mapping", hint, &mut lower.problems);
        return BTreeMap::new();
    };
    let mut keys = BTreeMap::new();
    for (name, node) in entries {
        keys.insert(name.text.clone(), key(lower, &name.text, node).unwrap_or_default());
    }
    keys
}

fn key(lower: &mut Lower<'_, '_>, name: &str, node: &Node) -> Option<ContextKey> {
    if matches!(node.data, Data::Null) {
        return None;
    }
    let mut fields = lower.fields(node, &format!("the context key {}", quoted(name)))?;
    let merges = [
        ("error", Merge::Error),
        ("last", Merge::Last),
        ("list", Merge::List),
        ("map", Merge::Map),
    ];
    // One that is no reducer is reported by itself, and not again with its writers.
    let otherwise = if node.get("merge").is_some() { Merge::Last } else { Merge::Error };
    let merge = fields.choice("merge", &merges, &mut lower.problems).unwrap_or(otherwise);
    let mut schema = Map::new();
    for (key, node) in node.entries().unwrap_or_default() {
        if key.text == "merge" {
            continue;
        }
        // Unknown keywords of a schema mean nothing, and so would a slip in ours.
        if did_you_mean(&key.text, ["merge"]).is_some() {
            let message = format!("{} has no key {}", fields.what, quoted(&key.text));
            lower.problems.push(codes::UNKNOWN_KEY, key.place, message, "did you mean `merge`?");
        }
        schema.insert(key.text.clone(), node.json());
    }
    fields.forget();
    let schema = (!schema.is_empty()).then_some(Json::Object(schema));
    Some(ContextKey { schema, merge })
}

/// `metadata.tags`, or `tags`. The author is for those who read the file.
fn tags(lower: &mut Lower<'_, '_>, fields: &mut Fields<'_>) -> Vec<String> {
    let mut tags = fields.texts("tags", &mut lower.problems);
    let Some(field) = fields.take("metadata") else { return tags };
    let Some(mut metadata) = lower.fields(field.node, "`metadata`") else { return tags };
    metadata.text("author", &mut lower.problems);
    tags.extend(metadata.texts("tags", &mut lower.problems));
    metadata.finish(&mut lower.problems);
    tags
}

fn settings(lower: &mut Lower<'_, '_>, node: &Node) -> Settings {
    let default = Some(DEFAULT_MAX_PARALLEL);
    let Some(mut fields) = lower.fields(node, "`settings`") else {
        return Settings { max_parallel: default, ..Settings::default() };
    };
    let unlimited = node.get("max_parallel").and_then(Node::text) == Some(UNLIMITED);
    let max_parallel = if unlimited {
        fields.take("max_parallel");
        None
    } else {
        fields.count("max_parallel", &mut lower.problems).or(default)
    };
    let choices = [("stop", PlanOnFailure::Stop), ("continue", PlanOnFailure::Continue)];
    let on_failure = fields.choice("on_failure", &choices, &mut lower.problems);
    let timeout = fields.duration("timeout", &mut lower.problems);
    fields.finish(&mut lower.problems);
    Settings {
        max_parallel,
        timeout: without_default(timeout),
        on_failure: on_failure.unwrap_or_default(),
    }
}

fn hooks(lower: &mut Lower<'_, '_>, node: &Node) -> Hooks {
    let Some(mut fields) = lower.fields(node, "`hooks`") else {
        return Hooks::default();
    };
    let mut list = |name| {
        let field = fields.take(name);
        lower_tasks(lower, field, &fields)
    };
    let hooks = Hooks {
        on_start: list("on_start"),
        on_success: list("on_success"),
        on_failure: list("on_failure"),
        on_complete: list("on_complete"),
    };
    fields.finish(&mut lower.problems);
    hooks
}

fn lower_triggers(
    lower: &mut Lower<'_, '_>,
    field: Option<Field<'_>>,
    fields: &Fields<'_>,
) -> Vec<plue_plan::Trigger> {
    let Some(field) = field else { return Vec::new() };
    let items = fields.items_of(field, "triggers", &mut lower.problems);
    let mut triggers = Vec::with_capacity(items.len());
    for item in items {
        // One that is broken keeps its place, as messages count triggers.
        let trigger = trigger(lower, item).unwrap_or_else(placeholder);
        let span = lower.problems.span(item.place);
        lower.places.triggers.extend(span.map(|span| (triggers.len(), span)));
        triggers.push(trigger);
    }
    triggers
}

/// A group, or a mapping with its name.
fn concurrency(lower: &mut Lower<'_, '_>, node: &Node) -> Option<Concurrency> {
    if node.text().is_some() {
        return Some(Concurrency { group: value(lower, node), cancel_in_progress: false });
    }
    let mut fields = lower.fields(node, "`concurrency`")?;
    let group = lower.text_value_field(&mut fields, "group");
    if group.is_none() {
        fields.missing("group", "the name of the group", &mut lower.problems);
    }
    let cancel = fields.flag("cancel_in_progress", &mut lower.problems);
    fields.finish(&mut lower.problems);
    Some(Concurrency { group: group?, cancel_in_progress: cancel.unwrap_or(false) })
}

/// The field `checkout`: the content of the Git repository around the files.
pub(super) fn checkout(lower: &mut Lower<'_, '_>, fields: &mut Fields<'_>) -> Checkout {
    let default = Checkout::default();
    let Some(field) = fields.take("checkout") else { return default };
    let Some(mut fields) = lower.fields(field.node, "`checkout`") else { return default };
    let checkout = Checkout {
        fetch_depth: fields.count("fetch_depth", &mut lower.problems),
        tags: fields.flag("tags", &mut lower.problems).unwrap_or(default.tags),
        submodules: fields.flag("submodules", &mut lower.problems).unwrap_or(false),
        lfs: fields.flag("lfs", &mut lower.problems).unwrap_or(false),
    };
    fields.finish(&mut lower.problems);
    checkout
}

/// `${feature_name}` of a file that declares nothing is a required input.
fn imply_inputs(lower: &mut Lower<'_, '_>, plan: &mut Plan, root: &Node) {
    for name in lower.names.implied.take() {
        let message = format!("{} is declared nowhere, and taken as an input", quoted(&name));
        let hint = format!("write inputs: {{{name}: {{required: true}}}}");
        let place = root.get("name").unwrap_or(root).place;
        lower.problems.warn(codes::IMPLICIT_INPUT, place, message, hint);
        let input = Input { kind: InputType::String, required: true, ..Input::default() };
        plan.inputs.insert(name, input);
    }
}

fn placeholder() -> plue_plan::Trigger {
    plue_plan::Trigger::IssueComment { contains: None }
}
