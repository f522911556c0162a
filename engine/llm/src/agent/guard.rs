//! The guard against loops: the same call with the same result, again and again, without anything new
//! in between.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use serde_json::Value as Json;

use crate::agent::REPEATS;

/// Counts calls. A test loop that gives a new result each time is no loop.
#[derive(Debug, Clone, Default)]
pub(super) struct Guard {
    seen: HashSet<u64>,
    /// Of each call since the last new one.
    again: HashMap<u64, u32>,
    /// The tool of a call that came too often.
    caught: Option<String>,
}

// === impl Guard ===

impl Guard {
    pub(super) fn note(&mut self, tool: &str, input: &Json, result: &str) {
        let mut hasher = DefaultHasher::new();
        // Keys of objects are sorted or in the model's order; both are stable for an honest loop.
        (tool, input.to_string(), result).hash(&mut hasher);
        let call = hasher.finish();
        if self.seen.insert(call) {
            self.again.clear();
        }
        let count = self.again.entry(call).or_default();
        *count += 1;
        if *count >= REPEATS {
            self.caught = Some(tool.to_owned());
        }
    }

    /// The tool that the model calls in a loop.
    pub(super) fn caught(&self) -> Option<&str> {
        self.caught.as_deref()
    }
}
