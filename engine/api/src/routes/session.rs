//! Sessions of browsers: begun with a token, shown as a cookie that no script can read, and ended.
//!
//! What changes something asks a session for more than its cookie, which a browser also sends when
//! another site asks it to: the session's own word in a header, and that the request comes from here.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{delete, get, post},
};
use jiff::{SignedDuration, Timestamp};
use plue_store::SessionRow;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::schema;
use crate::{
    access::{Need, Role},
    endpoint::{Answer, Endpoint, Method},
    extract::Caller,
    problem::Problem,
    server::Api,
    session::{self, COOKIE, Shown},
};

/// How long a session is good for.
const LIFETIME: SignedDuration = SignedDuration::from_hours(12);

/// A session, as its own browser sees it.
#[derive(Debug, Serialize, JsonSchema)]
struct SessionRecord {
    /// Goes into the header `X-Plue-CSRF` of every request that changes something.
    csrf: String,
    /// As journals and the audit trail name him.
    name: String,
    /// What he may do.
    role: Role,
    /// The one repository he may do it to; absent: all.
    repository: Option<String>,
    /// From then on it is refused.
    expires_at: Timestamp,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    let show = Endpoint {
        method: Method::Get,
        path: "/api/v1/session",
        need: Need::Role(Role::Reader),
        summary: "The session of this browser, with what its changes have to show",
        query: &[],
        body: None,
        answer: Answer::Json(schema::<SessionRecord>),
        route: || get(show),
    };
    vec![
        Endpoint {
            method: Method::Post,
            summary: "Begin a session with a token: the answer sets a cookie",
            answer: Answer::Created(schema::<SessionRecord>),
            route: || post(begin),
            ..show.clone()
        },
        Endpoint {
            method: Method::Delete,
            summary: "End the session of this browser",
            answer: Answer::Nothing,
            route: || delete(end),
            ..show.clone()
        },
        show,
    ]
}

async fn begin(
    State(api): State<Api>,
    Caller(caller): Caller,
    shown: Shown,
) -> Result<Response, Problem> {
    let Shown::Token { id } = shown else {
        return Err(Problem::bad_request("a session is begun with a token"));
    };
    let now = api.clock().now();
    let secret = api.ids().secret();
    let expires_at = now.checked_add(LIFETIME).unwrap_or(now);
    let hash = session::hash(&secret);
    let row = SessionRow { hash, token_id: id.clone(), created_at: now, expires_at };
    api.store().session_create(&row).await?;
    api.trail(&caller, "session.begin", (&id, caller.repo.clone()), json!({})).await?;
    let record = SessionRecord {
        csrf: session::csrf(&secret),
        name: caller.name,
        role: caller.role,
        repository: caller.repo,
        expires_at,
    };
    let mut response = (StatusCode::CREATED, axum::Json(record)).into_response();
    set_cookie(&mut response, &secret, LIFETIME.as_secs());
    Ok(response)
}

async fn show(Caller(caller): Caller, shown: Shown) -> Result<axum::Json<SessionRecord>, Problem> {
    let Shown::Session { secret, expires_at } = shown else {
        return Err(Problem::not_found("session", "of a token"));
    };
    Ok(axum::Json(SessionRecord {
        csrf: session::csrf(&secret),
        name: caller.name,
        role: caller.role,
        repository: caller.repo,
        expires_at,
    }))
}

async fn end(
    State(api): State<Api>,
    Caller(caller): Caller,
    shown: Shown,
    _: HeaderMap,
) -> Result<Response, Problem> {
    let Shown::Session { secret, .. } = shown else {
        return Err(Problem::bad_request("only a session ends; a token is removed"));
    };
    api.store().session_remove(&session::hash(&secret)).await?;
    api.trail(&caller, "session.end", (&caller.name, caller.repo.clone()), json!({})).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    set_cookie(&mut response, "", 0);
    Ok(response)
}

/// `__Host-`: only over TLS (or on this machine), for this host alone, for all of its paths.
fn set_cookie(response: &mut Response, secret: &str, seconds: i64) {
    let text =
        format!("{COOKIE}={secret}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={seconds}");
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
}
