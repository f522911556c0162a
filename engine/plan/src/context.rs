//! Context keys: values that several steps make together, with a type and a reducer.
//!
//! No state is shared: the value of a key is a function of the outputs of its writers, so a replay gives
//! the same one, and the order in which writers end does not count. A reader sees the writers that must
//! have ended before it. Must not merge values: that is `plue-spec`'s.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{graph::Graph, id::StepId, plan::Plan, policy::is_default, step::Step};

/// Names that no key may have: workflows in YAML read constants and secrets under them.
pub const RESERVED_KEYS: [&str; 2] = ["secrets", "variables"];

/// The value that several writers of one key make.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Merge {
    /// That of the last writer; a plan in which two writers may run at the same time is refused.
    #[default]
    Error,
    /// That of the last writer: the one with the longest chain of steps before it, of several the last in
    /// the plan.
    Last,
    /// A list of the writers' values, in the order of the plan.
    List,
    /// An object of the writers' values by the ids of their steps.
    Map,
}

/// A declared key: `Key("findings", {"type": "object"}, merge="list")`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ContextKey {
    /// JSON Schema of the value of each writer; absent: any value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Json>,
    /// Reducer of the key.
    #[serde(skip_serializing_if = "is_default")]
    pub merge: Merge,
}

/// The one that reads keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader<'a> {
    /// Something that is evaluated before the first step.
    Before,
    /// A step or hook.
    Step(&'a StepId),
    /// The outputs of the run.
    After,
}

/// A key as one reader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisibleKey<'p> {
    /// Reducer of the key.
    pub merge: Merge,
    /// The writers that must have ended, in the order of the reducer; at least one.
    pub writers: Vec<&'p StepId>,
}

/// Visible keys, by name.
pub type VisibleKeys<'p> = BTreeMap<&'p str, VisibleKey<'p>>;

/// The keys that a reader sees; those that no step before it writes are left out.
#[must_use]
pub fn visible<'p>(plan: &'p Plan, reader: Reader<'_>) -> VisibleKeys<'p> {
    let mut keys = VisibleKeys::new();
    if plan.context.is_empty() {
        return keys;
    }
    let graph = Graph::new(plan);
    let above: Option<HashSet<StepId>> = match reader {
        Reader::Before => return keys,
        Reader::Step(id) if plan.hooks.on_start.iter().any(|hook| hook.id == *id) => return keys,
        Reader::Step(id) if graph.index(id.as_str()).is_some() => {
            Some(graph.ancestors(id).into_iter().collect())
        }
        Reader::Step(_) | Reader::After => None,
    };
    let mut depths = graph.depths().into_iter();
    let mut depth_of = BTreeMap::new();
    for step in &plan.steps {
        let depth = depths.next().flatten();
        let Some((name, key)) = key_of(plan, step) else { continue };
        if above.as_ref().is_none_or(|above| above.contains(&step.id)) {
            depth_of.insert(&step.id, depth);
            let view = keys.entry(name);
            let view = view.or_insert(VisibleKey { merge: key.merge, writers: Vec::new() });
            view.writers.push(&step.id);
        }
    }
    for view in keys.values_mut() {
        if matches!(view.merge, Merge::Error | Merge::Last) {
            // Stable: writers of one depth stay in the order of the plan.
            view.writers.sort_by_key(|id| depth_of.get(*id).copied().flatten());
        }
    }
    keys
}

/// The key that a step writes, if it is declared.
#[must_use]
pub fn key_of<'p>(plan: &'p Plan, step: &Step) -> Option<(&'p str, &'p ContextKey)> {
    let (name, key) = plan.context.get_key_value(step.options.writes.as_ref()?)?;
    Some((name, key))
}

/// The JSON Schema of the key that a step writes.
#[must_use]
pub fn schema_of<'p>(plan: &'p Plan, step: &Step) -> Option<&'p Json> {
    key_of(plan, step)?.1.schema.as_ref()
}

#[cfg(test)]
mod tests;
