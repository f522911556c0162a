//! Admission of schemas with a bound of their work: no way out of the document, no recursion, a
//! limited number of parts with every `$ref` replaced by its target.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::regex_cost::states;

use super::{MAX_PATTERN_BYTES, MAX_SCHEMA_DEPTH, MAX_SCHEMA_FANOUT, violation::shown};

/// Applicators that judge the same value again. Under `unevaluatedItems` and
/// `unevaluatedProperties` the validator compiles and judges what they hold three times a level.
pub(super) const IN_PLACE: [&str; 9] =
    ["allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies"];
/// Passes of the validator over the parts of an applicator under an `unevaluated…` keyword.
pub(super) const UNEVALUATED_FACTOR: usize = 3;
/// Base cost of a pattern in parts; every eight of its states add one.
const PATTERN_PARTS: usize = 10;
/// Characters of a foreign text that a message repeats.
const MAX_SHOWN: usize = 80;

/// The reason that no bound of a schema's work can be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unbounded {
    /// A reference to another document.
    #[error("`$ref: {0}` is outside this schema; copy it under `$defs`")]
    Outside(String),
    /// A reference that is no JSON pointer to a part of this schema.
    #[error("`$ref: {0}` refers to nothing; write it as `#/$defs/NAME`")]
    Nothing(String),
    /// A reference into what it stands in.
    #[error("a `$ref` leads back to itself")]
    Recursive,
    /// More parts than [`MAX_SCHEMA_FANOUT`].
    #[error("with every `$ref` replaced it has more than {MAX_SCHEMA_FANOUT} parts")]
    TooLarge,
    /// More nested levels than [`MAX_SCHEMA_DEPTH`].
    #[error("with every `$ref` replaced it is deeper than {MAX_SCHEMA_DEPTH} levels")]
    TooDeep,
    /// `$id` below the root, which changes what references mean.
    #[error("`$id` stands below the root: references would mean something else there")]
    NestedId,
    /// A regular expression longer than [`MAX_PATTERN_BYTES`].
    #[error("a pattern has {0} bytes, the limit is {MAX_PATTERN_BYTES}")]
    LongPattern(usize),
}

/// Checks that the work of a schema has a provable bound.
///
/// # Errors
/// It has none.
pub fn admit(schema: &Json) -> Result<(), Unbounded> {
    references(schema, schema, true)?;
    let factor = if has_unevaluated(schema) { UNEVALUATED_FACTOR } else { 1 };
    let mut walk = Walk { root: schema, factor, known: BTreeMap::new() };
    walk.size(schema, &mut Vec::new()).map(|_| ())
}

/// The target of a reference within the document.
pub(super) fn target<'s>(root: &'s Json, reference: &Json) -> Option<&'s Json> {
    root.pointer(reference.as_str()?.strip_prefix('#')?)
}

pub(super) fn is_reference(key: &str) -> bool {
    matches!(key, "$ref" | "$dynamicRef" | "$recursiveRef")
}

/// True if the schema has an `unevaluated…` keyword anywhere.
pub(super) fn has_unevaluated(json: &Json) -> bool {
    match json {
        Json::Object(map) => {
            map.iter().any(|(key, inner)| key.starts_with("unevaluated") || has_unevaluated(inner))
        }
        Json::Array(items) => items.iter().any(has_unevaluated),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => false,
    }
}

/// Every reference stays inside, also where no schema is expected: a place that the validator takes
/// for a schema must not surprise us.
fn references(root: &Json, json: &Json, is_root: bool) -> Result<(), Unbounded> {
    match json {
        Json::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), value.as_str()) {
                    (key, Some(reference)) if is_reference(key) => inside(root, reference)?,
                    ("$id", Some(_)) if !is_root => return Err(Unbounded::NestedId),
                    _ => {}
                }
                references(root, value, false)?;
            }
            Ok(())
        }
        Json::Array(items) => items.iter().try_for_each(|item| references(root, item, false)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Ok(()),
    }
}

fn inside(root: &Json, reference: &str) -> Result<(), Unbounded> {
    let quoted = || {
        let text: String = reference.chars().take(MAX_SHOWN).collect();
        shown(text)
    };
    match reference.strip_prefix('#') {
        None => Err(Unbounded::Outside(quoted())),
        // The validator decodes `%`; a pointer that two readers read in two ways is refused.
        Some(pointer) if pointer.contains('%') || root.pointer(pointer).is_none() => {
            Err(Unbounded::Nothing(quoted()))
        }
        Some(_) => Ok(()),
    }
}

struct Walk<'s> {
    root: &'s Json,
    factor: usize,
    /// Each node that was measured, by its address in memory.
    known: BTreeMap<*const Json, Size>,
}

/// The size of a node with every reference replaced.
#[derive(Debug, Clone, Copy)]
struct Size {
    /// Parts, weighted by the validator's work for each.
    parts: usize,
    /// Levels, its own included.
    depth: usize,
}

// === impl Walk ===

impl<'s> Walk<'s> {
    /// The size is an upper bound of the work for one value. Ten alternatives that each refer to the
    /// whole would judge a value of depth 20 in 10^20 steps.
    fn size(&mut self, json: &'s Json, open: &mut Vec<*const Json>) -> Result<Size, Unbounded> {
        let address: *const Json = json;
        let known = self.known.get(&address).copied();
        let depth = open.len() + known.map_or(1, |known| known.depth);
        if depth > MAX_SCHEMA_DEPTH && !open.contains(&address) {
            return Err(Unbounded::TooDeep);
        }
        if let Some(known) = known {
            return Ok(known);
        }
        if open.contains(&address) {
            return Err(Unbounded::Recursive);
        }
        open.push(address);
        let mut size = Size { parts: 1, depth: 1 };
        match json {
            Json::Object(map) => {
                for (key, value) in map {
                    size.add(self.keyword(key, value, open)?);
                }
            }
            Json::Array(items) => {
                for item in items {
                    size.add(self.size(item, open)?);
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
        open.pop();
        if size.parts > MAX_SCHEMA_FANOUT {
            return Err(Unbounded::TooLarge);
        }
        self.known.insert(address, size);
        Ok(size)
    }

    fn keyword(
        &mut self,
        key: &str,
        value: &'s Json,
        open: &mut Vec<*const Json>,
    ) -> Result<Size, Unbounded> {
        let inner = if is_reference(key) { target(self.root, value) } else { None };
        let mut size = self.size(inner.unwrap_or(value), open)?;
        if IN_PLACE.contains(&key) || key == "contains" {
            size.parts = size.parts.saturating_mul(self.factor);
        }
        let patterns = match (key, value) {
            ("pattern", Json::String(pattern)) => pattern_parts(pattern)?,
            ("patternProperties", Json::Object(map)) => {
                let mut sum = 0_usize;
                for pattern in map.keys() {
                    sum = sum.saturating_add(pattern_parts(pattern)?);
                }
                sum
            }
            _ => 0,
        };
        size.parts = size.parts.saturating_add(patterns);
        Ok(size)
    }
}

// === impl Size ===

impl Size {
    /// Adds a part to what holds it.
    fn add(&mut self, inner: Self) {
        self.parts = self.parts.saturating_add(inner.parts);
        self.depth = self.depth.max(inner.depth + 1);
    }
}

fn pattern_parts(pattern: &str) -> Result<usize, Unbounded> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(Unbounded::LongPattern(pattern.len()));
    }
    Ok(PATTERN_PARTS.saturating_add(states(pattern) / 8))
}
