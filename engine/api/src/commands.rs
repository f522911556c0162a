//! Commands that the API asks of the side that plans and executes. The server's program wires the
//! implementation in; tests bring their own.
//!
//! Must not depend on the implementation.

use std::{collections::BTreeMap, fmt, sync::Arc};

use axum::body::Bytes;
use futures::{future::BoxFuture, stream::BoxStream};
use plue_plan::{Diagnostic, RunId, StepId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use zeroize::Zeroizing;

use crate::{access::Role, records::retry::RestoredFiles};

/// Characters of a topic.
const MAX_TOPIC: usize = 256;
/// Bytes of a message.
const MAX_DATA_BYTES: usize = plue_plan::limits::MAX_OUTPUT_BYTES;

/// A request to start a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    /// The repository, as it was added.
    pub repository: String,
    /// A workflow file of it, or the name of a plan.
    pub workflow: String,
    /// Branch, tag or commit; absent: the default branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rev: Option<String>,
    /// Inputs by name, as the plan types them.
    #[serde(default)]
    pub inputs: BTreeMap<String, Json>,
    /// Header `traceparent` of the request; no body has it.
    #[serde(skip)]
    pub traceparent: Option<String>,
}

/// The steps and files with which an ended run is reopened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryRequest {
    /// First of the steps; absent: every step that did not succeed.
    #[serde(default)]
    pub from: Option<String>,
    /// The default in words: every step that did not succeed; not together with `from`.
    #[serde(default)]
    pub failed: bool,
    /// Treatment of the files that the steps changed.
    #[serde(default)]
    pub files: RetryFiles,
}

/// Treatment of the files that the steps of a run changed, before they run again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetryFiles {
    /// Put back; refused if one was changed outside of the run.
    #[default]
    Restore,
    /// Put back; changed ones are copied aside before.
    Force,
    /// Left as they are.
    Keep,
}

/// The part of a run that a new run of the same plan and event repeats.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RerunRequest {
    /// This step and every step that depends on it; the others keep their outputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Every step that did not succeed, and the steps that depend on it; not together with `from`.
    pub failed: bool,
}

/// An answer to a step that waits for a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionRequest {
    /// `true` approves, `false` rejects.
    pub approve: bool,
    /// The fields that the step asks for. A text is parsed as the type that the step declares.
    #[serde(default)]
    pub fields: Map<String, Json>,
    /// A remark, kept with the decision.
    #[serde(default)]
    pub comment: Option<String>,
    /// The call that is decided about, if an agent waits for the approval of calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
}

/// A request to watch a repository of a forge.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RepoRequest {
    /// `owner/name`, as runs and tokens name it.
    pub name: String,
    /// `github`, `gitlab`, `gitea` or `forgejo`.
    pub forge: String,
    /// The address it is fetched from.
    pub url: String,
    /// Its default branch; `main` if absent.
    #[serde(default = "main_branch")]
    pub default_branch: String,
    /// Signing secret of the forge's deliveries. Stored sealed and never shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_secret: Option<String>,
    /// The forge's token for this server: fetches commits and reports their status. Stored sealed and
    /// never
    /// shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The GitHub App that the forge knows this server by, in the place of a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppRequest>,
    /// Address of the forge's API, if it is not where that kind of forge has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// Way to report the status of commits.
    #[serde(default)]
    pub report: ReportForm,
    /// Reach the forge without TLS; only for commands of the server's machine.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_http: bool,
}

/// A request to register a URL for messages about runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookRequest {
    /// `https://` or `http://`, without credentials.
    pub url: String,
    /// Of which events: `run.created`, `run.started`, `run.ended`, `run.reopened`, `step.ended`,
    /// `approval.requested`, `approval.decided`.
    pub events: Vec<String>,
    /// Of which repository; absent: of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Free text for people: the purpose of the webhook.
    #[serde(default)]
    pub description: String,
}

/// A webhook with its new secret.
#[derive(Clone, PartialEq, Eq)]
pub struct MadeWebhook {
    /// Id of the new webhook, for later requests.
    pub id: String,
    /// The secret, shown only in this answer.
    pub secret: String,
}

/// A message on a topic of a repository.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventRequest {
    /// The topic, as `on_event` names it.
    pub topic: String,
    /// The event's content: the fields of an object are `event.payload`, anything else is
    /// `event.payload.data`.
    #[serde(default)]
    pub payload: Json,
}

/// A message that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventReceipt {
    /// Its id: the `Idempotency-Key`, or a fresh one.
    pub id: String,
    /// Whether it came for the first time.
    pub new: bool,
}

/// A GitHub App with its private key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AppRequest {
    /// Its id, or its client id.
    pub id: String,
    /// Its private key in PEM. Kept sealed and never shown.
    pub key: String,
}

/// Way to report the status of commits to a forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReportForm {
    /// A commit status for each plan, and a comment on pull requests.
    #[default]
    Status,
    /// A GitHub check with annotations for each plan, and a comment on pull requests.
    Check,
    /// No reports are sent.
    None,
}

/// A request for an API token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// Its purpose, for people.
    pub name: String,
    /// Role of its holder.
    pub role: Role,
    /// Good for this repository only; absent: for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Days until it is refused; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_days: Option<u32>,
    /// Lifetime, as `90d` or `1h`; not together with days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<String>,
}

/// A filter of the list of runs to keep under a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ViewRequest {
    /// Conditions as the page `/runs` has them behind its `?`: `branch=main&state=failed`.
    pub query: String,
}

/// A message on a topic, for steps that wait for one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmitRequest {
    /// Topic that the steps wait for, in their `wait` field.
    pub topic: String,
    /// Content for the waiting steps.
    #[serde(default)]
    pub data: Json,
}

/// The author of a request to watch a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoAuthor {
    /// Name in the audit trail.
    pub name: String,
    /// The request comes from this machine: folders and addresses without TLS are accepted.
    pub is_local: bool,
}

/// The bytes of a file, as they come.
pub type FileStream = BoxStream<'static, std::io::Result<Bytes>>;

/// Outcome of the answer to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallbackOutcome {
    /// The answer is stored for the engine that advances the run.
    Taken,
    /// The call was answered before; this answer changes nothing.
    Duplicate,
    /// The time to answer is over.
    Expired,
    /// There is no such token.
    Unknown,
}

/// Reason for refusing a command.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Invalid input, with all errors in it.
    #[error("the plan or its inputs are not valid")]
    Invalid(Vec<Diagnostic>),
    /// It speaks of something that is not there.
    #[error("{0}")]
    NotFound(String),
    /// It cannot be done in this state.
    #[error("{0}")]
    Conflict(String),
    /// It is refused in this state, for a reason with a code: a paused workflow, changed files.
    #[error("{}", .0.message)]
    Refused(Box<Diagnostic>),
    /// Only another principal may do this.
    #[error("{0}")]
    Forbidden(String),
    /// It was understood, and it does not fit.
    #[error("{0}")]
    Unfit(String),
    /// It cannot be done now.
    #[error("{0}")]
    Unavailable(String),
    /// It cannot be done now, for a reason that callers of a network are not shown.
    #[error("{}", .0.message)]
    Failed(Box<Diagnostic>),
}

/// Commands that plan or drive runs.
pub trait RunCommands: fmt::Debug + Send + Sync {
    /// Plans a workflow and stores a run of this id. If there is such a run already, nothing happens:
    /// the same request came before.
    fn submit(
        &self,
        id: RunId,
        request: RunRequest,
        by: String,
    ) -> BoxFuture<'_, Result<(), CommandError>>;

    /// Reopens an ended run; returns the files that were put back.
    fn retry(
        &self,
        run: RunId,
        request: RetryRequest,
        by: String,
    ) -> BoxFuture<'_, Result<RestoredFiles, CommandError>>;

    /// Creates a run of this id with the plan, event and inputs of `old`; idempotent.
    fn rerun(
        &self,
        id: RunId,
        old: RunId,
        request: RerunRequest,
    ) -> BoxFuture<'_, Result<(), CommandError>>;
}

/// Commands of the API that change more than rows of the database.
pub trait Commands: fmt::Debug + Send + Sync {
    /// Commands that plan or drive runs: of a server, or of a command line without one.
    fn runs(&self) -> &dyn RunCommands;

    /// Keeps an answer to a step that waits for a decision.
    fn decide(
        &self,
        run: RunId,
        step: StepId,
        answer: DecisionRequest,
        by: String,
    ) -> BoxFuture<'_, Result<(), CommandError>>;

    /// Whether a one-time token is that of a call, answered or not.
    fn knows_callback(&self, token: String) -> BoxFuture<'_, Result<bool, CommandError>>;

    /// Answers a call with its one-time token. The run that it is about, if the token is one.
    fn callback(
        &self,
        token: String,
        output: Json,
    ) -> BoxFuture<'_, Result<(CallbackOutcome, Option<RunId>), CommandError>>;

    /// Seals a secret in a scope; replaces the one that it has.
    fn set_secret(
        &self,
        scope: String,
        name: String,
        text: Zeroizing<Vec<u8>>,
    ) -> BoxFuture<'_, Result<(), CommandError>>;

    /// Takes in a message for a repository. However often it comes under one id, it is one message.
    fn send_event(
        &self,
        repo: String,
        id: Option<String>,
        event: EventRequest,
        by: String,
    ) -> BoxFuture<'_, Result<EventReceipt, CommandError>>;

    /// Watches a repository, or changes its settings; one of this machine only for its commands.
    fn add_repo(
        &self,
        request: RepoRequest,
        by: RepoAuthor,
    ) -> BoxFuture<'_, Result<(), CommandError>>;

    /// Keeps a webhook and seals its secret. The request was checked, but for its address.
    fn add_webhook(
        &self,
        request: WebhookRequest,
        by: String,
    ) -> BoxFuture<'_, Result<MadeWebhook, CommandError>>;

    /// Gives a webhook a new secret; the old one is good for a while.
    fn rotate_webhook(&self, id: String) -> BoxFuture<'_, Result<MadeWebhook, CommandError>>;

    /// Forgets a webhook and its secrets.
    fn remove_webhook(&self, id: String) -> BoxFuture<'_, Result<(), CommandError>>;

    /// An ended run as one file. A stream that ends with an error is no whole file.
    fn export(&self, run: RunId) -> BoxFuture<'_, Result<FileStream, CommandError>>;
}

// === impl EmitRequest ===

impl EmitRequest {
    /// Whether it may be sent.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn check(&self) -> Result<(), String> {
        let characters = self.topic.chars().count();
        if characters == 0 || characters > MAX_TOPIC || self.topic.chars().any(char::is_control) {
            return Err(format!("a topic is 1 to {MAX_TOPIC} printable characters"));
        }
        let size = self.data.to_string().len();
        if size > MAX_DATA_BYTES {
            return Err(format!("the message has {size} bytes, more than {MAX_DATA_BYTES}"));
        }
        Ok(())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

fn main_branch() -> String {
    "main".to_owned()
}

impl fmt::Debug for RepoRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, forge, url, default_branch, .. } = self;
        let mut out = f.debug_struct("RepoRequest");
        out.field("name", name).field("forge", forge).field("url", url);
        out.field("default_branch", default_branch).finish_non_exhaustive()
    }
}

impl fmt::Debug for MadeWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MadeWebhook").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A shared [`Commands`].
pub type SharedCommands = Arc<dyn Commands>;
