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

// === impl Client ===

impl Client {
    /// Adds a webhook; only this answer has its secret.
    ///
    /// # Errors
    /// The call.
    pub async fn add_webhook(&self, request: &WebhookRequest) -> Result<NewWebhookRecord> {
        self.post(ALL, request).await
    }

    /// All webhooks.
    ///
    /// # Errors
    /// The call.
    pub async fn webhooks(&self) -> Result<Vec<WebhookRecord>> {
        self.get(ALL).await
    }

    /// Removes a webhook.
    ///
    /// # Errors
    /// The call.
    pub async fn remove_webhook(&self, id: &str) -> Result<()> {
        self.change(Method::DELETE, &of_webhook(id, "")).await
    }

    /// Gives a webhook a new secret.
    ///
    /// # Errors
    /// The call.
    pub async fn rotate_webhook(&self, id: &str) -> Result<NewWebhookRecord> {
        self.post(&of_webhook(id, "/rotate"), &json!({})).await
    }

    /// Enables a disabled webhook.
    ///
    /// # Errors
    /// The call.
    pub async fn enable_webhook(&self, id: &str) -> Result<()> {
        self.change(Method::POST, &of_webhook(id, "/enable")).await
    }

    /// Queues a ping.
    ///
    /// # Errors
    /// The call.
    pub async fn ping_webhook(&self, id: &str) -> Result<WebhookDeliveryRecord> {
        self.post(&of_webhook(id, "/test"), &json!({})).await
    }

    /// The newest deliveries of a webhook, or those of one state.
    ///
    /// # Errors
    /// The call.
    pub async fn webhook_deliveries(
        &self,
        id: &str,
        state: Option<String>,
        limit: u32,
    ) -> Result<Vec<WebhookDeliveryRecord>> {
        let parameters = [("limit", Some(limit.to_string())), ("state", state)];
        let target = with_query(&of_webhook(id, "/deliveries"), &parameters);
        let page: Page<WebhookDeliveryRecord> = self.get(&target).await?;
        Ok(page.items)
    }

    /// Sends a message again under the same id.
    ///
    /// # Errors
    /// The call.
    pub async fn replay_webhook(&self, id: &str, message: &str) -> Result<WebhookDeliveryRecord> {
        let target = of_webhook(id, &format!("/deliveries/{}/replay", encoded(message)));
        self.post(&target, &json!({})).await
    }
}

fn of_webhook(id: &str, rest: &str) -> String {
    format!("{ALL}/{}{rest}", encoded(id))
}
