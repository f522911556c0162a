//! Triggers: the events that start a run of a plan. Matching is `plue-registry`'s; here is only the
//! data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{plan::Input, policy::is_default};

/// Treatment of a schedule's ticks that were missed while no engine ran.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Misfire {
    /// One run for all missed ticks together.
    #[default]
    RunOnce,
    /// No run for a missed tick.
    Skip,
    /// One run for each missed tick.
    CatchUp,
}

fn utc() -> String {
    "UTC".to_owned()
}

fn is_utc(tz: &String) -> bool {
    tz == "UTC"
}

/// One trigger; `on` is the discriminator. Patterns are globs in which `*` stops at `/` and `**`
/// does not. An empty list of patterns matches everything of its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "on", rename_all = "snake_case", deny_unknown_fields)]
pub enum Trigger {
    /// A push of a branch or tag. With `branches` only, a tag never matches; a deleted ref never
    /// fires.
    Push {
        /// Globs that the branch must match.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        branches: Vec<String>,
        /// Globs that the tag must match.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tags: Vec<String>,
        /// At least one changed file matches one of these.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        paths: Vec<String>,
        /// Fires unless every changed file matches one of these.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        paths_ignore: Vec<String>,
    },
    /// A pull or merge request.
    PullRequest {
        /// Actions; empty means `opened`, `synchronize`, `reopened`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        types: Vec<String>,
        /// Globs of the *base* branch.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        branches: Vec<String>,
        /// At least one changed file matches one of these.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        paths: Vec<String>,
    },
    /// A change of an issue.
    Issue {
        /// Actions; empty means `opened`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        types: Vec<String>,
        /// The issue carries one of these labels.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        labels: Vec<String>,
    },
    /// A new comment on an issue or pull request.
    IssueComment {
        /// Text that the comment contains.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        contains: Option<String>,
    },
    /// A tick of a schedule.
    Schedule {
        /// Cron expression with five fields.
        cron: String,
        /// Time zone of IANA.
        #[serde(default = "utc", skip_serializing_if = "is_utc")]
        tz: String,
        /// Treatment of missed ticks.
        #[serde(default, skip_serializing_if = "is_default")]
        misfire: Misfire,
    },
    /// A person or an API call.
    Manual {
        /// Inputs requested in addition to those of the plan.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        inputs: BTreeMap<String, Input>,
    },
    /// A call of a named webhook endpoint.
    Webhook {
        /// Name of the endpoint.
        name: String,
    },
    /// A message on a topic.
    Event {
        /// Topic of the message.
        topic: String,
        /// CEL over the message.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        when: Option<String>,
    },
    /// The end of a run of another workflow.
    Workflow {
        /// Name of the workflow.
        name: String,
        /// The outcome waited for; absent means any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outcome: Option<String>,
    },
}

// === impl Trigger ===

impl Trigger {
    /// The trigger in a few words: `push main, v*`, `schedule 0 3 * * * UTC`.
    #[must_use]
    pub fn words(&self) -> String {
        let listed = |word: &str, parts: &[&[String]]| {
            let all: Vec<&str> =
                parts.iter().flat_map(|part| part.iter().map(String::as_str)).collect();
            format!("{word} {}", all.join(", "))
        };
        let text = match self {
            Self::Push { branches, tags, .. } => listed("push", &[branches, tags]),
            Self::PullRequest { branches, .. } => listed("pull_request", &[branches]),
            Self::Issue { labels, .. } => listed("issue", &[labels]),
            Self::IssueComment { contains } => {
                format!("issue_comment {}", contains.as_deref().unwrap_or_default())
            }
            Self::Schedule { cron, tz, .. } => format!("schedule {cron} {tz}"),
            Self::Manual { .. } => "manual".to_owned(),
            Self::Webhook { name } => format!("webhook {name}"),
            Self::Event { topic, .. } => format!("event {topic}"),
            Self::Workflow { name, .. } => format!("workflow {name}"),
        };
        text.trim_end().to_owned()
    }
}
