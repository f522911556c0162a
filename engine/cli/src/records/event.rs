//! The records of `plue event`.

use plue_api::records::resources::DeliveryRecord;
use plue_forge::Reading;
use plue_plan::{
    Diagnostic, Event,
    schema::{Published, of},
};
use schemars::JsonSchema;
use serde::Serialize;

/// The schemas of these documents.
pub const ALL: [Published; 2] = [
    Published { name: "event-decode", schema: of::<Decoded> },
    Published { name: "deliveries", schema: of::<Deliveries> },
];

/// `plue event list`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Deliveries {
    /// Always 1.
    pub schema_version: u32,
    /// Sorted newest first.
    pub deliveries: Vec<DeliveryRecord>,
}

/// `plue event decode`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Decoded {
    /// Always 1.
    pub schema_version: u32,
    /// Answer to the forge: `2xx`, or the number of a refusal.
    pub http: String,
    /// Reason of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Diagnostic>,
    /// Content of the delivery; its fields are on the level of `http`.
    #[serde(flatten)]
    pub reading: Option<Reading>,
    /// Identity of the delivery, equal for redeliveries.
    pub delivery: String,
    /// Whether the signature fits a secret; absent if none was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// Value of `ctx.event` in workflows; absent if the delivery has no effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ctx_event: Option<Event>,
    /// Reason that it has no effect for any workflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignored: Option<String>,
    /// The triggers that fire: of the workflows, or without any of `on_push()`,
    /// `on_push(branch="main")`, `on_pull_request()` and `on_pull_request(base="main")`.
    pub fires: Vec<String>,
    /// Each trigger of each workflow, in their order.
    pub triggers: Vec<TriggerRecord>,
}

/// Decision of a trigger about the event.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TriggerRecord {
    /// The workflow file; absent for the plain triggers that are tried without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Name of the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The trigger as it is written.
    pub trigger: String,
    /// Whether the event starts a run.
    pub fires: bool,
    /// Reason for not firing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}
