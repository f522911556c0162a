//! The files that steps have kept: listed, and fetched as a whole or in part.
//!
//! A file is named by its path in a query and looked up as a whole text: no path is ever opened. Must
//! not let a browser show what a step wrote.

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use futures::{Stream, stream};
use plue_store::{ArtifactRow, Error, Store, blob::BlobReader};
use serde::Deserialize;

use super::schema;
use crate::{
    access::{Need, Role},
    byte_range::{RequestedRange, wanted},
    endpoint::{Answer, Endpoint, Method, Parameter},
    extract::{Caller, Path, Query, run_of},
    problem::Problem,
    records::artifact::ArtifactRecord,
    server::Api,
    tagged,
};

/// Bytes that are read at once.
const PART: u64 = 256 * 1024;

const PATH: Parameter =
    Parameter { name: "path", kind: "string", means: "the file's path, as the list has it" };

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    path: String,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    let list = Endpoint {
        method: Method::Get,
        path: "/api/v1/runs/{run}/artifacts",
        need: Need::Role(Role::Reader),
        summary: "The files that the steps of a run have kept, of all attempts",
        query: &[],
        body: None,
        answer: Answer::Json(schema::<Vec<ArtifactRecord>>),
        route: || get(list),
    };
    vec![
        Endpoint {
            path: "/api/v1/runs/{run}/attempts/{attempt}/artifact",
            summary: "A file that an attempt has kept; takes Range, ETag is its SHA-256",
            query: &[PATH],
            answer: Answer::Bytes("application/octet-stream"),
            route: || get(fetch),
            ..list.clone()
        },
        list,
    ]
}

async fn list(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path(run): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let row = run_of(&api, &caller, &run).await?;
    let rows = api.store().artifacts().list(&row.id).await?;
    let records: Vec<_> = rows.iter().map(ArtifactRecord::of).collect();
    tagged::json(&headers, &records)
}

async fn fetch(
    State(api): State<Api>,
    Caller(caller): Caller,
    Path((run, attempt)): Path<(String, String)>,
    Query(which): Query<Which>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let row = run_of(&api, &caller, &run).await?;
    let rows = api.store().artifacts().list(&row.id).await?;
    let mut named = rows.into_iter().filter(|row| row.attempt.as_str() == attempt);
    let file = named.find(|row| row.path == which.path);
    let file = file.ok_or_else(|| Problem::not_found("artifact", &which.path))?;
    let there = file.expired_at.is_none() && api.store().blobs().stat(&file.blob).await?.is_some();
    if !there {
        return Err(Problem::new(StatusCode::GONE, "the content has expired"));
    }
    let tag = format!("\"{}\"", file.blob);
    if tagged::is_known(&headers, &tag) {
        return Ok(tagged::answer(&headers, &tag, || StatusCode::NOT_MODIFIED.into_response()));
    }
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    // RFC 9110 §13.1.5: parts of something else are no parts.
    let fits = text(header::IF_RANGE).is_none_or(|known| known == tag);
    let range = if fits { text(header::RANGE) } else { None };
    let mut response = part(api.store().clone(), &file, wanted(range, file.bytes))?;
    tagged::put_tag(&mut response, &tag);
    Ok(response)
}

fn part(store: Store, file: &ArtifactRow, wanted: RequestedRange) -> Result<Response, Problem> {
    let total = file.bytes;
    let (status, from, to) = match wanted {
        RequestedRange::Whole => (StatusCode::OK, 0, total),
        RequestedRange::Part(from, to) => (StatusCode::PARTIAL_CONTENT, from, to),
        RequestedRange::Nothing => {
            let status = StatusCode::RANGE_NOT_SATISFIABLE;
            let problem = Problem::new(status, format!("the file has {total} bytes"));
            let mut response = problem.into_response();
            put(&mut response, header::CONTENT_RANGE, &format!("bytes */{total}"));
            return Ok(response);
        }
    };
    let body = Body::from_stream(content(store, file.clone(), from, to));
    let mut response = (status, body).into_response();
    put(&mut response, header::CONTENT_TYPE, "application/octet-stream");
    put(&mut response, header::CONTENT_DISPOSITION, &disposition(&file.path));
    put(&mut response, header::CONTENT_LENGTH, &(to - from).to_string());
    put(&mut response, header::ACCEPT_RANGES, "bytes");
    if status == StatusCode::PARTIAL_CONTENT {
        let last = to.saturating_sub(1);
        put(&mut response, header::CONTENT_RANGE, &format!("bytes {from}-{last}/{total}"));
    }
    Ok(response)
}

fn put(response: &mut Response, name: header::HeaderName, value: &str) {
    // Values are made of digits and of what `disposition` lets through.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// The bytes, read as the client takes them. One that is cut short is seen to be: the connection ends
/// before the length that was announced.
fn content(
    store: Store,
    file: ArtifactRow,
    from: u64,
    to: u64,
) -> impl Stream<Item = Result<Bytes, Error>> {
    let is_whole = from == 0 && to == file.bytes;
    let begin = (store, file, from, None::<BlobReader>);
    stream::try_unfold(begin, move |(store, file, from, mut reader)| async move {
        if from >= to {
            return Ok(None);
        }
        let most = usize::try_from(PART.min(to - from)).unwrap_or(usize::MAX);
        if is_whole && reader.is_none() {
            reader = store.blobs().reader(&file.blob).await?;
        }
        let bytes = match &mut reader {
            // Its end is given out only if all of it has the hash that it is known by.
            Some(reader) => reader.next(most).await?.unwrap_or_default(),
            None => store.blobs().read(&file.blob, from, most).await?.unwrap_or_default(),
        };
        if bytes.is_empty() {
            return Err(Error::Corrupt(format!("blob {} is shorter than its row", file.blob)));
        }
        let next = from + bytes.len() as u64;
        Ok(Some((Bytes::from(bytes), (store, file, next, reader))))
    })
}

/// `attachment` under the file's own name (RFC 6266, RFC 8187): plain characters for old clients, the
/// real ones percent-encoded. A path has no way into it: the name is what stands behind the last `/`.
fn disposition(path: &str) -> String {
    let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
    let name = if matches!(name, "" | "." | "..") { "artifact" } else { name };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let fallback: String = name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    let mut encoded = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("attachment; filename=\"{fallback}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_escaped_in_headers_and_paths() {
        for (path, name) in [
            ("dist/app.tar.gz", "filename=\"app.tar.gz\""),
            ("a\"b;c", "filename=\"a_b_c\""),
            ("x\r\nSet-Cookie: a=b", "filename=\"x__Set-Cookie__a_b\""),
            ("../../etc/passwd", "filename=\"passwd\""),
            ("..", "filename=\"artifact\""),
            ("a\\..\\b.exe", "filename=\"b.exe\""),
            ("übung.txt", "filename*=UTF-8''%C3%BCbung.txt"),
        ] {
            let made = disposition(path);
            assert!(made.contains(name), "{made}");
            assert!(HeaderValue::from_str(&made).is_ok(), "{made}");
            assert!(!made.contains(['\r', '\n']) && made.matches('"').count() == 2, "{made}");
        }
    }
}
