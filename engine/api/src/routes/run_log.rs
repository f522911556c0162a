//! A text in all logs of a run, some lines at a time.
//!
//! A request does a bounded piece of work and returns the position for the next one. Must not hold more
//! of a
//! log than the store hands out at once.

use std::time::Duration;

use axum::{extract::State, routing::get};
use plue_plan::AttemptId;
use plue_store::{AttemptRow, LogPosition};
use serde::Deserialize;

use super::{CURSOR, LIMIT, page_size, schema};
use crate::{
    access::{Need, Role},
    endpoint::{Answer, Endpoint, Method, Parameter},
    extract::{Caller, Path, Query, run_of},
    problem::Problem,
    records::{Page, RunHitRecord},
    server::Api,
};

/// Bytes of logs that one request looks through.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes between two looks at the clock.
const STEP_BYTES: u64 = 4 * 1024 * 1024;
/// Most time that one request searches.
const MAX_TIME: Duration = Duration::from_secs(2);
/// Bytes of a text.
const MAX_TEXT: usize = 4 * 1024;

const QUERY: [Parameter; 5] = [
    Parameter { name: "q", kind: "string", means: "what to look for, byte for byte" },
    Parameter { name: "step", kind: "string", means: "only in attempts of this step" },
    Parameter { name: "attempt", kind: "string", means: "only in the log of this attempt" },
    LIMIT,
    CURSOR,
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    q: String,
    step: Option<String>,
    attempt: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// Position at which a request continues.
#[derive(Debug, PartialEq, Eq)]
struct Cursor {
    attempt: AttemptId,
    place: LogPosition,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![Endpoint {
        method: Method::Get,
        path: "/api/v1/runs/{run}/log/search",
        need: Need::Role(Role::Reader),
        summary: "The lines with a text in all logs of a run; a page may be empty and not the last",
        query: &QUERY,
        body: None,
        answer: Answer::Json(schema::<Page<RunHitRecord>>),
        route: || get(search),
    }]
}

async fn search(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(run): Path<String>,
    Query(search): Query<Search>,
) -> Result<axum::Json<Page<RunHitRecord>>, Problem> {
    if search.q.is_empty() || search.q.len() > MAX_TEXT {
        return Err(Problem::bad_request(format!("`q` is 1 to {MAX_TEXT} bytes")));
    }
    let row = run_of(&api, &caller, &run).await?;
    let cursor = search.cursor.as_deref().map(Cursor::read).transpose()?;
    let mut attempts = api.store().attempts().list(&row.id, None).await?;
    attempts.retain(|one| {
        let of_step = search.step.as_ref().is_none_or(|step| one.step.as_str() == step);
        let is_one = search.attempt.as_ref().is_none_or(|id| one.claim.attempt.as_str() == id);
        of_step && is_one && one.log_bytes > 0
    });
    let (first, place) = match cursor {
        None => (0, LogPosition::default()),
        Some(Cursor { attempt, place }) => {
            let at = attempts.iter().position(|one| one.claim.attempt == attempt);
            (at.ok_or_else(|| Problem::bad_request("the cursor is of another search"))?, place)
        }
    };
    let limit = page_size(search.limit)? as usize;
    looked(&api, search.q.as_bytes(), (&attempts[first..], place), limit).await
}

/// Looks through logs, the first from a place on, until there is enough or it was enough work.
async fn looked(
    api: &Api,
    text: &[u8],
    (attempts, mut place): (&[AttemptRow], LogPosition),
    limit: usize,
) -> Result<axum::Json<Page<RunHitRecord>>, Problem> {
    // Others wait for their turn, and not for longer than a request may take.
    let _turn = api.turn_to_search().await;
    let start = api.clock().mark();
    let (mut items, mut bytes) = (Vec::new(), 0);
    for attempt in attempts {
        let mut next = Some(place);
        while let Some(place) = next {
            let enough = items.len() >= limit
                || bytes >= MAX_BYTES
                || (bytes > 0 && api.clock().elapsed(start) >= MAX_TIME);
            if enough {
                let cursor = Cursor { attempt: attempt.claim.attempt.clone(), place };
                return Ok(axum::Json(Page { items, next: Some(cursor.text()) }));
            }
            let id = &attempt.claim.attempt;
            let most = (limit - items.len(), STEP_BYTES);
            let found = api.store().log_search().lines(id, text, place, most).await?;
            items.extend(found.hits.iter().map(|hit| RunHitRecord::of(attempt, hit)));
            bytes += found.bytes;
            next = found.next;
        }
        place = LogPosition::default();
    }
    Ok(axum::Json(Page { items, next: None }))
}

// === impl Cursor ===

impl Cursor {
    fn text(&self) -> String {
        let LogPosition { byte, in_line } = self.place;
        format!("{}:{byte}:{}", self.attempt, u8::from(in_line))
    }

    fn read(text: &str) -> Result<Self, Problem> {
        let read = || {
            let mut parts = text.rsplitn(3, ':');
            let in_line = match parts.next()? {
                "0" => false,
                "1" => true,
                _ => return None,
            };
            let byte = parts.next()?.parse().ok()?;
            Some(Self {
                attempt: AttemptId::new(parts.next()?),
                place: LogPosition { byte, in_line },
            })
        };
        read().ok_or_else(|| Problem::bad_request("`cursor` is the `next` of a page"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_round_trip_and_other_texts_are_refused() {
        for place in
            [LogPosition { byte: 7, in_line: true }, LogPosition { byte: 0, in_line: false }]
        {
            let cursor = Cursor { attempt: AttemptId::new("a:b"), place };
            assert_eq!(Cursor::read(&cursor.text()).unwrap(), cursor);
        }
        for bad in ["", "a", "a:1", "a:1:2", "a:-1:0", "a:x:0"] {
            assert!(Cursor::read(bad).is_err(), "{bad}");
        }
    }
}
