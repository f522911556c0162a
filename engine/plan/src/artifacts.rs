//! Files that are kept of a step, and what it means when there are none or they cannot be kept.
//!
//! Must not look at a file: the runner does.

use serde::{Deserialize, Serialize};

use crate::policy::is_default;

/// The meaning of a glob that matches no file.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum MissingArtifacts {
    /// The run notes it.
    #[default]
    Warn,
    /// The step fails without a file.
    Fail,
    /// A missing file is expected.
    Ignore,
}

/// The meaning of files that cannot be kept.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum LostArtifacts {
    /// The step fails with a lost file.
    #[default]
    Fail,
    /// The run notes it.
    Warn,
}

/// The two choices of [`Artifacts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ArtifactRules {
    /// A glob matches no file.
    pub missing: MissingArtifacts,
    /// Files cannot be kept: too many, too large, changed while they were read.
    pub lost: LostArtifacts,
}

/// Globs of files that are kept after a step. Without a rule of its own it is written as the list of
/// globs alone, so that a default that is spelled out hashes as one that is left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Artifacts {
    /// Globs, relative to the workspace; with `!` in front: not these.
    pub paths: Vec<String>,
    /// The consequences of missing and of lost files.
    pub rules: ArtifactRules,
}

/// Globs of files kept after the step, and what it means if there are none.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
enum Written {
    /// Globs only, with both rules at their defaults.
    Paths(Vec<String>),
    /// The globs with rules.
    Rules(WithRules),
}

#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct WithRules {
    /// Globs, relative to the workspace; with `!` in front: not these.
    paths: Vec<String>,
    /// A glob matches no file.
    #[serde(default, skip_serializing_if = "is_default")]
    missing: MissingArtifacts,
    /// Files cannot be kept.
    #[serde(default, skip_serializing_if = "is_default")]
    lost: LostArtifacts,
}

// === impl Artifacts ===

impl Artifacts {
    /// True if there are no globs and both rules are the defaults.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl From<Vec<String>> for Artifacts {
    fn from(paths: Vec<String>) -> Self {
        Self { paths, rules: ArtifactRules::default() }
    }
}

impl From<Written> for Artifacts {
    fn from(written: Written) -> Self {
        match written {
            Written::Paths(paths) => paths.into(),
            Written::Rules(WithRules { paths, missing, lost }) => {
                Self { paths, rules: ArtifactRules { missing, lost } }
            }
        }
    }
}

impl From<Artifacts> for Written {
    fn from(artifacts: Artifacts) -> Self {
        let Artifacts { paths, rules } = artifacts;
        if is_default(&rules) {
            return Self::Paths(paths);
        }
        Self::Rules(WithRules { paths, missing: rules.missing, lost: rules.lost })
    }
}

impl schemars::JsonSchema for Artifacts {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Artifacts".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Written::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn spelled_defaults_are_written_as_the_list() {
        let table = [
            (json!(["a"]), json!(["a"])),
            (json!({"paths": ["a"]}), json!(["a"])),
            (json!({"paths": ["a"], "missing": "warn", "lost": "fail"}), json!(["a"])),
            (
                json!({"paths": ["a"], "missing": "fail", "lost": "fail"}),
                json!({"paths": ["a"], "missing": "fail"}),
            ),
            (json!({"paths": [], "lost": "warn"}), json!({"paths": [], "lost": "warn"})),
        ];
        for (given, written) in table {
            let artifacts: Artifacts = serde_json::from_value(given).unwrap();
            assert_eq!(serde_json::to_value(&artifacts).unwrap(), written);
        }
        let unknown = json!({"paths": ["a"], "missing": "error"});
        assert!(serde_json::from_value::<Artifacts>(unknown).is_err());
    }
}
