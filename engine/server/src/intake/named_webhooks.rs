//! The HTTP route of named webhooks: a call is verified over its raw bytes, stored, and then acknowledged.
//! Responses to unverified calls do not reveal whether a repository exists.
//!
//! Must not parse a body before it is verified.

use axum::{
    Router,
    body::Bytes,
    extract::{FromRequestParts, Path, State},
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
    routing::post,
};
use plue_api::{Problem, limit, scope::is_repo_name};
use plue_forge::{Headers, Provider, check_call_shown, verify_call};
use serde_json::json;

use super::receive::{Inbound, refused, relevant_headers, unavailable};
use crate::messages;

/// Bytes of a call.
const MAX_CALL_BYTES: usize = 2 * 1024 * 1024;
/// Bytes of a webhook's name.
const MAX_NAME: usize = plue_plan::limits::MAX_ID_LEN;

/// The route of named webhooks: `POST /webhooks/in/OWNER%2FNAME/{name}`.
pub(super) fn routes() -> Router<Inbound> {
    let routes = Router::new().route("/webhooks/in/{repository}/{name}", post(receive));
    limit::bodies(routes, MAX_CALL_BYTES)
}

/// The headers of a call with its credentials. A call without credentials is refused before its body is
/// read; a call to an unknown repository is not, because that would reveal which repositories exist.
struct Credentials(Headers);

impl<S: Send + Sync> FromRequestParts<S> for Credentials {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let (mut headers, _) = relevant_headers(&parts.headers);
        for value in parts.headers.get_all(header::AUTHORIZATION) {
            headers.push("authorization", value.to_str().unwrap_or_default());
        }
        check_call_shown(&headers).map_err(refused)?;
        Ok(Self(headers))
    }
}

async fn receive(
    State(inbound): State<Inbound>,
    Path((repo, name)): Path<(String, String)>,
    Credentials(headers): Credentials,
    body: Bytes,
) -> Result<Response, Problem> {
    let watched = match is_repo_name(&repo) {
        true => inbound.store.repos().get(&repo).await?,
        false => None,
    };
    let secrets = match &watched {
        Some(repo) => inbound.credentials.call_secrets(&repo.name).await.map_err(unavailable)?,
        None => Vec::new(),
    };
    let now = inbound.clock.now();
    verify_call(&secrets, &headers, &body, now.as_second()).map_err(refused)?;
    let not_found = || Problem::new(StatusCode::NOT_FOUND, "there is no such webhook");
    let repo = watched.ok_or_else(not_found)?;
    if name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(not_found());
    }
    let has_id = headers.has("webhook-id") || headers.has("idempotency-key");
    // The ids of GitLab are those of Standard Webhooks. A call without an id gets a fresh one.
    let id = match has_id {
        true => headers.delivery_id(Provider::GitLab, &body),
        false => inbound.ids.text(),
    };
    // An unsigned id is unique only within its webhook.
    let id = if headers.has("webhook-id") { id } else { format!("{name}/{id}") };
    let is_new = messages::store_call(&inbound.store, &repo, (&name, &id), body.into(), now).await;
    let is_new = is_new.map_err(unavailable)?;
    let answer = json!({"delivery": id, "new": is_new});
    Ok((StatusCode::ACCEPTED, axum::Json(answer)).into_response())
}
