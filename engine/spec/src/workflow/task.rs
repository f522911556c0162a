//! Tasks: one of `agent`, `run`, `python`, `script`, `prompt` and `uses` selects the step's kind.

use std::collections::BTreeMap;

use plue_plan::{
    Action, Step, StepId, Value,
    action::{Bash, Python},
};

use crate::workflow::kinds::{llm, uses};
use crate::workflow::options::{dependencies, options};
use crate::workflow::value::{value, within};
use crate::{
    codes,
    workflow::{
        fields::{Field, Fields},
        lower::Lower,
        names::id_of,
        problems::quoted,
        yaml::{Data, Node, SourcePosition},
    },
};

/// Keys that select the kind of a task.
const KINDS: [&str; 6] = ["agent", "run", "python", "script", "prompt", "uses"];
/// The agent that is a shell and no model.
const SHELL: &str = "shell";

/// Fields of a task that its kind may need.
pub(super) struct TaskFields<'n> {
    pub(super) id: String,
    pub(super) description: Option<String>,
    pub(super) parameters: Option<Field<'n>>,
    pub(super) prompt: Option<Field<'n>>,
    /// The shortest text that stands for the task.
    pub(super) title: Option<String>,
}

/// The tasks of a list.
pub(super) fn lower_tasks(
    lower: &mut Lower<'_, '_>,
    field: Option<Field<'_>>,
    fields: &Fields<'_>,
) -> Vec<Step> {
    let Some(field) = field else { return Vec::new() };
    let items = fields.items_of(field, "tasks", &mut lower.problems);
    let named = items.iter().enumerate();
    named.filter_map(|(index, item)| task(lower, item, index)).collect()
}

fn task(lower: &mut Lower<'_, '_>, node: &Node, index: usize) -> Option<Step> {
    let id = node.get("id").and_then(id_of);
    let what = match &id {
        Some(id) => format!("task {}", quoted(id)),
        None => format!("task {}", index + 1),
    };
    let mut fields = lower.fields(node, &what)?;
    let id_field = fields.take("id");
    match id_field {
        Some(field) => {
            if is_text(lower, field, &fields) {
                let span = lower.problems.span(field.node.place);
                let spans = lower.places.steps.entry(StepId::new(id.clone()?)).or_default();
                spans.extend(span);
            }
        }
        None => fields.missing("id", "every task has an id of its own", &mut lower.problems),
    }
    let depends_on = dependencies(lower, &mut fields);
    let action = action(lower, &mut fields, id.as_deref().unwrap_or_default());
    let mut options = options(lower, &mut fields);
    fields.finish(&mut lower.problems);
    // Broken tasks are reported; a placeholder keeps the rest of the graph checkable.
    let (action, env) = action.unwrap_or_else(|| (placeholder(), BTreeMap::new()));
    for (name, value) in env {
        options.env.entry(name).or_insert(value);
    }
    Some(Step { id: StepId::new(id?), depends_on, action, options })
}

fn is_text(lower: &mut Lower<'_, '_>, field: Field<'_>, fields: &Fields<'_>) -> bool {
    fields.text_of(field, &mut lower.problems).is_some()
}

/// The action of the task, and the environment made of its parameters.
fn action(
    lower: &mut Lower<'_, '_>,
    fields: &mut Fields<'_>,
    id: &str,
) -> Option<(Action, BTreeMap<String, Value>)> {
    let given = KINDS.map(|kind| (kind, fields.take(kind)));
    let task_fields = TaskFields {
        id: id.to_owned(),
        description: fields.text("description", &mut lower.problems),
        parameters: fields.take("parameters"),
        prompt: given[4].1,
        title: None,
    };
    // A prompt belongs to an agent; a script next to `python` is only there to be refused.
    let kinds: Vec<(&str, Field<'_>)> =
        given.iter().filter_map(|(kind, field)| Some((*kind, (*field)?))).collect();
    let kinds: Vec<_> = match kinds.as_slice() {
        [agent @ ("agent", _), ("prompt", _)] => vec![*agent],
        other => other.to_vec(),
    };
    let [(kind, field)] = kinds.as_slice() else {
        no_kind(lower, fields, &kinds);
        return None;
    };
    if !matches!(*kind, "agent" | "prompt")
        && let Some(parameters) = task_fields.parameters
    {
        let message = format!("{} has `parameters` without an agent", fields.what);
        let hint = "give values to a command with `env:`";
        lower.problems.push(codes::UNKNOWN_KEY, parameters.key, message, hint);
    }
    let plain = |action: Option<Action>| Some((action?, BTreeMap::new()));
    match *kind {
        "agent" => {
            let agent = fields.text_of(*field, &mut lower.problems)?;
            if agent == SHELL {
                return shell(lower, fields, &task_fields, *field);
            }
            plain(llm(lower, fields, &task_fields, Some(agent)))
        }
        "run" => plain(bash(lower, fields, *field)),
        "python" => plain(python(lower, fields, *field, true)),
        "script" => plain(python(lower, fields, *field, false)),
        "prompt" => plain(llm(lower, fields, &task_fields, None)),
        _ => plain(uses(lower, fields, *field)),
    }
}

fn no_kind(lower: &mut Lower<'_, '_>, fields: &mut Fields<'_>, kinds: &[(&str, Field<'_>)]) {
    let (message, place) = match kinds {
        [(first, _), (second, field), ..] => {
            let message = format!("{} has both `{first}` and `{second}`", fields.what);
            (message, field.key)
        }
        [] | [_] => (format!("{} does not define its action", fields.what), fields.place),
    };
    let hint = format!("a task has one of {}", KINDS.map(|kind| format!("`{kind}`")).join(", "));
    lower.problems.push(codes::STEP_KIND, place, message, hint);
    if !kinds.is_empty() {
        // The fields of one kind are not unknown because of the other.
        fields.forget();
    }
}

fn bash(lower: &mut Lower<'_, '_>, fields: &mut Fields<'_>, field: Field<'_>) -> Option<Action> {
    let run = script(lower, fields, field);
    let shell = fields.fixed("shell", &mut lower.problems);
    Some(Action::Bash(Bash { run: run?, shell: shell.unwrap_or_else(|| "bash".to_owned()) }))
}

/// The text of a program: `${…}` in it belongs to the program.
fn script(lower: &mut Lower<'_, '_>, fields: &Fields<'_>, field: Field<'_>) -> Option<String> {
    let text = fields.text_of(field, &mut lower.problems)?;
    warn_of_references(lower, field.node, &text);
    Some(text)
}

/// In a shell `${a.b}` is always a mistake, and here it looks like an expression.
fn warn_of_references(lower: &mut Lower<'_, '_>, node: &Node, text: &str) {
    for (at, _) in text.match_indices("${") {
        let rest = &text[at + 2..];
        let name: String =
            rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "_-".contains(*c)).collect();
        let dotted = rest[name.len()..].starts_with('.') && !name.is_empty();
        if dotted || rest.starts_with("fn:") {
            let place = within(lower, node, text, at);
            let message = "`${…}` is not replaced in the text of a program";
            let hint = "give the value with `env:` and read the variable in the program";
            lower.problems.warn(codes::NOT_REPLACED, place, message, hint);
            return;
        }
    }
}

fn python(
    lower: &mut Lower<'_, '_>,
    fields: &mut Fields<'_>,
    field: Field<'_>,
    is_code: bool,
) -> Option<Action> {
    let text = if is_code {
        script(lower, fields, field)
    } else {
        fields.text_of(field, &mut lower.problems)
    };
    let call = fields.text("call", &mut lower.problems);
    let args = match fields.take("args") {
        Some(field) => {
            let items = fields.items_of(field, "values", &mut lower.problems);
            items.iter().map(|item| value(lower, item)).collect()
        }
        None => Vec::new(),
    };
    let text = Some(text?);
    let (code, script) = if is_code { (text, None) } else { (None, text) };
    Some(Action::Python(Python { code, call, script, args }))
}

/// `agent: shell`: a command whose other parameters are environment variables.
fn shell(
    lower: &mut Lower<'_, '_>,
    fields: &mut Fields<'_>,
    task_fields: &TaskFields<'_>,
    agent: Field<'_>,
) -> Option<(Action, BTreeMap<String, Value>)> {
    let mut env = BTreeMap::new();
    let mut run = None;
    if let Some(field) = task_fields.parameters {
        let entries = field.node.entries();
        if entries.is_none() {
            fields.wrong(field, "a mapping", None, &mut lower.problems);
        }
        let entries = entries.unwrap_or_default();
        let command = ["run", "script", "command"]
            .into_iter()
            .find_map(|name| entries.iter().find(|(key, _)| key.text == name));
        for (key, node) in entries {
            match command {
                Some((name, _)) if name.text == key.text => {
                    let what = format!("`parameters.{}` of {}", key.text, fields.what);
                    let text = super::fields::plain(node, &what, &mut lower.problems)?;
                    warn_of_references(lower, node, &text);
                    run = Some(text);
                }
                Some(_) | None => {
                    env.insert(key.text.clone(), value(lower, node));
                }
            }
        }
    }
    let run = run.unwrap_or_else(|| {
        no_command(lower, fields, agent.node.place);
        "true".to_owned()
    });
    let shell = fields.fixed("shell", &mut lower.problems);
    let shell = shell.unwrap_or_else(|| "bash".to_owned());
    Some((Action::Bash(Bash { run, shell }), env))
}

fn no_command(lower: &mut Lower<'_, '_>, fields: &Fields<'_>, at: SourcePosition) {
    let message = format!("{} has no command and does nothing", fields.what);
    let hint = "write parameters: {run: …}";
    lower.problems.warn(codes::NO_COMMAND, at, message, hint);
}

impl TaskFields<'_> {
    /// Default request to an agent without one.
    pub(super) fn request(&self) -> String {
        let texts = [&self.description, &self.title];
        let found = texts.into_iter().flatten().find(|text| !text.trim().is_empty());
        found.cloned().unwrap_or_else(|| self.id.clone())
    }
}

fn placeholder() -> Action {
    Action::Bash(Bash { run: "true".to_owned(), shell: "bash".to_owned() })
}

/// The value of the only key of a mapping, if it has this name.
pub(super) fn only<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    match &node.data {
        Data::Map(entries) => match entries.as_slice() {
            [(key, value)] if key.text == name => Some(value),
            _ => None,
        },
        Data::Null | Data::Bool(_) | Data::Number(..) | Data::Text(_) | Data::List(_) => None,
    }
}
