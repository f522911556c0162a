//! Ends of an agent, each with its code.

use plue_plan::Code;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::codes;

/// The end of an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// Cause; determines the exit status and the error code.
    pub reason: EndReason,
    /// For people; empty after [`EndReason::Done`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The result after [`EndReason::Done`], otherwise the text so far: a partial result.
    #[serde(default, skip_serializing_if = "Json::is_null")]
    pub output: Json,
}

/// The reason of an agent's end. Only [`EndReason::Done`] is a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The model gave its result.
    Done,
    /// No turn is left.
    Turns,
    /// No token is left.
    Tokens,
    /// No money is left.
    Budget,
    /// The same call gave the same result too often.
    Loop,
    /// The model declined: the stop reason is `refusal`.
    Refusal,
    /// The answer was longer than `max_tokens`.
    Cut,
    /// The conversation is too long.
    Context,
    /// The API refused, was unreachable, broke off too often or sent an unknown stop reason.
    Api,
    /// The result does not fit its schema.
    Output,
    /// The engine that goes on with it has no key.
    Key,
}

// === impl EndReason ===

impl EndReason {
    /// The exit status of the attempt: 7 for a limit, as of `plue run`.
    pub fn status(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Turns | Self::Tokens | Self::Budget | Self::Loop => 7,
            Self::Refusal | Self::Cut | Self::Context | Self::Api | Self::Output | Self::Key => 1,
        }
    }

    /// The code of the error; none of a success.
    pub fn code(self) -> Option<Code> {
        Some(match self {
            Self::Done => return None,
            Self::Turns => codes::TURNS,
            Self::Tokens => codes::TOKENS,
            Self::Budget => codes::BUDGET,
            Self::Loop => codes::LOOP,
            Self::Refusal => codes::REFUSAL,
            Self::Cut => codes::CUT,
            Self::Context => codes::CONTEXT,
            Self::Api => codes::API,
            Self::Output => codes::OUTPUT,
            Self::Key => codes::NO_KEY,
        })
    }
}

// === impl End ===

impl End {
    pub(super) fn done(output: Json) -> Self {
        Self { reason: EndReason::Done, message: String::new(), output }
    }

    /// A failure with the text so far.
    pub(super) fn failed(reason: EndReason, message: impl Into<String>, text: String) -> Self {
        let output = if text.is_empty() { Json::Null } else { Json::String(text) };
        Self { reason, message: message.into(), output }
    }

    /// Whether there is a result that is not whole.
    pub fn is_partial(&self) -> bool {
        self.reason != EndReason::Done && !self.output.is_null()
    }

    /// The error for people, with its code; none of a success.
    pub fn error(&self) -> Option<String> {
        let code = self.reason.code()?;
        let kept =
            if self.is_partial() { "; `plue transcript` shows a partial result" } else { "" };
        Some(format!("{code}: {}{kept}", self.message))
    }
}
