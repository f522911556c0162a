//! Policies of a step: retries, loops, failure rules, caches, budgets.

use serde::{Deserialize, Serialize};

use crate::{duration::DurationText, id::StepId, value::Value};

/// Growth of the pause between attempts.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    /// Every pause is `delay`.
    #[default]
    Fixed,
    /// Pause *n* (from 0) is `delay · 2ⁿ`, at most `max_delay`.
    Exponential,
}

/// Tries of a step within one visit. Every try is an attempt with its own log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Tries in total, the first included: 1 to 100. Default 3.
    #[serde(default = "default_attempts", skip_serializing_if = "is_default_attempts")]
    pub max_attempts: u32,
    /// Pause before the second try. Default `5s`.
    #[serde(default = "default_delay", skip_serializing_if = "is_default_delay")]
    pub delay: DurationText,
    /// Growth of the pause between attempts.
    #[serde(default, skip_serializing_if = "is_default")]
    pub backoff: Backoff,
    /// The longest pause of an exponential backoff. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_delay: Option<DurationText>,
    /// Share of the pause, 0 to 1, that is added at random (deterministic per run and attempt).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<f64>,
    /// Failures to retry: `infra`, `timeout`, `exit:N`. Empty: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<String>,
}

fn default_attempts() -> u32 {
    3
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's skip_serializing_if passes a reference"
)]
fn is_default_attempts(n: &u32) -> bool {
    *n == default_attempts()
}

fn default_delay() -> DurationText {
    DurationText::new("5s")
}

fn is_default_delay(delay: &DurationText) -> bool {
    *delay == default_delay()
}

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempts: default_attempts(),
            delay: default_delay(),
            backoff: Backoff::Fixed,
            max_delay: None,
            jitter: None,
            on: Vec::new(),
        }
    }
}

/// The only way back: on firing, `goto` and every step on a path from it to the firing step return
/// to `pending` with `visit + 1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Goto {
    /// The step to return to: the firing step itself or one of its ancestors.
    pub goto: StepId,
    /// Upper bound of visits of the target in total. Required; exhausted, the firing step fails
    /// with reason `loop_exhausted`.
    pub max_visits: Option<u32>,
}

/// Effect of a step's failure on its dependents.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Dependents are skipped; the plan's own `on_failure` decides about the rest.
    #[default]
    Fail,
    /// The step counts as `skipped` and dependents run.
    Skip,
    /// The step stays `failed` and dependents run anyway.
    Continue,
    /// Go back in a bounded loop. Written `{"goto": "id", "max_visits": 3}` in the IR.
    #[serde(untagged)]
    Goto(Goto),
}

/// Effect of a failed step on independent branches of the plan.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum PlanOnFailure {
    /// Nothing new starts, what runs finishes.
    #[default]
    Stop,
    /// Independent branches go on.
    Continue,
}

/// The Git repository around the files of a run on a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Checkout {
    /// Commits of history with their contents; 0: all commits, tags and contents. Absent: all commits, and
    /// of a large repository only the contents that a build compares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fetch_depth: Option<u32>,
    /// The tags of the commits that are there.
    #[serde(skip_serializing_if = "is_true")]
    pub tags: bool,
    /// Submodules, also those of submodules, each at the commit that its repository records.
    #[serde(skip_serializing_if = "is_default")]
    pub submodules: bool,
    /// Contents of Git LFS in the place of their pointers.
    #[serde(skip_serializing_if = "is_default")]
    pub lfs: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_true(flag: &bool) -> bool {
    *flag
}

impl Default for Checkout {
    fn default() -> Self {
        Self { fetch_depth: None, tags: true, submodules: false, lfs: false }
    }
}

/// A directory cache: restored before the step, saved after it succeeded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// The exact key; text or an expression.
    pub key: Value,
    /// Paths, relative to the workspace.
    pub paths: Vec<String>,
    /// Prefixes tried in order when the key is not there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restore: Vec<String>,
}

/// A process that runs during the step and is stopped after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Container image (or, with a local pool, the command to run).
    pub image: String,
    /// TCP port that is open when the service is ready.
    pub port: u16,
    /// Environment of the service.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub env: std::collections::BTreeMap<String, Value>,
}

/// Spending limits. Absent means no limit of this kind.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Limit in US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd: Option<f64>,
    /// Tokens, input and output together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
}

/// Runs of one group never overlap; they start in the order of their events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Concurrency {
    /// The group's name; text or an expression over the event and inputs.
    pub group: Value,
    /// Cancel the run that is active instead of waiting for it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cancel_in_progress: bool,
}
