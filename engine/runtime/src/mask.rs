//! Masking of secrets in byte streams and in values, before anything leaves a runner or reaches its
//! disk, and before the answer of a called service reaches the journal.
//!
//! A stream may be cut anywhere: bytes that could be the start of a secret are buffered, at most
//! the length of the longest form. Must not do I/O.

mod forms;

use std::{collections::BTreeSet, sync::Arc};

use aho_corasick::{AhoCorasick, MatchKind};
use serde_json::Value;

/// Values that are masked at most.
const MAX_VALUES: usize = 4_096;
/// Replacement of a secret.
const MASK: &[u8] = b"***";

/// The secrets of one attempt in all their forms. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Secrets(Option<Arc<Patterns>>);

/// Every secret that an attempt of this runner got, and those that the engine names: a step may have
/// left one in the workspace, where each later step finds it.
#[derive(Debug, Default)]
pub struct RunMasks {
    values: BTreeSet<Vec<u8>>,
    /// Their forms; none: values have come since.
    secrets: Option<Secrets>,
}

#[derive(Debug)]
struct Patterns {
    automaton: AhoCorasick,
    /// Sorted, so that "is this the start of a form" is one binary search.
    sorted: Vec<Vec<u8>>,
    longest: usize,
    starts: [bool; 256],
}

/// One output stream on its way through the mask.
#[derive(Debug)]
pub struct MaskStream {
    secrets: Secrets,
    /// Bytes that may still turn out to belong to a secret.
    pending: Vec<u8>,
    /// Bytes at the front of `pending` for which a mask was already written.
    covered: usize,
}

// === impl RunMasks ===

impl RunMasks {
    /// Adds values to those that every attempt masks.
    pub fn add(&mut self, values: impl Iterator<Item = Vec<u8>>) {
        let before = self.values.len();
        self.values.extend(values);
        if self.values.len() > before {
            self.secrets = None;
        }
    }

    /// The secrets of all attempts.
    ///
    /// # Errors
    /// There are too many, in words.
    pub fn secrets(&mut self) -> Result<Secrets, String> {
        if self.values.len() > MAX_VALUES {
            return Err(format!("the runner has more than {MAX_VALUES} secrets to mask"));
        }
        let values = &self.values;
        let make = || Secrets::new(values.iter().map(Vec::as_slice));
        Ok(self.secrets.get_or_insert_with(make).clone())
    }
}

// === impl Secrets ===

impl Secrets {
    /// The forms of these values. Values shorter than 4 bytes are not masked.
    #[must_use]
    pub fn new<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let all: BTreeSet<Vec<u8>> = values.into_iter().flat_map(forms::of).collect();
        if all.is_empty() {
            return Self(None);
        }
        let sorted: Vec<_> = all.into_iter().collect();
        let automaton = AhoCorasick::builder().match_kind(MatchKind::Standard).build(&sorted);
        // The builder refuses only automata of more than 2^31 states; 4 GiB of secrets do not fit
        // into a frame.
        let Ok(automaton) = automaton else {
            return Self(None);
        };
        let mut starts = [false; 256];
        for form in &sorted {
            if let Some(first) = form.first() {
                starts[usize::from(*first)] = true;
            }
        }
        Self(Some(Arc::new(Patterns {
            automaton,
            longest: sorted.iter().map(Vec::len).max().unwrap_or(0),
            sorted,
            starts,
        })))
    }

    /// A mask for one stream.
    #[must_use]
    pub fn stream(&self) -> MaskStream {
        MaskStream { secrets: self.clone(), pending: Vec::new(), covered: 0 }
    }

    /// A whole text, masked.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        let mut stream = self.stream();
        let mut masked = stream.push(text.as_bytes().to_vec());
        masked.extend(stream.finish());
        String::from_utf8_lossy(&masked).into_owned()
    }

    /// A value, masked in every key, text and number.
    #[must_use]
    pub fn value(&self, value: Value) -> Value {
        if self.0.is_none() {
            return value;
        }
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.value(item)).collect(),
            Value::Object(fields) => fields
                .into_iter()
                .map(|(key, field)| (self.text(&key), self.value(field)))
                .collect(),
            Value::Number(number) => {
                let text = number.to_string();
                let masked = self.text(&text);
                if masked == text { Value::Number(number) } else { Value::String(masked) }
            }
            Value::Null | Value::Bool(_) => value,
        }
    }
}

// === impl Patterns ===

impl Patterns {
    /// The first place from which on the bytes may be the start of a form that is not complete.
    fn unfinished_from(&self, bytes: &[u8]) -> usize {
        let from = bytes.len().saturating_sub(self.longest.saturating_sub(1));
        (from..bytes.len())
            .find(|at| self.is_start(bytes.get(*at..).unwrap_or_default()))
            .unwrap_or(bytes.len())
    }

    fn is_start(&self, suffix: &[u8]) -> bool {
        let known = suffix.first().is_some_and(|first| self.starts[usize::from(*first)]);
        if !known {
            return false;
        }
        let next = self.sorted.partition_point(|form| form.as_slice() <= suffix);
        self.sorted.get(next).is_some_and(|form| form.starts_with(suffix))
    }

    /// The places of forms, those that overlap as one. `covered` bytes at the front count as one.
    fn places(&self, bytes: &[u8], covered: usize) -> Vec<(usize, usize)> {
        let mut found: Vec<_> = self
            .automaton
            .find_overlapping_iter(bytes)
            .map(|place| (place.start(), place.end()))
            .collect();
        if covered > 0 {
            found.push((0, covered));
        }
        found.sort_unstable();
        let mut merged: Vec<(usize, usize)> = Vec::with_capacity(found.len());
        for (start, end) in found {
            match merged.last_mut() {
                Some(last) if start < last.1 => last.1 = last.1.max(end),
                Some(_) | None => merged.push((start, end)),
            }
        }
        merged
    }
}

// === impl MaskStream ===

impl MaskStream {
    /// Takes the next bytes and gives those that can go on. Without secrets: the same bytes.
    pub fn push(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        let Some(patterns) = self.secrets.0.clone() else {
            return bytes;
        };
        if self.pending.is_empty() {
            self.pending = bytes;
        } else {
            self.pending.extend_from_slice(&bytes);
        }
        let until = patterns.unfinished_from(&self.pending);
        self.release(&patterns, until)
    }

    /// Returns the buffered bytes; the stream has ended.
    pub fn finish(&mut self) -> Vec<u8> {
        match self.secrets.0.clone() {
            None => Vec::new(),
            Some(patterns) => self.release(&patterns, self.pending.len()),
        }
    }

    /// Writes out the bytes before `until`, masked, and keeps the rest.
    fn release(&mut self, patterns: &Patterns, until: usize) -> Vec<u8> {
        let bytes = std::mem::take(&mut self.pending);
        let already = self.covered;
        self.covered = already.saturating_sub(until);
        let mut out = Vec::with_capacity(until);
        let mut at = 0;
        for (start, end) in patterns.places(&bytes, already) {
            if start >= until {
                break;
            }
            out.extend_from_slice(bytes.get(at..start).unwrap_or_default());
            if !(start == 0 && already > 0) {
                out.extend_from_slice(MASK);
            }
            at = end.min(until);
            self.covered = self.covered.max(end.saturating_sub(until));
        }
        out.extend_from_slice(bytes.get(at..until).unwrap_or_default());
        self.pending = bytes.get(until..).unwrap_or_default().to_vec();
        out
    }
}

#[cfg(test)]
mod tests;
