//! Answers that a client need not fetch twice: `ETag` and `If-None-Match` (RFC 9110 §8.8.3, §13.1.2).
//!
//! Must not answer 304 for anything that was not just read: the tag is the hash of the very bytes.

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::problem::Problem;

/// A document with the tag of its bytes, or 304 if the client has them.
///
/// # Errors
/// The document cannot be written, which is a defect.
pub fn json(headers: &HeaderMap, document: &impl Serialize) -> Result<Response, Problem> {
    let bytes = serde_json::to_vec(document).map_err(|error| {
        tracing::error!(%error, "a document cannot be written");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "this is a bug in plue")
    })?;
    let tag = format!("\"{}\"", hex::encode(&Sha256::digest(&bytes)[..16]));
    Ok(answer(headers, &tag, || {
        let kind = HeaderValue::from_static("application/json");
        ([(header::CONTENT_TYPE, kind)], bytes).into_response()
    }))
}

/// An answer under a tag, or 304 if the client has it.
pub fn answer(headers: &HeaderMap, tag: &str, make: impl FnOnce() -> Response) -> Response {
    let mut response =
        if is_known(headers, tag) { StatusCode::NOT_MODIFIED.into_response() } else { make() };
    put_tag(&mut response, tag);
    response
}

/// Whether the client has what this tag stands for: a list of tags, or `*`.
#[must_use]
pub fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let lists = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut tags =
        lists.filter_map(|list| list.to_str().ok()).flat_map(|list| list.split(',')).map(str::trim);
    // Weakly compared, as §13.1.2 asks for.
    tags.any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

/// Writes the tag. What a client has may be kept by it alone, and is to be asked for each time.
pub fn put_tag(response: &mut Response, tag: &str) {
    if let Ok(tag) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(header::ETAG, tag);
        let private = HeaderValue::from_static("private, no-cache");
        response.headers_mut().insert(header::CACHE_CONTROL, private);
    }
}
