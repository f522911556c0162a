//! The files that an event changed, from git: payloads leave files out.

use std::collections::BTreeSet;

use crate::git::files::measure;
use crate::git::{command::Call, commit_id::CommitId, error::GitError, mirror::Mirror};

/// Base of a comparison of commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since<'a> {
    /// A push moved a ref from `before`; none if the ref is new. `default_branch` is a full ref.
    Push {
        /// Commit of the ref before the push.
        before: Option<&'a CommitId>,
        /// Base of new branches.
        default_branch: Option<&'a str>,
    },
    /// A pull request goes to a branch whose head is this.
    PullRequest {
        /// The head of the base branch.
        base: &'a CommitId,
    },
}

/// The files that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangedFiles {
    /// Nothing to compare with is known. Path filters let everything through.
    Unknown,
    /// These, sorted by bytes, old and new names of renamed ones.
    Known(Vec<String>),
}

pub(super) async fn changed_files(
    mirror: &Mirror,
    since: Since<'_>,
    after: &CommitId,
) -> Result<ChangedFiles, GitError> {
    if !mirror.has(after).await? {
        return Err(GitError::NoCommit(after.to_string()));
    }
    let from = match since {
        Since::PullRequest { base } => merge_base(mirror, base.as_str(), after).await?,
        Since::Push { before, default_branch } => match before {
            Some(before) if mirror.has(before).await? => Some(before.clone()),
            Some(_) | None => since_default(mirror, default_branch, after).await?,
        },
    };
    let Some(from) = from else { return Ok(ChangedFiles::Unknown) };
    let args = ["-r", "-z", "--name-only", "--no-renames", "--no-ext-diff", "--end-of-options"];
    let args = [args.as_slice(), &[from.as_str(), after.as_str(), "--"]].concat();
    // Git makes the whole list before it prints the first name, so both trees are measured first.
    measure(mirror, after).await?;
    // The commit before may be a bomb; the one that takes it back must run.
    match measure(mirror, &from).await {
        Err(error) if error.is_final() => return Ok(ChangedFiles::Unknown),
        measured => measured?,
    }
    let names = BTreeSet::new();
    let call = Call::local(&mirror.folder);
    let names = call.records("diff-tree", &args, names, |names: &mut BTreeSet<String>, name| {
        // A name that is no UTF-8 still counts as a file that changed.
        names.insert(String::from_utf8_lossy(name).into_owned());
        Ok(())
    });
    Ok(ChangedFiles::Known(names.await?.into_iter().collect()))
}

/// The ancestor on the default branch. None when `after` *is* the default branch: a new
/// repository has nothing to be compared with.
async fn since_default(
    mirror: &Mirror,
    default_branch: Option<&str>,
    after: &CommitId,
) -> Result<Option<CommitId>, GitError> {
    let Some(name) = default_branch else { return Ok(None) };
    let Some(head) = mirror.resolve(name).await? else { return Ok(None) };
    merge_base(mirror, head.as_str(), after).await
}

pub(super) async fn is_ancestor(
    mirror: &Mirror,
    old: &CommitId,
    new: &CommitId,
) -> Result<bool, GitError> {
    Ok(merge_base(mirror, old.as_str(), new).await?.as_ref() == Some(old))
}

/// The commit where two histories parted.
pub(super) async fn merge_base(
    mirror: &Mirror,
    one: &str,
    other: &CommitId,
) -> Result<Option<CommitId>, GitError> {
    let args = ["--end-of-options", one, other.as_str()];
    match Call::local(&mirror.folder).run("merge-base", &args).await {
        Ok(output) => CommitId::new(String::from_utf8_lossy(&output).trim()).map(Some),
        Err(GitError::Failed { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}
