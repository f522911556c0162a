//! A route, said once: what it is called, what it asks of its caller, what goes in and comes out.
//! The router, the OpenAPI document and the test of who gets in are all made from the same list.

use axum::routing::MethodRouter;
use schemars::{Schema, SchemaGenerator};

use crate::{access::Need, server::Api};

/// A method of HTTP that a route answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Looks; changes nothing.
    Get,
    /// Makes or changes something.
    Post,
    /// Puts something in the place of what was there.
    Put,
    /// Removes something.
    Delete,
}

/// A parameter in the query; those of the path are in the path.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// `string`, `integer` or `boolean`.
    pub kind: &'static str,
    /// What it does.
    pub means: &'static str,
}

/// What a route answers when all is well.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// A JSON document with 200.
    Json(Generate),
    /// A JSON document with 201.
    Created(Generate),
    /// Server-sent events (WHATWG HTML §9.2), each with a document as its data.
    Events(Generate),
    /// Bytes of this content type.
    Bytes(&'static str),
    /// Nothing, with 204.
    Nothing,
}

/// Makes the schema of a document, and puts what it refers to into the generator.
pub type Generate = fn(&mut SchemaGenerator) -> Schema;

/// A route.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The method.
    pub method: Method,
    /// The path; `{run}` and the like are parameters.
    pub path: &'static str,
    /// What it asks of its caller.
    pub need: Need,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Parameters in the query.
    pub query: &'static [Parameter],
    /// The body it takes.
    pub body: Option<Generate>,
    /// What it answers.
    pub answer: Answer,
    /// The handler.
    pub route: fn() -> MethodRouter<Api>,
}

// === impl Method ===

impl Method {
    /// As OpenAPI writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Put => "put",
            Self::Delete => "delete",
        }
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// The names in the path, in order.
    pub fn path_parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}
