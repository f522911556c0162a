//! Events of a stream, put together to an answer.
//!
//! Pure. A stream counts as whole only with `message_stop`, or with a stop reason before a clean end:
//! one that just ends is truncated, even if the connection was closed in order.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use crate::{
    answer::{Answer, Block, Stop, StopReason, Usage},
    error::StreamError,
    event::{BlockDelta, Ending, Event, Head},
    limits::MAX_BLOCKS,
    sse::SseEvent,
};

/// A piece of the answer, for viewers.
#[derive(Debug, Clone, PartialEq)]
pub enum Delta {
    /// Start of a block; deltas of its content follow.
    BlockStart {
        /// Position in the answer.
        index: u64,
        /// `text`, `thinking`, `tool_use`, …
        kind: String,
        /// The name of a tool call.
        tool: Option<String>,
    },
    /// Text of the answer.
    Text(String),
    /// Reasoning of the model, if requested.
    Thinking(String),
    /// JSON text of a tool's input.
    ToolInput(String),
    /// A block is whole.
    BlockStop {
        /// Position in the answer.
        index: u64,
    },
}

/// An answer under construction.
#[derive(Debug, Default)]
pub struct Assembler {
    head: Option<Head>,
    blocks: BTreeMap<u64, Open>,
    stop: Stop,
    usage: Usage,
    is_whole: bool,
}

#[derive(Debug)]
struct Open {
    fields: Map<String, Json>,
    /// JSON text of a tool's input. Pieces may end inside an escape, so it is read once, whole.
    input: String,
    is_closed: bool,
    /// It ended, and its input is no JSON object: an error unless `max_tokens` cut the answer.
    has_bad_input: bool,
}

// === impl Assembler ===

impl Assembler {
    /// Reads and takes the next event; those after `message_stop` are not even read.
    ///
    /// # Errors
    /// As [`Event::read`] and [`Assembler::apply`].
    pub fn take(&mut self, event: &SseEvent) -> Result<Option<Delta>, StreamError> {
        if self.is_whole {
            return Ok(None);
        }
        Event::read(event)?.map_or(Ok(None), |event| self.apply(event))
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// The API reports an error, or events come in an order that it does not document.
    pub fn apply(&mut self, event: Event) -> Result<Option<Delta>, StreamError> {
        if self.is_whole {
            return Ok(None);
        }
        match event {
            Event::Error(failure) => return Err(StreamError::Api(Box::new(failure.into()))),
            Event::MessageStart(head) => {
                if self.head.is_some() {
                    return Err(StreamError::Order("a second message_start"));
                }
                self.usage.update(head.usage);
                self.head = Some(head);
            }
            _ if self.head.is_none() => return Err(StreamError::NoHead),
            Event::BlockStart { index, block } => return self.start(index, block).map(Some),
            Event::BlockDelta { index, delta } => return self.piece(index, delta),
            Event::BlockStop { index } => {
                self.open(index)?.close();
                return Ok(Some(Delta::BlockStop { index }));
            }
            Event::MessageDelta(ending) => self.ending(ending),
            Event::MessageStop => self.is_whole = true,
        }
        Ok(None)
    }

    /// True after `message_stop`: anything that follows is ignored.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Tokens reported so far, also of an answer that fails.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// The answer, once the stream has ended.
    ///
    /// # Errors
    /// [`StreamError::Truncated`]: no `message_start`, or neither a stop reason nor `message_stop`.
    pub fn finish(self) -> Result<Answer, StreamError> {
        let Some(head) = self.head else { return Err(StreamError::Truncated) };
        if !self.is_whole && self.stop.reason.is_none() {
            return Err(StreamError::Truncated);
        }
        let mut content = Vec::with_capacity(self.blocks.len());
        for mut open in self.blocks.into_values() {
            // A block without its end: `max_tokens` cuts tool calls so.
            if !open.is_closed {
                open.close_cut();
            } else if open.has_bad_input {
                if self.stop.reason != Some(StopReason::MaxTokens) {
                    return Err(StreamError::BadToolInput);
                }
                open.fields.remove("input");
            }
            content.push(Block(open.fields));
        }
        Ok(Answer { id: head.id, model: head.model, content, stop: self.stop, usage: self.usage })
    }

    fn start(&mut self, index: u64, fields: Map<String, Json>) -> Result<Delta, StreamError> {
        if self.blocks.len() >= MAX_BLOCKS {
            return Err(StreamError::TooManyBlocks);
        }
        let text = |field: &str| fields.get(field).and_then(Json::as_str).map(str::to_owned);
        let delta =
            Delta::BlockStart { index, kind: text("type").unwrap_or_default(), tool: text("name") };
        let open = Open { fields, input: String::new(), is_closed: false, has_bad_input: false };
        if self.blocks.insert(index, open).is_some() {
            return Err(StreamError::Order("a block starts twice"));
        }
        Ok(delta)
    }

    fn piece(&mut self, index: u64, delta: BlockDelta) -> Result<Option<Delta>, StreamError> {
        let open = self.open(index)?;
        Ok(match delta {
            BlockDelta::TextDelta { text } => {
                open.append("text", &text)?;
                Some(Delta::Text(text))
            }
            BlockDelta::ThinkingDelta { thinking } => {
                open.append("thinking", &thinking)?;
                Some(Delta::Thinking(thinking))
            }
            BlockDelta::SignatureDelta { signature } => {
                open.append("signature", &signature)?;
                None
            }
            BlockDelta::InputJsonDelta { partial_json } => {
                open.input.push_str(&partial_json);
                Some(Delta::ToolInput(partial_json))
            }
            BlockDelta::CitationsDelta { citation } => {
                open.cite(citation);
                None
            }
            BlockDelta::Unknown => None,
        })
    }

    fn open(&mut self, index: u64) -> Result<&mut Open, StreamError> {
        match self.blocks.get_mut(&index) {
            Some(open) if !open.is_closed => Ok(open),
            Some(_) => Err(StreamError::Order("a piece of a block that has ended")),
            None => Err(StreamError::Order("a piece of a block that has not started")),
        }
    }

    fn ending(&mut self, ending: Ending) {
        self.usage.update(ending.usage);
        let delta = ending.delta;
        if let Some(reason) = delta.stop_reason {
            self.stop.reason = Some(StopReason::new(&reason));
        }
        self.stop.sequence = delta.stop_sequence.or(self.stop.sequence.take());
        self.stop.details = delta.stop_details.or(self.stop.details.take());
    }
}

// === impl Open ===

impl Open {
    fn append(&mut self, field: &str, piece: &str) -> Result<(), StreamError> {
        let value = self.fields.entry(field).or_insert_with(|| Json::from(""));
        if value.is_null() {
            *value = Json::from("");
        }
        let Json::String(text) = value else {
            return Err(StreamError::Order("a piece of text for a field that is none"));
        };
        text.push_str(piece);
        Ok(())
    }

    fn cite(&mut self, citation: Json) {
        let list = self.fields.entry("citations").or_insert_with(|| Json::Array(Vec::new()));
        if list.is_null() {
            *list = Json::Array(Vec::new());
        }
        if let Json::Array(citations) = list {
            citations.push(citation);
        }
    }

    fn close(&mut self) {
        self.is_closed = true;
        let text = std::mem::take(&mut self.input);
        if text.is_empty() {
            // A call without arguments may come with none at all.
            if self.fields.get("type").is_some_and(|kind| kind == "tool_use") {
                let input = self.fields.entry("input").or_insert_with(|| Json::Null);
                if input.is_null() {
                    *input = Json::Object(Map::new());
                }
            }
            return;
        }
        match serde_json::from_str::<Json>(&text) {
            Ok(input @ Json::Object(_)) => {
                self.fields.insert("input".to_owned(), input);
            }
            Ok(_) | Err(_) => self.has_bad_input = true,
        }
    }

    /// Closes a block that the answer's end cut. A tool call without its whole input has none: it must
    /// not be carried out.
    fn close_cut(&mut self) {
        self.close();
        if self.has_bad_input || self.fields.get("type").is_some_and(|kind| kind == "tool_use") {
            self.fields.remove("input");
        }
    }
}
