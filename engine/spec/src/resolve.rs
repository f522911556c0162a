//! Values of a plan with their references resolved. Secrets stay references: their texts never pass
//! through here, and data is never mistaken for one, because they are listed separately.

use std::collections::BTreeMap;

use plue_plan::{
    Value,
    value::{Node, classify},
};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{
    error::Error,
    expression::Expression,
    reads::Reads,
    scope::Scope,
    template::{Template, text_of},
};

/// A value without expressions and templates.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Resolved {
    /// The value; `null` where a secret goes.
    pub value: Json,
    /// The secrets that go into it.
    pub secrets: Vec<SecretAt>,
}

/// A place in a value that holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretAt {
    /// JSON Pointer (RFC 6901) into the value; empty: the value itself.
    pub pointer: String,
    /// Name of the secret.
    pub name: String,
}

/// The value of an environment variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnvValue {
    /// A text without references.
    Text(String),
    /// The name of a secret.
    Secret(String),
}

/// Resolves every expression and template of a value.
///
/// # Errors
/// One of them does not parse or has no value, or an object with a `$` key is no reference.
pub fn resolve(value: &Value, scope: &Scope<'_>, reads: &mut Reads) -> Result<Resolved, Error> {
    let mut resolver = Resolver { scope, reads, secrets: Vec::new() };
    let value = resolver.node(&value.0, &mut String::new())?;
    Ok(Resolved { value, secrets: resolver.secrets })
}

/// Resolves a value that must become text.
///
/// # Errors
/// As [`resolve`]; also for a secret.
pub fn resolve_text(value: &Value, scope: &Scope<'_>, reads: &mut Reads) -> Result<String, Error> {
    let resolved = resolve(value, scope, reads)?;
    match resolved.secrets.into_iter().next() {
        Some(secret) => Err(Error::MisplacedSecret(secret.name)),
        None => Ok(text_of(&resolved.value)),
    }
}

/// Resolves environment variables: each becomes text (lists and objects as compact JSON, `null` as
/// the empty text) or stays a secret.
///
/// # Errors
/// As [`resolve`]; also for a secret inside a list or object.
pub fn resolve_env(
    env: &BTreeMap<String, Value>,
    scope: &Scope<'_>,
    reads: &mut Reads,
) -> Result<BTreeMap<String, EnvValue>, Error> {
    let mut variables = BTreeMap::new();
    for (name, value) in env {
        let value = match value.node() {
            Node::Secret(secret) => EnvValue::Secret(secret.to_owned()),
            Node::Literal(_) | Node::Expr(_) | Node::Template(_) | Node::Malformed(_) => {
                EnvValue::Text(resolve_text(value, scope, reads)?)
            }
        };
        variables.insert(name.clone(), value);
    }
    Ok(variables)
}

struct Resolver<'r, 's> {
    scope: &'r Scope<'s>,
    reads: &'r mut Reads,
    secrets: Vec<SecretAt>,
}

// === impl Resolver ===

impl Resolver<'_, '_> {
    fn node(&mut self, json: &Json, pointer: &mut String) -> Result<Json, Error> {
        match classify(json) {
            Node::Expr(source) => {
                self.scope.count(source.len() as u64)?;
                Expression::parse(source)?.evaluate(self.scope, self.reads)
            }
            Node::Template(source) => {
                self.scope.count(source.len() as u64)?;
                let text = Template::parse(source)?.render(self.scope, self.reads)?;
                Ok(Json::String(text))
            }
            Node::Secret(name) => {
                self.secrets.push(SecretAt { pointer: pointer.clone(), name: name.to_owned() });
                Ok(Json::Null)
            }
            Node::Malformed(json) => Err(Error::Malformed(dollar_key(json))),
            Node::Literal(json) => self.literal(json, pointer),
        }
    }

    fn literal(&mut self, json: &Json, pointer: &mut String) -> Result<Json, Error> {
        match json {
            Json::Array(items) => {
                let mut resolved = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    resolved.push(self.child(item, pointer, &index.to_string())?);
                }
                Ok(Json::Array(resolved))
            }
            Json::Object(map) => {
                let mut resolved = serde_json::Map::new();
                for (key, item) in map {
                    resolved.insert(key.clone(), self.child(item, pointer, key)?);
                }
                Ok(Json::Object(resolved))
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Ok(json.clone()),
        }
    }

    fn child(&mut self, item: &Json, pointer: &mut String, key: &str) -> Result<Json, Error> {
        let length = pointer.len();
        pointer.push('/');
        pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
        let resolved = self.node(item, pointer);
        pointer.truncate(length);
        resolved
    }
}

fn dollar_key(json: &Json) -> String {
    let keys = json.as_object().into_iter().flat_map(serde_json::Map::keys);
    let found = keys.into_iter().find(|key| key.starts_with('$'));
    found.cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests;
