//! The messages so far, as the next request sends them.

use serde_json::Value as Json;

use crate::{
    answer::{Answer, Block, StopReason},
    request::{Message, Role},
};

/// In place of what `max_tokens` cut.
const CUT: &str = "[cut off: max_tokens]";

/// In place of an answer that was reasoning only.
const FORGOTTEN: &str = "[reasoning of another model]";

/// After a paused answer.
const CONTINUE: &str = "Continue.";

/// The conversation with the model.
#[derive(Debug, Clone, Default)]
pub(super) struct Conversation {
    messages: Vec<Message>,
    bytes: usize,
}

// === impl Conversation ===

impl Conversation {
    pub(super) fn messages(&self) -> &[Message] {
        &self.messages
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn user(&mut self, content: Vec<Block>) {
        self.push(Role::User, content);
    }

    /// Takes over an answer, unchanged but for calls that were cut and empty texts, which the API
    /// refuses.
    pub(super) fn assistant(&mut self, answer: &Answer) {
        let cut = |block: &Block| block.as_tool_call().is_some_and(|call| call.input.is_none());
        let is_cut = answer.stop.reason == Some(StopReason::MaxTokens);
        let kept = answer.content.iter().filter(|block| !cut(block) && !is_empty(block));
        let mut content: Vec<Block> = kept.cloned().map(Block::signed).collect();
        if is_cut && content.iter().all(|block| block.as_text().is_none()) {
            content.push(Block::text(CUT));
        }
        if !content.is_empty() {
            self.push(Role::Assistant, content);
        }
    }

    /// Resumes a paused answer. One that ends with a tool of the API goes back as it is; models refuse any
    /// other conversation that does not end with the user.
    pub(super) fn resume_paused(&mut self) {
        let last = self.messages.last().filter(|last| last.role == Role::Assistant);
        let Some(block) = last.and_then(|last| last.content.last()) else { return };
        let kind = block.kind();
        if !(kind.ends_with("_tool_use") || kind.ends_with("_tool_result")) {
            self.push(Role::User, vec![Block::text(CONTINUE)]);
        }
    }

    /// Leaves out the reasoning of all answers; those that are nothing else keep a placeholder.
    pub(super) fn forget_reasoning(&mut self) {
        let messages = std::mem::take(&mut self.messages);
        self.bytes = 0;
        for Message { role, mut content } in messages {
            content.retain(|block| !block.kind().contains("thinking"));
            if content.is_empty() {
                content.push(Block::text(FORGOTTEN));
            }
            self.push(role, content);
        }
    }

    fn push(&mut self, role: Role, content: Vec<Block>) {
        self.bytes +=
            content.iter().map(|block| weight(&Json::Object(block.0.clone()))).sum::<usize>();
        self.messages.push(Message { role, content });
    }
}

fn is_empty(block: &Block) -> bool {
    block.as_text().is_some_and(|text| text.trim().is_empty())
}

fn weight(value: &Json) -> usize {
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => 8,
        Json::String(text) => text.len() + 8,
        Json::Array(items) => items.iter().map(weight).sum::<usize>() + 8,
        Json::Object(fields) => {
            fields.iter().map(|(name, field)| name.len() + 8 + weight(field)).sum::<usize>() + 8
        }
    }
}
