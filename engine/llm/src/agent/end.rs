//! Ends of an agent, each with its code.

use std::fmt;

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
    /// The difference that ended a replay: set with [`EndReason::Replay`] only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divergence: Option<Box<Divergence>>,
}

/// The first difference between a request of a replay and those of its recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Divergence {
    /// The turn whose request differs, counted from 1.
    pub turn: u32,
    /// The part of the request that differs, for people.
    pub what: String,
    /// An excerpt of the recorded part; empty if the recording has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub recorded: String,
    /// An excerpt of the part in the replay; empty if it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub now: String,
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
    /// The agent of a replay sent a request that its recording does not have.
    Replay,
    /// The tools of an MCP server are not those that were accepted.
    McpChanged,
    /// An MCP server cannot be used.
    Mcp,
    /// An MCP server demands a login.
    McpLogin,
}

// === impl Divergence ===

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { turn, what, recorded, now } = self;
        write!(f, "turn {turn}: {what}")?;
        if !(recorded.is_empty() && now.is_empty()) {
            write!(f, ": recorded {recorded:?}, now {now:?}")?;
        }
        Ok(())
    }
}

// === impl EndReason ===

impl EndReason {
    /// The exit status of the attempt: 7 for a limit, as of `plue run`.
    pub fn status(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Turns | Self::Tokens | Self::Budget | Self::Loop => 7,
            Self::Refusal
            | Self::Cut
            | Self::Context
            | Self::Api
            | Self::Output
            | Self::Key
            | Self::Replay
            | Self::McpChanged
            | Self::Mcp
            | Self::McpLogin => 1,
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
            Self::Replay => codes::REPLAY,
            Self::McpChanged => codes::MCP_CHANGED,
            Self::Mcp => codes::MCP,
            Self::McpLogin => codes::MCP_LOGIN,
        })
    }
}

// === impl End ===

impl End {
    pub(super) fn done(output: Json) -> Self {
        Self { reason: EndReason::Done, message: String::new(), output, divergence: None }
    }

    /// A failure with the text so far.
    pub(super) fn failed(reason: EndReason, message: impl Into<String>, text: String) -> Self {
        let output = if text.is_empty() { Json::Null } else { Json::String(text) };
        Self { reason, message: message.into(), output, divergence: None }
    }

    /// A failure before the start of the agent, without a result.
    pub fn refused(reason: EndReason, message: impl Into<String>) -> Self {
        Self::failed(reason, message, String::new())
    }

    pub(super) fn diverged(divergence: Divergence, text: String) -> Self {
        let mut end = Self::failed(EndReason::Replay, divergence.to_string(), text);
        end.divergence = Some(Box::new(divergence));
        end
    }

    /// True for an incomplete result.
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
