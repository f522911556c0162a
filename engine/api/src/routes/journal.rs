//! The journal of a run: what became true, in order, as a page or as it happens.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response, routing::get};
use futures::{FutureExt as _, future::BoxFuture};
use plue_plan::RunId;
use plue_store::{Error, JournalRow, Store};
use serde::Deserialize;

use super::{LIMIT, page_size, schema};
use crate::{
    access::{Need, Role},
    endpoint::{Answer, Endpoint, Method, Parameter},
    extract::{Caller, Path, Query, run_of},
    limit::Holder,
    problem::Problem,
    records::{FactRecord, Page},
    server::Api,
    stream::{self, Follow, Frame, Source, Stand},
};

/// Facts that a stream reads at once.
const BATCH: u32 = 200;

const AFTER: Parameter =
    Parameter { name: "after", kind: "integer", means: "only facts behind this number" };

/// The journal of a run, followed.
struct Facts {
    store: Store,
    run: RunId,
}

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
    let limit = page_size(behind.limit)?;
    let mut facts =
        api.store().journal().after(&row.id, behind.after.unwrap_or(0), limit + 1).await?;
    let more = facts.len() > limit as usize;
    facts.truncate(limit as usize);
    let next = facts.last().filter(|_| more).map(|last| last.seq.to_string());
    Ok(axum::Json(Page { items: facts.into_iter().map(FactRecord::of).collect(), next }))
}

async fn events(
    State(api): State<Api>,
    Caller(caller): Caller,
    holder: Holder,
    Path(run): Path<String>,
    Query(behind): Query<Behind>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let row = run_of(&api, &caller, &run).await?;
    let follow = Follow {
        name: format!("run {}", row.id),
        changes: api.store().changes_of(&row.id),
        cursor: stream::cursor(&headers, behind.after)?,
        source: Arc::new(Facts { store: api.store().clone(), run: row.id }),
    };
    stream::events(&api, &holder, follow)
}

impl Source for Facts {
    fn stand(&self) -> BoxFuture<'_, Result<Option<Stand>, Error>> {
        async move {
            let row = self.store.runs().get(&self.run).await?;
            Ok(row.map(|row| Stand { reach: row.seq, ended: row.view.status.is_terminal() }))
        }
        .boxed()
    }

    fn behind(&self, seq: u64) -> BoxFuture<'_, Result<Vec<Frame>, Error>> {
        async move {
            let rows = self.store.journal().after(&self.run, seq, BATCH).await?;
            let frame = |row: JournalRow| Frame::new("fact", row.seq, &FactRecord::of(row));
            Ok(rows.into_iter().map(frame).collect())
        }
        .boxed()
    }
}
