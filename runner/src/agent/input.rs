//! Arguments of tools, as a model writes them.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, MapAccess, Visitor},
};
use serde_json::{Map, Value};

/// Bytes of the arguments of one call.
pub(super) const MAX_INPUT_BYTES: usize = 2 * 1024 * 1024;
/// Bytes of an error that quotes them.
const MAX_SHOWN: usize = 500;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bash {
    pub(super) command: String,
    pub(super) timeout_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Read {
    pub(super) path: String,
    pub(super) offset: Option<u64>,
    pub(super) limit: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Write {
    pub(super) path: String,
    pub(super) content: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Edit {
    pub(super) path: String,
    pub(super) old_string: String,
    pub(super) new_string: String,
    #[serde(default)]
    pub(super) replace_all: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Glob {
    pub(super) pattern: String,
    pub(super) path: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Grep {
    pub(super) pattern: String,
    pub(super) path: Option<String>,
    pub(super) glob: Option<String>,
    #[serde(default)]
    pub(super) ignore_case: bool,
    #[serde(default)]
    pub(super) context: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum GitCommand {
    Status,
    Diff,
    Log,
    Show,
    Commit,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Git {
    pub(super) command: GitCommand,
    pub(super) revision: Option<String>,
    #[serde(default)]
    pub(super) paths: Vec<String>,
    #[serde(default)]
    pub(super) staged: bool,
    pub(super) max_count: Option<u64>,
    pub(super) message: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fetch {
    pub(super) url: String,
}

/// Fields that are not null. A name that is there twice is an error: others may read the other one.
struct Fields(Map<String, Value>);

struct FieldsVisitor;

// === impl Fields ===

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Map::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if fields.contains_key(&name) {
                return Err(A::Error::custom(format!("duplicate field `{name}`")));
            }
            fields.insert(name, value);
        }
        fields.retain(|_, value| !value.is_null());
        Ok(Fields(fields))
    }
}

/// Reads arguments. A field that is null counts as absent: models write it so.
///
/// # Errors
/// The error in the arguments, for the model.
pub(super) fn parse<T: DeserializeOwned>(json: &str) -> Result<T, String> {
    if json.len() > MAX_INPUT_BYTES {
        return Err(format!("the input is larger than {MAX_INPUT_BYTES} bytes"));
    }
    let read = serde_json::from_str(json)
        .and_then(|Fields(fields)| serde_json::from_value(Value::Object(fields)));
    read.map_err(|error| {
        let mut why = error.to_string();
        if why.len() > MAX_SHOWN {
            why.truncate(why.floor_char_boundary(MAX_SHOWN));
            why.push('…');
        }
        format!("the input does not fit the tool's schema: {why}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_fields_are_absent() {
        let grep: Grep =
            parse(r#"{"pattern":"x","path":null,"glob":null,"ignore_case":null,"context":null}"#)
                .unwrap();
        assert_eq!((grep.path, grep.ignore_case, grep.context), (None, false, 0));
        let edit = r#"{"path":"a","old_string":"b","new_string":"c","replace_all":null}"#;
        assert!(!parse::<Edit>(edit).unwrap().replace_all);
        let missing = parse::<Read>(r#"{"path":null}"#).unwrap_err();
        assert!(missing.contains("missing field `path`"), "{missing}");
        assert!(parse::<Read>(r#"{"path":"a","mode":1}"#).is_err());
        assert!(parse::<Read>("[]").is_err());
        let twice = parse::<Read>(r#"{"path":null,"path":"a"}"#).unwrap_err();
        assert!(twice.contains("duplicate field `path`"), "{twice}");
    }
}
