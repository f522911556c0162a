//! A whole answer of the model: blocks, the reason of its end, tokens.
//!
//! Blocks keep every field as it came: thinking blocks must go back unchanged, and blocks of unknown
//! types must survive a round. Must not interpret a tool's input.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// An answer that ended as the API ends answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Message id that the API assigned.
    pub id: String,
    /// The model that answered.
    pub model: String,
    /// Its blocks, in order.
    pub content: Vec<Block>,
    /// The reason of the end.
    pub stop: Stop,
    /// Tokens of the request and the answer.
    pub usage: Usage,
}

/// The reason of an answer's end.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Stop {
    /// Stop reason; `None`: the API reported none.
    pub reason: Option<StopReason>,
    /// The stop sequence, if one was met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<String>,
    /// Details of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Json>,
}

/// `stop_reason` of the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The model is done.
    EndTurn,
    /// The answer reached `max_tokens` and is cut.
    MaxTokens,
    /// A stop sequence was met.
    StopSequence,
    /// The model waits for tools.
    ToolUse,
    /// A long turn of server tools; sent back as it is, it goes on.
    PauseTurn,
    /// The model declines; [`Stop::details`] may give the cause.
    Refusal,
    /// The context window is full.
    ModelContextWindowExceeded,
    /// A reason that this version does not know.
    #[serde(untagged)]
    Other(String),
}

/// Tokens of one answer. Absent fields were not reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens read at the price of input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Tokens written, reasoning included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// Tokens written into the prompt cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_creation_input_tokens: Option<u64>,
    /// Tokens read from the prompt cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read_input_tokens: Option<u64>,
    /// `cache_creation_input_tokens`, split by cache lifetime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_creation: Option<CacheCreation>,
}

/// Tokens written into the prompt cache, by lifetime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CacheCreation {
    /// Tokens cached for five minutes.
    #[serde(default, deserialize_with = "crate::event::or_default")]
    pub ephemeral_5m_input_tokens: u64,
    /// Tokens cached for one hour.
    #[serde(default, deserialize_with = "crate::event::or_default")]
    pub ephemeral_1h_input_tokens: u64,
}

/// The field of a stored reasoning block with its text as the model signed it, where masks changed the
/// text that is shown. Readers of transcripts never get it.
pub const SIGNED_TEXT: &str = "plue_hidden";

/// A content block, as the API has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Block(pub Map<String, Json>);

/// A call of a tool of ours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ToolCall<'a> {
    /// Id that the result of the call must name, `toolu_…`.
    pub id: &'a str,
    /// Name of the tool, as the model gave it.
    pub name: &'a str,
    /// Its arguments; `None` if the answer ended before they were whole.
    pub input: Option<&'a Map<String, Json>>,
}

// === impl Usage ===

impl Usage {
    /// Takes over what `newer` reports: the API's counts are cumulative.
    pub fn update(&mut self, newer: Self) {
        let replace = |old: &mut Option<u64>, new: Option<u64>| *old = new.or(*old);
        replace(&mut self.input_tokens, newer.input_tokens);
        replace(&mut self.output_tokens, newer.output_tokens);
        replace(&mut self.cache_creation_input_tokens, newer.cache_creation_input_tokens);
        replace(&mut self.cache_read_input_tokens, newer.cache_read_input_tokens);
        self.cache_creation = newer.cache_creation.or(self.cache_creation);
    }

    /// True if the API reported both directions; otherwise the cost is unknown.
    pub fn is_complete(&self) -> bool {
        self.input_tokens.is_some() && self.output_tokens.is_some()
    }
}

// === impl Block ===

impl Block {
    /// A block of type `text` with this text.
    pub fn text(text: impl Into<String>) -> Self {
        let fields = [("type", Json::from("text")), ("text", Json::from(text.into()))];
        Self(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// The result of a tool call.
    pub fn tool_result(call: &str, content: &str, is_error: bool) -> Self {
        let mut fields = Map::new();
        fields.insert("type".to_owned(), "tool_result".into());
        fields.insert("tool_use_id".to_owned(), call.into());
        // The API refuses empty text blocks, not empty results.
        fields.insert("content".to_owned(), content.into());
        if is_error {
            fields.insert("is_error".to_owned(), true.into());
        }
        Self(fields)
    }

    /// Value of the field `type`; empty if the block has none.
    pub fn kind(&self) -> &str {
        self.str("type")
    }

    /// The text of a text block.
    pub fn as_text(&self) -> Option<&str> {
        (self.kind() == "text").then(|| self.str("text"))
    }

    /// Masks the reasoning of a `thinking` block, and keeps the text that its signature covers in
    /// [`SIGNED_TEXT`].
    pub(crate) fn mask_reasoning(&mut self, mask: &mut impl FnMut(&mut String)) {
        let Some(Json::String(text)) = self.0.get("thinking") else { return };
        let mut masked = text.clone();
        mask(&mut masked);
        if masked != *text {
            let signed = self.0.insert("thinking".to_owned(), masked.into()).unwrap_or_default();
            self.0.entry(SIGNED_TEXT).or_insert(signed);
        }
    }

    /// The block as the model signed it.
    #[must_use]
    pub(crate) fn signed(mut self) -> Self {
        if let Some(signed) = self.0.remove(SIGNED_TEXT) {
            self.0.insert("thinking".to_owned(), signed);
        }
        self
    }

    /// The call of a `tool_use` block. Tools that the API runs itself are none.
    pub fn as_tool_call(&self) -> Option<ToolCall<'_>> {
        (self.kind() == "tool_use").then(|| ToolCall {
            id: self.str("id"),
            name: self.str("name"),
            input: self.0.get("input").and_then(Json::as_object),
        })
    }

    fn str(&self, field: &str) -> &str {
        self.0.get(field).and_then(Json::as_str).unwrap_or_default()
    }
}

// === impl Answer ===

impl Answer {
    /// The text blocks, joined.
    pub fn text(&self) -> String {
        self.content.iter().filter_map(Block::as_text).collect()
    }

    /// The calls of our tools, in order.
    pub fn tool_calls(&self) -> impl Iterator<Item = ToolCall<'_>> {
        self.content.iter().filter_map(Block::as_tool_call)
    }
}

// === impl StopReason ===

impl StopReason {
    /// Reads the API's word.
    pub fn new(word: &str) -> Self {
        match word {
            "end_turn" => Self::EndTurn,
            "max_tokens" => Self::MaxTokens,
            "stop_sequence" => Self::StopSequence,
            "tool_use" => Self::ToolUse,
            "pause_turn" => Self::PauseTurn,
            "refusal" => Self::Refusal,
            "model_context_window_exceeded" => Self::ModelContextWindowExceeded,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Value of `stop_reason`, as the API spells it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::EndTurn => "end_turn",
            Self::MaxTokens => "max_tokens",
            Self::StopSequence => "stop_sequence",
            Self::ToolUse => "tool_use",
            Self::PauseTurn => "pause_turn",
            Self::Refusal => "refusal",
            Self::ModelContextWindowExceeded => "model_context_window_exceeded",
            Self::Other(word) => word,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_reasons_round_trip() {
        let words = [
            "end_turn",
            "max_tokens",
            "stop_sequence",
            "tool_use",
            "pause_turn",
            "refusal",
            "model_context_window_exceeded",
            "something_new",
        ];
        for word in words {
            let reason = StopReason::new(word);
            assert_eq!(reason.as_str(), word);
            let json = serde_json::to_string(&reason).expect("serialized");
            assert_eq!(json, format!("\"{word}\""));
            assert_eq!(serde_json::from_str::<StopReason>(&json).expect("read"), reason);
        }
    }

    #[test]
    fn later_usage_replaces_what_it_names() {
        let mut usage =
            Usage { input_tokens: Some(100), output_tokens: Some(3), ..Usage::default() };
        usage.update(Usage { output_tokens: Some(50), ..Usage::default() });
        assert_eq!((usage.input_tokens, usage.output_tokens), (Some(100), Some(50)));
        assert!(usage.is_complete());
        assert!(!Usage::default().is_complete());
    }

    #[test]
    fn blocks_keep_fields_of_unknown_meaning() {
        let text = r#"{"type":"tool_use","id":"toolu_1","name":"bash","input":{},"caller":{"type":"direct"}}"#;
        let block: Block = serde_json::from_str(text).expect("read");
        assert_eq!(serde_json::to_string(&block).expect("serialized"), text);
        assert_eq!(block.as_tool_call().map(|call| call.name), Some("bash"));
    }
}
