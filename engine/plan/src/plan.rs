//! The plan itself: immutable, content-hashed, sufficient for execution.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{
    context::ContextKey,
    duration::DurationText,
    id::StepId,
    policy::{Budget, Checkout, Concurrency, PlanOnFailure, is_default},
    step::Step,
    trigger::Trigger,
    value::Value,
};

/// The version of the IR that this crate writes and reads.
pub const IR_VERSION: u32 = 1;

/// Timeout of a run if the plan sets none.
pub const DEFAULT_TIMEOUT: &str = "1h";

/// One flow, ready to run. Absent fields have their defaults; defaults are not written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Equals [`IR_VERSION`].
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// 1 to 256 characters.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// Purpose of the plan, at most 4,096 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The intent, shown everywhere and given to Claude steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<String>,
    /// Typed inputs of a run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, Input>,
    /// Keys that steps write and later steps read as `context.KEY`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub context: BTreeMap<String, ContextKey>,
    /// Environment of every step.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Value>,
    /// Sources of secrets that are not stored, for runs of this machine: `env:NAME` or `file:PATH`.
    /// Servers never read these.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// Pool of the runner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<String>,
    /// Container image; refused by validation until containers are started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Longest run; absent: [`DEFAULT_TIMEOUT`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<DurationText>,
    /// Attempts at the same time at most; absent: no limit of the plan's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u32>,
    /// Effect of a failed step on independent branches.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_failure: PlanOnFailure,
    /// Group in which runs do not overlap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// The Git repository around the files, on a server.
    #[serde(default, skip_serializing_if = "is_default")]
    pub checkout: Checkout,
    /// Steps around the run.
    #[serde(default, skip_serializing_if = "Hooks::is_empty")]
    pub hooks: Hooks,
    /// Spending limit of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// Values of the run, computed at its end.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, Value>,
    /// Labels without meaning to plue.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Events that start a run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<Trigger>,
    /// The DAG, in the order given.
    #[schemars(length(min = 1, max = 5000))]
    pub steps: Vec<Step>,
}

/// Steps run around the others by the same engine. A failing hook changes the run's result only if
/// the hook is `required`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Hooks {
    /// Before the first step.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub on_start: Vec<Step>,
    /// After the last step, if the run succeeded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub on_success: Vec<Step>,
    /// After the last step, if the run failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub on_failure: Vec<Step>,
    /// Always, at the very end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub on_complete: Vec<Step>,
}

/// The type of an input.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum InputType {
    /// Any text of Unicode.
    #[default]
    String,
    /// A number without a fraction.
    Integer,
    /// A number, with or without a fraction.
    Number,
    /// A JSON boolean.
    Boolean,
    /// A list of any JSON values.
    List,
    /// A JSON object.
    Object,
}

/// One input of a plan: `Input(type="string", default=…, required=…, choices=[…])`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Input {
    /// Type of accepted values.
    #[serde(rename = "type", skip_serializing_if = "is_default")]
    pub kind: InputType,
    /// The value when none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Json>,
    /// Shown to the person who fills it in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// True if a run without it is refused.
    #[serde(skip_serializing_if = "is_default")]
    pub required: bool,
    /// The values accepted; empty: all of the type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Json>,
}

// === impl Plan ===

impl Plan {
    /// A plan with a name and steps and nothing else.
    pub fn new(name: impl Into<String>, steps: Vec<Step>) -> Self {
        Self {
            version: IR_VERSION,
            name: name.into(),
            description: None,
            goal: None,
            inputs: BTreeMap::new(),
            context: BTreeMap::new(),
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            runner: None,
            image: None,
            timeout: None,
            max_parallel: None,
            on_failure: PlanOnFailure::default(),
            concurrency: None,
            checkout: Checkout::default(),
            hooks: Hooks::default(),
            budget: None,
            outputs: BTreeMap::new(),
            tags: Vec::new(),
            triggers: Vec::new(),
            steps,
        }
    }

    /// The checkout of a run, which has one workspace: the widest that the plan or a step requests.
    #[must_use]
    pub fn widest_checkout(&self) -> Checkout {
        let of_steps = self.all_steps().map(|step| &step.options.checkout);
        let asked: Vec<&Checkout> = std::iter::once(&self.checkout)
            .chain(of_steps)
            .filter(|checkout| !is_default(*checkout))
            .collect();
        let depths = asked.iter().filter_map(|checkout| checkout.fetch_depth);
        // 0 is everything, and more than any number.
        let fetch_depth = depths.max_by_key(|depth| depth.wrapping_sub(1));
        Checkout {
            fetch_depth,
            tags: asked.is_empty() || asked.iter().any(|checkout| checkout.tags),
            submodules: asked.iter().any(|checkout| checkout.submodules),
            lfs: asked.iter().any(|checkout| checkout.lfs),
        }
    }

    /// The step of this id, hooks included.
    #[must_use]
    pub fn step(&self, id: &StepId) -> Option<&Step> {
        self.all_steps().find(|step| step.id == *id)
    }

    /// Every step: those of the DAG in order, then the hooks in the order they run.
    pub fn all_steps(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().chain(self.hooks.all())
    }
}

// === impl Hooks ===

impl Hooks {
    /// True if there is no hook.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    /// All hooks in the order they run.
    pub fn all(&self) -> impl Iterator<Item = &Step> {
        [&self.on_start, &self.on_success, &self.on_failure, &self.on_complete]
            .into_iter()
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_get_the_widest_checkout_asked_for() {
        let table = [
            ("{}", "{}", "{}"),
            (r#"{"fetch_depth":1}"#, "{}", r#"{"fetch_depth":1}"#),
            (r#"{"fetch_depth":1}"#, r#"{"fetch_depth":7}"#, r#"{"fetch_depth":7}"#),
            (r#"{"fetch_depth":0}"#, r#"{"fetch_depth":7}"#, r#"{"fetch_depth":0}"#),
            ("{}", r#"{"tags":false}"#, r#"{"tags":false}"#),
            (r#"{"fetch_depth":3}"#, r#"{"tags":false}"#, r#"{"fetch_depth":3}"#),
        ];
        for (of_plan, of_step, expected) in table {
            let text = format!(
                r#"{{"version":1,"name":"x","checkout":{of_plan},
                    "steps":[{{"id":"a","kind":"bash","run":"x","checkout":{of_step}}}]}}"#
            );
            let plan = Plan::from_json(text.as_bytes()).unwrap();
            let expected: Checkout = serde_json::from_str(expected).unwrap();
            assert_eq!(plan.widest_checkout(), expected, "{of_plan} {of_step}");
        }
    }
}
