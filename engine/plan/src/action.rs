//! The action of a step: the fields that belong to one `kind` only.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{
    duration::DurationText,
    policy::{Budget, is_default},
    trigger::Trigger,
    value::Value,
};

fn bash() -> String {
    "bash".to_owned()
}

fn is_bash(shell: &String) -> bool {
    shell == "bash"
}

fn one() -> u32 {
    1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's skip_serializing_if passes a reference"
)]
fn is_one(n: &u32) -> bool {
    *n == 1
}

fn yes() -> bool {
    true
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's skip_serializing_if passes a reference"
)]
fn is_yes(flag: &bool) -> bool {
    *flag
}

/// Decision of an approval without an answer when its `timeout` is over.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum OnTimeout {
    /// The step fails at its timeout.
    #[default]
    Reject,
    /// The step succeeds as if approved.
    Approve,
}

/// The request to Claude: text (or a text value), or a prompt file with its inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum Prompt {
    /// A prompt file of `.plue/prompts/` or of the shipped library.
    File(PromptFile),
    /// Text of the request.
    Text(Value),
}

/// A reference to a prompt file: `Prompt("code-review", files=…)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PromptFile {
    /// Its name, without folder and `.md`.
    pub name: String,
    /// Values of its placeholders.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, Value>,
}

/// The kind of a step and the fields of that kind; `kind` is the discriminator in the IR.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// A shell command, run as `bash -euo pipefail`.
    Bash(Bash),
    /// A Python program on the runner.
    Python(Python),
    /// An agent of Claude.
    Llm(Box<Llm>),
    /// A decision by people.
    Approval(Approval),
    /// A decision by several parties that may counter.
    Negotiate(Negotiate),
    /// Starts a child run.
    Workflow(Workflow),
    /// An HTTP call, answered at once or later through a callback.
    Call(Call),
    /// A pause until an event or for a duration.
    Wait(Wait),
    /// A step kind that a plugin provides.
    Plugin(Plugin),
}

/// Fields of a `bash` step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bash {
    /// The command text; `${…}` in it belongs to the shell.
    pub run: String,
    /// The shell: `bash` or `sh`.
    #[serde(default = "bash", skip_serializing_if = "is_bash")]
    pub shell: String,
}

/// Fields of a `python` step: exactly one of `code` and `script`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Python {
    /// Source text of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// A function that `code` defines and that is called after it, with `args`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// A file of the workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// Arguments of the function, or `sys.argv[1:]` as text. May read earlier steps; no secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<Value>,
}

/// Fields of an `llm` step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Llm {
    /// Request to the model.
    pub prompt: Prompt,
    /// Model name; absent: the role's, the prompt's, then the operator's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Models that go on where the one before is not available, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback_models: Vec<String>,
    /// System prompt of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Names of the tools the model may call, `fetch` with hosts as `fetch(docs.rs)`; empty: none. Absent:
    /// the prompt's, then the role's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<String>>,
    /// Names of tools whose calls a person approves first, as in `tools`; `fetch` without hosts. Prompt and
    /// role add theirs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approve: Vec<String>,
    /// Longest wait for the decision on a call; absent: 7 days. A call without a decision is rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approve_timeout: Option<DurationText>,
    /// MCP servers whose tools `tools` may name, as `mcp__SERVER` or `mcp__SERVER__TOOL`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mcp: Vec<Mcp>,
    /// Maximum number of turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_turns: Option<u32>,
    /// Output tokens per turn at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Spending limit of the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// JSON Schema of the structured result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Json>,
    /// A role: prompt, tools and model by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Reasoning effort of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
}

/// An MCP server of an `llm` step: exactly one of `command` and `url`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mcp {
    /// Its name in the step: `[a-z][a-z0-9_-]{0,31}`, without `__` and not ending in `_`.
    pub name: String,
    /// Program and arguments of a server that runs during the step and speaks over standard input
    /// and output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Environment of that process, over that of the step without the step's secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Value>,
    /// Address of a server that the engine talks to over HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Headers of each request to that address.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Value>,
    /// Hash of the definitions of its offered tools, `sha256:` and 64 lower-case hexadecimal digits. Absent:
    /// those of the first use of the server by this step of the workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
}

/// Fields of an `approval` step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Question for the approvers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Value>,
    /// People allowed to answer; empty: everyone with write access.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<String>,
    /// Number of approvals needed.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub quorum: u32,
    /// Decision if `timeout` passes without an answer.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_timeout: OnTimeout,
    /// JSON Schema of what the approver fills in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Json>,
}

/// Fields of a `negotiate` step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Negotiate {
    /// Roles, people or services, in turn order.
    pub parties: Vec<String>,
    /// JSON Schema of a proposal.
    pub subject: Json,
    /// Maximum number of rounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounds: Option<u32>,
    /// `all`, `quorum:k` or `owner`. Absent: `all`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept: Option<String>,
}

/// Fields of a `workflow` step: exactly one of `workflow` and `plan`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Workflow {
    /// Name of a registered workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// A plan that an earlier step put out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Value>,
    /// Inputs of the child run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, Value>,
}

/// Fields of a `call` step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Address of the request.
    pub url: Value,
    /// HTTP method; absent: `POST` with a body, else `GET`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Headers of the request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Value>,
    /// JSON or text body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// True to send a one-time token for a later answer.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub callback: bool,
}

/// Fields of a `wait` step: exactly one of the two.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    /// The event waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Box<Trigger>>,
    /// Length of the pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<DurationText>,
}

/// Fields of a `plugin` step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plugin {
    /// The kind that the plugin provides.
    pub plugin: String,
    /// Configuration of the plugin.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, Value>,
}

// === impl Action ===

impl Action {
    /// The discriminator as the IR writes it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bash(_) => "bash",
            Self::Python(_) => "python",
            Self::Llm(_) => "llm",
            Self::Approval(_) => "approval",
            Self::Negotiate(_) => "negotiate",
            Self::Workflow(_) => "workflow",
            Self::Call(_) => "call",
            Self::Wait(_) => "wait",
            Self::Plugin(_) => "plugin",
        }
    }
}
