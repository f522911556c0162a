//! The steps of a run, and the attempts of them.

use axum::{extract::State, http::HeaderMap, response::Response, routing::get};

use super::schema;
use crate::{
    access::{Need, Role},
    endpoint::{Answer, Endpoint, Method},
    extract::{Caller, Path, run_of},
    problem::Problem,
    records::{AttemptRecord, StepRecord},
    server::Api,
    tagged,
};

pub(super) fn endpoints() -> Vec<Endpoint> {
    let steps = Endpoint {
        method: Method::Get,
        path: "/api/v1/runs/{run}/steps",
        need: Need::Role(Role::Reader),
        summary: "The steps of a run in their current visit",
        query: &[],
        body: None,
        answer: Answer::Json(schema::<Vec<StepRecord>>),
        route: || get(steps),
    };
    vec![
        Endpoint {
            path: "/api/v1/runs/{run}/attempts",
            summary: "All attempts of a run, in the order they were queued",
            answer: Answer::Json(schema::<Vec<AttemptRecord>>),
            route: || get(attempts),
            ..steps.clone()
        },
        steps,
    ]
}

async fn steps(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(run): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let row = run_of(&api, &caller, &run).await?;
    let steps = api.store().runs().steps(&row.id).await?;
    let spends = api.store().claude().spend_of(&row.id).await?;
    let records = steps.iter().map(|row| StepRecord::of(row).with_usage(&spends));
    tagged::json(&headers, &records.collect::<Vec<_>>())
}

async fn attempts(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(run): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let row = run_of(&api, &caller, &run).await?;
    let attempts = api.store().attempts().list(&row.id, None).await?;
    tagged::json(&headers, &attempts.iter().map(AttemptRecord::of).collect::<Vec<_>>())
}
