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
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    // RFC 9110 §13.1.2: a list, or `*`.
    let fresh = known.is_some_and(|list| {
        list.split(',').any(|one| matches!(one.trim(), one if one == tag || one == "*"))
    });
    let mut response = if fresh {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let bytes = api.store().plan(&row.plan).await?;
        let bytes = bytes.ok_or_else(|| Problem::not_found("plan", &row.plan.to_string()))?;
        let kind = HeaderValue::from_static("application/json");
        ([(header::CONTENT_TYPE, kind)], bytes).into_response()
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}
