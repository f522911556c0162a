//! The test results of a run.

use axum::{extract::State, http::HeaderMap, response::Response, routing::get};

use super::schema;
use crate::{
    access::{Need, Role},
    endpoint::{Answer, Endpoint, Method},
    extract::{Caller, Path, run_of},
    problem::Problem,
    records::test_results::TestsRecord,
    server::Api,
    tagged,
};

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![Endpoint {
        method: Method::Get,
        path: "/api/v1/runs/{run}/tests",
        need: Need::Role(Role::Reader),
        summary: "The test results of a run: of the newest attempt of each step, from the reports among its artifacts",
        query: &[],
        body: None,
        answer: Answer::Json(schema::<TestsRecord>),
        route: || get(show),
    }]
}

async fn show(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(run): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let row = run_of(&api, &caller, &run).await?;
    let tests = TestsRecord::read(api.store(), &row.id).await?;
    tagged::json(&headers, &tests.unwrap_or_default())
}
