//! Explanation of the state of a run and its steps.

use axum::{extract::State, routing::get};
use jiff::tz::TimeZone;
use plue_plan::StepId;
use plue_store::run::FoldedRun;
use serde::Deserialize;

use super::schema;
use crate::{
    access::{Need, Role},
    endpoint::{Answer, Endpoint, Method, Parameter},
    explain::{Subject, explained},
    extract::{Caller, Path, Query, run_of},
    problem::Problem,
    reading::whole,
    records::story::ExplainRecord,
    server::Api,
};

const QUERY: [Parameter; 2] = [
    Parameter { name: "step", kind: "string", means: "only this step" },
    Parameter { name: "zone", kind: "string", means: "IANA zone of times in words; absent: UTC" },
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    step: Option<String>,
    zone: Option<String>,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![Endpoint {
        method: Method::Get,
        path: "/api/v1/runs/{run}/explanation",
        need: Need::Role(Role::Reader),
        summary: "Why a run and its steps wait, were skipped or failed",
        query: &QUERY,
        body: None,
        answer: Answer::Json(schema::<ExplainRecord>),
        route: || get(explanation),
    }]
}

async fn explanation(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(run): Path<String>,
    Query(which): Query<Which>,
) -> Result<axum::Json<ExplainRecord>, Problem> {
    let zone = match which.zone.as_deref() {
        None => TimeZone::UTC,
        Some(name) => TimeZone::get(name)
            .map_err(|_| Problem::bad_request("`zone` is an IANA zone, as Europe/Berlin"))?,
    };
    let row = run_of(&api, &caller, &run).await?;
    let FoldedRun { row, source, plan, run } = whole(&api, &row.id).await?;
    let only = which.step.map(StepId::new);
    if let Some(step) = only.as_ref().filter(|step| plan.all_steps().all(|one| one.id != **step)) {
        return Err(Problem::not_found("step", step.as_str()));
    }
    let subject = Subject { row: &row, source: &source, plan: &plan, run: &run };
    Ok(axum::Json(explained(api.store(), subject, only.as_ref(), &zone).await?))
}
