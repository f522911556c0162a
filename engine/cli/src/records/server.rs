//! Records of what a server keeps: tokens, watched repositories, webhooks.
//!
//! Must not hold a token, except in the one record that is printed when it is made.

use plue_api::records::TokenRecord;
pub use plue_api::records::place::RepoRecord;
use plue_api::records::webhook::{WebhookDeliveryRecord, WebhookMessage, WebhookRecord};
use plue_plan::schema::{Published, of};
use schemars::JsonSchema;
use serde::Serialize;

/// The schemas of these documents.
pub const ALL: [Published; 5] = [
    Published { name: "tokens", schema: of::<Tokens> },
    Published { name: "repos", schema: of::<Repos> },
    Published { name: "webhooks", schema: of::<Webhooks> },
    Published { name: "webhook-deliveries", schema: of::<WebhookDeliveries> },
    Published { name: "webhook-message", schema: of::<WebhookMessage> },
];

/// `plue token list`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Tokens {
    /// Always 1.
    pub schema_version: u32,
    /// The oldest first.
    pub tokens: Vec<TokenRecord>,
}

/// `plue repo list`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Repos {
    /// Always 1.
    pub schema_version: u32,
    /// By name.
    pub repos: Vec<RepoRecord>,
}

/// `plue webhook list`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Webhooks {
    /// Always 1.
    pub schema_version: u32,
    /// The oldest first.
    pub webhooks: Vec<WebhookRecord>,
}

/// `plue webhook deliveries`
#[derive(Debug, Serialize, JsonSchema)]
pub struct WebhookDeliveries {
    /// Always 1.
    pub schema_version: u32,
    /// The newest first.
    pub deliveries: Vec<WebhookDeliveryRecord>,
}
