//! Applies what `forge` steps propose, with the credentials of the repository: they stay in this process.
//!
//! Must not widen a change: repository, number and text come checked from the executor.

use std::sync::Weak;

use plue_executor::perform::forge::{ForgeApplied, ForgeApplying, ForgeChange, ForgeWriter};
use plue_forge::{FeedbackError, feedback::Thread};
use plue_store::ReportKey;

use crate::server::{Inner, Server};

/// The writer of one server; it does not keep the server alive.
#[derive(Debug)]
pub(crate) struct Writer(pub(crate) Weak<Inner>);

// === impl Writer ===

impl ForgeWriter for Writer {
    fn apply(&self, change: ForgeChange) -> ForgeApplying {
        let inner = self.0.upgrade();
        Box::pin(async move {
            let server = inner.map(Server::of).ok_or("the server stops")?;
            match server.change_forge(&change).await {
                // A token of an App ends before its time when the App is changed.
                Err(Failed::Forge(FeedbackError::Refused { status: 401, .. }))
                    if server.forget_app_token(&change.repository) =>
                {
                    server.change_forge(&change).await
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

// === impl Server ===

impl Server {
    async fn change_forge(&self, change: &ForgeChange) -> Result<ForgeApplied, Failed> {
        let own = |why: &str| Err(Failed::Own(why.to_owned()));
        let Some(repo) = self.store().repo(&change.repository).await? else {
            return own("the repository is not watched any more");
        };
        if self.is_superseded(change).await? {
            return Ok(ForgeApplied::Superseded);
        }
        let Some(client) = self.client_of(&repo).await? else {
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

    /// Whether a newer commit of the pull request has been looked at. A run may be faster than the report
    /// of its own commit: without that report it is the newest.
    async fn is_superseded(&self, change: &ForgeChange) -> Result<bool, plue_store::Error> {
        let (Thread::PullRequest(number), Some(sha)) = (change.thread, &change.sha) else {
            return Ok(false);
        };
        let repo = change.repository.clone();
        let Some(newest) = self.store().newest_report(&repo, number).await? else {
            return Ok(false);
        };
        if newest.key.sha == *sha {
            return Ok(false);
        }
        let key = ReportKey { repo, sha: sha.clone(), pull_request: number };
        Ok(self.store().report(&key).await?.is_some())
    }
}
