//! The mirror of each repository, a bare clone that is fetched when an event arrives.
//!
//! Workflow files and workspaces are read from mirrors, never from the network.

use std::sync::Arc;

use jiff::Timestamp;
use plue_forge::{
    feedback::Rights,
    git::{CommitId, Credential, FetchRequest, Mirror, Remote},
};
use plue_store::RepoRow;
use sha2::{Digest as _, Sha256};

use crate::{
    commit_cache::CommitCache, error::Error, process::Process, secrets::Credentials,
    state_dir::StateDir,
};

/// A commit that a revision names.
pub(crate) struct ResolvedRevision {
    pub(crate) mirror: Mirror,
    pub(crate) commit: CommitId,
    /// The branch, if the revision names one.
    pub(crate) branch: Option<String>,
}

/// The mirrors of all repositories. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Mirrors {
    pub(crate) state: StateDir,
    pub(crate) credentials: Credentials,
    pub(crate) commits: Arc<CommitCache>,
    pub(crate) process: Process,
}

// === impl Mirrors ===

impl Mirrors {
    /// The mirror of a repository in its last fetched state.
    pub(crate) async fn mirror(&self, repo: &RepoRow) -> Result<Mirror, Error> {
        // Names are untrusted text, so the folder is named by a hash.
        let folder = hex::encode(&Sha256::digest(repo.name.as_bytes())[..16]);
        let folder = self.state.folder("mirrors")?.join(format!("{folder}.git"));
        Ok(Mirror::open(folder, self.process.tasks.clone()).await?)
    }

    /// Fetches all branches and tags, and these refs. Remote repositories are fetched without blobs;
    /// [`Self::complete`] fetches those of a commit.
    pub(crate) async fn fetched(&self, repo: &RepoRow, refs: &[String]) -> Result<Mirror, Error> {
        let mirror = self.mirror(repo).await?;
        let remote = self.remote(repo).await?;
        let want = FetchRequest {
            branches_and_tags: true,
            refs: refs.to_vec(),
            without_blobs: !remote.is_local(),
            ..FetchRequest::default()
        };
        let started_at = self.process.clock.now();
        let mut fetched = mirror.fetch(&remote, &want).await;
        // The token of an App may be revoked before it expires.
        if fetched.is_err() && self.credentials.forget_app_token(&repo.name) {
            fetched = mirror.fetch(&self.remote(repo).await?, &want).await;
        }
        fetched?;
        self.commits.put_fetch(mirror.folder(), &repo.url, started_at);
        Ok(mirror)
    }

    /// The mirror with all branches and tags as of `time` or later. Events that arrived before the last
    /// fetch share it.
    pub(crate) async fn fetched_since(
        &self,
        repo: &RepoRow,
        time: Timestamp,
    ) -> Result<Mirror, Error> {
        let mirror = self.mirror(repo).await?;
        if self.commits.is_fetched_since(mirror.folder(), &repo.url, time) {
            return Ok(mirror);
        }
        self.fetched(repo, &[]).await
    }

    /// Fetches the blobs of a commit that the mirror lacks.
    pub(crate) async fn complete(
        &self,
        repo: &RepoRow,
        mirror: &Mirror,
        commit: &CommitId,
    ) -> Result<(), Error> {
        if mirror.is_whole(commit).await? {
            return Ok(());
        }
        Ok(mirror.complete(commit, &self.remote(repo).await?).await?)
    }

    /// The remote of a repository, with its credential.
    pub(crate) async fn remote(&self, repo: &RepoRow) -> Result<Remote, Error> {
        self.remote_for(repo, None).await
    }

    /// The same; the token of a GitHub App has the rights of a change.
    pub(crate) async fn remote_for(
        &self,
        repo: &RepoRow,
        rights: Option<Rights>,
    ) -> Result<Remote, Error> {
        let token = self.credentials.forge_token_for(&repo.name, rights).await?;
        let credential = credential_of(repo, token)?;
        // Plain HTTP was confirmed when the repository was added.
        Ok(Remote::new_allowing_http(&repo.url, credential)?)
    }

    /// The git credential of a repository, if it has a forge token.
    pub(crate) async fn credential(&self, repo: &RepoRow) -> Result<Option<Credential>, Error> {
        credential_of(repo, self.credentials.forge_token(&repo.name).await?)
    }

    /// The mirror with this commit, fetched if it is missing: another engine may have received the event.
    pub(crate) async fn mirror_with(
        &self,
        repo: &RepoRow,
        sha: &str,
    ) -> Result<(Mirror, CommitId), Error> {
        let commit = CommitId::new(sha)?;
        let mirror = self.mirror(repo).await?;
        if !mirror.has(&commit).await? {
            self.fetched(repo, &[]).await?;
        }
        if mirror.has(&commit).await? {
            self.complete(repo, &mirror, &commit).await?;
            return Ok((mirror, commit));
        }
        // On no branch: the head of a pull request that another machine fetched.
        let by_id = FetchRequest { commits: vec![commit.clone()], ..FetchRequest::default() };
        let fetched = mirror.fetch(&self.remote(repo).await?, &by_id).await;
        if fetched.is_ok() && mirror.has(&commit).await? {
            self.complete(repo, &mirror, &commit).await?;
            return Ok((mirror, commit));
        }
        Err(Error::NotFound(format!("{} has no commit {sha} any more", repo.name)))
    }

    /// Resolves a branch, tag, full ref or commit id. An up-to-date mirror is not fetched.
    pub(crate) async fn resolve(
        &self,
        repo: &RepoRow,
        rev: &str,
    ) -> Result<ResolvedRevision, Error> {
        let mirror = self.mirror(repo).await?;
        if let Ok(id) = CommitId::new(rev)
            && mirror.has(&id).await?
            && mirror.is_published(&id).await?
        {
            return Ok(ResolvedRevision { mirror, commit: id, branch: None });
        }
        let branch = rev.strip_prefix("refs/heads/").unwrap_or(rev);
        if let Some(head) = self.remote(repo).await?.local_head(branch)
            && mirror.resolve(&format!("refs/heads/{branch}")).await? == Some(head.clone())
        {
            let branch = Some(branch.to_owned());
            return Ok(ResolvedRevision { mirror, commit: head, branch });
        }
        let mirror = self.fetched(repo, &[]).await?;
        if let Ok(id) = CommitId::new(rev)
            && mirror.has(&id).await?
        {
            return match mirror.is_published(&id).await? {
                true => Ok(ResolvedRevision { mirror, commit: id, branch: None }),
                // Mirrors also hold commits of forks, which must not run as trusted ones.
                false => {
                    Err(Error::NotFound(format!("commit {rev} is on no branch and has no tag")))
                }
            };
        }
        let names = [rev.to_owned(), format!("refs/heads/{rev}"), format!("refs/tags/{rev}")];
        let is_ours =
            |name: &&String| ["refs/heads/", "refs/tags/"].iter().any(|of| name.starts_with(of));
        for name in names.iter().filter(is_ours) {
            if let Some(found) = mirror.resolve(name).await? {
                let branch = name.strip_prefix("refs/heads/").map(str::to_owned);
                return Ok(ResolvedRevision { mirror, commit: found, branch });
            }
        }
        Err(Error::NotFound(format!("there is no branch, tag or commit `{rev}`")))
    }
}

/// The git credential of a forge token.
fn credential_of(repo: &RepoRow, token: Option<String>) -> Result<Option<Credential>, Error> {
    let credential = token.map(|token| Credential::new(user_of(&repo.forge), &token));
    Ok(credential.transpose()?)
}

/// The user name for git over HTTP with a token of this forge.
fn user_of(forge: &str) -> &'static str {
    match forge {
        "github" => "x-access-token",
        "gitlab" => "oauth2",
        _ => "plue",
    }
}
