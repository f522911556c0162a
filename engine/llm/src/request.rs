//! A request of the Messages API, with the parameters that its current version takes.
//!
//! Sampling parameters (`temperature`, `top_p`, `top_k`) and forced tool use do not exist here: current
//! models refuse them. Must not choose a model or a limit.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::answer::Block;

/// Body of `POST /v1/messages`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Request {
    /// Model id, a free text.
    pub model: String,
    /// Output tokens at most, reasoning included.
    pub max_tokens: u32,
    /// System prompt, sent outside of the conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// The conversation, the user's message last.
    pub messages: Vec<Message>,
    /// Tools that the model may call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool>,
    /// Mode and display of reasoning; `None`: the field is not sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<Thinking>,
    /// Effort and format of the answer.
    #[serde(skip_serializing_if = "OutputConfig::is_empty")]
    pub output_config: OutputConfig,
    /// Caches the prompt up to its last block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<CacheControl>,
    /// Always: answers are streamed.
    stream: bool,
}

/// One message of the conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Author of the message: the user or the model.
    pub role: Role,
    /// Its blocks; never empty.
    pub content: Vec<Block>,
}

/// Author of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// We, and the results of tools.
    User,
    /// The model, with its earlier answers.
    Assistant,
}

/// A tool of ours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// `[a-zA-Z0-9_-]{1,128}`, unique in a request.
    pub name: String,
    /// Purpose and use of the tool, as text for the model.
    pub description: String,
    /// JSON Schema of an object.
    pub input_schema: Map<String, Json>,
    /// True if the API holds arguments to the schema.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strict: bool,
}

/// Mode of reasoning, the field `thinking` of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Thinking {
    /// As much as the model finds necessary.
    Adaptive {
        /// Form of the reasoning in the answer.
        display: Display,
    },
}

/// Form of the reasoning in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Display {
    /// A summary: without it, a log is silent while the model thinks.
    Summarized,
    /// The answer contains no text of the reasoning.
    Omitted,
}

/// Effort and format of the answer.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct OutputConfig {
    /// `low`, `medium`, `high`, `xhigh` or `max`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// JSON Schema of the answer's text.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_format")]
    pub format: Option<Json>,
}

/// A breakpoint of the prompt cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum CacheControl {
    /// For five minutes from the last use.
    Ephemeral,
}

// === impl Request ===

impl Request {
    /// A request without system prompt and tools; the prompt is cached.
    pub fn new(model: impl Into<String>, max_tokens: u32, messages: Vec<Message>) -> Self {
        Self {
            model: model.into(),
            max_tokens,
            system: None,
            messages,
            tools: Vec::new(),
            thinking: None,
            output_config: OutputConfig::default(),
            cache_control: Some(CacheControl::Ephemeral),
            stream: true,
        }
    }
}

// === impl Message ===

impl Message {
    /// A text of the user.
    pub fn user(text: impl Into<String>) -> Self {
        Self { role: Role::User, content: vec![Block::text(text)] }
    }
}

// === impl OutputConfig ===

impl OutputConfig {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn as_format<S: serde::Serializer>(schema: &Option<Json>, to: S) -> Result<S::Ok, S::Error> {
    json!({ "type": "json_schema", "schema": schema }).serialize(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_requests_have_no_empty_fields() {
        let request = Request::new("claude-sonnet-5-5", 1_024, vec![Message::user("Hello")]);
        let expected = json!({
            "model": "claude-sonnet-5-5",
            "max_tokens": 1_024,
            "messages": [{ "role": "user", "content": [{ "type": "text", "text": "Hello" }] }],
            "cache_control": { "type": "ephemeral" },
            "stream": true,
        });
        assert_eq!(serde_json::to_value(&request).expect("serialized"), expected);
    }

    #[test]
    fn schemas_become_a_format() {
        let mut request = Request::new("claude-opus-5-5", 64, vec![Message::user("x")]);
        request.output_config.format = Some(json!({ "type": "object" }));
        request.thinking = Some(Thinking::Adaptive { display: Display::Summarized });
        let value = serde_json::to_value(&request).expect("serialized");
        let format = json!({ "format": { "type": "json_schema", "schema": { "type": "object" } } });
        assert_eq!(value["output_config"], format);
        assert_eq!(value["thinking"], json!({ "type": "adaptive", "display": "summarized" }));
    }
}
