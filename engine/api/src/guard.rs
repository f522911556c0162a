//! Authentication and access of a request: before the handler, before the body is read.

use std::net::IpAddr;

use axum::{
    extract::{Request, State},
    http::header,
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use jiff::Timestamp;

use crate::{
    access::{Need, Principal},
    limit::{self, Holder},
    local::LocalCaller,
    problem::Problem,
    server::Api,
    session::{self, Shown},
    token,
};

/// `used_at` of a token is written at most this often, in seconds.
const USED_EVERY: i64 = 60;

pub(crate) type Authenticated = (Principal, Holder, Shown);

/// Lets a request through to a route, or answers it.
pub(crate) async fn guard(
    State((api, need)): State<(Api, Need)>,
    mut request: Request,
    next: Next,
) -> Response {
    let from = limit::address(&api, request.extensions(), request.headers());
    let known = match need {
        // A bad token is no reason to hide what anybody may see.
        Need::Nothing => None,
        Need::Role(_) | Need::Everywhere(_) => {
            let local = request.extensions().get::<LocalCaller>();
            if let Some(LocalCaller(caller)) = local.cloned() {
                return admit_local(caller, need, request, next).await;
            }
            match known(&api, Presented::of(&api, &request)).await {
                Ok(known) => known,
                Err(problem) => return problem.into_response(),
            }
        }
    };
    if let Err(refusal) = need.admits(known.as_ref().map(|known| &known.0)) {
        return Problem::from(refusal).into_response();
    }
    if let Some((principal, holder, shown)) = known {
        let principal = match need {
            Need::Nothing => principal,
            Need::Role(role) | Need::Everywhere(role) => principal.asking(role),
        };
        let principal = principal.at(from);
        request.extensions_mut().insert(principal);
        request.extensions_mut().insert(holder);
        request.extensions_mut().insert(shown);
    }
    next.run(request).await
}

/// Lets a request of this process through: its caller has all rights, and no rate limits it.
async fn admit_local(caller: Principal, need: Need, mut request: Request, next: Next) -> Response {
    let caller = match need {
        Need::Nothing => caller,
        Need::Role(role) | Need::Everywhere(role) => caller.asking(role),
    };
    request.extensions_mut().insert(Holder(caller.name.clone()));
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// The credentials of a request.
struct Presented {
    /// Whether it has an `Authorization` header at all.
    anything: bool,
    /// The hash of its token.
    hash: Option<String>,
    /// The cookie of a session, unless there is a token, and whether it may be believed.
    cookie: Option<(String, bool)>,
    from: Option<IpAddr>,
}

impl Presented {
    fn of(api: &Api, request: &Request) -> Self {
        let headers = request.headers();
        let anything = headers.contains_key(header::AUTHORIZATION);
        let cookie = session::cookie(headers).filter(|_| !anything).map(|secret| {
            let is_own = session::is_own(request.method(), headers, &secret);
            (secret, is_own)
        });
        let from = limit::address(api, request.extensions(), headers);
        Self { anything, hash: hash(request), cookie, from }
    }
}

async fn known(api: &Api, presented: Presented) -> Result<Option<Authenticated>, Problem> {
    if let Some((secret, is_own)) = presented.cookie {
        return of_session(api, secret, is_own, presented.from).await;
    }
    if !presented.anything {
        return Ok(None);
    }
    let row = match presented.hash {
        Some(hash) => api.store().tokens().by_hash(&hash).await?,
        None => None,
    };
    let now = api.clock().now();
    let found = row.as_ref().and_then(|row| token::principal(row, now));
    let (Some(row), Some(found)) = (row, found) else {
        api.limiter().failed(presented.from)?;
        return Ok(None);
    };
    api.limiter().used(&row.id)?;
    let stale = |at: Timestamp| now.as_second().saturating_sub(at.as_second()) >= USED_EVERY;
    if row.used_at.is_none_or(stale) {
        api.store().tokens().used(&row.id, now).await?;
    }
    Ok(Some((found, Holder(row.id.clone()), Shown::Token { id: row.id })))
}

/// The principal of a session's cookie, with the roles that its token or the rules give now, if the
/// request
/// comes from this site.
pub(crate) async fn of_session(
    api: &Api,
    secret: String,
    is_own: bool,
    from: Option<IpAddr>,
) -> Result<Option<Authenticated>, Problem> {
    let now = api.clock().now();
    let hash = session::hash(&secret);
    let of_token = api.store().sessions().by_hash(&hash, now).await?;
    let found = match of_token {
        Some((session, row)) => {
            token::principal(&row, now).map(|who| (who, session.expires_at, row.id))
        }
        None => of_person(api, &hash, now).await?,
    };
    let Some((principal, expires_at, key)) = found else {
        api.limiter().failed(from)?;
        return Ok(None);
    };
    if !is_own {
        return Err(Problem::new(
            axum::http::StatusCode::FORBIDDEN,
            "a session changes something only from its own pages: X-Plue-CSRF is missing or wrong",
        ));
    }
    api.limiter().used(&key)?;
    Ok(Some((principal, Holder(key), Shown::Session { secret, expires_at })))
}

/// The person of a session, with the roles that the rules give now, and the key that the requests are
/// counted by.
async fn of_person(
    api: &Api,
    hash: &str,
    now: Timestamp,
) -> Result<Option<(Principal, Timestamp, String)>, Problem> {
    let Some(login) = api.login() else { return Ok(None) };
    let session = api.store().sessions().of_person(hash, now).await?;
    Ok(session.and_then(|session| {
        let who = login.principal(&session)?;
        Some((who, session.expires_at, format!("person {}", session.subject)))
    }))
}

/// The hash of the token in `Authorization: Bearer` (RFC 6750 §2.1).
fn hash(request: &Request) -> Option<String> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    let fits = token.len() <= token::MAX_LENGTH && token.starts_with(token::PREFIX);
    (scheme.eq_ignore_ascii_case("bearer") && fits).then(|| token::hash(token))
}
