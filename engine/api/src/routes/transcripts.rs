//! The transcripts of an attempt of a Claude step, of its own agent and of those that were started below
//! it, as a page or as what is found in it.

use axum::{extract::State, routing::get};
use plue_plan::AttemptId;
use plue_store::TranscriptId as _;
use serde::Deserialize;

use super::{
    CURSOR, LIMIT,
    logs::{AttemptPath, attempt_of},
    page_size, schema,
};
use crate::{
    access::{Need, Role},
    endpoint::{Answer, Endpoint, Method, Parameter},
    extract::{Caller, Path, Query},
    problem::Problem,
    records::{
        Page,
        transcript::{AgentRecord, TranscriptRecord},
    },
    server::Api,
};

/// Facts read from the store at once; one has a few hundred KiB at most.
const BATCH: u32 = 16;
/// Facts that one request looks through.
const MAX_FACTS: usize = 1_000;
/// Bytes of a text.
const MAX_TEXT: usize = 4 * 1024;
/// Bytes of an answer, about; a page with more ends early.
const MAX_BYTES: usize = 4 * 1024 * 1024;

const QUERY: [Parameter; 3] = [
    Parameter { name: "q", kind: "string", means: "only facts with this text, byte for byte" },
    LIMIT,
    CURSOR,
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    q: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint {
            method: Method::Get,
            path: "/api/v1/runs/{run}/attempts/{attempt}/transcript",
            need: Need::Role(Role::Reader),
            summary: "Facts of a Claude step's transcript, or of an agent's by its id, in order; a page may be empty and not the last",
            query: &QUERY,
            body: None,
            answer: Answer::Json(schema::<Page<TranscriptRecord>>),
            route: || get(transcript),
        },
        Endpoint {
            method: Method::Get,
            path: "/api/v1/runs/{run}/attempts/{attempt}/agents",
            need: Need::Role(Role::Reader),
            summary: "Agents that the agent of a Claude step started, those below them too; one page",
            query: &[],
            body: None,
            answer: Answer::Json(schema::<Page<AgentRecord>>),
            route: || get(agents),
        },
    ]
}

async fn agents(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(path): Path<AttemptPath>,
) -> Result<axum::Json<Page<AgentRecord>>, Problem> {
    let row = attempt_of(&api, &caller, &path).await?;
    let mut items = Vec::new();
    for id in api.store().transcripts().agents_of(&row.run, &row.claim.attempt).await? {
        let first = api.store().transcripts().after(&id, 0, 1).await?.into_iter().next();
        items.push(AgentRecord::of(&id, first));
    }
    Ok(axum::Json(Page { items, next: None }))
}

async fn transcript(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(path): Path<AttemptPath>,
    Query(search): Query<Search>,
) -> Result<axum::Json<Page<TranscriptRecord>>, Problem> {
    if search.q.as_ref().is_some_and(|text| text.is_empty() || text.len() > MAX_TEXT) {
        return Err(Problem::bad_request(format!("`q` is 1 to {MAX_TEXT} bytes")));
    }
    // An agent that another one started is seen by whom its attempt is.
    let agent = AttemptId::new(path.attempt.clone());
    let path = AttemptPath { attempt: agent.attempt().as_str().to_owned(), ..path };
    attempt_of(&api, &caller, &path).await?;
    let attempt = agent;
    let limit = page_size(search.limit)? as usize;
    let cursor = search.cursor.as_deref().map_or(Ok(0), str::parse::<u64>);
    let mut after =
        cursor.map_err(|_| Problem::bad_request("`cursor` is `next` of the page before"))?;
    let (mut items, mut facts, mut bytes) = (Vec::new(), 0, 0);
    loop {
        let rows = api.store().transcripts().after(&attempt, after, BATCH).await?;
        let is_last = rows.len() < BATCH as usize;
        for row in rows {
            if items.len() >= limit || bytes >= MAX_BYTES || facts >= MAX_FACTS {
                return Ok(axum::Json(Page { items, next: Some(after.to_string()) }));
            }
            after = row.seq;
            facts += 1;
            if search.q.as_ref().is_none_or(|text| row.contains(text)) {
                bytes += row.fact.to_string().len();
                items.push(TranscriptRecord::from(row));
            }
        }
        if is_last {
            return Ok(axum::Json(Page { items, next: None }));
        }
    }
}
