//! All routes, one file for each thing they are about. The list is the truth: the router, the OpenAPI
//! document and the test of who gets in are made from it.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::endpoint::{Endpoint, Parameter};

mod approvals;
mod archive;
mod artifacts;
mod audit;
mod callbacks;
mod events;
mod explanation;
mod health;
mod journal;
mod logs;
mod messages;
mod place;
mod plans;
mod repositories;
mod run_log;
mod runs;
mod secrets;
pub(crate) mod session;
mod steps;
mod tokens;
mod webhooks;

/// Items of a page unless the client says.
const PAGE: u32 = 50;
/// Items of a page at most.
const MAX_PAGE: u32 = 200;

const LIMIT: Parameter =
    Parameter { name: "limit", kind: "integer", means: "items of the page, at most 200" };
const CURSOR: Parameter =
    Parameter { name: "cursor", kind: "string", means: "`next` of the page before" };

/// Every route.
#[must_use]
pub fn all() -> Vec<Endpoint> {
    [
        health::endpoints(),
        runs::endpoints(),
        steps::endpoints(),
        journal::endpoints(),
        logs::endpoints(),
        run_log::endpoints(),
        plans::endpoints(),
        explanation::endpoints(),
        archive::endpoints(),
        messages::endpoints(),
        artifacts::endpoints(),
        approvals::endpoints(),
        callbacks::endpoints(),
        place::endpoints(),
        repositories::endpoints(),
        events::endpoints(),
        secrets::endpoints(),
        session::endpoints(),
        tokens::endpoints(),
        webhooks::endpoints(),
        audit::endpoints(),
    ]
    .concat()
}

/// What says how a process is, and nothing of runs: for one that answers nobody else.
#[must_use]
pub fn probes() -> Vec<Endpoint> {
    let is_probe = |endpoint: &Endpoint| !endpoint.path.starts_with("/api/");
    health::endpoints().into_iter().filter(is_probe).collect()
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

fn page_size(limit: Option<u32>) -> u32 {
    limit.unwrap_or(PAGE).clamp(1, MAX_PAGE)
}
