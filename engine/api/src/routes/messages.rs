//! Messages on topics, for steps that wait for one. Topics know no repositories, so that only those
//! may send who may do it everywhere.

use axum::{extract::State, http::StatusCode, routing::post};
use serde_json::json;

use super::schema;
use crate::{
    access::{Need, Role},
    commands::EmitRequest,
    endpoint::{Answer, Endpoint, Method},
    extract::{Caller, Json},
    problem::Problem,
    server::Api,
};

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![Endpoint {
        method: Method::Post,
        path: "/api/v1/messages",
        need: Need::Everywhere(Role::Writer),
        summary: "Send a message to the steps that wait for one on a topic",
        query: &[],
        body: Some(schema::<EmitRequest>),
        answer: Answer::Nothing,
        route: || post(emit),
    }]
}

async fn emit(
    State(api): State<Api>,
    Caller(caller): Caller,
    Json(request): Json<EmitRequest>,
) -> Result<StatusCode, Problem> {
    request.check().map_err(Problem::bad_request)?;
    let EmitRequest { topic, data } = request;
    api.store().topics().emit(&topic, data, caller.actor(), api.clock().now()).await?;
    api.trail(&caller, "event.emit", (&topic, None), json!({})).await?;
    Ok(StatusCode::NO_CONTENT)
}
