//! Plans: the canonical bytes that a run is pinned to.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use plue_plan::Plan;

use super::schema;
use crate::{
    access::{Need, Role},
    endpoint::{Answer, Endpoint, Method},
    extract::{Caller, Path, run_of},
    problem::Problem,
    server::Api,
    tagged,
};

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![Endpoint {
        method: Method::Get,
        path: "/api/v1/runs/{run}/plan",
        need: Need::Role(Role::Reader),
        summary: "The plan of a run: exactly the bytes that are hashed; ETag is the hash",
        query: &[],
        body: None,
        answer: Answer::Json(schema::<Plan>),
        route: || get(plan),
    }]
}

async fn plan(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(run): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let row = run_of(&api, &caller, &run).await?;
    let tag = format!("\"{}\"", row.plan);
    if tagged::is_known(&headers, &tag) {
        return Ok(tagged::answer(&headers, &tag, || StatusCode::NOT_MODIFIED.into_response()));
    }
    let bytes = api.store().plans().get(&row.plan).await?;
    let bytes = bytes.ok_or_else(|| Problem::not_found("plan", &row.plan.to_string()))?;
    let kind = HeaderValue::from_static("application/json");
    let mut response = ([(header::CONTENT_TYPE, kind)], bytes).into_response();
    tagged::put_tag(&mut response, &tag);
    Ok(response)
}
