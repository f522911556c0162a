//! The bytes of a plan and their hash: JSON per RFC 8785, SHA-256.
//!
//! Must not depend on anything but the plan: same plan, same bytes, on every machine.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use crate::{
    diagnostic::Diagnostic,
    limits,
    plan::Plan,
    walk::{self, Part},
};

pub use crate::codes::{IR_TOO_LARGE, NOT_CANONICAL};

/// SHA-256 of the canonical IR, written `sha256:<64 lower-case hex digits>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PlanHash([u8; 32]);

/// A text that is no plan hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a plan hash; it is `sha256:` and 64 lower-case hexadecimal digits")]
pub struct ParseHashError(String);

/// A plan with its canonical bytes and hash.
#[derive(Debug, Clone, PartialEq)]
pub struct HashedPlan {
    /// The plan, dependencies sorted.
    pub plan: Plan,
    /// Canonical JSON of the plan.
    pub bytes: Vec<u8>,
    /// The hash of `bytes`.
    pub hash: PlanHash,
}

// === impl HashedPlan ===

impl HashedPlan {
    /// Puts a plan into canonical form and hashes it. Does not validate, but removes differences
    /// that JSON cannot express, so that `plan` equals `bytes` parsed again.
    ///
    /// # Errors
    /// [`NOT_CANONICAL`], [`IR_TOO_LARGE`], or the error of [`Plan::from_json`] for values that are
    /// too deep.
    pub fn new(mut plan: Plan) -> Result<Self, Diagnostic> {
        let hooks = &mut plan.hooks;
        for step in plan
            .steps
            .iter_mut()
            .chain(&mut hooks.on_start)
            .chain(&mut hooks.on_success)
            .chain(&mut hooks.on_failure)
            .chain(&mut hooks.on_complete)
        {
            step.depends_on.sort();
        }
        let mut bytes = canonical(&plan)?;
        if is_ambiguous(&plan) {
            plan = Plan::from_json(&bytes)?;
            bytes = canonical(&plan)?;
        }
        if bytes.len() > limits::MAX_IR_BYTES {
            return Err(Diagnostic::error(
                IR_TOO_LARGE,
                format!("the plan is {} bytes, the limit is {}", bytes.len(), limits::MAX_IR_BYTES),
            )
            .hint("move long scripts and prompts into files of the repository"));
        }
        let hash = PlanHash(Sha256::digest(&bytes).into());
        Ok(Self { plan, bytes, hash })
    }
}

fn canonical(plan: &Plan) -> Result<Vec<u8>, Diagnostic> {
    serde_json_canonicalizer::to_vec(plan).map_err(|error| {
        Diagnostic::error(NOT_CANONICAL, format!("the plan has no canonical form: {error}"))
    })
}

/// True if the plan holds values that its bytes do not distinguish: `1.0` from `1`, or an optional
/// field that is `null` from an absent one.
fn is_ambiguous(plan: &Plan) -> bool {
    fn has_whole_float(json: &Json) -> bool {
        match json {
            Json::Number(number) => number.is_f64() && number.as_f64().is_some_and(is_whole),
            Json::Array(items) => items.iter().any(has_whole_float),
            Json::Object(map) => map.values().any(has_whole_float),
            Json::Null | Json::Bool(_) | Json::String(_) => false,
        }
    }
    let mut found = false;
    walk::all_parts(plan, &mut |_, part| {
        found |= match part {
            Part::Value(value) => value.0.is_null() || has_whole_float(&value.0),
            Part::Data(json) | Part::Schema(json) => json.is_null() || has_whole_float(json),
            Part::Cel(_) => false,
        };
    });
    found
}

fn is_whole(number: f64) -> bool {
    number.fract() == 0.0
}

// === impl PlanHash ===

impl PlanHash {
    /// The digest, 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first twelve hex digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        hex::encode(&self.0[..6])
    }
}

impl fmt::Display for PlanHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex::encode(self.0))
    }
}

impl fmt::Debug for PlanHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl schemars::JsonSchema for PlanHash {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PlanHash".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^sha256:[0-9a-f]{64}$" })
    }
}

impl FromStr for PlanHash {
    type Err = ParseHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseHashError(text.to_owned());
        let digits = text.strip_prefix("sha256:").ok_or_else(error)?;
        if digits.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(error());
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| error())?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for PlanHash {
    type Error = ParseHashError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PlanHash> for String {
    fn from(hash: PlanHash) -> Self {
        hash.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_plan_has_a_known_hash() {
        let json =
            br#"{"steps":[{"run":"npm test","kind":"bash","id":"test"}],"name":"CI","version":1}"#;
        let hashed = HashedPlan::new(Plan::from_json(json).unwrap()).unwrap();
        let canonical =
            br#"{"name":"CI","steps":[{"id":"test","kind":"bash","run":"npm test"}],"version":1}"#;
        assert_eq!(hashed.bytes, canonical);
        assert_eq!(
            hashed.hash.to_string(),
            "sha256:df24691ddabffcfd95e09b7764b71ba063af2f155ddd0f2857ed2ed4c5477cea"
        );
        assert_eq!(hashed.hash.to_string().parse(), Ok(hashed.hash));
    }

    #[test]
    fn only_the_written_form_is_a_hash() {
        let digits = "0123456789abcdef".repeat(4);
        assert!(format!("sha256:{digits}").parse::<PlanHash>().is_ok());
        for text in [
            digits.clone(),
            format!("sha256:{}", digits.to_uppercase()),
            format!("sha256:{}", digits.trim_end_matches('f')),
            format!("sha256:{digits}0"),
            "sha256:".to_owned(),
        ] {
            assert!(text.parse::<PlanHash>().is_err(), "{text}");
        }
    }
}
