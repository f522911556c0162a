//! Commit statuses: the coloured dots of a commit.

use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::{
    feedback::{client::Client, error::FeedbackError, http::ApiRequest},
    git::CommitId,
    limits::MAX_DESCRIPTION_CHARS,
    provider::Provider,
};

/// State of a commit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The run is queued or waits for a person.
    Pending,
    /// The run is in progress.
    Running,
    /// All steps succeeded or were skipped.
    Success,
    /// It had nothing to do, which counts as success.
    Skipped,
    /// At least one step failed.
    Failure,
    /// Something of ours failed.
    Error,
    /// A principal cancelled the run.
    Cancelled,
}

/// Status of a commit. Another status of the same context replaces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitStatus {
    /// Name of the plan's status, `plue / CI Pipeline`, for branch protections.
    pub context: String,
    /// The state to show.
    pub state: State,
    /// A few words; cut to [`MAX_DESCRIPTION_CHARS`].
    pub description: String,
    /// Address of the details page.
    pub url: Option<String>,
}

// === impl State ===

impl State {
    /// The state in the forge's spelling.
    const fn word(self, provider: Provider) -> &'static str {
        match (provider, self) {
            (_, Self::Success) => "success",
            (Provider::GitLab, Self::Running) => "running",
            (_, Self::Pending | Self::Running) => "pending",
            // GitLab has `skipped` since 17.11 only; elsewhere it has no word.
            (_, Self::Skipped) => "success",
            (Provider::GitLab, Self::Failure | Self::Error) => "failed",
            (Provider::GitLab, Self::Cancelled) => "canceled",
            (_, Self::Failure) => "failure",
            (_, Self::Error | Self::Cancelled) => "error",
        }
    }
}

pub(super) async fn set_status(
    client: &Client,
    repository: &str,
    commit: &CommitId,
    status: &CommitStatus,
) -> Result<(), FeedbackError> {
    let description: String = status.description.chars().take(MAX_DESCRIPTION_CHARS).collect();
    let word = status.state.word(client.provider);
    let context = match client.provider {
        Provider::GitLab => "name",
        Provider::GitHub | Provider::Gitea | Provider::Forgejo => "context",
    };
    let mut body = json!({"state": word, "description": description});
    if let Some(fields) = body.as_object_mut() {
        fields.insert(context.to_owned(), Json::from(status.context.as_str()));
        if let Some(url) = &status.url {
            fields.insert("target_url".to_owned(), Json::from(url.as_str()));
        }
    }
    let mut path = client.repository(repository);
    path.extend(["statuses".to_owned(), commit.to_string()]);
    let ask = ApiRequest {
        what: "a commit status",
        method: Method::POST,
        path,
        query: Vec::new(),
        body: Some(body),
        repeatable: true,
    };
    match client.http.send(&ask).await {
        // GitLab refuses to set a status to what it is already.
        Err(FeedbackError::Refused { status: 400, reason, .. })
            if client.provider == Provider::GitLab
                && reason.contains("Cannot transition status") =>
        {
            Ok(())
        }
        sent => sent.map(|_| ()),
    }
}
