//! Named webhooks of repositories at the door: verified over their raw bytes, stored, and only then
//! answered. What is not verified cannot tell whether there is such a repository.
//!
//! Must not look at a body before it is verified.

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

use crate::{
    messages,
    receive::{kept, refused, unavailable},
    server::Server,
};

/// Bytes of a call.
pub const MAX_CALL_BYTES: usize = 2 * 1024 * 1024;
/// Characters of a webhook's name.
const MAX_NAME: usize = plue_plan::limits::MAX_ID_LEN;

/// The route of named webhooks: `POST /webhooks/in/OWNER%2FNAME/{name}`.
pub(crate) fn calls() -> Router<Server> {
    let routes = Router::new().route("/webhooks/in/{repository}/{name}", post(receive));
    limit::bodies(routes, MAX_CALL_BYTES)
}

/// Credentials in the headers of a call. A call without any is refused before its body is read. A
/// call to an unknown repository is not: that would reveal to outsiders which repositories exist.
struct Credentials(Headers);

impl<S: Send + Sync> FromRequestParts<S> for Credentials {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let (mut shown, _) = kept(&parts.headers);
        for value in parts.headers.get_all(header::AUTHORIZATION) {
            shown.push("authorization", value.to_str().unwrap_or_default());
        }
        check_call_shown(&shown).map_err(refused)?;
        Ok(Self(shown))
    }
}

async fn receive(
    State(server): State<Server>,
    Path((repo, name)): Path<(String, String)>,
    Credentials(shown): Credentials,
    body: Bytes,
) -> Result<Response, Problem> {
    let watched = match is_repo_name(&repo) {
        true => server.store().repo(&repo).await?,
        false => None,
    };
    let secrets = match &watched {
        Some(repo) => server.call_secrets(&repo.name).await.map_err(unavailable)?,
        None => Vec::new(),
    };
    let now = server.parts().clock.now();
    verify_call(&secrets, &shown, &body, now.as_second()).map_err(refused)?;
    let nowhere = || Problem::new(StatusCode::NOT_FOUND, "there is no such webhook");
    let repo = watched.ok_or_else(nowhere)?;
    if name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(nowhere());
    }
    let has_id = shown.has("webhook-id") || shown.has("idempotency-key");
    // GitLab's ids are those of Standard Webhooks. Without one, each call is one of its own.
    let id = match has_id {
        true => shown.delivery_id(Provider::GitLab, &body),
        false => server.parts().ids.text(),
    };
    // The id of a signed call is its sender's own; two senders may count alike.
    let id = if shown.has("webhook-id") { id } else { format!("{name}/{id}") };
    let is_new = messages::called(server.store(), &repo, (&name, &id), body.into(), now).await;
    let is_new = is_new.map_err(unavailable)?;
    let answer = json!({"delivery": id, "new": is_new});
    Ok((StatusCode::ACCEPTED, axum::Json(answer)).into_response())
}
