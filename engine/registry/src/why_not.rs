//! Reasons that a trigger does not fire, for people and for records.

use plue_plan::event::EventType;
use serde::Serialize;

/// Reason that a trigger does not fire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum WhyNot {
    /// The trigger is for other events.
    #[error("the trigger is not for {} events", words(*.event))]
    OtherEvent {
        /// Type of the event.
        event: EventType,
    },
    /// The ref was deleted.
    #[error("the ref was deleted")]
    Deleted,
    /// The message of the newest commit has a skip marker.
    #[error("the newest commit message has `{marker}`")]
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
        /// The short name of the branch.
        branch: String,
        /// The patterns of the trigger.
        patterns: Vec<String>,
    },
    /// The tag fits no pattern.
    #[error("the tag `{tag}` fits none of {}", listed(.patterns))]
    Tag {
        /// The short name of the tag.
        tag: String,
        /// The patterns of the trigger.
        patterns: Vec<String>,
    },
    /// No changed file fits `paths`.
    #[error("none of {files} changed files fits {}", listed(.patterns))]
    Paths {
        /// Number of changed files.
        files: usize,
        /// The patterns of the trigger.
        patterns: Vec<String>,
    },
    /// Every changed file fits `paths_ignore`.
    #[error("all {files} changed files are ignored by {}", listed(.patterns))]
    PathsIgnored {
        /// Number of changed files.
        files: usize,
        /// The patterns of the trigger.
        patterns: Vec<String>,
    },
    /// The action is not asked for.
    #[error("the action `{action}` is none of {}", listed(.types))]
    Action {
        /// Action of the event; `?` if the forge did not send one.
        action: String,
        /// Actions of the trigger.
        types: Vec<String>,
    },
    /// The issue carries none of the labels.
    #[error("the issue has none of the labels {}", listed(.labels))]
    Labels {
        /// The labels of the trigger.
        labels: Vec<String>,
    },
    /// The comment does not contain the text.
    #[error("the comment does not contain `{text}`")]
    Comment {
        /// The text of the trigger.
        text: String,
    },
    /// The name (of schedule, endpoint, topic, workflow) is another one.
    #[error("it is about `{found}`, the trigger about `{wanted}`")]
    Name {
        /// The name in the event.
        found: String,
        /// The name in the trigger.
        wanted: String,
    },
    /// The `when` of the trigger is false.
    #[error("its condition is false: {when}")]
    Condition {
        /// The expression of the trigger.
        when: String,
    },
    /// The `when` of the trigger cannot be evaluated for this event.
    #[error("its condition cannot be evaluated: {when}: {problem}")]
    ConditionFailed {
        /// The expression of the trigger.
        when: String,
        /// The error of the evaluation.
        problem: String,
    },
    /// A pattern cannot be read, so that no value can match it.
    #[error("the pattern `{pattern}` cannot be read")]
    BadPattern {
        /// The pattern as the trigger has it.
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
