//! Who sent a request, and whether the route lets him in: before the handler, before the body is read.

use axum::{
    extract::{Request, State},
    http::header,
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use crate::{
    access::{Need, Principal},
    problem::Problem,
    server::Api,
    token,
};

/// `used_at` of a token is written at most this often, in seconds.
const USED_EVERY: i64 = 60;

/// Lets a request through to a route, or answers it.
pub(crate) async fn guard(
    State((api, need)): State<(Api, Need)>,
    mut request: Request,
    next: Next,
) -> Response {
    let principal = match need {
        // A bad token is no reason to hide what anybody may see.
        Need::Nothing => None,
        Need::Role(_) | Need::Everywhere(_) => match principal(&api, hash(&request)).await {
            Ok(principal) => principal,
            Err(problem) => return problem.into_response(),
        },
    };
    if let Err(refusal) = need.admits(principal.as_ref()) {
        return Problem::from(refusal).into_response();
    }
    if let Some(principal) = principal {
        request.extensions_mut().insert(principal);
    }
    next.run(request).await
}

async fn principal(api: &Api, hash: Option<String>) -> Result<Option<Principal>, Problem> {
    let Some(hash) = hash else { return Ok(None) };
    let Some(row) = api.store().token_by_hash(&hash).await? else { return Ok(None) };
    let now = api.clock().now();
    let found = token::principal(&row, now);
    let stale = |at: jiff::Timestamp| now.as_second().saturating_sub(at.as_second()) >= USED_EVERY;
    if found.is_some() && row.used_at.is_none_or(stale) {
        api.store().token_used(&row.id, now).await?;
    }
    Ok(found)
}

/// The hash of the token in `Authorization: Bearer` (RFC 6750 §2.1).
fn hash(request: &Request) -> Option<String> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    let fits = token.len() <= token::MAX_LENGTH && token.starts_with(token::PREFIX);
    (scheme.eq_ignore_ascii_case("bearer") && fits).then(|| token::hash(token))
}
