//! A run as one file, to be opened elsewhere: `plue open`.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
    routing::get,
};

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
        path: "/api/v1/runs/{run}/archive",
        need: Need::Role(Role::Reader),
        summary: "An ended run in one file: rows, logs, artifacts, sources; no secrets",
        query: &[],
        body: None,
        answer: Answer::Bytes("application/zstd"),
        route: || get(archive),
    }]
}

async fn archive(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(run): Path<String>,
) -> Result<Response, Problem> {
    let row = run_of(&api, &caller, &run).await?;
    if !row.view.status.is_terminal() {
        let detail = format!("run {} has not ended; a run is exported whole", row.id);
        return Err(Problem::conflict(detail));
    }
    let name = format!("attachment; filename=\"{}.plue\"", row.id);
    let file = api.commands().export(row.id).await?;
    let mut response = Body::from_stream(file).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/zstd"));
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}
