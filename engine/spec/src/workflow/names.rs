//! Names that expressions of a workflow file may use without a prefix.
//!
//! `${build.output}` is short for `${steps.build.output}`, a declared variable stands for its
//! value, a declared input for `inputs.name`.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use serde_json::Value as Json;

use crate::workflow::{
    secrets,
    yaml::{Data, Node},
};

/// Names declared in one file.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Ids of tasks and hooks.
    pub(crate) steps: BTreeSet<String>,
    /// Values of `context.variables`, as JSON.
    pub(crate) variables: BTreeMap<String, Json>,
    /// `context.secrets`: what it is called here, and its name.
    pub(crate) secrets: BTreeMap<String, String>,
    /// Names of `context.keys`.
    pub(crate) keys: BTreeSet<String>,
    /// Inputs of the plan and of manual triggers.
    pub(crate) inputs: BTreeSet<String>,
    /// True if an undeclared name is an input: the file declares nothing at all.
    pub(crate) implicit: bool,
    /// The inputs that came about in this way.
    pub(crate) implied: RefCell<BTreeSet<String>>,
}

// === impl Names ===

impl Names {
    /// Everything that the file declares, well-formed or not.
    pub(crate) fn of(root: &Node) -> Self {
        let mut names = Self::default();
        let hooks = root.get("hooks").and_then(Node::entries).unwrap_or_default();
        let lists = root.get("tasks").into_iter().chain(hooks.iter().map(|(_, list)| list));
        for task in lists.flat_map(|list| list.items().unwrap_or_default()) {
            names.steps.extend(task.get("id").and_then(id_of));
        }
        let context = root.get("context");
        let section = |name| context.and_then(|context: &Node| context.get(name)?.entries());
        for (key, value) in section("variables").unwrap_or_default() {
            names.variables.insert(key.text.clone(), value.json());
        }
        let keys = section("keys").unwrap_or_default();
        names.keys.extend(keys.iter().map(|(key, _)| key.text.clone()));
        let secrets = [section("secrets"), root.get("secrets").and_then(Node::entries)];
        for (key, value) in secrets.into_iter().flatten().flatten() {
            let name = match secrets::entry(&key.text, value) {
                Some(entry) => entry.name,
                None => key.text.clone(),
            };
            names.secrets.insert(key.text.clone(), name);
        }
        let mut declare = |inputs: Option<&Node>| {
            let entries = inputs.and_then(Node::entries).unwrap_or_default();
            names.inputs.extend(entries.iter().map(|(key, _)| key.text.clone()));
        };
        declare(root.get("inputs"));
        for trigger in root.get("triggers").and_then(Node::items).unwrap_or_default() {
            declare(trigger.get("inputs"));
            for word in ["manual", "on_manual"] {
                declare(trigger.get(word).and_then(|manual| manual.get("inputs")));
            }
        }
        names.implicit = names.inputs.is_empty() && names.variables.is_empty();
        names
    }

    /// Every name, for "did you mean".
    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        let declared = self.variables.keys().chain(&self.inputs);
        self.steps.iter().chain(declared).map(String::as_str)
    }
}

/// The id that a task is known by, also when it is not written as text.
pub(crate) fn id_of(node: &Node) -> Option<String> {
    match &node.data {
        Data::Text(text) => Some(text.clone()),
        Data::Number(_, spelled) => Some(spelled.clone()),
        Data::Bool(truth) => Some(truth.to_string()),
        Data::Null | Data::List(_) | Data::Map(_) => None,
    }
}
