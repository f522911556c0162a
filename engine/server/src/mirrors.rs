//! The mirror of each repository: what the server knows of it, fetched when something happened.
//!
//! Workflow files and workspaces come from here and never from the network.

use std::path::PathBuf;

use jiff::Timestamp;
use plue_forge::git::{CommitId, Credential, FetchRequest, Mirror, Remote};
use plue_store::RepoRow;
use sha2::{Digest as _, Sha256};

use crate::{error::Error, server::Server};

impl Server {
    /// The mirror of a repository, as it was last fetched.
    pub(crate) async fn mirror(&self, repo: &RepoRow) -> Result<Mirror, Error> {
        // A name is a stranger's text; its hash is a folder.
        let folder = hex::encode(&Sha256::digest(repo.name.as_bytes())[..16]);
        let folder = self.folder("mirrors")?.join(format!("{folder}.git"));
        Ok(Mirror::open(folder, self.parts().tasks.clone()).await?)
    }

    /// The mirror with all branches and tags of now, and with these refs. From another machine comes the
    /// history alone; the files of a commit come when it is looked at, see [`Self::complete`].
    pub(crate) async fn fetched(&self, repo: &RepoRow, refs: &[String]) -> Result<Mirror, Error> {
        let mirror = self.mirror(repo).await?;
        let remote = self.remote(repo).await?;
        let want = FetchRequest {
            branches_and_tags: true,
            refs: refs.to_vec(),
            without_blobs: !remote.is_local(),
            ..FetchRequest::default()
        };
        let begun = self.parts().clock.now();
        let mut fetched = mirror.fetch(&remote, &want).await;
        // The token of an App may have been taken back before its time.
        if fetched.is_err() && self.forget_app_token(&repo.name) {
            fetched = mirror.fetch(&self.remote(repo).await?, &want).await;
        }
        fetched?;
        self.known().put_fetch(mirror.folder(), &repo.url, begun);
        Ok(mirror)
    }

    /// The mirror with all branches and tags as they were at `time` or later. Of a thousand comments
    /// that wait, the first one fetches for all.
    pub(crate) async fn fetched_since(
        &self,
        repo: &RepoRow,
        time: Timestamp,
    ) -> Result<Mirror, Error> {
        let mirror = self.mirror(repo).await?;
        if self.known().is_fetched_since(mirror.folder(), &repo.url, time) {
            return Ok(mirror);
        }
        self.fetched(repo, &[]).await
    }

    /// Sees to it that the files of a commit are in the mirror.
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

    /// Where the mirror comes from.
    pub(crate) async fn remote(&self, repo: &RepoRow) -> Result<Remote, Error> {
        let credential = self.credential(repo).await?;
        // Whoever added the repository was asked whether it may go without TLS.
        Ok(Remote::new_allowing_http(&repo.url, credential)?)
    }

    /// The credential that the forge of a repository knows this server by.
    pub(crate) async fn credential(&self, repo: &RepoRow) -> Result<Option<Credential>, Error> {
        match self.forge_token(&repo.name).await? {
            Some(token) => Ok(Some(Credential::new(user_of(&repo.forge), &token)?)),
            None => Ok(None),
        }
    }

    /// The mirror with this commit, fetched if the commit is not there: another engine may have been the
    /// one that was told of it.
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
        // Of no branch: that of a pull request, which was fetched on another machine.
        let by_id = FetchRequest { commits: vec![commit.clone()], ..FetchRequest::default() };
        let fetched = mirror.fetch(&self.remote(repo).await?, &by_id).await;
        if fetched.is_ok() && mirror.has(&commit).await? {
            self.complete(repo, &mirror, &commit).await?;
            return Ok((mirror, commit));
        }
        Err(Error::NotFound(format!("{} has no commit {sha} any more", repo.name)))
    }

    /// The mirror with the commit that a person means, a branch, a tag, a full ref or an id; and the
    /// branch, if it is one. Where the mirror is known to be up to date, nothing is fetched.
    pub(crate) async fn commit(
        &self,
        repo: &RepoRow,
        rev: &str,
    ) -> Result<(Mirror, CommitId, Option<String>), Error> {
        let mirror = self.mirror(repo).await?;
        if let Ok(id) = CommitId::new(rev)
            && mirror.has(&id).await?
            && mirror.is_published(&id).await?
        {
            return Ok((mirror, id, None));
        }
        let branch = rev.strip_prefix("refs/heads/").unwrap_or(rev);
        if let Some(head) = self.remote(repo).await?.local_head(branch)
            && mirror.resolve(&format!("refs/heads/{branch}")).await? == Some(head.clone())
        {
            return Ok((mirror, head, Some(branch.to_owned())));
        }
        let mirror = self.fetched(repo, &[]).await?;
        if let Ok(id) = CommitId::new(rev)
            && mirror.has(&id).await?
        {
            return match mirror.is_published(&id).await? {
                true => Ok((mirror, id, None)),
                // What a fork has pushed is here as well, and would run as if somebody had let it in.
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
                return Ok((mirror, found, branch));
            }
        }
        Err(Error::NotFound(format!("there is no branch, tag or commit `{rev}`")))
    }

    /// A folder of the server, made if it is not there, for nobody else to look into.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, Error> {
        use std::os::unix::fs::DirBuilderExt as _;
        let folder = self.parts().options.state_dir.join(name);
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|source| Error::Folder { path: folder.display().to_string(), source })?;
        Ok(folder)
    }
}

/// The name that goes with a token of this forge.
fn user_of(forge: &str) -> &'static str {
    match forge {
        "github" => "x-access-token",
        "gitlab" => "oauth2",
        _ => "plue",
    }
}
