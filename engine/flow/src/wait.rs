//! Waits of an attempt for the outside, and the answers of people.
//!
//! Data only. `run/waiting.rs` decides the meaning of an answer.

use std::fmt;

use plue_plan::PlanHash;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// Awaited answer of an attempt. A waiting attempt does not count towards `max_parallel`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "for", rename_all = "snake_case")]
pub enum Awaited {
    /// Approval or rejection by people.
    Decision {
        /// The question with its values filled in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// Principals allowed to answer; empty: everyone.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        approvers: Vec<String>,
        /// Approvals by different people that are needed.
        quorum: u32,
    },
    /// A point in time.
    Time,
    /// A message on a topic.
    Event {
        /// Topic of the awaited message.
        topic: String,
        /// CEL over the message; absent: every message fits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        when: Option<String>,
    },
    /// The end of a run of another workflow.
    Workflow {
        /// Name of the workflow.
        name: String,
        /// The end waited for; absent: any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outcome: Option<String>,
    },
    /// The answer of the system that was called, with the one-time token it was given.
    Callback,
    /// A decision of a person about one call of an agent, whose process goes on to exist.
    Call(CallRequest),
}

/// A tool call that a person is to approve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRequest {
    /// Id of the call, unique in its attempt.
    pub call: String,
    /// Name of the tool.
    pub tool: String,
    /// All arguments as JSON of one line, masked, with control characters escaped.
    pub arguments: String,
}

/// An open request of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedCall {
    /// Call of the agent's tool.
    #[serde(flatten)]
    pub request: CallRequest,
    /// The time at which it counts as rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<jiff::Timestamp>,
}

/// One person's answer to an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Principal of the answer.
    pub by: String,
    /// True to approve, false to reject.
    pub approve: bool,
    /// Values filled in by the person; validated against the step's `fields` by the caller.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Json>,
    /// The remark of the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// A run that an attempt of a `workflow` step started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Child {
    /// Id of the child run.
    pub run: plue_plan::RunId,
    /// The plan it is pinned to.
    pub plan: PlanHash,
    /// Path of its workflow file; for a plan that a step put out: of the parent's.
    pub source: String,
    /// Its inputs, defaults filled in.
    pub inputs: Json,
}

// === impl Awaited ===

impl Awaited {
    /// True if work is in progress outside for the answer, so that a stop of the plan must not
    /// abort the wait.
    #[must_use]
    pub fn is_work(&self) -> bool {
        match self {
            Self::Callback | Self::Call(_) => true,
            Self::Decision { .. } | Self::Time | Self::Event { .. } | Self::Workflow { .. } => {
                false
            }
        }
    }

    /// True if only the clock ends the wait.
    #[must_use]
    pub fn is_time(&self) -> bool {
        *self == Self::Time
    }
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decision { message, approvers, .. } => {
                f.write_str("waits for a decision")?;
                if !approvers.is_empty() {
                    write!(f, " by {}", approvers.join(" or "))?;
                }
                message.as_ref().map_or(Ok(()), |message| write!(f, ": {message}"))
            }
            Self::Time => f.write_str("waits"),
            Self::Event { topic, when: None } => write!(f, "waits for an event on `{topic}`"),
            Self::Event { topic, when: Some(when) } => {
                write!(f, "waits for an event on `{topic}` with {when}")
            }
            Self::Workflow { name, outcome } => {
                write!(f, "waits for a run of `{name}` to end")?;
                outcome.as_ref().map_or(Ok(()), |outcome| write!(f, " {outcome}"))
            }
            Self::Callback => f.write_str("waits for the answer to its call"),
            Self::Call(CallRequest { call, tool, arguments }) => {
                write!(f, "waits for approval of {tool} {arguments} (call {call})")
            }
        }
    }
}
