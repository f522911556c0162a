//! Outgoing webhooks: endpoints, what was sent to them, and the messages themselves.
//!
//! Must not hold a secret, except in the one record that is answered when it is made; nor, in a message,
//! anything that a step has put out or somebody has written.

use jiff::Timestamp;
use plue_store::webhook::{DeliveryRow, WebhookRow};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Somebody who is told of what happens to runs.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct WebhookRecord {
    /// Its id.
    pub id: String,
    /// Where messages are posted.
    pub url: String,
    /// Of which events.
    pub events: Vec<String>,
    /// Of which repository; absent: of all.
    pub repository: Option<String>,
    /// What it is for.
    pub description: String,
    /// Who made it.
    pub created_by: String,
    /// RFC 3339.
    pub created_at: Timestamp,
    /// Until then messages carry a signature with the secret before this one too.
    pub both_until: Option<Timestamp>,
    /// Since when nothing has come through.
    pub failing_since: Option<Timestamp>,
    /// Since when nothing is sent.
    pub disabled_at: Option<Timestamp>,
    /// Why nothing is sent.
    pub disabled_reason: Option<String>,
}

/// A webhook with its new secret.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct NewWebhookRecord {
    /// `whsec_…`: what its messages are signed with. Shown here only.
    pub secret: String,
    /// The webhook.
    #[serde(flatten)]
    pub record: WebhookRecord,
}

/// A message to one webhook, and what became of it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct WebhookDeliveryRecord {
    /// `webhook-id` of the message: the same however often it is sent.
    pub id: String,
    /// What it tells.
    pub event: String,
    /// The run that it is about; absent: it is a ping.
    pub run: Option<String>,
    /// `open`, `delivered` or `failed`.
    pub state: String,
    /// How often it was tried, since it was made or asked for again.
    pub tries: u32,
    /// When it is tried next; only of an open one.
    pub next_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was tried last.
    pub tried_at: Option<Timestamp>,
    /// The HTTP status of the last answer.
    pub status: Option<u16>,
    /// The beginning of the last answer, or why there was none.
    pub note: Option<String>,
}

/// What is posted: a message of Standard Webhooks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookMessage {
    /// `run.created`, `run.started`, `run.ended`, `run.reopened`, `step.ended`, `approval.requested`,
    /// `approval.decided` or `ping`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it happened.
    pub timestamp: Timestamp,
    /// What happened.
    pub data: WebhookData,
}

/// What a message tells. What does not belong to its event is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WebhookData {
    /// The webhook; only of a ping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// The run; of all but a ping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<WebhookRun>,
    /// How the run (`run.ended`) or the step (`step.ended`) has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The step; of steps and approvals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<WebhookStep>,
    /// Who may answer and until when (`approval.requested`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<WebhookRequest>,
    /// Who answered, and what (`approval.decided`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<WebhookDecision>,
}

/// The run of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookRun {
    /// Its id.
    pub id: String,
    /// Name of its plan.
    pub workflow: String,
    /// Its repository.
    pub repository: Option<String>,
    /// Its commit.
    pub sha: Option<String>,
    /// Its branch.
    pub branch: Option<String>,
    /// The run for people; absent if the server was not told its own address (`--public-url`).
    pub url: Option<String>,
    /// The run in the API: whoever wants more asks there. Without `--public-url` only the path.
    pub api_url: String,
}

/// The step of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookStep {
    /// Its id.
    pub id: String,
    /// How often the run has entered it, counting loops; absent for approvals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visit: Option<u32>,
}

/// A decision that somebody is to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookRequest {
    /// Who may answer; empty: everyone who may decide.
    pub approvers: Vec<String>,
    /// Approvals by different people that are needed.
    pub quorum: u32,
    /// When waiting ends by itself.
    pub until: Option<Timestamp>,
    /// Where the answer is posted; see `POST …/decision` in the API.
    pub api_url: String,
}

/// A decision that somebody has made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookDecision {
    /// Who.
    pub by: String,
    /// Yes or no.
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
