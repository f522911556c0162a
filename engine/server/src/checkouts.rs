//! The `.git` directory of a run's workspace: its branch, its history and the branches to compare with,
//! from the mirror.
//!
//! Must not put a credential into a workspace.

use std::{io, num::NonZeroU32, path::Path, sync::Arc};

use plue_forge::git::{Checkout, CommitId, History, Mirror};
use plue_plan::{Event, policy};
use plue_runtime::Tasks;
use plue_store::RepoRow;
use sha2::{Digest as _, Sha256};

use crate::{
    commit_cache::{CommitCache, MAX_PACKED_BYTES},
    error::Error,
    mirrors::Mirrors,
};

/// Repository, commit, event and options that a workspace is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) repo: &'a RepoRow,
    pub(crate) mirror: &'a Mirror,
    pub(crate) commit: &'a CommitId,
    pub(crate) event: &'a Event,
    /// The union of the checkout options of the plan and its steps.
    pub(crate) asked: &'a policy::Checkout,
    /// Whether the commit is trusted: credentials and the operator's network exceptions apply.
    pub(crate) is_trusted: bool,
}

/// Creates `.git` directories of workspaces.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checkouts<'a> {
    pub(crate) mirrors: &'a Mirrors,
    pub(crate) commits: &'a CommitCache,
    pub(crate) tasks: &'a Tasks,
}

// === impl Checkouts ===

impl Checkouts<'_> {
    /// Creates the `.git` directory of a workspace at `target`, which must not exist. Small ones are cached.
    pub(crate) async fn git_dir(&self, source: &Source<'_>, target: &Path) -> Result<(), Error> {
        let checkout = self.checkout(source).await?;
        let tags = source.mirror.tag_state().await?;
        let key = Sha256::new()
            .chain_update(format!("{} {checkout:?}\n", source.mirror.folder().display()))
            .chain_update(tags);
        let key: [u8; 32] = key.finalize().into();
        let target = target.to_owned();
        if let Some(packed) = self.commits.git_dir(&key) {
            let work = move || tar::Archive::new(&*packed).unpack(&target);
            return self.on_disk(work).await;
        }
        // Only a partial mirror needs its remote.
        let remote = match source.mirror.is_partial() {
            true => Some(self.mirrors.remote(source.repo).await?),
            false => None,
        };
        source.mirror.check_out(&checkout, remote.as_ref(), &target).await?;
        if let Some(packed) = self.on_disk(move || packed(&target)).await? {
            self.commits.put_git_dir(key, packed);
        }
        Ok(())
    }

    /// The content of a workspace's repository: commit, branches, history and tags.
    async fn checkout(&self, source: &Source<'_>) -> Result<Checkout, Error> {
        let Source { repo, mirror, commit, event, asked, is_trusted: _ } = *source;
        let branch = branch_of(event);
        let mut remote_branches = Vec::new();
        // The event's branch is at the event's commit, also after later pushes.
        if let (Some(branch), None) = (&branch, &event.pull_request) {
            remote_branches.push((branch.clone(), commit.clone()));
        }
        let base = event.pull_request.as_ref().map(|pull| pull.base.git_ref.as_str());
        for name in base.into_iter().chain([repo.default_branch.as_str()]) {
            let is_listed = remote_branches.iter().any(|(listed, _)| listed == name);
            if let (false, Some(head)) = (is_listed, head_of(mirror, name).await?) {
                remote_branches.push((name.to_owned(), head));
            }
        }
        Ok(Checkout {
            commit: commit.clone(),
            branch,
            remote_branches,
            default_branch: repo.default_branch.clone(),
            history: history(asked.fetch_depth),
            tags: asked.tags,
            origin: repo.url.clone(),
        })
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let done = self.tasks.spawn_blocking(work).await.map_err(|_| Error::Stopped)?;
        done.map_err(|source| Error::Folder { path: "workspaces".to_owned(), source })
    }
}

fn history(fetch_depth: Option<u32>) -> History {
    fetch_depth.map_or(History::Commits, |depth| {
        NonZeroU32::new(depth).map_or(History::All, History::Depth)
    })
}

/// The branch that `HEAD` is attached to. A tag, or a commit that a user named, leaves it detached.
fn branch_of(event: &Event) -> Option<String> {
    match &event.pull_request {
        // Not the head's branch name, which may be `main` in a fork.
        Some(pull) => Some(format!("pull/{}", pull.number)),
        None if event.tag.is_some() => None,
        None => event.branch.clone(),
    }
}

/// The head of a branch; `None` also for an invalid name.
async fn head_of(mirror: &Mirror, branch: &str) -> Result<Option<CommitId>, Error> {
    let found = mirror.resolve(&format!("refs/heads/{branch}")).await;
    match found {
        Err(plue_forge::GitError::BadName(_)) => Ok(None),
        found => Ok(found?),
    }
}

/// A `.git` directory as a tar archive, unless it exceeds [`MAX_PACKED_BYTES`].
fn packed(folder: &Path) -> io::Result<Option<Arc<[u8]>>> {
    let mut bytes = 0;
    for file in std::fs::read_dir(folder.join("objects/pack"))? {
        bytes += file?.metadata()?.len();
    }
    if bytes + folder.join("index").metadata()?.len() > MAX_PACKED_BYTES {
        return Ok(None);
    }
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_dir_all("", folder)?;
    Ok(Some(builder.into_inner()?.into()))
}

/// Moves a `.git` directory into a workspace; replaces a `.git` entry of the commit.
pub(crate) fn put(git_dir: &Path, workspace: &Path) -> io::Result<()> {
    let at = workspace.join(".git");
    match std::fs::symlink_metadata(&at) {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(&at)?,
        Ok(_) => std::fs::remove_file(&at)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    std::fs::rename(git_dir, &at)
}

#[cfg(test)]
mod tests {
    use plue_plan::event::{EventType, PullRequest};

    use super::*;

    #[test]
    fn only_branches_attach_the_head() {
        let mut event = Event::new(EventType::Push);
        assert_eq!(branch_of(&event), None);
        event.branch = Some("main".to_owned());
        assert_eq!(branch_of(&event).as_deref(), Some("main"));
        event.tag = Some("v1".to_owned());
        assert_eq!(branch_of(&event), None);
        event.pull_request = Some(PullRequest {
            number: 7,
            title: String::new(),
            draft: false,
            labels: Vec::new(),
            base: plue_plan::event::Branch::default(),
            head: plue_plan::event::Branch::default(),
            fork: true,
        });
        assert_eq!(branch_of(&event).as_deref(), Some("pull/7"));
    }

    #[test]
    fn links_of_commits_are_replaced_never_followed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["made", "work", "elsewhere"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        std::fs::write(at("made/HEAD"), "ours").unwrap();
        std::fs::write(at("elsewhere/HEAD"), "theirs").unwrap();
        std::os::unix::fs::symlink(at("elsewhere"), at("work/.git")).unwrap();
        put(&at("made"), &at("work")).unwrap();
        assert_eq!(std::fs::read_to_string(at("work/.git/HEAD")).unwrap(), "ours");
        assert_eq!(std::fs::read_to_string(at("elsewhere/HEAD")).unwrap(), "theirs");
    }
}
