//! Applies the changes of `forge` steps with the credentials of the repository, which stay in this process.
//!
//! Must not widen a change: repository, number and text are checked by the executor.

use std::time::Duration;

use plue_executor::perform::forge::{
    ForgeApplied, ForgeApplying, ForgeChange, ForgeResult, ForgeWriter, PatchChange,
};
use plue_forge::{
    Client, FeedbackError, GitError,
    feedback::{PullRequestChange, Rights, Thread},
    git::Proposals,
};
use plue_store::{RepoRow, ReportKey, Store};

use crate::{mirrors::Mirrors, secrets::Credentials, services::Services};

/// Pushes of one commit, while its branch stays as it was.
const PUSHES: u32 = 3;
/// Pause between two pushes.
const PUSH_PAUSE: Duration = Duration::from_secs(1);

/// Writes labels, comments, commits and pull requests to forges. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct ForgeChanges {
    store: Store,
    mirrors: Mirrors,
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
    #[error(transparent)]
    Git(#[from] GitError),
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

/// The rights that a GitHub App needs for a change.
fn rights(change: &ForgeChange) -> Rights {
    let issues = matches!(change.thread, Some(Thread::Issue(_)));
    Rights::Changes { commits: change.patch.is_some(), issues }
}

// === impl ForgeChanges ===

impl ForgeChanges {
    pub(crate) fn new(services: &Services) -> Self {
        let (store, mirrors) = (services.store.clone(), services.mirrors.clone());
        Self { store, mirrors, credentials: services.credentials.clone() }
    }

    async fn change_forge(&self, change: &ForgeChange) -> Result<ForgeApplied, Failed> {
        let own = |why: &str| Err(Failed::Own(why.to_owned()));
        let Some(repo) = self.store.repos().get(&change.repository).await? else {
            return own("the repository is not watched any more");
        };
        if self.is_superseded(change).await? {
            return Ok(ForgeApplied::Superseded);
        }
        let rights = rights(change);
        let client = self.credentials.forge_client_for(&repo, Some(rights)).await?;
        let client = || {
            client.as_ref().ok_or(Failed::Own(
                "the forge cannot be written to without a token: see `plue repo add --token`"
                    .to_owned(),
            ))
        };
        let mut result = ForgeResult::default();
        // First, as it is what is mostly refused.
        if let Some(patch) = &change.patch {
            let Some(commit) = self.push_patch(&repo, patch, rights).await? else {
                return Ok(ForgeApplied::Superseded);
            };
            if let (Some(commit), Some(_)) = (&commit, &patch.pull_request) {
                let pull = self.open_pull_request(client()?, &repo, patch, commit).await?;
                result.pull_request = Some(pull);
            }
            result.commit = commit;
        }
        let Some(thread) = change.thread else { return Ok(ForgeApplied::Done(result)) };
        if !(change.add.is_empty() && change.remove.is_empty()) {
            let (add, remove) = (&change.add, &change.remove);
            client()?.change_labels(&repo.name, thread, add, remove).await?;
        }
        if let Some((key, text)) = &change.comment {
            let id = client()?.put_comment(&repo.name, thread, None, key, text).await?;
            result.comment = Some(id.0);
        }
        Ok(ForgeApplied::Done(result))
    }

    /// Pushes the commit of a patch; its id, or `Some(None)` if the patch changes nothing. `None`: the branch
    /// has a newer commit, whose run applies its own change.
    async fn push_patch(
        &self,
        repo: &RepoRow,
        patch: &PatchChange,
        rights: Rights,
    ) -> Result<Option<Option<String>>, Failed> {
        let own = |why: String| Err(Failed::Own(why));
        self.mirrors.fetched(repo, &[]).await?;
        let (mirror, base) = self.mirrors.mirror_with(repo, &patch.sha).await?;
        let head = mirror.resolve(&format!("refs/heads/{}", patch.base_branch)).await?;
        match head {
            None => return own(format!("there is no branch `{}` any more", patch.base_branch)),
            Some(head) if patch.follows_base && head != base => return Ok(None),
            Some(_) => {}
        }
        let remote = self.mirrors.remote_for(repo, Some(rights)).await?;
        let proposals = Proposals { mirror: &mirror, remote: &remote };
        let check = |files: &[_]| patch.check(files);
        let commit = proposals.commit(&base, &patch.patch, &patch.message, check).await?;
        let Some(commit) = commit else { return Ok(Some(None)) };
        let there = mirror.resolve(&format!("refs/heads/{}", patch.branch)).await?;
        match &there {
            Some(there) if *there == commit => return Ok(Some(Some(commit.to_string()))),
            Some(there) if !proposals.is_own(there).await? => {
                return own(format!(
                    "the head of the branch `{}` is not by plue; merge, rename or delete the branch",
                    patch.branch
                ));
            }
            Some(_) | None => {}
        }
        let mut tries = 1;
        while let Err(error) = proposals.push(&patch.branch, there.as_ref(), &commit).await {
            // A push of an engine that died may still be under way: the same patch is the same commit.
            self.mirrors.fetched(repo, &[]).await?;
            let now = mirror.resolve(&format!("refs/heads/{}", patch.branch)).await?;
            if now.as_ref() == Some(&commit) {
                break;
            }
            if now != there || tries == PUSHES {
                return Err(error.into());
            }
            self.mirrors.process.clock.sleep(PUSH_PAUSE).await;
            tries += 1;
        }
        Ok(Some(Some(commit.to_string())))
    }

    async fn open_pull_request(
        &self,
        client: &Client,
        repo: &RepoRow,
        patch: &PatchChange,
        commit: &str,
    ) -> Result<u64, Failed> {
        let (title, text) = patch.pull_request.clone().unwrap_or_default();
        let change = PullRequestChange {
            branch: patch.branch.clone(),
            base: patch.base_branch.clone(),
            commit: commit.to_owned(),
            title,
            text,
        };
        Ok(client.put_pull_request(&repo.name, &change).await?)
    }

    /// Whether a newer commit of the pull request has a report. A run may be faster than the report of its own
    /// commit, which is then the newest.
    async fn is_superseded(&self, change: &ForgeChange) -> Result<bool, plue_store::Error> {
        let (Some(Thread::PullRequest(number)), Some(sha)) = (change.thread, &change.sha) else {
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
