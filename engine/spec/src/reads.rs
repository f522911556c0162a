//! Reads of an evaluation, for `plue explain`. Bounded: it is a record for people.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// Reads kept of one evaluation; later ones are counted only.
pub const MAX_READS: usize = 64;
/// Bytes of text kept of one value.
const MAX_TEXT_BYTES: usize = 512;

/// One value that was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Read {
    /// As it is written in an expression: `steps.plan.output.risk`.
    pub path: String,
    /// The value; of a long text the beginning, of a list or object its size in words.
    pub value: Json,
}

/// The values read, in the order of their first reading.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Reads {
    /// The first [`MAX_READS`] reads.
    pub values: Vec<Read>,
    /// Number of further reads.
    pub more: u64,
}

// === impl Reads ===

impl Reads {
    pub(crate) fn record(&mut self, path: &str, value: &Json) {
        if self.values.iter().any(|read| read.path == path) {
            return;
        }
        if self.values.len() == MAX_READS {
            self.more += 1;
            return;
        }
        self.values.push(Read { path: path.to_owned(), value: abridged(value) });
    }
}

fn abridged(value: &Json) -> Json {
    match value {
        Json::String(text) if text.len() > MAX_TEXT_BYTES => {
            let end = text.floor_char_boundary(MAX_TEXT_BYTES);
            Json::String(format!("{}… ({} bytes)", &text[..end], text.len()))
        }
        Json::Array(items) if items.len() > 8 || items.iter().any(is_compound) => {
            Json::String(format!("a list of {} items", items.len()))
        }
        Json::Object(map) if map.len() > 8 || map.values().any(is_compound) => {
            Json::String(format!("an object of {} fields", map.len()))
        }
        Json::Array(items) => Json::Array(items.iter().map(abridged).collect()),
        Json::Object(map) => map.iter().map(|(key, item)| (key.clone(), abridged(item))).collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => value.clone(),
    }
}

fn is_compound(value: &Json) -> bool {
    value.is_array() || value.is_object()
}
