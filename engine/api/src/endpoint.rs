//! A route, defined once: its name, its access rule, its input and its output. The router, the OpenAPI
//! document and the test of access are all made from the same list.

use axum::routing::MethodRouter;
use schemars::{Schema, SchemaGenerator};

use crate::{access::Need, server::Api};

/// A method of HTTP that a route answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads without a change.
    Get,
    /// Makes or changes something.
    Post,
    /// Puts something in the place of what was there.
    Put,
    /// Removes a resource; a second call finds none.
    Delete,
}

/// A parameter in the query; those of the path are in the path.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name, as clients write it in the query.
    pub name: &'static str,
    /// `string`, `integer` or `boolean`.
    pub kind: &'static str,
    /// Its effect, for the OpenAPI document.
    pub means: &'static str,
}

/// Form of a successful answer.
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

/// A route, with all that the router, the OpenAPI document and the access test read.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The method of HTTP.
    pub method: Method,
    /// The path; `{run}` and the like are parameters.
    pub path: &'static str,
    /// Access rule for the caller.
    pub need: Need,
    /// Its effect, in one line.
    pub summary: &'static str,
    /// Parameters in the query.
    pub query: &'static [Parameter],
    /// The body it takes.
    pub body: Option<Generate>,
    /// Form of a successful answer.
    pub answer: Answer,
    /// The handler, as a router of this method.
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
