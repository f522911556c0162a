//! A log for a viewer: windows of lines, searches with an exact count, groups and errors, the download.
//!
//! A request does a bounded piece of work and names the place at which the next one continues. Must not
//! hold more of a log than the store hands out at once.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use futures::stream;
use plue_plan::AttemptId;
use plue_store::{
    LogPosition, LogRange, Store,
    log::{LineWindow, LogMatches, LogPattern, MatchBounds, PatternForm},
};
use serde::Deserialize;

use super::{
    CURSOR,
    logs::{AttemptPath, attempt_of},
    schema,
};
use crate::{
    access::{Need, Role},
    endpoint::{Answer, Endpoint, Method, Parameter},
    extract::{Caller, Path, Query},
    problem::Problem,
    records::log_view::{LinesRecord, MARKS, MarksRecord, MatchesRecord},
    server::Api,
};

/// Lines of one window at most.
const MAX_LINES: u64 = 1_000;
/// Bytes of a line in a window; the rest is read by its byte range.
const LINE_BYTES: usize = 16 * 1024;
/// Line numbers of one search.
const MAX_MATCHES: usize = 10_000;
/// Matching lines of one search with their text.
const MAX_TEXTS: usize = 1_000;
const TEXTS: usize = 100;
/// Groups and errors of a log.
const MAX_MARKS: usize = 5_000;
/// Bytes that one request searches at most, and between two looks at the clock.
const MAX_BYTES: u64 = 1024 * 1024 * 1024;
const STEP_BYTES: u64 = 32 * 1024 * 1024;
/// Time that one request searches.
const MAX_TIME: Duration = Duration::from_secs(3);
/// Bytes of a download that are read at once.
const PART: u64 = 1024 * 1024;

const WINDOW: [Parameter; 2] = [
    Parameter { name: "from_line", kind: "integer", means: "first line, from 1" },
    Parameter { name: "to_line", kind: "integer", means: "last line, at most 999 further" },
];
const FIND: [Parameter; 6] = [
    Parameter {
        name: "q",
        kind: "string",
        means: "a text, or a regular expression of linear time",
    },
    Parameter { name: "regex", kind: "boolean", means: "whether `q` is a regular expression" },
    Parameter { name: "case", kind: "boolean", means: "whether upper and lower case differ" },
    Parameter { name: "from_line", kind: "integer", means: "search from this line on, from 1" },
    Parameter { name: "limit", kind: "integer", means: "lines with their text, up to 1,000" },
    CURSOR,
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Window {
    from_line: Option<u64>,
    to_line: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Find {
    q: String,
    #[serde(default)]
    regex: bool,
    #[serde(default)]
    case: bool,
    from_line: Option<u64>,
    limit: Option<usize>,
    cursor: Option<String>,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    let lines = Endpoint {
        method: Method::Get,
        path: "/api/v1/runs/{run}/attempts/{attempt}/log/lines",
        need: Need::Role(Role::Reader),
        summary: "Lines of a log, each with its first 16 KiB",
        query: &WINDOW,
        body: None,
        answer: Answer::Json(schema::<LinesRecord>),
        route: || get(lines),
    };
    vec![
        Endpoint {
            path: "/api/v1/runs/{run}/attempts/{attempt}/log/find",
            summary: "How many lines of a log match, and the first of them; continues at `next`",
            query: &FIND,
            answer: Answer::Json(schema::<MatchesRecord>),
            route: || get(find),
            ..lines.clone()
        },
        Endpoint {
            path: "/api/v1/runs/{run}/attempts/{attempt}/log/marks",
            summary: "Groups of a log and its lines that look like errors, the first 5,000",
            query: &[],
            answer: Answer::Json(schema::<MarksRecord>),
            route: || get(marks),
            ..lines.clone()
        },
        Endpoint {
            path: "/api/v1/runs/{run}/attempts/{attempt}/log/download",
            summary: "The whole log as a file",
            query: &[],
            answer: Answer::Bytes("application/octet-stream"),
            route: || get(download),
            ..lines.clone()
        },
        lines,
    ]
}

async fn lines(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(path): Path<AttemptPath>,
    Query(window): Query<Window>,
) -> Result<axum::Json<LinesRecord>, Problem> {
    let first = line_number(window.from_line)?;
    let last = window.to_line.unwrap_or(u64::MAX).min(first.saturating_add(MAX_LINES));
    let attempt = attempt_of(&api, &caller, &path).await?.claim.attempt;
    Ok(axum::Json(read_lines(api.store(), &attempt, first, last).await?))
}

/// The lines `first..last`, counted from 0, as far as one answer has room for them.
pub(crate) async fn read_lines(
    store: &Store,
    attempt: &AttemptId,
    first: u64,
    last: u64,
) -> Result<LinesRecord, Problem> {
    let stat = store.logs().stat(attempt).await?;
    let stat = stat.ok_or_else(|| Problem::not_found("log", attempt.as_str()))?;
    let window = LineWindow { lines: first..last.max(first), cap: LINE_BYTES };
    let found = store.logs().lines_in(attempt, &window).await?;
    Ok(LinesRecord::of(found, stat))
}

async fn find(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(path): Path<AttemptPath>,
    Query(find): Query<Find>,
) -> Result<axum::Json<MatchesRecord>, Problem> {
    let form = PatternForm { is_regex: find.regex, ignores_case: !find.case };
    let pattern = LogPattern::new(&find.q, form).map_err(Problem::bad_request)?;
    let texts = find.limit.unwrap_or(TEXTS);
    if texts > MAX_TEXTS {
        return Err(Problem::bad_request(format!("`limit` is 0 to {MAX_TEXTS}")));
    }
    let attempt = attempt_of(&api, &caller, &path).await?.claim.attempt;
    let from = match (find.cursor, find.from_line) {
        (Some(cursor), None) => place_of(&cursor)?,
        (None, line) => {
            let byte = match line_number(line)? {
                0 => 0,
                line => api.store().logs().line_offset(&attempt, line).await?,
            };
            LogPosition { byte, in_line: false }
        }
        (Some(_), Some(_)) => {
            return Err(Problem::bad_request("a search continues at a cursor or starts at a line"));
        }
    };
    let bounds = MatchBounds { texts, lines: MAX_MATCHES, bytes: STEP_BYTES };
    let found = searched(&api, &attempt, &pattern, from, bounds).await?;
    Ok(axum::Json(MatchesRecord::of(found)))
}

async fn marks(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(path): Path<AttemptPath>,
) -> Result<axum::Json<MarksRecord>, Problem> {
    let attempt = attempt_of(&api, &caller, &path).await?.claim.attempt;
    let form = PatternForm { is_regex: true, ignores_case: true };
    let pattern = LogPattern::new(MARKS, form).map_err(Problem::bad_request)?;
    let bounds = MatchBounds { texts: MAX_MARKS, lines: 0, bytes: STEP_BYTES };
    let found = searched(&api, &attempt, &pattern, LogPosition::default(), bounds).await?;
    Ok(axum::Json(MarksRecord::of(&found)))
}

/// Searches until the end of the log, or of the request's time.
async fn searched(
    api: &Api,
    attempt: &AttemptId,
    pattern: &LogPattern,
    from: LogPosition,
    bounds: MatchBounds,
) -> Result<LogMatches, Problem> {
    let _turn = api.turn_to_search().await;
    let began = api.clock().mark();
    let mut all = LogMatches { next: Some(from), ..LogMatches::default() };
    while let Some(place) = all.next {
        let is_over = all.bytes >= MAX_BYTES || api.clock().elapsed(began) >= MAX_TIME;
        if is_over && all.bytes > 0 {
            break;
        }
        let bounds = MatchBounds {
            texts: bounds.texts - all.hits.len(),
            lines: bounds.lines - all.lines.len(),
            ..bounds
        };
        let found = api.store().log_search().matches(attempt, pattern, place, bounds).await?;
        all.count += found.count;
        all.bytes += found.bytes;
        all.lines.extend(found.lines);
        all.hits.extend(found.hits);
        all.next = found.next;
    }
    Ok(all)
}

async fn download(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(path): Path<AttemptPath>,
) -> Result<Response, Problem> {
    let row = attempt_of(&api, &caller, &path).await?;
    let (store, attempt) = (api.store().clone(), row.claim.attempt);
    let end = row.log_bytes;
    let parts = stream::try_unfold(0, move |from| {
        let (store, attempt) = (store.clone(), attempt.clone());
        async move {
            if from >= end {
                return Ok(None);
            }
            let to = end.min(from + PART);
            let pieces = store.logs().read(&attempt, LogRange::Bytes(from..to)).await?;
            let output = pieces.into_iter().filter(|piece| piece.stream.is_output());
            let bytes: Vec<u8> = output.flat_map(|piece| piece.bytes).collect();
            // A log that was removed while it was read ends the file with an error.
            if bytes.len() as u64 != to - from {
                return Err(plue_store::Error::Corrupt("a log ended while it was read".to_owned()));
            }
            Ok(Some((Bytes::from(bytes), to)))
        }
    });
    let mut response = Body::from_stream(parts).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(end));
    let step: String = row.step.as_str().chars().filter(char::is_ascii_alphanumeric).collect();
    let name = format!("attachment; filename=\"{step}-{}.log\"", row.number);
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// A line of a request, counted from 0.
fn line_number(line: Option<u64>) -> Result<u64, Problem> {
    let first = line.unwrap_or(1).checked_sub(1);
    first.ok_or_else(|| Problem::bad_request("lines are counted from 1"))
}

/// The place of a cursor: an offset, and whether its line matched already.
fn place_of(cursor: &str) -> Result<LogPosition, Problem> {
    let read = || {
        let (byte, in_line) = match cursor.split_once('+') {
            None => (cursor, false),
            Some((byte, "line")) => (byte, true),
            Some(_) => return None,
        };
        Some(LogPosition { byte: byte.parse().ok()?, in_line })
    };
    read().ok_or_else(|| Problem::bad_request("`cursor` is the `next` of a search"))
}
