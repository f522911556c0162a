//! Records of what a server keeps: tokens, watched repositories, webhooks.
//!
//! Must not hold a token, except in the one record that is printed when it is made.

pub use plue_api::records::resources::RepoRecord;
use plue_api::records::resources::{PoolRecord, RunnerRecord, ScheduleRecord, UsageRecord};
use plue_api::records::status::ApprovalRecord;
use plue_api::records::webhook::{WebhookDeliveryRecord, WebhookMessage, WebhookRecord};
use plue_api::records::workflow::WorkflowRecord;
use plue_api::records::{AuditRecord, TokenRecord};
use plue_plan::schema::{Published, of};
use schemars::JsonSchema;
use serde::Serialize;

/// The schemas of these documents.
pub const ALL: [Published; 12] = [
    Published { name: "approvals", schema: of::<Approvals> },
    Published { name: "schedules", schema: of::<Schedules> },
    Published { name: "workflows", schema: of::<Workflows> },
    Published { name: "runners", schema: of::<Runners> },
    Published { name: "pools", schema: of::<Pools> },
    Published { name: "usage", schema: of::<Usage> },
    Published { name: "audit", schema: of::<Audit> },
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
    /// Sorted oldest first.
    pub tokens: Vec<TokenRecord>,
}

/// `plue audit`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Audit {
    /// Always 1.
    pub schema_version: u32,
    /// Sorted oldest first.
    pub audit: Vec<AuditRecord>,
}

/// `plue approvals`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Approvals {
    /// Always 1.
    pub schema_version: u32,
    /// The oldest run first.
    pub approvals: Vec<ApprovalRecord>,
}

/// `plue schedules`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Schedules {
    /// Always 1.
    pub schema_version: u32,
    /// By repository and workflow.
    pub schedules: Vec<ScheduleRecord>,
}

/// `plue workflow list`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Workflows {
    /// Always 1.
    pub schema_version: u32,
    /// By repository and file.
    pub workflows: Vec<WorkflowRecord>,
}

/// `plue runners`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Runners {
    /// Always 1.
    pub schema_version: u32,
    /// Those that are not gone.
    pub runners: Vec<RunnerRecord>,
}

/// `plue pools`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Pools {
    /// Always 1.
    pub schema_version: u32,
    /// Sorted by name.
    pub pools: Vec<PoolRecord>,
}

/// `plue usage`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Usage {
    /// Always 1.
    pub schema_version: u32,
    /// By the names of repositories, workflows or organisations.
    pub usage: Vec<UsageRecord>,
}

/// `plue repo list`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Repos {
    /// Always 1.
    pub schema_version: u32,
    /// Sorted by name.
    pub repos: Vec<RepoRecord>,
}

/// `plue webhook list`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Webhooks {
    /// Always 1.
    pub schema_version: u32,
    /// Sorted oldest first.
    pub webhooks: Vec<WebhookRecord>,
}

/// `plue webhook deliveries`
#[derive(Debug, Serialize, JsonSchema)]
pub struct WebhookDeliveries {
    /// Always 1.
    pub schema_version: u32,
    /// Sorted newest first.
    pub deliveries: Vec<WebhookDeliveryRecord>,
}
