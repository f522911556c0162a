//! Watched repositories: their events, deliveries and workflows.

use plue_api::{
    commands::{EmitRequest, EventReceipt, EventRequest, RepoRequest},
    pauses::PauseTarget,
    records::{
        Page,
        resources::{CallSecretRecord, DeliveryRecord, RepoRecord},
        workflow::WorkflowRecord,
    },
};
use reqwest::Method;
use serde_json::json;

use crate::{
    client::{Client, encoded},
    error::Result,
};

const ALL: &str = "/api/v1/repositories";

/// Watched repositories with their events and workflows.
#[derive(Debug, Clone, Copy)]
pub struct Repositories<'c>(pub(crate) &'c Client);

// === impl Repositories ===

impl Repositories<'_> {
    /// Watched repositories, by name.
    ///
    /// # Errors
    /// The call.
    pub async fn list(&self) -> Result<Vec<RepoRecord>> {
        self.0.get(ALL).await
    }

    /// Watches a repository, or changes its settings.
    ///
    /// # Errors
    /// The call.
    pub async fn add(&self, request: &RepoRequest) -> Result<RepoRecord> {
        self.0.post(ALL, request).await
    }

    /// Stops watching a repository.
    ///
    /// # Errors
    /// The call.
    pub async fn remove(&self, repo: &str) -> Result<()> {
        self.0.change(Method::DELETE, &of_repo(repo, "")).await
    }

    /// Lets a commit of a fork run, without secrets.
    ///
    /// # Errors
    /// The call.
    pub async fn allow_commit(&self, repo: &str, commit: &str) -> Result<()> {
        let body = json!({ "commit": commit });
        self.0.change_with(Method::POST, &of_repo(repo, "/allowed"), &body).await
    }

    /// Confirms that the repository with this id of the forge is the watched one.
    ///
    /// # Errors
    /// The call.
    pub async fn confirm(&self, repo: &str, id: &str) -> Result<()> {
        self.0.change_with(Method::POST, &of_repo(repo, "/identity"), &json!({ "id": id })).await
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
        self.0.post(&of_repo(repo, "/call-secret"), &json!({ "secret": secret })).await
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
        self.0.post_once(&of_repo(repo, "/events"), request, id).await
    }

    /// The newest deliveries of a repository.
    ///
    /// # Errors
    /// The call.
    pub async fn deliveries(&self, repo: &str, limit: u32) -> Result<Vec<DeliveryRecord>> {
        let target = of_repo(repo, &format!("/deliveries?limit={limit}"));
        let page: Page<DeliveryRecord> = self.0.get(&target).await?;
        Ok(page.items)
    }

    /// Retries a delivery.
    ///
    /// # Errors
    /// The call.
    pub async fn retry_delivery(&self, repo: &str, id: &str) -> Result<()> {
        let target = of_repo(repo, &format!("/deliveries/{}/retry", encoded(id)));
        self.0.change(Method::POST, &target).await
    }

    /// Sends a message to the steps that wait for one on a topic.
    ///
    /// # Errors
    /// The call.
    pub async fn emit(&self, request: &EmitRequest) -> Result<()> {
        self.0.change_with(Method::POST, "/api/v1/messages", request).await
    }

    /// Workflows of the default branches, with their pauses.
    ///
    /// # Errors
    /// The call.
    pub async fn workflows(&self) -> Result<Vec<WorkflowRecord>> {
        self.0.get("/api/v1/workflows").await
    }

    /// Pauses a workflow or its schedules.
    ///
    /// # Errors
    /// The call.
    pub async fn pause(&self, target: &PauseTarget, reason: Option<&str>) -> Result<()> {
        self.0
            .change_with(Method::POST, &of_pause(target, "pause"), &json!({ "reason": reason }))
            .await
    }

    /// Resumes a workflow or its schedules.
    ///
    /// # Errors
    /// The call.
    pub async fn resume(&self, target: &PauseTarget) -> Result<()> {
        self.0.change(Method::POST, &of_pause(target, "resume")).await
    }
}

fn of_pause(target: &PauseTarget, verb: &str) -> String {
    let (repo, workflow) = (encoded(&target.repo), encoded(&target.workflow));
    format!("/api/v1/repositories/{repo}/{}s/{workflow}/{verb}", target.scope.as_str())
}

fn of_repo(repo: &str, rest: &str) -> String {
    format!("{ALL}/{}{rest}", encoded(repo))
}
