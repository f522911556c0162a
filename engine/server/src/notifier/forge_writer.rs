//! Applies the changes of `forge` steps with the credentials of the repository, which stay in this process.
//!
//! Must not widen a change: repository, number and text are checked by the executor.

use plue_executor::perform::forge::{ForgeApplied, ForgeApplying, ForgeChange, ForgeWriter};
use plue_forge::{FeedbackError, feedback::Thread};
use plue_store::{ReportKey, Store};

use crate::{secrets::Credentials, services::Services};

/// Writes labels and comments to forges. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct ForgeChanges {
    store: Store,
    credentials: Credentials,
}

// === impl ForgeWriter ===

impl ForgeWriter for ForgeChanges {
    fn apply(&self, change: ForgeChange) -> ForgeApplying {
        let writer = self.clone();
        Box::pin(async move {
            match writer.change_forge(&change).await {
                // The token of an App is revoked early when the App changes.
                Err(Failed::Forge(FeedbackError::Refused { status: 401, .. }))
                    if writer.credentials.forget_app_token(&change.repository) =>
                {
                    writer.change_forge(&change).await
                }
                applied => applied,
            }
            .map_err(|failed| failed.to_string())
        })
    }
}

/// The reason that a change was not applied.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Own(String),
    #[error(transparent)]
    Forge(#[from] FeedbackError),
}

impl From<crate::error::Error> for Failed {
    fn from(error: crate::error::Error) -> Self {
        Self::Own(error.to_string())
    }
}

impl From<plue_store::Error> for Failed {
    fn from(error: plue_store::Error) -> Self {
        Self::Own(error.to_string())
    }
}

// === impl ForgeChanges ===

impl ForgeChanges {
    pub(crate) fn new(services: &Services) -> Self {
        Self { store: services.store.clone(), credentials: services.credentials.clone() }
    }

    async fn change_forge(&self, change: &ForgeChange) -> Result<ForgeApplied, Failed> {
        let own = |why: &str| Err(Failed::Own(why.to_owned()));
        let Some(repo) = self.store.repos().get(&change.repository).await? else {
            return own("the repository is not watched any more");
        };
        if self.is_superseded(change).await? {
            return Ok(ForgeApplied::Superseded);
        }
        let Some(client) = self.credentials.forge_client(&repo).await? else {
            return own(
                "the forge cannot be written to without a token: see `plue repo add --token`",
            );
        };
        if !(change.add.is_empty() && change.remove.is_empty()) {
            let (add, remove) = (&change.add, &change.remove);
            client.change_labels(&repo.name, change.thread, add, remove).await?;
        }
        let mut comment = None;
        if let Some((key, text)) = &change.comment {
            let id = client.put_comment(&repo.name, change.thread, None, key, text).await?;
            comment = Some(id.0);
        }
        Ok(ForgeApplied::Done(comment))
    }

    /// Whether a newer commit of the pull request has a report. A run may be faster than the report of its own
    /// commit, which is then the newest.
    async fn is_superseded(&self, change: &ForgeChange) -> Result<bool, plue_store::Error> {
        let (Thread::PullRequest(number), Some(sha)) = (change.thread, &change.sha) else {
            return Ok(false);
        };
        let repo = change.repository.clone();
        let Some(newest) = self.store.reports().newest(&repo, number).await? else {
            return Ok(false);
        };
        if newest.key.sha == *sha {
            return Ok(false);
        }
        let key = ReportKey { repo, sha: sha.clone(), pull_request: number };
        Ok(self.store.reports().get(&key).await?.is_some())
    }
}
