//! Sessions of browsers: started with a token or a login, held in a cookie that no script can read, and
//! ended.
//!
//! A change of state needs more of a session than its cookie, which a browser also sends when another
//! site asks it to: the session's own token in a header, and a request from this site.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::{delete, get, post},
};
use jiff::Timestamp;
use plue_store::SessionRow;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::schema;
use crate::{
    access::{Grant, Need, Principal, Role},
    endpoint::{Answer, Endpoint, Method},
    extract::Caller,
    problem::Problem,
    records::WhoRecord,
    server::Api,
    session::{self, LIFETIME, Shown},
};

/// A session, as its own browser sees it.
#[derive(Debug, Serialize, JsonSchema)]
struct SessionRecord {
    /// Goes into the header `X-Plue-CSRF` of every request that changes something.
    csrf: String,
    /// As journals and the audit trail name him.
    name: String,
    /// The highest of the user's roles.
    role: Role,
    /// The one repository he may do it to; absent: all, or those of `grants`.
    repository: Option<String>,
    /// The role in each repository, if it is not one role in one repository or in all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    grants: Vec<Grant>,
    /// From then on it is refused.
    expires_at: Timestamp,
}

// === impl SessionRecord ===

impl SessionRecord {
    fn of(caller: &Principal, secret: &str, expires_at: Timestamp) -> Self {
        let WhoRecord { name, role, repository, grants } = WhoRecord::of(caller);
        Self { csrf: session::csrf(secret), name, role, repository, grants, expires_at }
    }
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
        return Err(Problem::bad_request("a session starts with a token"));
    };
    let (secret, expires_at) = create_session(&api, &caller, id).await?;
    let record = SessionRecord::of(&caller, &secret, expires_at);
    let mut response = (StatusCode::CREATED, axum::Json(record)).into_response();
    session::set_cookie(&mut response, &secret);
    Ok(response)
}

/// Begins the session of a token: what the browser is to show, and until when.
pub(crate) async fn create_session(
    api: &Api,
    caller: &Principal,
    token_id: String,
) -> Result<(String, Timestamp), Problem> {
    let now = api.clock().now();
    let secret = api.ids().secret();
    let expires_at = now.checked_add(LIFETIME).unwrap_or(now);
    let hash = session::hash(&secret);
    let row = SessionRow { hash, token_id: token_id.clone(), created_at: now, expires_at };
    api.store().sessions().create(&row).await?;
    let subject = (token_id.as_str(), caller.only_repo());
    api.trail(caller, "session.begin", subject, json!({})).await?;
    Ok((secret, expires_at))
}

async fn show(Caller(caller): Caller, shown: Shown) -> Result<axum::Json<SessionRecord>, Problem> {
    let Shown::Session { secret, expires_at } = shown else {
        return Err(Problem::not_found("session", "of a token"));
    };
    Ok(axum::Json(SessionRecord::of(&caller, &secret, expires_at)))
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
    ended(&api, &caller, &secret).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    session::forget_cookie(&mut response);
    Ok(response)
}

/// Ends a session, or the request fails.
pub(crate) async fn ended(api: &Api, caller: &Principal, secret: &str) -> Result<(), Problem> {
    api.store().sessions().remove(&session::hash(secret)).await?;
    let subject = (caller.name.as_str(), caller.only_repo());
    api.trail(caller, "session.end", subject, json!({})).await
}
