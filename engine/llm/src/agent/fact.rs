//! Facts of a transcript, and the inputs they come from. Old transcripts must fold for ever: fields are
//! only ever added, with defaults.

use jiff::Timestamp;
use plue_plan::{PlanHash, RunId};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{
    agent::{Divergence, End, Task},
    answer::{Answer, Usage},
    price::PicoUsd,
};

/// One entry of a transcript.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// First fact of a transcript: the agent has its assignment.
    Started {
        /// Assignment; no later fact changes it.
        task: Box<Task>,
    },
    /// The model gave a whole answer.
    Answered {
        /// Answer with its blocks, stop reason and usage.
        answer: Box<Answer>,
        /// Its cost in picodollars, if it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cost: Option<u64>,
    },
    /// An answer broke off. No part of it is in the conversation.
    Broke {
        /// Tokens that were reported.
        usage: Usage,
        /// Error of the stream, for people.
        message: String,
    },
    /// A call waits for a person's approval.
    Held {
        /// Id of the call.
        id: String,
        /// The time at which it counts as rejected.
        until: Timestamp,
    },
    /// A person decided about a call, or the time for that was over.
    Decided {
        /// Id of the call.
        id: String,
        /// True if the call is carried out.
        approve: bool,
        /// The person; absent: the time was over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
        /// Time of the decision.
        at: Timestamp,
        /// The person's message, which the model reads if the call is rejected.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// A call starts a run of a workflow; the run does not exist before this fact.
    RunStarted {
        /// Id of the call.
        id: String,
        /// The run that the call waits for.
        run: Box<StartedRun>,
    },
    /// The result of a tool call.
    Result {
        /// Id of the answered call, `toolu_…`.
        id: String,
        /// Output of the tool or the failure of the call, as text for the model.
        content: String,
        /// True if the tool failed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
    /// The model has to correct its answer.
    Corrected {
        /// Correction, sent to the model as a user message.
        message: String,
    },
    /// Another model goes on: the one before is not available.
    Switched {
        /// The model from now on.
        model: String,
        /// The reason, for people.
        message: String,
    },
    /// Last fact of a transcript: no input adds another.
    Ended {
        /// Reason, message and output of the end.
        end: End,
    },
}

/// The run of a workflow that a call starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StartedRun {
    /// Id of the run, chosen before it exists.
    pub run: RunId,
    /// The plan that the run is pinned to.
    pub plan: PlanHash,
    /// Path of the workflow file.
    pub source: String,
    /// Typed inputs of the run, defaults filled in.
    pub inputs: Json,
}

/// News for an agent.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Assignment; fits only an agent that has none.
    Start(Box<Task>),
    /// A whole answer and its cost.
    Answered(Box<Answer>, Option<PicoUsd>),
    /// An answer broke off in the middle; the same request may be sent again.
    Broke {
        /// Tokens that were reported.
        usage: Usage,
        /// Error of the stream, for people.
        message: String,
    },
    /// The API refuses the request or cannot be reached.
    Unanswered(String),
    /// The model does not exist any more, is overloaded or limited; another one may answer.
    Unavailable(String),
    /// No budget pays for the next call.
    Unpaid(String),
    /// No budget has the tokens for the next call.
    NoTokens(String),
    /// The recording of a replay has no answer to the request.
    Diverged(Box<Divergence>),
    /// The result of a tool call.
    Result {
        /// Id of the answered call, `toolu_…`.
        id: String,
        /// Output of the tool or the failure of the call, as text for the model.
        content: String,
        /// True if the tool failed.
        is_error: bool,
    },
    /// A call starts a run of a workflow.
    RunStarted {
        /// Id of the call.
        id: String,
        /// The run, which does not exist yet.
        run: Box<StartedRun>,
    },
    /// A call waits for approval until a deadline.
    Held {
        /// Id of the call.
        id: String,
        /// The time at which it counts as rejected.
        until: Timestamp,
    },
    /// A decision about a call.
    Decided(Decision),
    /// The runner is another one: results of calls that are open are unknown for ever.
    RunnerLost,
    /// Result of [`super::Effect::Judge`]: the value fits the schema, or the validator's message.
    Judged(Result<(), String>),
}

/// A decision about a call that needs approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Id of the call.
    pub id: String,
    /// True if the call is carried out.
    pub approve: bool,
    /// The person; `None`: the time was over.
    pub by: Option<String>,
    /// Time of the decision.
    pub at: Timestamp,
    /// Message of the person.
    pub message: Option<String>,
}

/// An input that does not fit the state, for example the second result of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Rejected(pub &'static str);

// === impl Fact ===

impl Fact {
    pub(super) fn failed_result(id: &str, content: impl Into<String>) -> Self {
        Self::Result { id: id.to_owned(), content: content.into(), is_error: true }
    }

    /// The bytes of text that masks apply to, visited in place.
    pub fn texts(&mut self, visit: &mut impl FnMut(&mut String)) {
        match self {
            Self::Started { task } => {
                visit(&mut task.prompt);
                task.system.iter_mut().for_each(visit);
            }
            Self::Answered { answer, .. } => {
                for block in &mut answer.content {
                    // Reasoning goes back unchanged or not at all: its signature covers it.
                    if block.kind().contains("thinking") {
                        block.mask_reasoning(visit);
                    } else {
                        block.0.values_mut().for_each(|value| strings(value, visit));
                    }
                }
            }
            Self::Broke { message, .. }
            | Self::Corrected { message }
            | Self::Switched { message, .. } => visit(message),
            Self::RunStarted { run, .. } => strings(&mut run.inputs, visit),
            Self::Held { .. } => {}
            Self::Decided { message, .. } => message.iter_mut().for_each(visit),
            Self::Result { content, .. } => visit(content),
            Self::Ended { end } => {
                visit(&mut end.message);
                strings(&mut end.output, visit);
                if let Some(divergence) = &mut end.divergence {
                    let Divergence { what, recorded, now, .. } = &mut **divergence;
                    [what, recorded, now].into_iter().for_each(visit);
                }
            }
        }
    }
}

pub(super) fn strings(value: &mut Json, visit: &mut impl FnMut(&mut String)) {
    match value {
        Json::String(text) => visit(text),
        Json::Array(items) => items.iter_mut().for_each(|item| strings(item, visit)),
        Json::Object(fields) => fields.values_mut().for_each(|field| strings(field, visit)),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}
