//! A step: a node of the DAG.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::{Map, Value as Json};

use crate::{
    action::Action,
    artifacts::Artifacts,
    duration::DurationText,
    id::StepId,
    policy::{Cache, Checkout, Goto, OnFailure, Retry, Service, is_default},
    value::Value,
};

/// One step. In the IR the fields of `options` and `action` are next to `id` and `depends_on`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// Unique in the plan.
    pub id: StepId,
    /// Steps that must have ended first. Sorted in the IR: the order has no meaning.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<StepId>,
    /// Kind-specific fields of the step.
    #[serde(flatten)]
    pub action: Action,
    /// Fields shared by all kinds.
    #[serde(flatten)]
    pub options: StepOptions,
}

/// Options of a step of any kind. All fields default to "not set".
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StepOptions {
    /// Shown instead of the id. Text; with references in it, it is shown as written until the step
    /// starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Value>,
    /// CEL; false means `skipped`, and dependents run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Environment of the step, over the plan's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Value>,
    /// Secrets given to the step as environment variables of the same name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Longest run of one attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<DurationText>,
    /// Retries after a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Effect of a failure.
    #[serde(skip_serializing_if = "is_default")]
    pub on_failure: OnFailure,
    /// Go back after success, in a bounded loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_success: Option<Goto>,
    /// Pool of the runner; its own lease and a copy of the workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runner: Option<String>,
    /// Container image; refused by validation until containers are started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Required resources of the runner, like `{"cpu": 2, "memory": "4Gi"}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<String, Json>,
    /// Working directory, relative to the workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// JSON Schema of the output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Json>,
    /// The context key whose value the output is, or a part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writes: Option<String>,
    /// Globs of files kept after the step, and what it means if there are none.
    #[serde(skip_serializing_if = "Artifacts::is_empty")]
    pub artifacts: Artifacts,
    /// Cached directories of the step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// Required parts of the Git repository besides the files, on a server.
    #[serde(skip_serializing_if = "is_default")]
    pub checkout: Checkout,
    /// Processes during the step.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Service>,
    /// Skip when nothing the step depends on changed.
    #[serde(skip_serializing_if = "is_default")]
    pub pure: bool,
    /// True if the step asks the person at the terminal.
    #[serde(skip_serializing_if = "is_default")]
    pub interactive: bool,
    /// For a hook: its failure fails the run.
    #[serde(skip_serializing_if = "is_default")]
    pub required: bool,
}

/// The keys of [`StepOptions`], as opposed to those of an action.
pub const OPTION_KEYS: [&str; 21] = [
    "artifacts",
    "cache",
    "checkout",
    "cwd",
    "env",
    "image",
    "interactive",
    "name",
    "on_failure",
    "on_success",
    "outputs",
    "pure",
    "required",
    "resources",
    "retry",
    "runner",
    "secrets",
    "services",
    "timeout",
    "when",
    "writes",
];

// === impl Step ===

impl Step {
    /// A step with nothing but an id and an action.
    pub fn new(id: impl Into<String>, action: Action) -> Self {
        Self {
            id: StepId::new(id),
            depends_on: Vec::new(),
            action,
            options: StepOptions::default(),
        }
    }

    /// Its name as it is written.
    #[must_use]
    pub fn name(&self) -> Option<Cow<'_, str>> {
        self.options.name.as_ref().and_then(Value::as_written)
    }

    /// The step's title for users: the name as it is written if there is one, else the id.
    #[must_use]
    pub fn title(&self) -> Cow<'_, str> {
        self.name().unwrap_or(Cow::Borrowed(self.id.as_str()))
    }
}

/// The keys of options and of every action are disjoint, so each key has one owner and both sides
/// can refuse what they do not know.
impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut action = Map::<String, Json>::deserialize(deserializer)?;
        let mut take = |key: &str| action.remove(key);
        let id = take("id").ok_or_else(|| D::Error::missing_field("id"))?;
        let id: StepId = serde_json::from_value(id).map_err(D::Error::custom)?;
        let depends_on = take("depends_on").unwrap_or(Json::Array(Vec::new()));
        let options: Map<String, Json> = OPTION_KEYS
            .iter()
            .filter_map(|key| take(key).map(|value| ((*key).to_owned(), value)))
            .collect();
        // The parts know neither line nor column, so the message names the step.
        let wrong =
            |error: serde_json::Error| D::Error::custom(format!("step {:?}: {error}", id.as_str()));
        Ok(Self {
            depends_on: serde_json::from_value(depends_on).map_err(wrong)?,
            action: serde_json::from_value(Json::Object(action)).map_err(wrong)?,
            options: serde_json::from_value(Json::Object(options)).map_err(wrong)?,
            id,
        })
    }
}
