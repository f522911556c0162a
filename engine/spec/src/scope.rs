//! Names and values visible to an expression. Borrowed: outputs may be a megabyte each.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use plue_plan::{
    budget::{Meter, Stopped},
    context::VisibleKeys,
};
use serde_json::Value as Json;

/// The names an expression may begin with.
pub(crate) const ROOTS: [&str; 7] =
    ["steps", "event", "inputs", "outputs", "visit", "attempt", "env"];

/// The name of context keys. A variable of a macro may have it too, as in plans without keys.
pub(crate) const CONTEXT: &str = "context";

/// The fields of [`plue_plan::Event`]; those that do not apply read as `null`.
pub(crate) const EVENT_FIELDS: [&str; 15] = [
    "type",
    "action",
    "ref",
    "branch",
    "tag",
    "sha",
    "before",
    "actor",
    "association",
    "repository",
    "default_branch",
    "pull_request",
    "issue",
    "comment",
    "schedule",
];

/// Those of them that are no texts.
const EVENT_PARTS: [&str; 5] = ["repository", "pull_request", "issue", "comment", "schedule"];

/// The fields of a step.
pub(crate) const STEP_FIELDS: [&str; 5] = ["status", "output", "error", "visit", "attempts"];

/// True if a field of an event is a text where it applies.
pub(crate) fn is_event_text(field: &str) -> bool {
    EVENT_FIELDS.contains(&field) && !EVENT_PARTS.contains(&field)
}

/// Values of one step visible to an expression.
#[derive(Debug, Clone, PartialEq)]
pub struct StepValues<'a> {
    /// `success`, `failed`, `skipped`, …
    pub status: &'a str,
    /// Its output; `null` before there is one.
    pub output: &'a Json,
    /// Cause of its failure or skip.
    pub error: Option<Cow<'a, str>>,
    /// Its visit, from 1.
    pub visit: u32,
    /// Attempts in this visit.
    pub attempts: u32,
}

/// Steps that are looked up when an expression names them: a plan may have thousands.
pub trait StepSource: fmt::Debug + Sync {
    /// The id and the values of a step.
    fn step(&self, id: &str) -> Option<(&str, StepValues<'_>)>;

    /// The ids of all steps.
    fn ids(&self) -> Box<dyn Iterator<Item = &str> + '_>;
}

/// Values visible to an expression.
#[derive(Debug, Clone, Default)]
pub struct Scope<'a> {
    steps: BTreeMap<&'a str, StepValues<'a>>,
    source: Option<&'a dyn StepSource>,
    pub(crate) event: Option<&'a Json>,
    pub(crate) inputs: Option<&'a Json>,
    pub(crate) env: Option<&'a Json>,
    pub(crate) outputs: Option<&'a Json>,
    pub(crate) context: Option<&'a VisibleKeys<'a>>,
    pub(crate) visit: u32,
    pub(crate) attempt: u32,
    /// True if `hash_files` is allowed.
    pub(crate) files: bool,
    pub(crate) meter: Option<&'a Meter>,
}

// === impl Scope ===

impl<'a> Scope<'a> {
    /// A scope in which nothing has happened: no steps, no event, no inputs, visit and attempt 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a step; builder form of [`Scope::add_step`].
    #[must_use]
    pub fn step(mut self, id: &'a str, values: StepValues<'a>) -> Self {
        self.add_step(id, values);
        self
    }

    /// Adds the values of a step.
    pub fn add_step(&mut self, id: &'a str, values: StepValues<'a>) {
        self.steps.insert(id, values);
    }

    /// With the steps of a source, in addition to those that were added.
    #[must_use]
    pub fn steps_from(mut self, source: &'a dyn StepSource) -> Self {
        self.source = Some(source);
        self
    }

    /// The id and the values of a step.
    pub(crate) fn find(&self, id: &str) -> Option<(&'a str, StepValues<'a>)> {
        let added = self.steps.get_key_value(id).map(|(id, values)| (*id, values.clone()));
        added.or_else(|| self.source?.step(id))
    }

    /// The ids of all steps.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &'a str> {
        let sourced = self.source.into_iter().flat_map(StepSource::ids);
        self.steps.keys().copied().chain(sourced)
    }

    /// With the event: the JSON of a [`plue_plan::Event`].
    #[must_use]
    pub fn event(mut self, event: &'a Json) -> Self {
        self.event = Some(event);
        self
    }

    /// With the run's inputs, a JSON object.
    #[must_use]
    pub fn inputs(mut self, inputs: &'a Json) -> Self {
        self.inputs = Some(inputs);
        self
    }

    /// With environment variables, a JSON object, for `env.NAME`. Secrets must not be in it.
    #[must_use]
    pub fn env(mut self, env: &'a Json) -> Self {
        self.env = Some(env);
        self
    }

    /// With `outputs`: of the step itself in `on_success`/`on_failure` conditions, of the run in
    /// its hooks.
    #[must_use]
    pub fn outputs(mut self, outputs: &'a Json) -> Self {
        self.outputs = Some(outputs);
        self
    }

    /// With the context keys that the reader sees; their values are those of the steps added here.
    #[must_use]
    pub fn context(mut self, keys: &'a VisibleKeys<'a>) -> Self {
        self.context = Some(keys);
        self
    }

    /// For the key of a cache: `hash_files` gives a mark that a runner replaces.
    #[must_use]
    pub fn for_cache_key(mut self) -> Self {
        self.files = true;
        self
    }

    /// Adds a meter for all expressions evaluated in this scope together, in addition to
    /// [`crate::expression::MAX_COST`] of each. Reading a source counts one step for each byte.
    #[must_use]
    pub fn metered(mut self, meter: &'a Meter) -> Self {
        self.meter = Some(meter);
        self
    }

    pub(crate) fn count(&self, steps: u64) -> Result<(), Stopped> {
        self.meter.map_or(Ok(()), |meter| meter.steps(steps))
    }

    /// With the visit and attempt the expression is evaluated for, each from 1.
    #[must_use]
    pub fn turn(mut self, visit: u32, attempt: u32) -> Self {
        (self.visit, self.attempt) = (visit, attempt);
        self
    }
}
