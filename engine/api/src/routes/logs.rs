//! The log of an attempt: how long it is, its bytes by offset, by line or from the end, what is found
//! in it, and what comes.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use futures::{FutureExt as _, future::BoxFuture};
use plue_plan::AttemptId;
use plue_store::{AttemptRow, Error, LogPiece, LogRange, Store};
use serde::Deserialize;

use super::{LOG_REMARKS, schema};
use crate::{
    access::{Need, Principal, Role},
    endpoint::{Answer, Endpoint, Method, Parameter},
    extract::{Caller, Path, Query, run_of},
    limit::Holder,
    problem::Problem,
    records::{HitRecord, LogRecord, Page, PieceRecord, log::LogRemark},
    server::Api,
    stream::{self, Follow, Frame, Live, Source, Stand},
};

/// Most bytes of one answer; a longer range is cut, and the answer's headers hold the sent range.
const MAX_BYTES: u64 = 8 * 1024 * 1024;
/// Lines from the end at most.
const MAX_TAIL: u64 = 100_000;
/// Bytes that a stream reads at once.
const BATCH: u64 = 256 * 1024;
/// Hits of a search at most.
const MAX_HITS: usize = 1_000;

const RANGE: [Parameter; 5] = [
    Parameter { name: "from", kind: "integer", means: "first byte, from 0" },
    Parameter { name: "to", kind: "integer", means: "behind the last byte" },
    Parameter { name: "from_line", kind: "integer", means: "first line, from 1" },
    Parameter { name: "to_line", kind: "integer", means: "last line" },
    Parameter { name: "tail", kind: "integer", means: "only the last lines, so many" },
];
const SEARCH: [Parameter; 2] = [
    Parameter { name: "text", kind: "string", means: "what to look for, byte for byte" },
    Parameter { name: "limit", kind: "integer", means: "hits at most, up to 1,000" },
];
const PIECES: [Parameter; 2] = [
    Parameter { name: "after", kind: "integer", means: "only pieces behind this number" },
    Parameter { name: "tail", kind: "integer", means: "only the last lines, so many" },
];
const AFTER: [Parameter; 1] =
    [Parameter { name: "after", kind: "integer", means: "only pieces behind this number" }];

/// The log of an attempt, followed.
struct Log {
    store: Store,
    attempt: AttemptId,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    from: Option<u64>,
    to: Option<u64>,
    from_line: Option<u64>,
    to_line: Option<u64>,
    tail: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    text: String,
    limit: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Behind {
    after: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pieces {
    after: Option<u64>,
    tail: Option<u64>,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    let stat = Endpoint {
        method: Method::Get,
        path: "/api/v1/runs/{run}/attempts/{attempt}/log",
        need: Need::Role(Role::Reader),
        summary: "How long the log of an attempt is",
        query: &[],
        body: None,
        answer: Answer::Json(schema::<LogRecord>),
        route: || get(stat),
    };
    vec![
        Endpoint {
            path: "/api/v1/runs/{run}/attempts/{attempt}/log/raw",
            summary: "Bytes of a log: a range of bytes or of lines, or its last lines; gaps and notes are in the header Plue-Log-Remarks",
            query: &RANGE,
            answer: Answer::Bytes("application/octet-stream"),
            route: || get(raw),
            ..stat.clone()
        },
        Endpoint {
            path: "/api/v1/runs/{run}/attempts/{attempt}/log/pieces",
            summary: "Pieces of a log as they were printed, behind a number, or its last lines",
            query: &PIECES,
            answer: Answer::Json(schema::<Page<PieceRecord>>),
            route: || get(pieces),
            ..stat.clone()
        },
        Endpoint {
            path: "/api/v1/runs/{run}/attempts/{attempt}/log/search",
            summary: "Where a text is in a log",
            query: &SEARCH,
            answer: Answer::Json(schema::<Vec<HitRecord>>),
            route: || get(search),
            ..stat.clone()
        },
        Endpoint {
            path: "/api/v1/runs/{run}/attempts/{attempt}/log/events",
            summary: "A log as it is printed, until the attempt ends; goes on behind Last-Event-ID",
            query: &AFTER,
            answer: Answer::Events(schema::<PieceRecord>),
            route: || get(events),
            ..stat.clone()
        },
        stat,
    ]
}

/// The run and the attempt that a path names; neither is checked.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct AttemptPath {
    pub(crate) run: String,
    pub(crate) attempt: String,
}

/// An attempt of a run that the caller may see.
pub(crate) async fn attempt_of(
    api: &Api,
    caller: &Principal,
    path: &AttemptPath,
) -> Result<AttemptRow, Problem> {
    let AttemptPath { run, attempt } = path;
    let row = run_of(api, caller, run).await?;
    let found = api.store().attempts().get(&AttemptId::new(attempt.clone())).await?;
    found.filter(|found| found.run == row.id).ok_or_else(|| Problem::not_found("attempt", attempt))
}

async fn stat(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(path): Path<AttemptPath>,
) -> Result<axum::Json<LogRecord>, Problem> {
    let attempt = attempt_of(&api, &caller, &path).await?.claim.attempt;
    let stat = api.store().logs().stat(&attempt).await?;
    let stat = stat.ok_or_else(|| Problem::not_found("log", attempt.as_str()))?;
    Ok(axum::Json(LogRecord::of(stat)))
}

async fn raw(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(path): Path<AttemptPath>,
    Query(part): Query<Part>,
) -> Result<Response, Problem> {
    let range = range(&part)?;
    let attempt = attempt_of(&api, &caller, &path).await?.claim.attempt;
    let stat = api.store().logs().stat(&attempt).await?;
    let total = stat.map_or(0, |stat| stat.bytes);
    if is_empty(&part) {
        let mut response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
        // RFC 9110 §15.5.17.
        if let Ok(range) = HeaderValue::from_str(&format!("bytes */{total}")) {
            response.headers_mut().insert(header::CONTENT_RANGE, range);
        }
        return Ok(response);
    }
    let range = match range {
        LogRange::Bytes(bytes) => {
            LogRange::Bytes(bytes.start..bytes.end.min(bytes.start.saturating_add(MAX_BYTES)))
        }
        other => other,
    };
    let pieces = api.store().logs().read(&attempt, range).await?;
    let remarks = LogRemark::of(&pieces);
    let printed = pieces.into_iter().filter(|piece| piece.stream.is_output());
    let (mut first, mut bytes) = (None, Vec::new());
    for piece in printed {
        first.get_or_insert(piece.first_byte);
        let room = usize::try_from(MAX_BYTES).unwrap_or(usize::MAX).saturating_sub(bytes.len());
        bytes.extend(piece.bytes.into_iter().take(room));
    }
    let first = first.unwrap_or(total);
    let end = first + bytes.len() as u64;
    let whole = first == 0 && end == total;
    let status = if whole { StatusCode::OK } else { StatusCode::PARTIAL_CONTENT };
    let mut response = (status, bytes).into_response();
    // A log is not a page, whatever it looks like.
    let kind = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    if !remarks.is_empty()
        && let Ok(json) = serde_json::to_string(&remarks)
        && let Ok(remarks) = HeaderValue::from_str(&ascii(&json))
    {
        response.headers_mut().insert(LOG_REMARKS, remarks);
    }
    if !whole && end > first {
        // RFC 9110 §14.4; the last byte is included.
        let range = format!("bytes {first}-{}/{total}", end - 1);
        if let Ok(range) = HeaderValue::from_str(&range) {
            response.headers_mut().insert(header::CONTENT_RANGE, range);
        }
    }
    Ok(response)
}

/// JSON of ASCII only, as a header needs it.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for unit in json.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte @ b' '..=b'~') => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\u{unit:04x}")),
        }
    }
    out
}

/// Whether a range ends before it begins.
fn is_empty(part: &Part) -> bool {
    let bytes = part.to.is_some_and(|to| to <= part.from.unwrap_or(0));
    bytes || part.to_line.is_some_and(|to| to < part.from_line.unwrap_or(1))
}

fn range(part: &Part) -> Result<LogRange, Problem> {
    let bytes = part.from.is_some() || part.to.is_some();
    let lines = part.from_line.is_some() || part.to_line.is_some();
    match (bytes, lines, part.tail) {
        (true, false, None) | (false, false, None) => {
            Ok(LogRange::Bytes(part.from.unwrap_or(0)..part.to.unwrap_or(u64::MAX)))
        }
        (false, true, None) => {
            let first = part.from_line.unwrap_or(1);
            let first = first.checked_sub(1);
            let first = first.ok_or_else(|| Problem::bad_request("lines are counted from 1"))?;
            Ok(LogRange::Lines(first..part.to_line.unwrap_or(u64::MAX)))
        }
        (false, false, Some(tail)) => Ok(LogRange::Tail(tail.min(MAX_TAIL))),
        _ => Err(Problem::bad_request("ask for bytes, for lines, or for the tail")),
    }
}

/// Pieces until there are none: the page behind the last one is empty.
async fn pieces(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(path): Path<AttemptPath>,
    Query(which): Query<Pieces>,
) -> Result<axum::Json<Page<PieceRecord>>, Problem> {
    let attempt = attempt_of(&api, &caller, &path).await?.claim.attempt;
    let range = match (which.after, which.tail) {
        (after, None) => LogRange::After(after.unwrap_or(0), BATCH),
        (None, Some(tail)) => LogRange::Tail(tail.min(MAX_TAIL)),
        (Some(_), Some(_)) => {
            return Err(Problem::bad_request("ask for pieces behind a number, or for the tail"));
        }
    };
    let found = api.store().logs().read(&attempt, range).await?;
    let last = found.last().filter(|_| which.tail.is_none()).map(|piece| piece.seq.to_string());
    let items = found.into_iter().map(PieceRecord::of).collect();
    Ok(axum::Json(Page { items, next: last }))
}

async fn search(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(path): Path<AttemptPath>,
    Query(search): Query<Search>,
) -> Result<axum::Json<Vec<HitRecord>>, Problem> {
    if search.text.is_empty() {
        return Err(Problem::bad_request("`text` is what to look for"));
    }
    let attempt = attempt_of(&api, &caller, &path).await?.claim.attempt;
    let max = search.limit.unwrap_or(MAX_HITS);
    if !(1..=MAX_HITS).contains(&max) {
        return Err(Problem::bad_request(format!("`limit` is 1 to {MAX_HITS}")));
    }
    let hits = api.store().log_search().hits(&attempt, search.text.as_bytes(), max).await?;
    Ok(axum::Json(hits.iter().map(HitRecord::of).collect()))
}

async fn events(
    State(api): State<Api>,
    Caller(caller): Caller,
    holder: Holder,
    Path(path): Path<AttemptPath>,
    Query(behind): Query<Behind>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let row = attempt_of(&api, &caller, &path).await?;
    let cursor = stream::cursor(&headers, behind.after)?;
    stream::events(&api, &holder, follow(&api, row, cursor))
}

/// The log of an attempt, behind a number.
pub(super) fn follow(api: &Api, row: AttemptRow, cursor: u64) -> Follow {
    let attempt = row.claim.attempt;
    Follow {
        name: format!("log {attempt}"),
        changes: api.store().changes_of(&row.run),
        cursor,
        source: Arc::new(Log { store: api.store().clone(), attempt }),
    }
}

fn frame(piece: LogPiece) -> Frame {
    Frame::new("log", piece.seq, &PieceRecord::of(piece))
}

impl Source for Log {
    fn stand(&self) -> BoxFuture<'_, Result<Option<Stand>, Error>> {
        async move {
            let row = self.store.attempts().get(&self.attempt).await?;
            Ok(row.map(|row| Stand { reach: row.log_reach, ended: row.state.is_terminal() }))
        }
        .boxed()
    }

    fn behind(&self, seq: u64) -> BoxFuture<'_, Result<Vec<Frame>, Error>> {
        async move {
            let pieces = self.store.logs().read(&self.attempt, LogRange::After(seq, BATCH)).await?;
            Ok(pieces.into_iter().map(frame).collect())
        }
        .boxed()
    }

    fn live(&self) -> Option<Live> {
        let reader = self.store.open_logs().reader_of(&self.attempt)?;
        Some(Live { reader, frame })
    }
}
