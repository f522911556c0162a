//! Who sent a request, and whether the route lets him in: before the handler, before the body is read.

use std::net::IpAddr;

use axum::{
    extract::{Request, State},
    http::header,
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use crate::{
    access::{Need, Principal},
    limit,
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
        Need::Role(_) | Need::Everywhere(_) => match principal(&api, Shown::of(&request)).await {
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

/// What a request shows of its sender.
struct Shown {
    /// Whether it has an `Authorization` header at all.
    anything: bool,
    hash: Option<String>,
    from: Option<IpAddr>,
}

impl Shown {
    fn of(request: &Request) -> Self {
        let headers = request.headers();
        Self {
            anything: headers.contains_key(header::AUTHORIZATION),
            hash: hash(request),
            from: limit::address(request.extensions(), headers),
        }
    }
}

async fn principal(api: &Api, shown: Shown) -> Result<Option<Principal>, Problem> {
    if !shown.anything {
        return Ok(None);
    }
    let row = match shown.hash {
        Some(hash) => api.store().token_by_hash(&hash).await?,
        None => None,
    };
    let now = api.clock().now();
    let found = row.as_ref().and_then(|row| token::principal(row, now));
    let (Some(row), true) = (row, found.is_some()) else {
        api.limiter().failed(shown.from)?;
        return Ok(None);
    };
    api.limiter().used(&row.id)?;
    let stale = |at: jiff::Timestamp| now.as_second().saturating_sub(at.as_second()) >= USED_EVERY;
    if row.used_at.is_none_or(stale) {
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
