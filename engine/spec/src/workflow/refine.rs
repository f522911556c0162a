//! The exact source location of a problem that the plan's validation found.
//!
//! Validation knows the locations of steps and triggers; its messages name the field and the text
//! that are wrong in backquotes. Must not change a message, only its location.

use plue_plan::{Diagnostic, Span};

use crate::workflow::{
    problems::Problems,
    yaml::{Node, SourcePosition},
};

/// Names and locations of a plan's fields in a workflow file.
const FIELDS: [(&str, &[&str]); 13] = [
    ("context", &["context", "keys"]),
    ("depends_on", &["dependencies"]),
    ("when", &["condition"]),
    ("prompt", &["parameters", "task"]),
    ("prompt.inputs", &["parameters"]),
    ("max_parallel", &["settings", "max_parallel"]),
    ("timeout", &["settings", "timeout"]),
    ("env", &["parameters"]),
    ("config", &["with"]),
    ("run", &["parameters", "run"]),
    ("secret", &["secrets"]),
    ("max_visits", &["on_failure", "max_visits"]),
    ("Goto", &["on_failure", "goto"]),
];

/// The same problem, at the narrowest place that its message names.
pub(super) fn refine(mut found: Diagnostic, root: &Node, problems: &Problems<'_>) -> Diagnostic {
    let Some(span) = &found.span else { return found };
    let owner = owner(root, span).unwrap_or(root);
    let names: Vec<&str> = found.message.split('`').skip(1).step_by(2).collect();
    let names = match names.as_slice() {
        // A message begins with the step that it is about.
        [_, rest @ ..] if found.message.starts_with("step `") => rest,
        all => all,
    };
    let mut at: Option<&Node> = None;
    for name in names {
        let within = at.unwrap_or(owner);
        at = field(within, name).or_else(|| mention(within, name)).or(at);
    }
    if let Some(place) = at.map(|node| node.place)
        && let Some(narrow) = problems.span(place)
    {
        found.span = Some(narrow);
    }
    if let Some((front, behind)) = found.message.split_once(" at position ") {
        // The position is one of the expression as it is written out.
        let rest = behind.trim_start_matches(|c: char| c.is_ascii_digit());
        found.message = format!("{front}{rest}");
    }
    found
}

/// The task, hook or trigger whose place this is.
fn owner<'n>(root: &'n Node, span: &Span) -> Option<&'n Node> {
    let is_here = |place: SourcePosition| (place.line, place.column) == (span.line, span.column);
    let hooks = root.get("hooks").and_then(Node::entries).unwrap_or_default();
    let lists = ["tasks", "steps", "triggers"].into_iter().filter_map(|name| root.get(name));
    let lists = lists.chain(hooks.iter().map(|(_, list)| list));
    let mut items = lists.flat_map(|list| list.items().unwrap_or_default());
    items.find(|item| is_here(item.place) || item.get("id").is_some_and(|id| is_here(id.place)))
}

/// The value of a field named `a.b.c`, as the plan or the file calls it.
fn field<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    let along = |node: &'n Node, path: &mut dyn Iterator<Item = &str>| {
        let mut at = Some(node);
        for part in path {
            at = at.and_then(|node| node.get(part));
        }
        at
    };
    if let Some(found) = along(node, &mut name.split('.')) {
        return Some(found);
    }
    let aliased = FIELDS.iter().find(|(plan, _)| {
        name.strip_prefix(plan).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    });
    let (plan, path) = aliased.into_iter().max_by_key(|(plan, _)| plan.len())?;
    let rest = name[plan.len()..].split('.').filter(|part| !part.is_empty());
    along(node, &mut path.iter().copied().chain(rest))
}

/// The first text that is `name`, the value of the first key that is, or a text that holds it.
fn mention<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    let (mut holds, mut keyed) = (None, None);
    let mut stack = vec![node];
    while let Some(node) = stack.pop() {
        if let Some(text) = node.text() {
            if text == name {
                return Some(node);
            }
            if text.contains(name) && holds.is_none() {
                holds = Some(node);
            }
        }
        let entries = node.entries().unwrap_or_default();
        let key = entries.iter().find(|(key, _)| key.text == name);
        keyed = keyed.or(key.map(|(_, value)| value));
        stack.extend(node.items().unwrap_or_default().iter().rev());
        stack.extend(entries.iter().rev().map(|(_, value)| value));
    }
    keyed.or(holds)
}
