//! The plan of a run, and what changed since the run before it of the same workflow.

use axum::{
    extract::{Path, State},
    response::Response,
};
use plue_dashboard::{
    run::plan::{self as page_of_plan, ValueChange},
    shell::Page,
};
use plue_plan::{
    Plan, PlanHash,
    diff::{Change, ChangeKind, PlanDiff, diff},
};
use plue_store::RunRow;
use serde_json::Value as Json;

use super::{super::reader::Reader, Shown, shown_run};
use crate::{problem::Problem, server::Api};

/// `GET /runs/ID/plan`
pub(in crate::pages) async fn page(
    State(api): State<Api>,
    reader: Reader,
    Path(run): Path<String>,
) -> Response {
    reader.answer(load(&api, &reader, &run).await)
}

/// Plan of the run before it of the same workflow and repository.
pub(super) async fn before(api: &Api, row: &RunRow) -> Result<Option<PlanHash>, Problem> {
    Ok(api.store().run_lists().plan_before(&row.id).await?)
}

async fn load(api: &Api, reader: &Reader, run: &str) -> Result<Page, Problem> {
    let row = shown_run(api, &reader.who, run).await?;
    let plan = read(api, &row.plan).await?.ok_or_else(|| Problem::not_found("plan", run))?;
    let before = before(api, &row).await?;
    let old = match &before {
        Some(before) if *before != row.plan => read(api, before).await?,
        Some(_) | None => None,
    };
    let changes = old.map(|old| diff(&old, &plan));
    let model = page_of_plan::PlanPage {
        run: row.id.to_string(),
        workflow: row.workflow.clone(),
        state: Shown::of(row.view.status.as_str()),
        hash: row.plan.to_string(),
        before: before.map(|before| before.to_string()),
        summary: changes.as_ref().map(PlanDiff::summary),
        changes: changes.map(|diff| diff.changes.iter().map(change).collect()).unwrap_or_default(),
        json: serde_json::to_string_pretty(&plan).unwrap_or_default(),
    };
    Ok(page_of_plan::page(&model))
}

async fn read(api: &Api, hash: &PlanHash) -> Result<Option<Plan>, Problem> {
    let Some(bytes) = api.store().plans().get(hash).await? else { return Ok(None) };
    // A plan that this version cannot read has no comparison; the run itself shows why.
    Ok(Plan::from_json(&bytes).ok())
}

fn change(change: &Change) -> page_of_plan::ChangeLine {
    let text = |value: &Option<Json>| value.as_ref().map(ToString::to_string);
    let value = |field: &str, before, after| ValueChange {
        field: field.to_owned(),
        before: text(before),
        after: text(after),
    };
    let fields = change.fields.iter();
    let fields: Vec<_> =
        fields.map(|field| value(&field.field, &field.before, &field.after)).collect();
    let area = serde_json::to_value(change.area).ok();
    let area = area.as_ref().and_then(Json::as_str).unwrap_or_default().replace('_', " ");
    page_of_plan::ChangeLine {
        sign: match change.change {
            ChangeKind::Added => '+',
            ChangeKind::Removed => '−',
            ChangeKind::Changed => '~',
        },
        area,
        name: change.name.clone(),
        values: match fields.is_empty() {
            true => vec![value("", &change.before, &change.after)],
            false => fields,
        },
    }
}
