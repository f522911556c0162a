//! One-time links: the person at this machine opens the dashboard without a token.
//!
//! A link works once, for [`LIFETIME`], and for a browser of this machine. Only its hash is stored.

use std::net::IpAddr;

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::{Extensions, HeaderMap, StatusCode},
    response::Response,
};
use jiff::{SignedDuration, Timestamp};
use plue_runtime::Ids;
use plue_store::{Error, LoginRow, Store};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::{
    access::{Principal, Role},
    limit,
    pages::{html, login::is_own_path},
    problem::Problem,
    routes,
    server::Api,
    session,
    token::{self, NewToken},
};

/// Path of a link.
pub const PATH: &str = "/login/link";
/// Time for which a link works.
pub const LIFETIME: SignedDuration = SignedDuration::from_mins(10);
/// Characters of a link's secret.
const MAX_SECRET: usize = 128;
/// Place of the browser's hash in the row: a link is bound to this machine, not to a browser.
const ANY_BROWSER: &str = "link";

/// The query of a link.
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    once: String,
}

/// Stores a link that leads to a path of this server; returns its path with the secret.
///
/// # Errors
/// [`Error`] of the database.
pub async fn make(store: &Store, ids: &Ids, to: &str, now: Timestamp) -> Result<String, Error> {
    let secret = ids.secret();
    let row = LoginRow {
        state_hash: hash(&secret),
        browser_hash: ANY_BROWSER.to_owned(),
        return_to: Some(to.to_owned()),
        expires_at: now.checked_add(LIFETIME).unwrap_or(now),
    };
    store.sessions().begin_login(&row, now).await?;
    Ok(format!("{PATH}?once={secret}"))
}

/// `GET /login/link`
pub(crate) async fn follow(
    State(api): State<Api>,
    query: Result<Query<Asked>, QueryRejection>,
    extensions: Extensions,
    headers: HeaderMap,
) -> Response {
    let shell = html::frame(&headers);
    let secret = query.map(|Query(asked)| asked.once).unwrap_or_default();
    let from = limit::address(&api, &extensions, &headers);
    match entered(&api, &secret, from).await {
        Ok((to, cookie)) => {
            let mut response = html::see(&to, &shell);
            session::set_cookie(&mut response, &cookie);
            response
        }
        Err(refused) => html::problem(&refused, &shell),
    }
}

/// The path to show, and the cookie of the new session.
async fn entered(
    api: &Api,
    secret: &str,
    from: Option<IpAddr>,
) -> Result<(String, String), Problem> {
    if !from.is_some_and(|from| from.to_canonical().is_loopback()) {
        let text = "a link of a server is for browsers of its own machine; sign in with a token";
        return Err(Problem::new(StatusCode::FORBIDDEN, text));
    }
    api.limiter().login(from)?;
    let now = api.clock().now();
    let taken = match secret.len() <= MAX_SECRET {
        true => api.store().sessions().take_login(&hash(secret), ANY_BROWSER, now).await?,
        false => None,
    };
    let Some(row) = taken else {
        api.limiter().failed(from)?;
        let text = "this link was used, or is older than ten minutes";
        return Err(Problem::new(StatusCode::GONE, text));
    };
    let cookie = session_of(api, now, from).await?;
    let to = row.return_to.filter(|to| is_own_path(to));
    Ok((to.unwrap_or_else(|| "/".to_owned()), cookie))
}

/// A session of this machine's administrator. It hangs on a token that is shown to no one and ends with
/// it, so that `plue token list` shows the session and `plue token rm` ends it.
async fn session_of(api: &Api, now: Timestamp, from: Option<IpAddr>) -> Result<String, Problem> {
    let wanted = NewToken {
        name: "browser of this machine".to_owned(),
        role: Role::Admin,
        repo: None,
        expires_at: now.checked_add(session::LIFETIME).ok(),
        by: "link".to_owned(),
    };
    let row = token::fresh(api.ids(), wanted, now).row;
    api.store().tokens().create(&row).await?;
    let who = Principal::new(format!("token:{}", row.name), Role::Admin, None).at(from);
    let (cookie, _) = routes::session::create_session(api, &who, row.id).await?;
    Ok(cookie)
}

fn hash(secret: &str) -> String {
    hex::encode(Sha256::digest(format!("link {secret}")))
}
