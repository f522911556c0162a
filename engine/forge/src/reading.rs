//! What a delivery says, in our words: the field names are contract (`docs/webhooks.md`).
//!
//! A field that the forge did not say is `None`, and is written as `null`: not said is not the same
//! as no. Must not hold a type or a spelling that only one forge knows, except in `event` and
//! `action`, which repeat the forge's own.

use schemars::JsonSchema;
use serde::Serialize;

use crate::provider::Provider;

mod event;

/// A delivery, read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Reading {
    /// Whose delivery.
    pub provider: Provider,
    /// What the forge calls the event.
    pub event: String,
    /// `owner/name`, with all groups on GitLab.
    pub repo: Option<String>,
    /// The repository's default branch.
    pub default_branch: Option<String>,
    /// Login of who did it.
    pub sender: Option<String>,
    /// Whether the forge says that a program did it.
    pub sender_is_bot: bool,
    /// The forge's own word for what happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// What kind of thing happened.
    #[serde(flatten)]
    pub kind: Kind,
    /// What triggers and events need beyond the contract.
    #[serde(skip)]
    pub(crate) detail: Detail,
}

/// What kind of thing happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    /// A branch or tag was moved, made or deleted.
    Push(Push),
    /// A pull or merge request changed.
    PullRequest {
        /// The pull request.
        pr: PullRequest,
        /// Changed files: never in the payload, always from git.
        paths: Option<Vec<String>>,
    },
    /// Somebody commented.
    Comment {
        /// Number of the issue or pull request.
        number: Option<u64>,
        /// Whether the comment is on a pull request.
        on_pull_request: bool,
        /// The text.
        body: Option<String>,
    },
    /// An issue changed.
    Issue {
        /// Its number.
        number: Option<u64>,
    },
    /// A release changed.
    Release {
        /// Its tag.
        tag: Option<String>,
    },
    /// A branch or tag was made; the forge sends a push as well.
    Create(NamedRef),
    /// A branch or tag was deleted; the forge sends a push as well.
    Delete(NamedRef),
    /// The forge tries the hook.
    Ping,
    /// Everything else.
    Other,
}

/// A branch or tag by its short name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NamedRef {
    /// `branch` or `tag`.
    pub ref_type: Option<String>,
    /// The short name.
    #[serde(rename = "ref")]
    pub git_ref: Option<String>,
}

/// A push of one ref.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Push {
    /// The full ref.
    #[serde(rename = "ref")]
    pub git_ref: String,
    /// Name of the branch; none for tags.
    pub branch: Option<String>,
    /// Name of the tag; none for branches.
    pub tag: Option<String>,
    /// Where the ref was; zeros if it was made.
    pub before: Option<String>,
    /// Where the ref is; zeros if it was deleted. An annotated tag is its tag object.
    pub after: String,
    /// Whether the ref is new.
    pub created: bool,
    /// Whether the ref is gone.
    pub deleted: bool,
    /// Whether history was rewritten; not said by GitLab, Gitea and Forgejo.
    pub forced: Option<bool>,
    /// Commits in the payload.
    pub commits: usize,
    /// Commits of the push, where the forge says so.
    pub total_commits: Option<u64>,
    /// Files that the commits of the payload touch, sorted. A hint for people: filters ask git.
    pub paths: Vec<String>,
    /// Whether `paths` can be all: the payload holds every commit of the push.
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
    /// Repository it comes from; none when the fork is gone or not said.
    pub head_repo: Option<String>,
    /// Branch it goes to.
    pub base_ref: Option<String>,
    /// Commit of the branch it goes to; not said by GitLab.
    pub base_sha: Option<String>,
    /// Whether it is a draft.
    pub draft: Option<bool>,
    /// Whether it was merged.
    pub merged: Option<bool>,
    /// Whether it comes from another repository, where the payload tells; a fork that is gone counts.
    pub from_fork: Option<bool>,
    /// Whether its commits changed with this event.
    pub new_commits: bool,
}

/// What events need beyond the contract.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Detail {
    /// The action in our words, which are GitHub's.
    pub(crate) action: Option<String>,
    /// Title of the issue or pull request.
    pub(crate) title: Option<String>,
    /// Labels of the issue or pull request.
    pub(crate) labels: Vec<String>,
    /// Who wrote the comment.
    pub(crate) author: Option<String>,
    /// Who did it, if the payload names nobody as the sender.
    pub(crate) actor: Option<String>,
    /// The repository, if the payload does not write its full name out.
    pub(crate) repository: Option<String>,
    /// The forge's immutable id of the repository.
    pub(crate) repository_id: Option<String>,
    /// Whether head and base of the pull request are this repository, by their ids; `None`: the
    /// payload lacks an id.
    pub(crate) same_repository: Option<bool>,
    /// The author's relation to the repository, in the forge's words.
    pub(crate) association: Option<String>,
    /// The forge's id of the sender.
    pub(crate) sender_id: Option<u64>,
    /// A merge queue asks for a verdict.
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
