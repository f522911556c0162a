//! Runs: listed, shown, asked for, stopped, let go on.

use std::path::PathBuf;

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::{get, post},
};
use jiff::Timestamp;
use plue_flow::RunStatus;
use plue_plan::RunId;
use plue_store::{CancelRequest, Reservation, RunFilter, RunRow, run::FoldedRun};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{CURSOR, LIMIT, page_size, run_cursor, schema};
use crate::{
    access::{Need, Principal, Role},
    commands::{RerunRequest, RetryRequest, RunRequest},
    endpoint::{Answer, Endpoint, Method, Parameter},
    explain::{self, Subject, listed, with_reason},
    extract::{Caller, Json, Path, Query, admitted, repos_of, run_of},
    last_run,
    problem::Problem,
    reading::whole,
    records::{Page, RunRecord, retry::RetriedRecord, status::StatusRecord},
    server::Api,
    tagged,
};

/// Characters of an `Idempotency-Key`.
const MAX_KEY: usize = 255;
/// Characters of a `traceparent`; version 00 has 55.
const MAX_TRACEPARENT: usize = 128;

const STATUS: Parameter = Parameter {
    name: "status",
    kind: "string",
    means: "only runs in these states, separated by commas",
};
const WORKFLOW: Parameter =
    Parameter { name: "workflow", kind: "string", means: "only runs of this plan" };

const REPOSITORY: Parameter =
    Parameter { name: "repository", kind: "string", means: "only runs of this repository" };
const BRANCH: Parameter =
    Parameter { name: "branch", kind: "string", means: "only runs of this branch" };
const EVENT: Parameter = Parameter {
    name: "event",
    kind: "string",
    means: "only runs for events of this type: `push`, `pull_request`, `schedule`, `manual`, …",
};
const SINCE: Parameter = Parameter {
    name: "since",
    kind: "string",
    means: "RFC 3339: only runs that were created then or later",
};
const CHILDREN: Parameter = Parameter {
    name: "children",
    kind: "boolean",
    means: "`false`: without the runs that other runs started",
};
const ID: Parameter =
    Parameter { name: "id", kind: "string", means: "a run id, the beginning of one, or `last`" };

const FOLDER: Parameter = Parameter {
    name: "folder",
    kind: "string",
    means: "with `last`: the newest run of this folder's repository; for commands of the server's machine",
};

/// The beginning of an id.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    id: String,
    folder: Option<PathBuf>,
}

/// Query of the list of runs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    status: Option<String>,
    workflow: Option<String>,
    repository: Option<String>,
    branch: Option<String>,
    event: Option<String>,
    since: Option<Timestamp>,
    children: Option<bool>,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// Options for stopping a run.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Cancel {
    /// At once instead of TERM, grace, KILL.
    kill: bool,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    let one = Endpoint {
        method: Method::Get,
        path: "/api/v1/runs/{run}",
        need: Need::Role(Role::Reader),
        summary: "A run",
        query: &[],
        body: None,
        answer: Answer::Json(schema::<RunRecord>),
        route: || get(show),
    };
    let list = Endpoint {
        path: "/api/v1/runs",
        summary: "Runs, newest first",
        query: &[STATUS, WORKFLOW, REPOSITORY, BRANCH, EVENT, SINCE, CHILDREN, LIMIT, CURSOR],
        answer: Answer::Json(schema::<Page<RunRecord>>),
        route: || get(list),
        ..one.clone()
    };
    let find = Endpoint {
        path: "/api/v1/find/runs",
        summary: "The runs whose id begins with a text, at most two; or `last`: the newest that no other run started",
        query: &[ID, FOLDER],
        answer: Answer::Json(schema::<Vec<RunRecord>>),
        route: || get(find),
        ..one.clone()
    };
    let status = Endpoint {
        path: "/api/v1/runs/{run}/status",
        summary: "A run, its steps, its outputs, and what it waits for",
        answer: Answer::Json(schema::<StatusRecord>),
        route: || get(status),
        ..one.clone()
    };
    [vec![list, find, status], changes(&one), vec![one]].concat()
}

fn changes(one: &Endpoint) -> Vec<Endpoint> {
    let change = Endpoint { method: Method::Post, need: Need::Role(Role::Writer), ..one.clone() };
    vec![
        Endpoint {
            path: "/api/v1/runs",
            summary: "Ask for a run; with an Idempotency-Key however often, it is one run",
            body: Some(schema::<RunRequest>),
            answer: Answer::Created(schema::<RunRecord>),
            route: || post(create),
            ..change.clone()
        },
        Endpoint {
            path: "/api/v1/runs/{run}/rerun",
            summary: "A new run of the same plan, event and inputs, whole or in part; takes an Idempotency-Key",
            body: Some(schema::<RerunRequest>),
            answer: Answer::Created(schema::<RunRecord>),
            route: || post(rerun),
            ..change.clone()
        },
        Endpoint {
            path: "/api/v1/runs/{run}/cancel",
            summary: "Stop a run; a second time with `kill` at once",
            body: Some(schema::<Cancel>),
            route: || post(cancel),
            ..change.clone()
        },
        Endpoint {
            path: "/api/v1/runs/{run}/retry",
            summary: "Reopen an ended run; the files of its steps are put back",
            body: Some(schema::<RetryRequest>),
            answer: Answer::Json(schema::<RetriedRecord>),
            route: || post(retry),
            ..change
        },
    ]
}

async fn list(
    State(api): State<Api>,
    Caller(caller): Caller,
    Query(which): Query<Which>,
) -> Result<axum::Json<Page<RunRecord>>, Problem> {
    let limit = page_size(which.limit)?;
    let before = run_cursor(&api, which.cursor).await?;
    let repos = repos_of(&caller, which.repository)?;
    let filter = RunFilter {
        status: statuses(which.status.as_deref())?,
        workflow: which.workflow,
        repos,
        branch: which.branch,
        event: which.event,
        since: which.since,
        without_children: which.children == Some(false),
        limit: limit + 1,
        before,
    };
    let mut rows = api.store().runs().list(&filter).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|last| last.id.to_string());
    Ok(axum::Json(Page { items: listed(api.store(), &rows).await?, next }))
}

fn statuses(text: Option<&str>) -> Result<Vec<RunStatus>, Problem> {
    let Some(text) = text else { return Ok(Vec::new()) };
    text.split(',')
        .map(|word| {
            let found = RunStatus::ALL.iter().find(|status| status.as_str() == word);
            found.copied().ok_or_else(|| {
                let all: Vec<_> = RunStatus::ALL.iter().map(|status| status.as_str()).collect();
                Problem::bad_request(format!("status is one of {}", all.join(", ")))
            })
        })
        .collect()
}

async fn show(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(run): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let row = run_of(&api, &caller, &run).await?;
    let row = with_reason(api.store(), &row).await?;
    tagged::json(&headers, &RunRecord::of(&row))
}

async fn status(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(run): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let row = run_of(&api, &caller, &run).await?;
    let steps = api.store().runs().steps(&row.id).await?;
    let FoldedRun { source, plan, run, .. } = whole(&api, &row.id).await?;
    let subject = Subject { row: &row, source: &source, plan: &plan, run: &run };
    let record = explain::status(api.store(), steps, subject).await?;
    tagged::json(&headers, &record)
}

/// Runs whose id begins with a text, or the newest run.
async fn find(
    State(api): State<Api>,
    Caller(caller): Caller,
    Query(Named { id, folder }): Query<Named>,
) -> Result<axum::Json<Vec<RunRecord>>, Problem> {
    if let Some(folder) = folder {
        if !caller.is_local() {
            return Err(Problem::bad_request("`folder` is for commands of the server's machine"));
        }
        if let Some(row) = last_run::in_folder(api.store(), &folder).await? {
            return Ok(axum::Json(vec![RunRecord::of(&row)]));
        }
    }
    let rows = api.store().runs().find(&id, caller.repos()).await?;
    Ok(axum::Json(rows.iter().map(RunRecord::of).collect()))
}

async fn create(
    State(api): State<Api>,
    Caller(caller): Caller,
    headers: HeaderMap,
    Json(mut request): Json<RunRequest>,
) -> Result<(StatusCode, axum::Json<RunRecord>), Problem> {
    let repo = &request.repository;
    admitted(&caller, Some(repo), || Problem::not_found("repository", repo))?;
    let id = reserved(&api, &caller, &headers, &request).await?;
    let traceparent = headers.get("traceparent").and_then(|value| value.to_str().ok());
    request.traceparent =
        traceparent.filter(|text| text.len() <= MAX_TRACEPARENT).map(str::to_owned);
    let row = submit_run(&api, &caller, id, request).await?;
    Ok((StatusCode::CREATED, axum::Json(RunRecord::of(&row))))
}

/// Submits a run of this id, for a caller who may start it.
///
/// # Errors
/// The caller may not, there is no such workflow, or the inputs do not fit.
pub(crate) async fn submit_run(
    api: &Api,
    caller: &Principal,
    id: RunId,
    request: RunRequest,
) -> Result<RunRow, Problem> {
    let repo = &request.repository;
    admitted(caller, Some(repo), || Problem::not_found("repository", repo))?;
    let what = json!({"workflow": request.workflow, "rev": request.rev});
    api.commands().runs().submit(id.clone(), request, caller.name.clone()).await?;
    let row = api.store().runs().get(&id).await?;
    let row = row.ok_or_else(|| Problem::conflict("the run is gone already"))?;
    trail(api, caller, "run.create", &row, what).await?;
    Ok(row)
}

/// The id of the run: a fresh one, or the one that this key stands for.
async fn reserved(
    api: &Api,
    caller: &Principal,
    headers: &HeaderMap,
    request: &impl Serialize,
) -> Result<RunId, Problem> {
    let fresh = api.ids().run();
    let Some(key) = headers.get("idempotency-key") else { return Ok(fresh) };
    let key = key.to_str().ok().filter(|key| !key.is_empty() && key.len() <= MAX_KEY);
    let key = key.ok_or_else(|| {
        Problem::bad_request(format!("Idempotency-Key is 1 to {MAX_KEY} characters of ASCII"))
    })?;
    let body = serde_json::to_vec(request).unwrap_or_default();
    let wanted =
        Reservation { request: hex::encode(Sha256::digest(body)), subject: fresh.to_string() };
    let now = api.clock().now();
    let kept = api.store().idempotency().reserve(&caller.name, key, wanted.clone(), now).await?;
    if kept.request != wanted.request {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "this Idempotency-Key came with another request before",
        ));
    }
    Ok(RunId::new(kept.subject))
}

async fn cancel(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(run): Path<String>,
    Json(how): Json<Cancel>,
) -> Result<axum::Json<RunRecord>, Problem> {
    let row = cancel_run(&api, &caller, &run, how.kill).await?;
    Ok(axum::Json(RunRecord::of(&row)))
}

/// Asks for the end of a run.
pub(crate) async fn cancel_run(
    api: &Api,
    caller: &Principal,
    run: &str,
    kill: bool,
) -> Result<RunRow, Problem> {
    let row = run_of(api, caller, run).await?;
    if row.view.status.is_terminal() {
        let ended = format!("run {} has ended already: {}", row.id, row.view.status);
        return Err(Problem::conflict(ended));
    }
    let request = CancelRequest { by: caller.name.clone(), kill };
    api.store().cancels().request(&row.id, request, api.clock().now()).await?;
    trail(api, caller, "run.cancel", &row, json!({"kill": kill})).await?;
    Ok(row)
}

async fn retry(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(run): Path<String>,
    Json(request): Json<RetryRequest>,
) -> Result<axum::Json<RetriedRecord>, Problem> {
    Ok(axum::Json(retry_run(&api, &caller, &run, request).await?))
}

/// Retries an ended run.
pub(crate) async fn retry_run(
    api: &Api,
    caller: &Principal,
    run: &str,
    request: RetryRequest,
) -> Result<RetriedRecord, Problem> {
    let row = run_of(api, caller, run).await?;
    if request.failed && request.from.is_some() {
        return Err(Problem::bad_request("either `failed` or `from`"));
    }
    let what = json!({"from": request.from, "failed": request.failed});
    let files = api.commands().runs().retry(row.id.clone(), request, caller.name.clone()).await?;
    trail(api, caller, "run.retry", &row, what).await?;
    let row = run_of(api, caller, run).await?;
    Ok(RetriedRecord { run: RunRecord::of(&row), files })
}

async fn rerun(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(run): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, axum::Json<RunRecord>), Problem> {
    let old = run_of(&api, &caller, &run).await?;
    let request = rerun_request(&body)?;
    let wanted = json!({"rerun": old.id.as_str(), "from": request.from, "failed": request.failed});
    let id = reserved(&api, &caller, &headers, &wanted).await?;
    let row = rerun_run(&api, &caller, &run, id, request).await?;
    Ok((StatusCode::CREATED, axum::Json(RunRecord::of(&row))))
}

/// Creates the run `id` with the plan, event and inputs of another one.
pub(crate) async fn rerun_run(
    api: &Api,
    caller: &Principal,
    old: &str,
    id: RunId,
    request: RerunRequest,
) -> Result<RunRow, Problem> {
    let old = run_of(api, caller, old).await?;
    api.commands().runs().rerun(id.clone(), old.id.clone(), request).await?;
    let row = run_of(api, caller, id.as_str()).await?;
    trail(api, caller, "run.rerun", &row, json!({"of": old.id.as_str()})).await?;
    Ok(row)
}

/// The request for a rerun; no body: of the whole run.
fn rerun_request(body: &[u8]) -> Result<RerunRequest, Problem> {
    if body.is_empty() {
        return Ok(RerunRequest::default());
    }
    let read = serde_json::from_slice::<RerunRequest>(body);
    let request = read.map_err(|error| Problem::bad_request(error.to_string()))?;
    if request.failed && request.from.is_some() {
        return Err(Problem::bad_request("either `failed` or `from`"));
    }
    Ok(request)
}

async fn trail(
    api: &Api,
    caller: &Principal,
    action: &str,
    row: &RunRow,
    detail: serde_json::Value,
) -> Result<(), Problem> {
    api.trail(caller, action, (row.id.as_str(), row.repo.clone()), detail).await
}
