//! All routes, one file for each thing they are about. The list is the truth: the router, the OpenAPI
//! document and the test of who gets in are made from it.

use plue_plan::RunId;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::{
    endpoint::{Endpoint, Parameter},
    problem::Problem,
    server::Api,
};

pub(crate) mod approvals;
mod archive;
mod artifacts;
mod audit;
mod callbacks;
pub(crate) mod events;
mod executors;
mod explanation;
mod health;
mod journal;
mod live;
pub(crate) mod log_view;
pub(crate) mod logs;
mod messages;
mod plans;
mod pools;
pub(crate) mod repositories;
mod resources;
mod run_log;
pub(crate) mod runs;
mod secrets;
pub(crate) mod session;
mod steps;
mod test_results;
pub(crate) mod tokens;
mod transcripts;
pub(crate) mod views;
pub(crate) mod webhooks;
pub(crate) mod workflows;

/// Header of raw logs: remarks about the log as a JSON list of [`crate::records::log::LogRemark`].
pub const LOG_REMARKS: &str = "plue-log-remarks";
/// Items of a page unless the client asks for another number.
const PAGE: u32 = 50;
/// Items of a page at most.
const MAX_PAGE: u32 = 200;
/// Characters of a run's id.
const RUN_ID_LEN: usize = 26;

const LIMIT: Parameter =
    Parameter { name: "limit", kind: "integer", means: "items of the page, at most 200" };
const CURSOR: Parameter =
    Parameter { name: "cursor", kind: "string", means: "`next` of the page before" };

/// The routes of a full server.
#[must_use]
pub fn all() -> Vec<Endpoint> {
    [
        health::endpoints(),
        runs::endpoints(),
        steps::endpoints(),
        journal::endpoints(),
        live::endpoints(),
        logs::endpoints(),
        log_view::endpoints(),
        run_log::endpoints(),
        transcripts::endpoints(),
        plans::endpoints(),
        explanation::endpoints(),
        archive::endpoints(),
        messages::endpoints(),
        artifacts::endpoints(),
        test_results::endpoints(),
        approvals::endpoints(),
        callbacks::endpoints(),
        resources::endpoints(),
        executors::endpoints(),
        pools::endpoints(),
        repositories::endpoints(),
        workflows::endpoints(),
        events::endpoints(),
        secrets::endpoints(),
        session::endpoints(),
        tokens::endpoints(),
        views::endpoints(),
        webhooks::endpoints(),
        audit::endpoints(),
    ]
    .concat()
}

/// Routes about the state of a process, without runs: for a process that answers no other requests.
#[must_use]
pub fn probes() -> Vec<Endpoint> {
    let is_probe = |endpoint: &Endpoint| !endpoint.path.starts_with("/api/");
    health::endpoints().into_iter().filter(is_probe).collect()
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// The size of a page.
///
/// # Errors
/// It is none.
fn page_size(limit: Option<u32>) -> Result<u32, Problem> {
    let limit = limit.unwrap_or(PAGE);
    match (1..=MAX_PAGE).contains(&limit) {
        true => Ok(limit),
        false => Err(Problem::bad_request(format!("`limit` is 1 to {MAX_PAGE}"))),
    }
}

/// The run that a page begins behind.
///
/// # Errors
/// The cursor is no id of a run.
async fn run_cursor(api: &Api, cursor: Option<String>) -> Result<Option<RunId>, Problem> {
    let Some(cursor) = cursor else { return Ok(None) };
    let run = RunId::new(cursor);
    // A run may have been removed since its page was shown; an id has this form nevertheless.
    let is_id = run.as_str().len() == RUN_ID_LEN
        && run.as_str().bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
    if is_id || api.store().runs().get(&run).await?.is_some() {
        return Ok(Some(run));
    }
    Err(Problem::bad_request("`cursor` is `next` of the page before"))
}
