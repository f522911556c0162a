//! Values that may hold references: literal JSON, expressions, templates and secrets.
//!
//! References are *data* in the plan, never text pasted into a command (`docs/reference/step-environment.md`). Must not
//! evaluate anything: `plue-spec` owns the expression language.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// The key of an object that stands for a CEL expression: `{"$expr": "steps.plan.output.risk"}`.
pub const EXPR_KEY: &str = "$expr";
/// The key of an object that stands for text with `${…}` inside: `{"$template": "v${inputs.v}"}`.
pub const TEMPLATE_KEY: &str = "$template";
/// The key of an object that stands for a secret: `{"$secret": "NPM_TOKEN"}`.
pub const SECRET_KEY: &str = "$secret";

/// Any JSON value whose objects `{"$expr": …}`, `{"$template": …}` and `{"$secret": …}` (exactly
/// one key) are references. Other keys that start with `$` are refused by validation, so the three
/// can never be confused with data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Value(pub Json);

/// Kind of a node of a [`Value`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Node<'a> {
    /// Plain data (objects and lists are visited through their children).
    Literal(&'a Json),
    /// A CEL expression; the result keeps its type.
    Expr(&'a str),
    /// Text with `${…}` parts; the result is text.
    Template(&'a str),
    /// The name of a secret.
    Secret(&'a str),
    /// An object with a `$` key that is none of the three references.
    Malformed(&'a Json),
}

// === impl Value ===

impl Value {
    /// Creates a literal text.
    pub fn text(text: impl Into<String>) -> Self {
        Self(Json::String(text.into()))
    }

    /// A reference to the result of a CEL expression.
    pub fn expr(source: impl Into<String>) -> Self {
        Self(single(EXPR_KEY, source.into()))
    }

    /// Text with `${…}` parts.
    pub fn template(source: impl Into<String>) -> Self {
        Self(single(TEMPLATE_KEY, source.into()))
    }

    /// A reference to a secret.
    pub fn secret(name: impl Into<String>) -> Self {
        Self(single(SECRET_KEY, name.into()))
    }

    /// Kind of this value itself, without its children.
    #[must_use]
    pub fn node(&self) -> Node<'_> {
        classify(&self.0)
    }

    /// The text as it is written, with `${…}` for what only the run knows; `None` for a secret and for
    /// what is no text.
    #[must_use]
    pub fn as_written(&self) -> Option<Cow<'_, str>> {
        match self.node() {
            Node::Literal(Json::String(text)) => Some(Cow::Borrowed(text)),
            Node::Template(source) => Some(Cow::Borrowed(source)),
            Node::Expr(source) => Some(Cow::Owned(format!("${{{source}}}"))),
            Node::Literal(_) | Node::Secret(_) | Node::Malformed(_) => None,
        }
    }

    /// Visits every node, parents before children, references as leaves.
    pub fn visit<'a>(&'a self, seen: &mut dyn FnMut(Node<'a>)) {
        visit_json(&self.0, seen);
    }

    /// True if the value has no reference.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        let mut constant = true;
        self.visit(&mut |node| constant &= matches!(node, Node::Literal(_)));
        constant
    }
}

fn single(key: &str, text: String) -> Json {
    Json::Object(std::iter::once((key.to_owned(), Json::String(text))).collect())
}

/// Classifies a JSON node by the rules of [`Value`].
#[must_use]
pub fn classify(json: &Json) -> Node<'_> {
    let Json::Object(map) = json else {
        return Node::Literal(json);
    };
    if !map.keys().any(|key| key.starts_with('$')) {
        return Node::Literal(json);
    }
    match (map.len(), map.iter().next()) {
        (1, Some((key, Json::String(text)))) => match key.as_str() {
            EXPR_KEY => Node::Expr(text),
            TEMPLATE_KEY => Node::Template(text),
            SECRET_KEY => Node::Secret(text),
            _ => Node::Malformed(json),
        },
        _ => Node::Malformed(json),
    }
}

fn visit_json<'a>(json: &'a Json, seen: &mut dyn FnMut(Node<'a>)) {
    let node = classify(json);
    seen(node);
    if let Node::Literal(_) = node {
        match json {
            Json::Array(items) => items.iter().for_each(|item| visit_json(item, seen)),
            Json::Object(map) => map.values().for_each(|item| visit_json(item, seen)),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
    }
}
