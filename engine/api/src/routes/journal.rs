//! The journal of a run: what became true, in order, as a page or as it happens.

use axum::{extract::State, http::HeaderMap, response::Response, routing::get};
use plue_plan::RunId;
use plue_store::{Error, Store};
use serde::Deserialize;

use super::{LIMIT, page_size, schema};
use crate::{
    access::{Need, Role},
    endpoint::{Answer, Endpoint, Method, Parameter},
    extract::{Caller, Path, Query, run_of},
    problem::Problem,
    records::{FactRecord, Page},
    server::Api,
    stream::{self, Batch, Numbered, Source},
};

/// Facts that a stream reads at once.
const BATCH: u32 = 200;

const AFTER: Parameter =
    Parameter { name: "after", kind: "integer", means: "only facts behind this number" };

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Behind {
    after: Option<u64>,
    limit: Option<u32>,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    let page = Endpoint {
        method: Method::Get,
        path: "/api/v1/runs/{run}/journal",
        need: Need::Role(Role::Reader),
        summary: "Facts of a run, in order",
        query: &[AFTER, LIMIT],
        body: None,
        answer: Answer::Json(schema::<Page<FactRecord>>),
        route: || get(facts),
    };
    vec![
        Endpoint {
            path: "/api/v1/runs/{run}/events",
            summary: "Facts of a run as they come, until it ends; goes on behind Last-Event-ID",
            query: &[AFTER],
            answer: Answer::Events(schema::<FactRecord>),
            route: || get(events),
            ..page.clone()
        },
        page,
    ]
}

async fn facts(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(run): Path<String>,
    Query(behind): Query<Behind>,
) -> Result<axum::Json<Page<FactRecord>>, Problem> {
    let row = run_of(&api, &caller, &run).await?;
    let limit = page_size(behind.limit);
    let mut facts =
        api.store().journal_after(&row.id, behind.after.unwrap_or(0), limit + 1).await?;
    let more = facts.len() > limit as usize;
    facts.truncate(limit as usize);
    let next = facts.last().filter(|_| more).map(|last| last.seq.to_string());
    Ok(axum::Json(Page { items: facts.into_iter().map(FactRecord::of).collect(), next }))
}

async fn events(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(run): Path<String>,
    Query(behind): Query<Behind>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let row = run_of(&api, &caller, &run).await?;
    let cursor = stream::cursor(&headers, behind.after)?;
    let (store, id) = (api.store().clone(), row.id);
    let changes = store.changes_of(&id);
    let source = Source {
        event: "fact",
        read: Box::new(move |after| Box::pin(batch(store.clone(), id.clone(), after))),
        changes,
        heartbeat: api.limits().heartbeat,
        clock: api.clock(),
        stop: api.stop(),
    };
    Ok(stream::events(source, cursor))
}

async fn batch(store: Store, run: RunId, after: u64) -> Result<Batch<FactRecord>, Error> {
    // Before the facts: if the run has ended, they are complete up to its number.
    let row = store.run(&run).await?;
    let facts = match &row {
        // Idle streams are many.
        Some(row) if row.seq <= after => Vec::new(),
        Some(_) | None => store.journal_after(&run, after, BATCH).await?,
    };
    let reached = facts.last().map_or(after, |last| last.seq);
    let last = row.is_none_or(|row| row.view.status.is_terminal() && reached >= row.seq);
    let items = facts.into_iter().map(|row| Numbered { seq: row.seq, data: FactRecord::of(row) });
    Ok(Batch { items: items.collect(), last })
}
