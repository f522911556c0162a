//! JSON Schemas (draft 2020-12) of foreign plans and prompts, judged within a budget.
//!
//! The one place that may call the validator, which counts no steps and cannot be stopped. So a
//! schema is admitted first ([`admit`]: nothing is fetched, no recursion, a bounded size with every
//! `$ref` replaced), and before a value is judged, an upper bound of the work for that schema and
//! that value is counted on the meter. Must not fill in defaults.

mod admission;
mod cost;
mod violation;

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value as Json;

pub use self::{
    admission::{Unbounded, admit},
    violation::{Kind, Segment, Violation},
};
use crate::budget::{Meter, Stopped};

/// Parts of a schema once each `$ref` is replaced by its target, weighted by how often the validator
/// looks at them. A few lines of schema can otherwise ask for years of work.
pub const MAX_SCHEMA_FANOUT: usize = 10_000;
/// Levels of a schema with every `$ref` replaced: the validator recurses over them.
pub const MAX_SCHEMA_DEPTH: usize = 192;
/// Steps of judging one value: below two seconds on an ordinary machine.
pub const MAX_JUDGE_STEPS: u64 = 20_000_000;
/// Bytes of one regular expression in a schema.
pub const MAX_PATTERN_BYTES: usize = 1_024;

/// Bytes of memory that one compiled pattern may take, and its lazy automaton again.
const MAX_REGEX_BYTES: usize = 256 * 1024;
/// Steps up to which all violations are collected; the validator makes them all before the first can
/// be seen.
const MAX_LISTED_STEPS: u64 = 200_000;
/// Violations that are looked at.
const MAX_VIOLATIONS: usize = 1_000;

/// A schema that was admitted and compiled.
#[derive(Debug, Clone)]
pub struct BoundedSchema {
    json: Json,
    validator: Validator,
}

/// The reason that a schema cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// No bound of its work can be shown.
    #[error(transparent)]
    Unbounded(#[from] Unbounded),
    /// It is no schema.
    #[error("{}", violation::at(.at, .message))]
    Malformed {
        /// A JSON pointer into the schema.
        at: String,
        /// The validator's reason, shortened; may repeat a part of the schema.
        message: String,
    },
}

// === impl BoundedSchema ===

impl BoundedSchema {
    /// Admits and compiles a schema.
    ///
    /// # Errors
    /// It is unbounded or malformed.
    pub fn new(json: Json) -> Result<Self, SchemaError> {
        admit(&json)?;
        let patterns =
            PatternOptions::regex().size_limit(MAX_REGEX_BYTES).dfa_size_limit(MAX_REGEX_BYTES);
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(patterns)
            .offline()
            .build(&json)
            .map_err(|error| SchemaError::Malformed {
                at: error.instance_path().as_str().to_owned(),
                message: violation::shown(&error),
            })?;
        Ok(Self { json, validator })
    }

    /// The schema as it was written.
    #[must_use]
    pub const fn json(&self) -> &Json {
        &self.json
    }

    /// The violations of a value, none if it fits. For large values, one violation without a place
    /// stands for all.
    ///
    /// # Errors
    /// Judging this value could take more steps than the meter has left.
    pub fn violations(&self, value: &Json, meter: &Meter) -> Result<Vec<Violation>, Stopped> {
        let before = meter.steps_used();
        cost::count(&self.json, value, meter)?;
        meter.look()?;
        if self.validator.is_valid(value) {
            return Ok(Vec::new());
        }
        if meter.steps_used().saturating_sub(before) > MAX_LISTED_STEPS {
            return Ok(vec![Violation::unlisted()]);
        }
        meter.look()?;
        let errors = self.validator.iter_errors(value).take(MAX_VIOLATIONS);
        Ok(errors.map(|error| Violation::of(&error)).collect())
    }
}

#[cfg(test)]
mod tests;
