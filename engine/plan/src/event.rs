//! Our own words for what happened in a repository: the `event` of `ctx` and of expressions.
//!
//! Forge payloads become this type in `plue-forge` and go no further. Field names are contract
//! (`plan.md` §3).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventType {
    /// A branch or tag moved.
    Push,
    /// A pull or merge request changed.
    PullRequest,
    /// An issue changed.
    Issue,
    /// Somebody commented.
    IssueComment,
    /// A clock ticked.
    Schedule,
    /// A person or API call asked for a run.
    Manual,
    /// A named webhook endpoint was called.
    Webhook,
    /// A message arrived on a topic.
    Event,
    /// A run of another workflow ended.
    Workflow,
}

/// One event. Fields that do not apply are absent (`None` in Python, `null` in expressions).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// What kind.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// What happened to it: `opened`, `synchronize`, `created`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Full ref, `refs/heads/main`.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<String>,
    /// Branch name; absent for tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Tag name; absent for branches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The commit the plan is made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha: Option<String>,
    /// The commit before a push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The relation of the author of the comment, issue or pull request to the repository, in the forge's
    /// words (GitHub: `OWNER`, `MEMBER`, `COLLABORATOR`, `CONTRIBUTOR`, `NONE`, …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub association: Option<String>,
    /// `owner/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The repository's default branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_branch: Option<String>,
    /// The pull request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<PullRequest>,
    /// The issue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue: Option<Issue>,
    /// The comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<Comment>,
    /// The schedule that ticked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleTick>,
    /// Body of a webhook call or message.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub payload: BTreeMap<String, Json>,
}

/// A pull or merge request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PullRequest {
    /// Its number.
    pub number: u64,
    /// Its title.
    #[serde(default)]
    pub title: String,
    /// Whether it is a draft.
    #[serde(default)]
    pub draft: bool,
    /// Names of its labels.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Where it goes.
    pub base: Branch,
    /// Where it comes from.
    pub head: Branch,
    /// Whether it comes from another repository.
    #[serde(default)]
    pub fork: bool,
}

/// One side of a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Branch {
    /// Branch name.
    #[serde(rename = "ref")]
    pub git_ref: String,
    /// Commit.
    pub sha: String,
    /// `owner/name`; absent when the fork is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
}

/// An issue.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Issue {
    /// Its number.
    pub number: u64,
    /// Its title.
    pub title: String,
    /// Names of its labels.
    pub labels: Vec<String>,
}

/// A comment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Comment {
    /// Its text.
    pub body: String,
    /// Who wrote it.
    pub author: String,
}

/// A tick of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleTick {
    /// The cron expression.
    pub cron: String,
    /// When the tick was due, RFC 3339.
    pub scheduled_at: String,
}

/// The owner of a repository by its name: the first part of `owner/name` or `group/subgroup/name`; none
/// of a path or of a name without owner.
#[must_use]
pub fn owner(repository: &str) -> Option<&str> {
    let (owner, _) = repository.split_once('/')?;
    (!owner.is_empty()).then_some(owner)
}

// === impl Event ===

impl Event {
    /// Whether its commit comes from somebody without write access to the repository: a pull request
    /// from a fork, or one whose origin is not known; or the end of a run that such a pull request
    /// began.
    #[must_use]
    pub fn is_strangers(&self) -> bool {
        match self.kind {
            EventType::PullRequest => self.pull_request.as_ref().is_none_or(|pull| pull.fork),
            EventType::Workflow => self.pull_request.as_ref().is_some_and(|pull| pull.fork),
            EventType::Push
            | EventType::Issue
            | EventType::IssueComment
            | EventType::Schedule
            | EventType::Manual
            | EventType::Webhook
            | EventType::Event => false,
        }
    }

    /// An event of this kind with every other field absent.
    #[must_use]
    pub fn new(kind: EventType) -> Self {
        Self {
            kind,
            action: None,
            git_ref: None,
            branch: None,
            tag: None,
            sha: None,
            before: None,
            actor: None,
            association: None,
            repository: None,
            default_branch: None,
            pull_request: None,
            issue: None,
            comment: None,
            schedule: None,
            payload: BTreeMap::new(),
        }
    }
}
