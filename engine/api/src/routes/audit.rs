//! The audit trail: who changed what, in order.

use axum::{extract::State, routing::get};
use serde::Deserialize;

use super::{CURSOR, LIMIT, page_size, schema};
use crate::{
    access::{Need, Role},
    endpoint::{Answer, Endpoint, Method},
    extract::Query,
    problem::Problem,
    records::{AuditRecord, Page},
    server::Api,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    limit: Option<u32>,
    cursor: Option<u64>,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![Endpoint {
        method: Method::Get,
        path: "/api/v1/audit",
        need: Need::Everywhere(Role::Admin),
        summary: "Who changed what, the oldest first",
        query: &[LIMIT, CURSOR],
        body: None,
        answer: Answer::Json(schema::<Page<AuditRecord>>),
        route: || get(list),
    }]
}

async fn list(
    State(api): State<Api>,
    Query(which): Query<Which>,
) -> Result<axum::Json<Page<AuditRecord>>, Problem> {
    let limit = page_size(which.limit)?;
    let mut rows = api.store().audit().after(which.cursor.unwrap_or(0), limit + 1).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|last| last.seq.to_string());
    Ok(axum::Json(Page { items: rows.into_iter().map(AuditRecord::of).collect(), next }))
}
