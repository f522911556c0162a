//! Outgoing webhooks: endpoints, what was sent to them, and the messages themselves.
//!
//! Must not hold a secret, except in the one record that is answered at creation; nor, in a message,
//! any output of a step or text of a user.

use jiff::Timestamp;
use plue_store::webhook::{DeliveryRow, WebhookRow};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A registered URL for messages about runs.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct WebhookRecord {
    /// Its id, a ULID.
    pub id: String,
    /// The URL that messages are posted to.
    pub url: String,
    /// The events that it receives.
    pub events: Vec<String>,
    /// Of which repository; absent: of all.
    pub repository: Option<String>,
    /// Its purpose, as its creator described it.
    pub description: String,
    /// The principal that created it.
    pub created_by: String,
    /// RFC 3339.
    pub created_at: Timestamp,
    /// Until then messages carry a signature with the secret before this one too.
    pub both_until: Option<Timestamp>,
    /// Since when nothing has come through.
    pub failing_since: Option<Timestamp>,
    /// Since when nothing is sent.
    pub disabled_at: Option<Timestamp>,
    /// The reason for sending nothing.
    pub disabled_reason: Option<String>,
}

/// A webhook with its new secret.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct NewWebhookRecord {
    /// `whsec_…`: what its messages are signed with. Shown here only.
    pub secret: String,
    /// The webhook without its secret.
    #[serde(flatten)]
    pub record: WebhookRecord,
}

/// A message to one webhook, and what became of it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct WebhookDeliveryRecord {
    /// `webhook-id` of the message: the same however often it is sent.
    pub id: String,
    /// The event that it reports.
    pub event: String,
    /// The run that it is about; absent: it is a ping.
    pub run: Option<String>,
    /// `open`, `delivered` or `failed`.
    pub state: String,
    /// Number of tries since it was created or requested again.
    pub tries: u32,
    /// Time of the next try; only of an open one.
    pub next_at: Option<Timestamp>,
    /// Time of its creation.
    pub created_at: Timestamp,
    /// Time of the last try.
    pub tried_at: Option<Timestamp>,
    /// The HTTP status of the last answer.
    pub status: Option<u16>,
    /// The beginning of the last answer, or why there was none.
    pub note: Option<String>,
}

/// A posted message of Standard Webhooks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookMessage {
    /// `run.created`, `run.started`, `run.ended`, `run.reopened`, `step.ended`, `approval.requested`,
    /// `approval.decided` or `ping`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Time of the event.
    pub timestamp: Timestamp,
    /// The subject of the event.
    pub data: WebhookData,
}

/// Content of a message. Fields that do not belong to its event are absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WebhookData {
    /// The webhook; only of a ping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// The run; of all but a ping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<WebhookRun>,
    /// Status in which the run (`run.ended`) or the step (`step.ended`) ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The step; of steps and approvals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<WebhookStep>,
    /// Users that may answer, and the time limit (`approval.requested`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<WebhookRequest>,
    /// The user that answered, and the answer (`approval.decided`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<WebhookDecision>,
}

/// The run of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookRun {
    /// Its id, a ULID.
    pub id: String,
    /// Name of its plan.
    pub workflow: String,
    /// The repository of its workflow.
    pub repository: Option<String>,
    /// The commit that it was planned at.
    pub sha: Option<String>,
    /// The branch that its event named.
    pub branch: Option<String>,
    /// The run for people; absent if the server does not know its own address (`--public-url`).
    pub url: Option<String>,
    /// The run in the API, with all its details. Without `--public-url` only the path.
    pub api_url: String,
}

/// The step of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookStep {
    /// Its id in the plan.
    pub id: String,
    /// Number of its visits, counting loops; absent for approvals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visit: Option<u32>,
}

/// A decision that a user is to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookRequest {
    /// Users that may answer; empty: everyone with the role for decisions.
    pub approvers: Vec<String>,
    /// Approvals by different people that are needed.
    pub quorum: u32,
    /// Time at which waiting ends by itself.
    pub until: Option<Timestamp>,
    /// The address for the answer; see `POST …/decision` in the API.
    pub api_url: String,
}

/// A decision that a user has made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookDecision {
    /// The principal that decided.
    pub by: String,
    /// True: the step runs; false: it is rejected.
    pub approve: bool,
}

// === impl WebhookRecord ===

impl WebhookRecord {
    /// The record of a row.
    #[must_use]
    pub fn of(row: &WebhookRow) -> Self {
        Self {
            id: row.id.clone(),
            url: row.url.clone(),
            events: row.events.clone(),
            repository: row.repo.clone(),
            description: row.description.clone(),
            created_by: row.created_by.clone(),
            created_at: row.created_at,
            both_until: row.both_until,
            failing_since: row.failing_since,
            disabled_at: row.disabled.as_ref().map(|(at, _)| *at),
            disabled_reason: row.disabled.as_ref().map(|(_, reason)| reason.clone()),
        }
    }
}

// === impl WebhookDeliveryRecord ===

impl WebhookDeliveryRecord {
    /// The record of a row.
    #[must_use]
    pub fn of(row: &DeliveryRow) -> Self {
        use plue_store::webhook::DeliveryState;
        Self {
            id: row.message.clone(),
            event: row.event.clone(),
            run: row.fact.as_ref().map(|(run, _)| run.to_string()),
            state: row.state.as_str().to_owned(),
            tries: row.tries,
            next_at: (row.state == DeliveryState::Open).then_some(row.next_at),
            created_at: row.created_at,
            tried_at: row.tried_at,
            status: row.status,
            note: row.note.clone(),
        }
    }
}
