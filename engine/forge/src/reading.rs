//! Contents of a delivery, independent of its forge: the field names are contract
//! (`docs/reference/webhooks.md`).
//!
//! A field that the forge did not send is `None`, and is written as `null`: absent differs from
//! false. Must not hold a type or a spelling that only one forge knows, except in `event` and
//! `action`, which repeat the forge's own.

use schemars::JsonSchema;
use serde::Serialize;

use crate::provider::Provider;

mod event;

/// The content of a delivery, in one form for all forges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Reading {
    /// Forge of the delivery.
    pub provider: Provider,
    /// The forge's name of the event.
    pub event: String,
    /// `owner/name`, with all groups on GitLab.
    pub repo: Option<String>,
    /// The repository's default branch.
    pub default_branch: Option<String>,
    /// Login of who did it.
    pub sender: Option<String>,
    /// True if the forge marks the sender as a program.
    pub sender_is_bot: bool,
    /// The forge's own word for what happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Kind of the event.
    #[serde(flatten)]
    pub kind: Kind,
    /// Values for triggers and events beyond the contract.
    #[serde(skip)]
    pub(crate) detail: Detail,
}

/// Kind of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    /// A branch or tag was moved, made or deleted.
    Push(Push),
    /// A pull or merge request changed.
    PullRequest {
        /// The pull request after the change.
        pr: PullRequest,
        /// Changed files: never in the payload, always from git.
        paths: Option<Vec<String>>,
    },
    /// A comment on an issue or pull request was made.
    Comment {
        /// Number of the issue or pull request.
        number: Option<u64>,
        /// True if the comment is on a pull request.
        on_pull_request: bool,
        /// Text of the comment.
        body: Option<String>,
    },
    /// An issue was opened, edited or closed.
    Issue {
        /// Number of the issue.
        number: Option<u64>,
    },
    /// A release was published, edited or deleted.
    Release {
        /// Tag of the release.
        tag: Option<String>,
    },
    /// A branch or tag was made; the forge sends a push as well.
    Create(NamedRef),
    /// A branch or tag was deleted; the forge sends a push as well.
    Delete(NamedRef),
    /// The forge tries the hook.
    Ping,
    /// An event that no trigger is for.
    Other,
}

/// A branch or tag by its short name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NamedRef {
    /// `branch` or `tag`.
    pub ref_type: Option<String>,
    /// The name without `refs/heads/` or `refs/tags/`.
    #[serde(rename = "ref")]
    pub git_ref: Option<String>,
}

/// Kind of the change of a ref.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RefChange {
    /// True if the ref is new.
    pub created: bool,
    /// True if the ref was deleted.
    pub deleted: bool,
    /// True if history was rewritten; absent for GitLab, Gitea and Forgejo.
    pub forced: Option<bool>,
}

/// A push of one ref.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Push {
    /// Full name of the ref.
    #[serde(rename = "ref")]
    pub git_ref: String,
    /// Name of the branch; none for tags.
    pub branch: Option<String>,
    /// Name of the tag; none for branches.
    pub tag: Option<String>,
    /// Commit of the ref before; zeros if the ref is new.
    pub before: Option<String>,
    /// Commit of the ref after; zeros if the ref was deleted. An annotated tag is its tag object.
    pub after: String,
    /// Kind of the change of the ref.
    #[serde(flatten)]
    pub change: RefChange,
    /// Commits in the payload.
    pub commits: usize,
    /// Number of commits of the push, if the forge sends it.
    pub total_commits: Option<u64>,
    /// Files that the commits of the payload touch, sorted. A hint for people: filters ask git.
    pub paths: Vec<String>,
    /// True if `paths` can be complete: the payload has every commit of the push.
    pub paths_complete: bool,
    /// Message of the newest commit.
    pub head_message: Option<String>,
    /// The commit to build; none if the ref is gone.
    pub sha: Option<String>,
}

/// A pull or merge request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PullRequest {
    /// Its number in the repository.
    pub number: u64,
    /// Branch it comes from.
    pub head_ref: Option<String>,
    /// Commit it comes from.
    pub head_sha: Option<String>,
    /// Source repository; `None` if the fork was deleted or is not in the payload.
    pub head_repo: Option<String>,
    /// Branch it goes to.
    pub base_ref: Option<String>,
    /// Commit of the target branch; absent for GitLab.
    pub base_sha: Option<String>,
    /// True for a draft.
    pub draft: Option<bool>,
    /// True after the merge.
    pub merged: Option<bool>,
    /// True if it comes from another repository, as far as the payload shows; a deleted fork
    /// counts.
    pub from_fork: Option<bool>,
    /// True if its commits changed with this event.
    pub new_commits: bool,
}

/// Values for events beyond the contract.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Detail {
    /// The action in our words, which are GitHub's.
    pub(crate) action: Option<String>,
    /// Title of the issue or pull request.
    pub(crate) title: Option<String>,
    /// Labels of the issue or pull request.
    pub(crate) labels: Vec<String>,
    /// Author of the comment.
    pub(crate) author: Option<String>,
    /// Causing person, if the payload has no sender.
    pub(crate) actor: Option<String>,
    /// The repository, if the payload does not write its full name out.
    pub(crate) repository: Option<String>,
    /// The forge's immutable id of the repository.
    pub(crate) repository_id: Option<String>,
    /// True if head and base of the pull request are this repository, by their ids; `None`: the
    /// payload lacks an id.
    pub(crate) same_repository: Option<bool>,
    /// The author's relation to the repository, in the forge's words.
    pub(crate) association: Option<String>,
    /// The forge's id of the sender.
    pub(crate) sender_id: Option<u64>,
    /// A merge queue requests a check.
    pub(crate) merge_group: Option<MergeGroup>,
    /// The comment is on something that is neither issue nor pull request.
    pub(crate) comment_elsewhere: bool,
}

/// A candidate commit of a merge queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MergeGroup {
    pub(crate) head_ref: String,
    pub(crate) head_sha: String,
    pub(crate) base_ref: String,
    pub(crate) base_sha: Option<String>,
}
