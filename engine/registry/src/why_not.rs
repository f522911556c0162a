//! Why a trigger does not fire, for people and for records.

use plue_plan::event::EventType;
use serde::Serialize;

/// Why a trigger does not fire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum WhyNot {
    /// The trigger is for other events.
    #[error("the trigger is not for {} events", words(*.event))]
    OtherEvent {
        /// What happened.
        event: EventType,
    },
    /// The ref was deleted.
    #[error("the ref was deleted")]
    Deleted,
    /// The newest commit says so.
    #[error("the newest commit says `{marker}`")]
    SkipMarker {
        /// The marker as it is documented.
        marker: String,
    },
    /// It is a tag, and the trigger names branches only.
    #[error("it is a tag, and the trigger names branches only")]
    TagNotAsked,
    /// It is a branch, and the trigger names tags only.
    #[error("it is a branch, and the trigger names tags only")]
    BranchNotAsked,
    /// The ref is neither branch nor tag.
    #[error("the ref is neither a branch nor a tag")]
    OtherRef,
    /// The branch fits no pattern.
    #[error("the branch `{branch}` fits none of {}", listed(.patterns))]
    Branch {
        /// The branch.
        branch: String,
        /// The patterns.
        patterns: Vec<String>,
    },
    /// The tag fits no pattern.
    #[error("the tag `{tag}` fits none of {}", listed(.patterns))]
    Tag {
        /// The tag.
        tag: String,
        /// The patterns.
        patterns: Vec<String>,
    },
    /// No changed file fits `paths`.
    #[error("none of {files} changed files fits {}", listed(.patterns))]
    Paths {
        /// How many files changed.
        files: usize,
        /// The patterns.
        patterns: Vec<String>,
    },
    /// Every changed file fits `paths_ignore`.
    #[error("all {files} changed files are ignored by {}", listed(.patterns))]
    PathsIgnored {
        /// How many files changed.
        files: usize,
        /// The patterns.
        patterns: Vec<String>,
    },
    /// The action is not asked for.
    #[error("the action `{action}` is none of {}", listed(.types))]
    Action {
        /// What happened; `?` if the forge did not say.
        action: String,
        /// What is asked for.
        types: Vec<String>,
    },
    /// The issue carries none of the labels.
    #[error("the issue has none of the labels {}", listed(.labels))]
    Labels {
        /// The labels.
        labels: Vec<String>,
    },
    /// The comment does not contain the text.
    #[error("the comment does not contain `{text}`")]
    Comment {
        /// The text.
        text: String,
    },
    /// The name (of schedule, endpoint, topic, workflow) is another one.
    #[error("it is about `{found}`, the trigger about `{wanted}`")]
    Name {
        /// What happened.
        found: String,
        /// What is asked for.
        wanted: String,
    },
    /// The `when` of the trigger is false.
    #[error("its condition is false: {when}")]
    Condition {
        /// The expression.
        when: String,
    },
    /// The `when` of the trigger cannot be evaluated for this event.
    #[error("its condition cannot be evaluated: {when}: {problem}")]
    ConditionFailed {
        /// The expression.
        when: String,
        /// Why not.
        problem: String,
    },
    /// A pattern cannot be read, so that nothing can be said to fit it.
    #[error("the pattern `{pattern}` cannot be read")]
    BadPattern {
        /// The pattern.
        pattern: String,
    },
}

/// An event type as in `ctx.event.type`.
#[must_use]
pub fn words(event: EventType) -> &'static str {
    match event {
        EventType::Push => "push",
        EventType::PullRequest => "pull_request",
        EventType::Issue => "issue",
        EventType::IssueComment => "issue_comment",
        EventType::Schedule => "schedule",
        EventType::Manual => "manual",
        EventType::Webhook => "webhook",
        EventType::Event => "event",
        EventType::Workflow => "workflow",
    }
}

fn listed(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| format!("`{text}`")).collect();
    quoted.join(", ")
}
