//! Changes between two plans, in terms of the plan.
//!
//! Must not judge a change: [`crate::capability`] lists its capabilities.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::{
    capability::{Capability, capabilities},
    plan::Plan,
    step::Step,
};

mod text;

pub use crate::capability::capabilities_added;

/// Changed part of a plan.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Area {
    /// A step of the DAG, by id.
    Step,
    /// A hook, by id.
    Hook,
    /// The order of the steps, which has no effect but is part of the hash.
    StepOrder,
    /// A trigger; `name` is its kind.
    Trigger,
    /// A secret that any part of the plan uses.
    Secret,
    /// An input, by name.
    Input,
    /// A context key, by name.
    Context,
    /// A variable of the plan's environment, by name.
    Env,
    /// An output of the run, by name.
    Output,
    /// A tag of the plan.
    Tag,
    /// `usd` or `tokens` of the plan's budget.
    Budget,
    /// Another field of the plan, by name: `runner`, `image`, `timeout`, …
    Plan,
}

/// Kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// Only in the new plan.
    Added,
    /// Only in the old plan.
    Removed,
    /// Different in the two plans.
    Changed,
}

/// One change of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Change {
    /// Changed part of the plan.
    pub area: Area,
    /// Name of the changed part.
    pub name: String,
    /// Kind of the change.
    pub change: ChangeKind,
    /// Old value as in the IR; absent for new parts and for changed steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Json>,
    /// New value as in the IR; absent for removed parts and for changed steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Json>,
    /// For a changed step: the fields that differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
}

/// One field of a changed step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FieldChange {
    /// Its name in the IR.
    pub field: String,
    /// Old value; absent: not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Json>,
    /// New value; absent: not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Json>,
}

/// All changes, by area and then by name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PlanDiff {
    /// The changes; empty if the plans mean the same.
    pub changes: Vec<Change>,
}

/// Compares two plans. The order of dependencies does not count.
#[must_use]
pub fn diff(before: &Plan, after: &Plan) -> PlanDiff {
    let mut changes = Vec::new();
    steps(&mut changes, Area::Step, (&main(before), &main(after)));
    steps(&mut changes, Area::Hook, (&hooks(before), &hooks(after)));
    order(&mut changes, before, after);
    triggers(&mut changes, before, after);
    let (old, new) = (secrets(before), secrets(after));
    sets(&mut changes, Area::Secret, &old, &new);
    let tags = |plan: &Plan| plan.tags.iter().cloned().collect();
    sets(&mut changes, Area::Tag, &tags(before), &tags(after));
    maps(&mut changes, Area::Input, (&before.inputs, &after.inputs));
    maps(&mut changes, Area::Context, (&before.context, &after.context));
    maps(&mut changes, Area::Env, (&before.env, &after.env));
    maps(&mut changes, Area::Output, (&before.outputs, &after.outputs));
    let budget = |plan: &Plan| object(&plan.budget.clone().unwrap_or_default());
    objects(&mut changes, Area::Budget, (budget(before), budget(after)));
    objects(&mut changes, Area::Plan, (frame(before), frame(after)));
    changes.sort_by(|a, b| (a.area, &a.name).cmp(&(b.area, &b.name)));
    PlanDiff { changes }
}

type Steps<'a> = BTreeMap<String, &'a Step>;

fn main(plan: &Plan) -> Steps<'_> {
    let steps = plan.steps.iter();
    steps.map(|step| (step.id.to_string(), step)).collect()
}

fn hooks(plan: &Plan) -> Steps<'_> {
    let hooks = &plan.hooks;
    [
        ("on_start", &hooks.on_start),
        ("on_success", &hooks.on_success),
        ("on_failure", &hooks.on_failure),
        ("on_complete", &hooks.on_complete),
    ]
    .into_iter()
    .flat_map(|(list, steps)| steps.iter().map(move |step| (format!("{list}.{}", step.id), step)))
    .collect()
}

fn object(part: &impl Serialize) -> Map<String, Json> {
    match serde_json::to_value(part) {
        Ok(Json::Object(map)) => map,
        // A part that has no JSON has no canonical form either, which `HashedPlan::new` reports.
        Ok(_) | Err(_) => Map::new(),
    }
}

fn of_step(step: &Step) -> Map<String, Json> {
    let mut step = step.clone();
    step.depends_on.sort();
    object(&step)
}

/// The fields of the plan that are no list or mapping of their own area.
fn frame(plan: &Plan) -> Map<String, Json> {
    let mut frame = Plan::new(plan.name.clone(), Vec::new());
    frame.version = plan.version;
    frame.description.clone_from(&plan.description);
    frame.goal.clone_from(&plan.goal);
    frame.secrets.clone_from(&plan.secrets);
    frame.runner.clone_from(&plan.runner);
    frame.image.clone_from(&plan.image);
    frame.timeout.clone_from(&plan.timeout);
    frame.max_parallel = plan.max_parallel;
    frame.on_failure = plan.on_failure;
    frame.concurrency.clone_from(&plan.concurrency);
    frame.checkout.clone_from(&plan.checkout);
    object(&frame)
}

fn secrets(plan: &Plan) -> BTreeSet<String> {
    let reached = capabilities(plan).into_iter();
    reached
        .filter_map(|capability| match capability {
            Capability::Secret(name) => Some(name),
            Capability::Runner(_)
            | Capability::Image(_)
            | Capability::Tool(_)
            | Capability::Role(_)
            | Capability::Host(_)
            | Capability::Plugin(_)
            | Capability::Workflow(_)
            | Capability::Budget(_)
            | Capability::Unapproved(_) => None,
        })
        .collect()
}

fn change(area: Area, name: &str, before: Option<Json>, after: Option<Json>) -> Change {
    Change {
        area,
        name: name.to_owned(),
        change: match (&before, &after) {
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Removed,
            (Some(_), Some(_)) => ChangeKind::Changed,
        },
        before,
        after,
        fields: Vec::new(),
    }
}

fn steps(changes: &mut Vec<Change>, area: Area, (old, new): (&Steps<'_>, &Steps<'_>)) {
    for (id, step) in old {
        let Some(other) = new.get(id) else {
            let before = Some(Json::Object(of_step(step)));
            changes.push(change(area, id, before, None));
            continue;
        };
        let fields = fields(&of_step(step), &of_step(other));
        if !fields.is_empty() {
            changes.push(Change {
                change: ChangeKind::Changed,
                fields,
                ..change(area, id, None, None)
            });
        }
    }
    for (id, step) in new.iter().filter(|(id, _)| !old.contains_key(*id)) {
        let after = Some(Json::Object(of_step(step)));
        changes.push(change(area, id, None, after));
    }
}

fn fields(old: &Map<String, Json>, new: &Map<String, Json>) -> Vec<FieldChange> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name))
        .map(|name| FieldChange {
            field: name.clone(),
            before: old.get(name).cloned(),
            after: new.get(name).cloned(),
        })
        .collect()
}

/// Only the order of steps that both plans have; added and removed steps are listed elsewhere.
fn order(changes: &mut Vec<Change>, before: &Plan, after: &Plan) {
    let ids = |plan: &Plan, other: &Plan| -> Vec<Json> {
        let known: BTreeSet<_> = other.steps.iter().map(|step| &step.id).collect();
        let both = plan.steps.iter().filter(|step| known.contains(&step.id));
        both.map(|step| Json::from(step.id.as_str())).collect()
    };
    let (old, new) = (ids(before, after), ids(after, before));
    if old != new {
        let (old, new) = (Json::Array(old), Json::Array(new));
        changes.push(change(Area::StepOrder, "steps", Some(old), Some(new)));
    }
}

/// Triggers have no name, so an altered one is one removed and one added.
fn triggers(changes: &mut Vec<Change>, before: &Plan, after: &Plan) {
    let mut left: Vec<_> = before.triggers.iter().collect();
    let mut added = Vec::new();
    for trigger in &after.triggers {
        match left.iter().position(|other| *other == trigger) {
            Some(at) => drop(left.remove(at)),
            None => added.push(trigger),
        }
    }
    let mut tell = |trigger, is_new: bool| {
        let json = object(trigger);
        let kind = json.get("on").and_then(Json::as_str).unwrap_or_default();
        let (kind, json) = (kind.to_owned(), Some(Json::Object(json)));
        let (before, after) = if is_new { (None, json) } else { (json, None) };
        changes.push(change(Area::Trigger, &kind, before, after));
    };
    left.into_iter().for_each(|trigger| tell(trigger, false));
    added.into_iter().for_each(|trigger| tell(trigger, true));
}

fn sets(changes: &mut Vec<Change>, area: Area, old: &BTreeSet<String>, new: &BTreeSet<String>) {
    let json = |name: &String| Some(Json::from(name.as_str()));
    let removed = old.difference(new);
    changes.extend(removed.map(|name| change(area, name, json(name), None)));
    let added = new.difference(old);
    changes.extend(added.map(|name| change(area, name, None, json(name))));
}

fn maps<T: Serialize>(
    changes: &mut Vec<Change>,
    area: Area,
    (old, new): (&BTreeMap<String, T>, &BTreeMap<String, T>),
) {
    objects(changes, area, (object(old), object(new)));
}

fn objects(
    changes: &mut Vec<Change>,
    area: Area,
    (old, new): (Map<String, Json>, Map<String, Json>),
) {
    for found in fields(&old, &new) {
        changes.push(change(area, &found.field, found.before, found.after));
    }
}

#[cfg(test)]
mod tests;
