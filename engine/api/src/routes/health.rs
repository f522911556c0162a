//! Whether the server lives, whether it can work, what it counts, and what it offers.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use plue_plan::Code;
use schemars::JsonSchema;
use serde::Serialize;

use super::schema;
use crate::{
    access::{Need, Role},
    endpoint::{Answer, Endpoint, Method},
    extract::Caller,
    openapi,
    problem::Problem,
    records::WhoRecord,
    server::Api,
};

/// A loop of the server does not turn.
const STANDSTILL: Code = Code::new("PLUE-C0020");

/// The state of a server.
#[derive(Debug, Serialize, JsonSchema)]
struct Health {
    /// `ok`.
    status: &'static str,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    let look = |path, need, summary, answer, route| Endpoint {
        method: Method::Get,
        path,
        need,
        summary,
        query: &[],
        body: None,
        answer,
        route,
    };
    let document = Answer::Json(schema::<serde_json::Value>);
    vec![
        look(
            "/healthz",
            Need::Nothing,
            "The process lives and its loops turn",
            Answer::Json(schema::<Health>),
            || get(alive),
        ),
        look(
            "/readyz",
            Need::Nothing,
            "The process lives, its loops turn, it takes what is new and the database answers",
            Answer::Json(schema::<Health>),
            || get(ready),
        ),
        look(
            "/metrics",
            Need::Everywhere(Role::Reader),
            "Metrics in the text format of Prometheus",
            Answer::Bytes("text/plain"),
            || get(metrics),
        ),
        look("/api/v1/openapi.json", Need::Nothing, "This document", document, || get(document_of)),
        look(
            "/api/v1/whoami",
            Need::Role(Role::Reader),
            "Whose token it is and what it allows",
            Answer::Json(schema::<WhoRecord>),
            || get(whoami),
        ),
    ]
}

async fn alive(State(api): State<Api>) -> Result<axum::Json<Health>, Problem> {
    turns(&api)?;
    Ok(axum::Json(Health { status: "ok" }))
}

/// That no loop of the server stands still.
fn turns(api: &Api) -> Result<(), Problem> {
    let stalled = api.watchdog().stalled();
    if stalled.is_empty() {
        return Ok(());
    }
    let all: Vec<_> = stalled
        .iter()
        .map(|one| format!("`{}` in `{}` for {} s", one.name, one.stage, one.lasted.as_secs()))
        .collect();
    let detail = format!("a loop of the server stands still: {}; see its log", all.join(", "));
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).coded(STANDSTILL))
}

async fn ready(State(api): State<Api>) -> Result<axum::Json<Health>, Problem> {
    turns(&api)?;
    if api.drains() {
        let detail = "the server ends: it takes nothing new";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
    }
    // A read through the pool that requests use.
    let _engines = api.store().engines().list().await?;
    Ok(axum::Json(Health { status: "ok" }))
}

async fn metrics(State(api): State<Api>) -> Response {
    // The content type is Prometheus' own, version and all.
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, api.metrics()).into_response()
}

async fn document_of() -> axum::Json<serde_json::Value> {
    axum::Json(openapi::document(&super::all()))
}

async fn whoami(Caller(who): Caller) -> axum::Json<WhoRecord> {
    axum::Json(WhoRecord::of(&who))
}
