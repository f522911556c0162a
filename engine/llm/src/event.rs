//! The events of a streamed answer.
//!
//! Events of unknown names and pings are left out: new ones may come within a version of the API
//! (<https://docs.claude.com/en/api/versioning>). Must not judge their order.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value as Json};

use crate::{answer::Usage, error::StreamError, sse::SseEvent};

/// An event of the stream that counts.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The head of the answer.
    MessageStart(Head),
    /// A block begins; `content_block` has its fields so far.
    BlockStart {
        /// Position in the answer.
        index: u64,
        /// Fields of `content_block`, extended by later deltas.
        block: Map<String, Json>,
    },
    /// A piece of a block.
    BlockDelta {
        /// Position in the answer.
        index: u64,
        /// Piece to add to the block.
        delta: BlockDelta,
    },
    /// A block is whole.
    BlockStop {
        /// Position in the answer.
        index: u64,
    },
    /// The end of the answer, and its use so far.
    MessageDelta(Ending),
    /// The answer is whole.
    MessageStop,
    /// The API gives up in the middle of the answer.
    Error(Failure),
}

/// Fields of the message in `message_start`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Head {
    /// Message id that the API assigned; empty if absent.
    #[serde(default, deserialize_with = "or_default")]
    pub id: String,
    /// The model that answers.
    #[serde(default, deserialize_with = "or_default")]
    pub model: String,
    /// Tokens reported at the start of the answer.
    #[serde(default, deserialize_with = "or_default")]
    pub usage: Usage,
}

/// Fields of the event `message_delta`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct Ending {
    /// The reason of the end.
    #[serde(default, deserialize_with = "or_default")]
    pub delta: EndingDelta,
    /// Tokens reported so far, cumulative over the answer.
    #[serde(default, deserialize_with = "or_default")]
    pub usage: Usage,
}

/// The reason of an end; each field may come alone.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct EndingDelta {
    /// The model's reason to stop.
    pub stop_reason: Option<String>,
    /// The stop sequence it met.
    pub stop_sequence: Option<String>,
    /// Details of a refusal.
    pub stop_details: Option<Json>,
}

/// Fields of the event `error`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct Failure {
    /// Type and message of the error.
    pub error: FailureBody,
    /// Id of the request, for the API's support.
    pub request_id: Option<String>,
}

/// An error object of the API.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct FailureBody {
    /// Type of the error, such as `overloaded_error`; empty if absent.
    #[serde(rename = "type", default, deserialize_with = "or_default")]
    pub kind: String,
    /// Message of the API, at its full length; empty if absent.
    #[serde(default, deserialize_with = "or_default")]
    pub message: String,
}

/// A piece of a block.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum BlockDelta {
    /// Piece of a text block.
    TextDelta {
        /// Text to append to the block.
        text: String,
    },
    /// Input of a tool call, as pieces of JSON text.
    InputJsonDelta {
        /// The piece; may end inside an escape.
        partial_json: String,
    },
    /// Piece of a thinking block.
    ThinkingDelta {
        /// Reasoning text to append to the block.
        thinking: String,
    },
    /// The signature of a thinking block.
    SignatureDelta {
        /// Text to append to the signature.
        signature: String,
    },
    /// A citation of a text block.
    CitationsDelta {
        /// Citation to add to the block's `citations`.
        citation: Json,
    },
    /// A kind of delta that this version does not know.
    #[serde(other)]
    Unknown,
}

#[derive(Deserialize)]
struct MessageStart {
    message: Head,
}

#[derive(Deserialize)]
struct BlockStart {
    index: u64,
    content_block: Map<String, Json>,
}

#[derive(Deserialize)]
struct BlockPiece {
    index: u64,
    delta: BlockDelta,
}

#[derive(Deserialize)]
struct BlockStop {
    index: u64,
}

// === impl Event ===

impl Event {
    /// Reads an event; `None` for pings, unnamed events and names that this version does not know.
    ///
    /// # Errors
    /// A known event whose data is not what the API documents.
    pub fn read(event: &SseEvent) -> Result<Option<Self>, StreamError> {
        let Some(name) = event.name.as_deref() else { return Ok(None) };
        let data = event.data.as_str();
        let read = match name {
            "message_start" => parse::<MessageStart>(data).map(|it| Self::MessageStart(it.message)),
            "content_block_start" => parse::<BlockStart>(data)
                .map(|it| Self::BlockStart { index: it.index, block: it.content_block }),
            "content_block_delta" => parse::<BlockPiece>(data)
                .map(|it| Self::BlockDelta { index: it.index, delta: it.delta }),
            "content_block_stop" => {
                parse::<BlockStop>(data).map(|it| Self::BlockStop { index: it.index })
            }
            "message_delta" => parse(data).map(Self::MessageDelta),
            "message_stop" => Ok(Self::MessageStop),
            "error" => Ok(Self::Error(parse(data).unwrap_or_default())),
            _ => return Ok(None),
        };
        read.map(Some).map_err(|error| StreamError::BadEvent {
            name: name.to_owned(),
            reason: error.to_string(),
        })
    }
}

/// A null counts as absent: most fields of the API may be null.
pub(crate) fn or_default<'a, T, D>(from: D) -> Result<T, D::Error>
where
    T: Deserialize<'a> + Default,
    D: Deserializer<'a>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

fn parse<'a, T: Deserialize<'a>>(data: &'a str) -> Result<T, serde_json::Error> {
    serde_json::from_str(data)
}
