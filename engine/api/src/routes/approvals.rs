//! Decisions that runs wait for: listed, and made.

use axum::{
    extract::State,
    routing::{get, post},
};
use plue_plan::StepId;
use serde::Deserialize;
use serde_json::json;

use super::{CURSOR, LIMIT, page_size, run_cursor, schema};
use crate::{
    access::{Need, Principal, Role},
    commands::DecisionRequest,
    endpoint::{Answer, Endpoint, Method},
    extract::{Caller, Json, Path, Query, run_of},
    problem::Problem,
    reading::whole,
    records::{Page, RunRecord, status::ApprovalRecord},
    server::Api,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    limit: Option<u32>,
    cursor: Option<String>,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    let list = Endpoint {
        method: Method::Get,
        path: "/api/v1/approvals",
        need: Need::Role(Role::Reader),
        summary: "Decisions that runs wait for, the oldest run first; `limit` counts runs",
        query: &[LIMIT, CURSOR],
        body: None,
        answer: Answer::Json(schema::<Page<ApprovalRecord>>),
        route: || get(list),
    };
    vec![
        Endpoint {
            method: Method::Post,
            path: "/api/v1/runs/{run}/steps/{step}/decision",
            need: Need::Role(Role::Maintainer),
            summary: "Approve or reject a step that waits, or one `call` of its agent; who answers is the name of the token or person",
            query: &[],
            body: Some(schema::<DecisionRequest>),
            answer: Answer::Json(schema::<RunRecord>),
            route: || post(decide),
        },
        list,
    ]
}

async fn list(
    State(api): State<Api>,
    Caller(caller): Caller,
    Query(which): Query<Which>,
) -> Result<axum::Json<Page<ApprovalRecord>>, Problem> {
    let limit = page_size(which.limit)?;
    let after = run_cursor(&api, which.cursor).await?;
    let repos = caller.repos();
    let mut runs =
        api.store().usage().waiting_runs(repos.as_deref(), after.as_ref(), limit + 1).await?;
    let more = runs.len() > limit as usize;
    runs.truncate(limit as usize);
    let mut items = Vec::new();
    for id in &runs {
        let read = whole(&api, id).await?;
        let asked = read.run.waiting();
        items.extend(asked.filter_map(|one| ApprovalRecord::of(&read.row, &read.plan, &one)));
    }
    let next = runs.last().filter(|_| more).map(ToString::to_string);
    Ok(axum::Json(Page { items, next }))
}

async fn decide(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path((run, step)): Path<(String, String)>,
    Json(answer): Json<DecisionRequest>,
) -> Result<axum::Json<RunRecord>, Problem> {
    decide_step(&api, &caller, &run, &step, answer).await?;
    let row = run_of(&api, &caller, &run).await?;
    Ok(axum::Json(RunRecord::of(&row)))
}

/// Decides a step of a run, and records it in the audit trail.
///
/// # Errors
/// The caller may not decide it, it waits for no such decision, or the fields do not fit.
pub(crate) async fn decide_step(
    api: &Api,
    caller: &Principal,
    run: &str,
    step: &str,
    answer: DecisionRequest,
) -> Result<(), Problem> {
    let row = run_of(api, caller, run).await?;
    let mut what = json!({"step": step, "approve": answer.approve});
    if let (Some(call), Some(what)) = (&answer.call, what.as_object_mut()) {
        what.insert("call".to_owned(), json!(call));
    }
    let by = answers_as(caller).to_owned();
    api.commands().decide(row.id.clone(), StepId::new(step), answer, by).await?;
    let subject = (row.id.as_str(), row.repo.clone());
    api.trail(caller, "run.decide", subject, what).await
}

/// The caller as a plan's `approvers` name people: by the name of a token, of a person at the issuer, or of
/// the user of this machine.
pub(crate) fn answers_as(caller: &Principal) -> &str {
    let name = &caller.name;
    let prefixes = ["token:", "person:", "local:"];
    prefixes.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name)
}
