//! `secrets` of a workflow file: what secrets are called in it, and where runs of one machine take them
//! from. Values never stand here.

use crate::{
    codes,
    workflow::{
        fields::Field,
        lower::Lower,
        problems::quoted,
        yaml::{Data, Node},
    },
};

/// One entry of a mapping of secrets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The secret's own name.
    pub(crate) name: String,
    /// `env:NAME` or `file:PATH`, if the entry names one.
    pub(crate) source: Option<String>,
}

/// Reads `key: NAME`, `key:`, `KEY: env:NAME` or `KEY: file:PATH`. `None`: anything else, which may be
/// a value.
pub(crate) fn entry(key: &str, node: &Node) -> Option<Entry> {
    match &node.data {
        Data::Null => is_name(key).then(|| Entry { name: key.to_owned(), source: None }),
        Data::Text(text) if is_source(text) => {
            // A file in lower case means the secret of the same name.
            let name = key.to_ascii_uppercase().replace(['-', '.'], "_");
            is_name(&name).then(|| Entry { name, source: Some(text.clone()) })
        }
        Data::Text(text) => is_name(text).then(|| Entry { name: text.clone(), source: None }),
        Data::Bool(_) | Data::Number(..) | Data::List(_) | Data::Map(_) => None,
    }
}

fn is_source(text: &str) -> bool {
    matches!(text.split_once(':'), Some(("env" | "file", place)) if !place.is_empty())
}

fn is_name(text: &str) -> bool {
    let first = text.chars().next();
    first.is_some_and(|c| c.is_ascii_uppercase() || c == '_')
        && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// Reads a mapping of secrets: their names; their sources go to the plan.
pub(super) fn secret_entries(lower: &mut Lower<'_, '_>, field: Field<'_>) -> Vec<String> {
    let Some(entries) = field.node.entries() else {
        let message = format!("`secrets` is a mapping, not {}", field.node.kind());
        lower.problems.push(codes::FIELD_TYPE, field.key, message, "like TOKEN: NPM_TOKEN");
        return Vec::new();
    };
    let mut names = Vec::with_capacity(entries.len());
    for (key, node) in entries {
        let Some(Entry { name, source }) = entry(&key.text, node) else {
            let message =
                format!("secret {} has something other than a name or a source", quoted(&key.text));
            let hint = "write the name of a secret in upper-case letters, `env:NAME` or `file:PATH`; its value is stored with `plue secret set NAME`";
            // The place is that of `secrets`: the line of a value is not to be shown.
            lower.problems.push(codes::SECRET_IN_FILE, field.key, message, hint);
            continue;
        };
        if let Some(source) = source
            && let Some(other) = lower.sources.insert(name.clone(), source.clone())
            && other != source
        {
            let message = format!("secret {} has two sources", quoted(&name));
            lower.problems.error(codes::FIELD_VALUE, key.place, message);
        }
        names.push(name);
    }
    names
}
