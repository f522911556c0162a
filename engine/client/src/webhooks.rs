//! Outgoing webhooks and their deliveries.

use plue_api::{
    commands::WebhookRequest,
    records::{
        Page,
        webhook::{NewWebhookRecord, WebhookDeliveryRecord, WebhookRecord},
    },
};
use reqwest::Method;
use serde_json::json;

use crate::{
    client::{Client, encoded, with_query},
    error::Result,
};

const ALL: &str = "/api/v1/webhooks";

/// Outgoing webhooks with their deliveries.
#[derive(Debug, Clone, Copy)]
pub struct Webhooks<'c>(pub(crate) &'c Client);

// === impl Webhooks ===

impl Webhooks<'_> {
    /// Adds a webhook; only this answer has its secret.
    ///
    /// # Errors
    /// The call.
    pub async fn add(&self, request: &WebhookRequest) -> Result<NewWebhookRecord> {
        self.0.post(ALL, request).await
    }

    /// All webhooks.
    ///
    /// # Errors
    /// The call.
    pub async fn list(&self) -> Result<Vec<WebhookRecord>> {
        self.0.get(ALL).await
    }

    /// Removes a webhook.
    ///
    /// # Errors
    /// The call.
    pub async fn remove(&self, id: &str) -> Result<()> {
        self.0.change(Method::DELETE, &of_webhook(id, "")).await
    }

    /// Gives a webhook a new secret.
    ///
    /// # Errors
    /// The call.
    pub async fn rotate(&self, id: &str) -> Result<NewWebhookRecord> {
        self.0.post(&of_webhook(id, "/rotate"), &json!({})).await
    }

    /// Enables a disabled webhook.
    ///
    /// # Errors
    /// The call.
    pub async fn enable(&self, id: &str) -> Result<()> {
        self.0.change(Method::POST, &of_webhook(id, "/enable")).await
    }

    /// Queues a ping.
    ///
    /// # Errors
    /// The call.
    pub async fn ping(&self, id: &str) -> Result<WebhookDeliveryRecord> {
        self.0.post(&of_webhook(id, "/test"), &json!({})).await
    }

    /// The newest deliveries of a webhook, or those of one state.
    ///
    /// # Errors
    /// The call.
    pub async fn deliveries(
        &self,
        id: &str,
        state: Option<String>,
        limit: u32,
    ) -> Result<Vec<WebhookDeliveryRecord>> {
        let parameters = [("limit", Some(limit.to_string())), ("state", state)];
        let target = with_query(&of_webhook(id, "/deliveries"), &parameters);
        let page: Page<WebhookDeliveryRecord> = self.0.get(&target).await?;
        Ok(page.items)
    }

    /// Sends a message again under the same id.
    ///
    /// # Errors
    /// The call.
    pub async fn replay(&self, id: &str, message: &str) -> Result<WebhookDeliveryRecord> {
        let target = of_webhook(id, &format!("/deliveries/{}/replay", encoded(message)));
        self.0.post(&target, &json!({})).await
    }
}

fn of_webhook(id: &str, rest: &str) -> String {
    format!("{ALL}/{}{rest}", encoded(id))
}
