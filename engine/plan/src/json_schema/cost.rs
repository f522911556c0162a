//! An upper bound of the validator's work for one schema and one value, counted before it starts.
//!
//! Follows the schema into the value as the validator does, but into every alternative, and judges
//! nothing. Each pair of a part of the schema and a part of the value counts at least one step, so
//! that this walk costs no more than what it counts.

use serde_json::{Map, Value as Json};

use super::admission::{IN_PLACE, UNEVALUATED_FACTOR, has_unevaluated, is_reference, target};
use crate::{
    budget::{Meter, Stopped},
    regex_cost::{match_steps, states},
};

/// Bytes of text that are compared in one step.
const BYTES_PER_STEP: u64 = 16;
/// Items that the validator compares pair by pair.
const PAIRWISE: u64 = 16;

/// Counts the steps of judging a value.
pub(super) fn count(schema: &Json, value: &Json, meter: &Meter) -> Result<(), Stopped> {
    let factor = if has_unevaluated(schema) { UNEVALUATED_FACTOR as u64 } else { 1 };
    Cost { root: schema, factor, meter }.visit(schema, value, 1)
}

struct Cost<'a> {
    root: &'a Json,
    /// The times that a part under an in-place applicator is judged.
    factor: u64,
    meter: &'a Meter,
}

// === impl Cost ===

impl Cost<'_> {
    fn visit(&self, schema: &Json, value: &Json, weight: u64) -> Result<(), Stopped> {
        let Json::Object(map) = schema else {
            return self.steps(weight, 1);
        };
        self.steps(weight, 1 + map.len() as u64)?;
        for (key, inner) in map {
            if is_reference(key) {
                if let Some(target) = target(self.root, inner) {
                    self.visit(target, value, weight)?;
                }
            } else if IN_PLACE.contains(&key.as_str()) {
                self.in_place(key, inner, value, weight.saturating_mul(self.factor))?;
            } else {
                match value {
                    Json::Object(members) => self.object(key, inner, map, members, weight)?,
                    Json::Array(items) => self.array(key, inner, items, weight)?,
                    Json::String(text) => self.text(key, inner, text, weight)?,
                    Json::Null | Json::Bool(_) | Json::Number(_) => {}
                }
                if matches!(key.as_str(), "enum" | "const" | "required" | "dependentRequired") {
                    self.steps(weight, size(inner))?;
                }
            }
        }
        Ok(())
    }

    /// A schema, a list of schemas, or schemas by the property that they depend on.
    fn in_place(&self, key: &str, inner: &Json, value: &Json, weight: u64) -> Result<(), Stopped> {
        match (key, inner) {
            ("dependentSchemas" | "dependencies", Json::Object(named)) => {
                self.steps(weight, named.len() as u64)?;
                let present = named.iter().filter(|(name, _)| value.get(name).is_some());
                present.into_iter().try_for_each(|(_, one)| self.visit(one, value, weight))
            }
            (_, Json::Array(all)) => all.iter().try_for_each(|one| self.visit(one, value, weight)),
            (_, one) => self.visit(one, value, weight),
        }
    }

    fn object(
        &self,
        key: &str,
        inner: &Json,
        schema: &Map<String, Json>,
        members: &Map<String, Json>,
        weight: u64,
    ) -> Result<(), Stopped> {
        match (key, inner) {
            ("properties", Json::Object(named)) => {
                self.steps(weight, (named.len() + members.len()) as u64)?;
                for (name, one) in named {
                    if let Some(member) = members.get(name) {
                        self.visit(one, member, weight)?;
                    }
                }
                Ok(())
            }
            ("patternProperties", Json::Object(named)) => {
                for (pattern, one) in named {
                    let states = states(pattern);
                    for (name, member) in members {
                        self.steps(weight, match_steps(states, name))?;
                        self.visit(one, member, weight)?;
                    }
                }
                Ok(())
            }
            ("additionalProperties", one) => {
                let named = schema.get("properties").and_then(Json::as_object);
                let others = |name: &str| named.is_none_or(|named| !named.contains_key(name));
                self.steps(weight, members.len() as u64)?;
                let others = members.iter().filter(|(name, _)| others(name));
                others.into_iter().try_for_each(|(_, member)| self.visit(one, member, weight))
            }
            ("unevaluatedProperties", one) => {
                let weight = weight.saturating_mul(self.factor);
                members.values().try_for_each(|member| self.visit(one, member, weight))
            }
            ("propertyNames", one) => members.keys().try_for_each(|name| {
                self.steps(weight, 1 + name.len() as u64 / BYTES_PER_STEP)?;
                self.visit(one, &Json::String(name.clone()), weight)
            }),
            _ => Ok(()),
        }
    }

    fn array(&self, key: &str, inner: &Json, items: &[Json], weight: u64) -> Result<(), Stopped> {
        let each = |weight| items.iter().try_for_each(|item| self.visit(inner, item, weight));
        match (key, inner) {
            ("prefixItems" | "items", Json::Array(schemas)) => {
                let pairs = schemas.iter().zip(items);
                pairs.into_iter().try_for_each(|(one, item)| self.visit(one, item, weight))
            }
            ("items" | "additionalItems", _) => each(weight),
            ("contains" | "unevaluatedItems", _) => each(weight.saturating_mul(self.factor)),
            ("uniqueItems", Json::Bool(true)) => {
                let size = items.iter().map(size).fold(0, u64::saturating_add);
                self.steps(weight, size.saturating_mul(PAIRWISE))
            }
            _ => Ok(()),
        }
    }

    fn text(&self, key: &str, inner: &Json, text: &str, weight: u64) -> Result<(), Stopped> {
        match (key, inner) {
            ("pattern", Json::String(pattern)) => {
                self.steps(weight, match_steps(states(pattern), text))
            }
            ("minLength" | "maxLength" | "format", _) => {
                self.steps(weight, text.len() as u64 / BYTES_PER_STEP)
            }
            _ => Ok(()),
        }
    }

    fn steps(&self, weight: u64, count: u64) -> Result<(), Stopped> {
        self.meter.steps(weight.saturating_mul(count))
    }
}

/// The steps of comparing a value with another.
fn size(json: &Json) -> u64 {
    let inner = match json {
        Json::Null | Json::Bool(_) | Json::Number(_) => 0,
        Json::String(text) => text.len() as u64 / BYTES_PER_STEP,
        Json::Array(items) => items.iter().map(size).fold(0, u64::saturating_add),
        Json::Object(map) => map
            .iter()
            .map(|(name, inner)| name.len() as u64 / BYTES_PER_STEP + size(inner))
            .fold(0, u64::saturating_add),
    };
    inner.saturating_add(1)
}
