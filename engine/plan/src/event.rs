//! Our own words for what happened in a repository: the `event` of `ctx` and of expressions.
//!
//! Forge payloads become this type in `plue-forge` and go no further. Field names are contract
//! (`docs/reference/language.md`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// Type of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventType {
    /// A branch or tag moved.
    Push,
    /// A pull or merge request changed.
    PullRequest,
    /// An issue was opened, edited or closed.
    Issue,
    /// A comment was made.
    IssueComment,
    /// A tick of a schedule.
    Schedule,
    /// A request by a person or the API.
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
    /// Type of the event.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// Action of the event: `opened`, `synchronize`, `created`, …
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
    /// Name of the causing person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The relation of the author of the comment, issue or pull request to the repository, in the forge's
    /// words (GitHub: `OWNER`, `MEMBER`, `COLLABORATOR`, `CONTRIBUTOR`, `NONE`, …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub association: Option<String>,
    /// Repository as `owner/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The repository's default branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_branch: Option<String>,
    /// Pull request of the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<PullRequest>,
    /// Issue of the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue: Option<Issue>,
    /// Comment of the event.
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
    /// Number of the pull request.
    pub number: u64,
    /// Title of the pull request.
    #[serde(default)]
    pub title: String,
    /// True for a draft.
    #[serde(default)]
    pub draft: bool,
    /// Names of its labels.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Target of the pull request.
    pub base: Branch,
    /// Source of the pull request.
    pub head: Branch,
    /// True if it comes from another repository.
    #[serde(default)]
    pub fork: bool,
}

/// One side of a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Branch {
    /// Name of the branch.
    #[serde(rename = "ref")]
    pub git_ref: String,
    /// Commit of the branch.
    pub sha: String,
    /// `owner/name`; absent when the fork is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
}

/// An issue of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Issue {
    /// Number of the issue.
    pub number: u64,
    /// Title of the issue.
    pub title: String,
    /// Names of its labels.
    pub labels: Vec<String>,
}

/// A comment on an issue or pull request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Comment {
    /// Text of the comment.
    pub body: String,
    /// Author of the comment.
    pub author: String,
}

/// A tick of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleTick {
    /// Cron expression of the schedule.
    pub cron: String,
    /// Due time of the tick, RFC 3339.
    pub scheduled_at: String,
}

/// The owner of a repository by its name: the first part of `owner/name` or `group/subgroup/name`; none
/// of a path or of a name without owner.
#[must_use]
pub fn owner(repository: &str) -> Option<&str> {
    let (owner, _) = repository.split_once('/')?;
    (!owner.is_empty()).then_some(owner)
}

/// Beginning of the branches that plue pushes changes of agents to; people merge them.
pub const PROPOSALS: &str = "plue/";

// === impl Event ===

impl Event {
    /// True if its commit is untrusted, from an author without write access to the repository: a
    /// pull request from a fork, or one of unknown origin; a branch that plue pushed for an agent; or the
    /// end of a run that such an event started.
    #[must_use]
    pub fn is_untrusted(&self) -> bool {
        let is_foreign = |pull: &PullRequest| pull.fork || pull.head.git_ref.starts_with(PROPOSALS);
        let is_proposed = self.branch.as_ref().is_some_and(|branch| branch.starts_with(PROPOSALS));
        match self.kind {
            EventType::PullRequest => self.pull_request.as_ref().is_none_or(is_foreign),
            EventType::Workflow => {
                is_proposed || self.pull_request.as_ref().is_some_and(is_foreign)
            }
            EventType::Push => is_proposed,
            EventType::Issue
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_of_proposals_are_untrusted() {
        let push =
            |branch: &str| Event { branch: Some(branch.to_owned()), ..Event::new(EventType::Push) };
        assert!(push("plue/fix").is_untrusted());
        assert!(!push("main").is_untrusted() && !push("plue").is_untrusted());
        let head = Branch { git_ref: "plue/fix".to_owned(), ..Branch::default() };
        let pull = PullRequest {
            number: 7,
            title: String::new(),
            draft: false,
            labels: Vec::new(),
            base: Branch::default(),
            head,
            fork: false,
        };
        for kind in [EventType::PullRequest, EventType::Workflow] {
            let event = Event { pull_request: Some(pull.clone()), ..Event::new(kind) };
            assert!(event.is_untrusted(), "{kind:?}");
        }
        let manual = Event { kind: EventType::Manual, ..push("plue/fix") };
        assert!(!manual.is_untrusted(), "a person named the branch");
    }
}
