//! Watched repositories, and the events that they receive.

use plue_api::{
    commands::{EmitRequest, EventReceipt, EventRequest, RepoRequest},
    records::{
        Page,
        place::{CallSecretRecord, DeliveryRecord, RepoRecord},
    },
};
use reqwest::Method;
use serde_json::json;

use crate::{
    client::{Client, encoded},
    error::Result,
};

const ALL: &str = "/api/v1/repositories";

// === impl Client ===

impl Client {
    /// Watched repositories, by name.
    ///
    /// # Errors
    /// The call.
    pub async fn repositories(&self) -> Result<Vec<RepoRecord>> {
        self.get(ALL).await
    }

    /// Watches a repository, or changes its settings.
    ///
    /// # Errors
    /// The call.
    pub async fn add_repository(&self, request: &RepoRequest) -> Result<RepoRecord> {
        self.post(ALL, request).await
    }

    /// Stops watching a repository.
    ///
    /// # Errors
    /// The call.
    pub async fn remove_repository(&self, repo: &str) -> Result<()> {
        self.change(Method::DELETE, &of_repo(repo, "")).await
    }

    /// Lets a commit of a fork run, without secrets.
    ///
    /// # Errors
    /// The call.
    pub async fn allow_commit(&self, repo: &str, commit: &str) -> Result<()> {
        let body = json!({ "commit": commit });
        self.change_with(Method::POST, &of_repo(repo, "/allowed"), &body).await
    }

    /// Confirms that the repository with this id of the forge is the watched one.
    ///
    /// # Errors
    /// The call.
    pub async fn confirm_repository(&self, repo: &str, id: &str) -> Result<()> {
        self.change_with(Method::POST, &of_repo(repo, "/identity"), &json!({ "id": id })).await
    }

    /// Sets the secret that verifies calls of a repository's named webhooks; without one, the API makes it.
    ///
    /// # Errors
    /// The call.
    pub async fn set_call_secret(
        &self,
        repo: &str,
        secret: Option<&str>,
    ) -> Result<CallSecretRecord> {
        self.post(&of_repo(repo, "/call-secret"), &json!({ "secret": secret })).await
    }

    /// Sends a message to a repository; the same id is one message.
    ///
    /// # Errors
    /// The call.
    pub async fn send_event(
        &self,
        repo: &str,
        request: &EventRequest,
        id: &str,
    ) -> Result<EventReceipt> {
        self.post_once(&of_repo(repo, "/events"), request, id).await
    }

    /// The newest deliveries of a repository.
    ///
    /// # Errors
    /// The call.
    pub async fn deliveries(&self, repo: &str, limit: u32) -> Result<Vec<DeliveryRecord>> {
        let target = of_repo(repo, &format!("/deliveries?limit={limit}"));
        let page: Page<DeliveryRecord> = self.get(&target).await?;
        Ok(page.items)
    }

    /// Retries a delivery.
    ///
    /// # Errors
    /// The call.
    pub async fn retry_delivery(&self, repo: &str, id: &str) -> Result<()> {
        let target = of_repo(repo, &format!("/deliveries/{}/retry", encoded(id)));
        self.change(Method::POST, &target).await
    }

    /// Sends a message to the steps that wait for one on a topic.
    ///
    /// # Errors
    /// The call.
    pub async fn emit(&self, request: &EmitRequest) -> Result<()> {
        self.change_with(Method::POST, "/api/v1/messages", request).await
    }
}

fn of_repo(repo: &str, rest: &str) -> String {
    format!("{ALL}/{}{rest}", encoded(repo))
}
