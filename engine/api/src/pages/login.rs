//! Logging in: sent to the issuer and back, or with a token; and logging out.
//!
//! Must not redirect a browser anywhere but to the issuer and to paths of this server, and must not
//! reveal more
//! about a refused login than its reason.

use std::net::IpAddr;

use axum::{
    body::Bytes,
    extract::{Query, State, rejection::QueryRejection},
    http::{Extensions, HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use plue_dashboard::{
    shell::Shell,
    sign_in::{self, SignIn},
};
use plue_login::{Attempt, Person};
use plue_store::{LoginRow, PersonSession};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{
    OwnForm, Visitor, field,
    html::{self, frame, problem, see},
    visitor,
};
use crate::{
    access::{Principal, Role},
    limit,
    login::Login,
    problem::Problem,
    routes,
    server::Api,
    session, token,
};

/// Reason of a refusal: the issuer knows the person, and no rule does.
const NO_RULE: &str = "no rule of this server names you";
/// Characters of a path to come back to.
const MAX_PATH: usize = 512;
/// Characters of a state that are looked at.
const MAX_STATE: usize = 128;

/// Path to return to after the login.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Return {
    to: Option<String>,
}

/// Parameters of the issuer's redirect (OpenID Connect Core 1.0 §3.1.2.5, RFC 9207).
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
    iss: Option<String>,
}

/// `GET /login`: to the issuer, or a form for a token where there is none.
pub(super) async fn begin(
    State(api): State<Api>,
    query: Result<Query<Return>, QueryRejection>,
    extensions: Extensions,
    headers: HeaderMap,
) -> Response {
    let to = query.ok().and_then(|Query(query)| query.to).filter(|to| is_own_path(to));
    let shell = frame(&headers);
    let Some(login) = api.login() else { return form(to.as_deref(), StatusCode::OK, &shell) };
    let sent = sent(&api, login, to, (&extensions, &headers)).await;
    sent.unwrap_or_else(|refused| problem(&refused, &shell))
}

async fn sent(
    api: &Api,
    login: &Login,
    return_to: Option<String>,
    (extensions, headers): (&Extensions, &HeaderMap),
) -> Result<Response, Problem> {
    api.limiter().login(limit::address(api, extensions, headers))?;
    // One secret for all logins of a browser: two tabs that come back both fit.
    let secret = session::login_cookie(headers).unwrap_or_else(|| api.ids().secret());
    let attempt = Attempt::of(&secret, &api.ids().secret());
    let address = match login.issuer().begin(&attempt).await {
        Ok(address) => address,
        Err(error) => return Ok(unanswered(&error, &frame(headers))),
    };
    let now = api.clock().now();
    let row = LoginRow {
        state_hash: hash(&attempt.state),
        browser_hash: hash(&secret),
        return_to,
        expires_at: now.checked_add(session::LOGIN_LIFETIME).unwrap_or(now),
    };
    api.store().sessions().begin_login(&row, now).await?;
    let mut response = see(&address, &frame(headers));
    session::set_login_cookie(&mut response, &secret);
    Ok(response)
}

/// `GET /login/callback`: back from the issuer.
pub(super) async fn callback(
    State(api): State<Api>,
    query: Result<Query<Answer>, QueryRejection>,
    extensions: Extensions,
    headers: HeaderMap,
) -> Response {
    let shell = frame(&headers);
    let Some(login) = api.login() else {
        let absent = Problem::new(StatusCode::NOT_FOUND, "there is no login with an issuer here");
        return problem(&absent, &shell);
    };
    let Ok(Query(answer)) = query else { return over(&shell) };
    let back = back(&api, login, &answer, (&extensions, &headers)).await;
    back.unwrap_or_else(|refused| problem(&refused, &shell))
}

async fn back(
    api: &Api,
    login: &Login,
    answer: &Answer,
    (extensions, headers): (&Extensions, &HeaderMap),
) -> Result<Response, Problem> {
    let (from, shell) = (limit::address(api, extensions, headers), frame(headers));
    api.limiter().login(from)?;
    let state = answer.state.as_deref().filter(|state| state.len() <= MAX_STATE);
    let attempt = match (state, session::login_cookie(headers)) {
        (Some(state), Some(secret)) => {
            let now = api.clock().now();
            let row = api.store().sessions().take_login(&hash(state), &hash(&secret), now).await?;
            row.map(|row| (row, Attempt::of(&secret, state)))
        }
        _ => None,
    };
    let Some((row, attempt)) = attempt else {
        api.limiter().failed(from)?;
        return Ok(over(&shell));
    };
    if let Some(error) = &answer.error {
        let reason = format!("the issuer answered {}", plue_login::issuer::word(error));
        return Ok(refusal(&reason, &shell));
    }
    let code = answer.code.as_deref().unwrap_or_default();
    match login.issuer().finish(&attempt, code, answer.iss.as_deref()).await {
        Ok(person) => enter(api, login, from, &shell, person, row.return_to).await,
        Err(error) if error.is_passing() => Ok(unanswered(&error, &shell)),
        Err(error) => Ok(refusal(&error.to_string(), &shell)),
    }
}

/// Starts the session of a person whom the issuer knows, if a rule admits the person.
async fn enter(
    api: &Api,
    login: &Login,
    from: Option<IpAddr>,
    shell: &Shell,
    person: Person,
    to: Option<String>,
) -> Result<Response, Problem> {
    let now = api.clock().now();
    let secret = api.ids().secret();
    let row = PersonSession {
        hash: session::hash(&secret),
        issuer: login.issuer().name().to_owned(),
        claims: login.known(&person),
        subject: person.subject,
        name: person.name,
        created_at: now,
        expires_at: now.checked_add(session::LIFETIME).unwrap_or(now),
    };
    let Some(who) = login.principal(&row).map(|who| who.at(from)) else {
        let who = Principal::new(format!("person:{}", row.name), Role::Reader, None).at(from);
        refused(api, &who, &row.subject, NO_RULE).await?;
        return Ok(refusal(NO_RULE, shell));
    };
    api.store().sessions().create_for_person(&row).await?;
    let detail = json!({"issuer": row.issuer, "grants": who.grants()});
    api.trail(&who, "login", (&row.subject, who.only_repo()), detail).await?;
    // A page and not a redirect: a request that another site began carries no `Strict` cookie.
    let to = to.unwrap_or_else(|| "/".to_owned());
    let text = format!("You are {}.", row.name);
    let page = sign_in::message("Signed in", &text, Some((&to, "Continue"))).refresh(0, to);
    let mut response = html::page(&page, shell);
    session::set_cookie(&mut response, &secret);
    Ok(response)
}

async fn refused(api: &Api, who: &Principal, subject: &str, reason: &str) -> Result<(), Problem> {
    tracing::info!(who = %who.name, "a login is refused");
    api.trail(who, "login.refused", (subject, None), json!({"reason": reason})).await
}

/// Without a row in the audit trail: an unknown caller could write as many as it likes.
fn refusal(reason: &str, shell: &Shell) -> Response {
    tracing::info!(%reason, "a login is refused");
    let text = format!("The sign-in was refused: {reason}.");
    let page = sign_in::message("Not signed in", &text, Some(("/login", "Sign in again")));
    html::answer(StatusCode::FORBIDDEN, &page, shell)
}

fn unanswered(error: &plue_login::Error, shell: &Shell) -> Response {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    tracing::warn!(%error, cause, "a login cannot continue");
    let text = "The issuer of identities does not answer as it should. Try again in a moment.";
    let page = sign_in::message("Not signed in", text, Some(("/login", "Sign in again")));
    html::answer(StatusCode::BAD_GATEWAY, &page, shell)
}

/// A state that is unknown: used, too old, or of another browser.
fn over(shell: &Shell) -> Response {
    let text =
        "This sign-in is over: it took too long, was used before, or started in another browser.";
    let page = sign_in::message("Not signed in", text, Some(("/login", "Sign in again")));
    html::answer(StatusCode::BAD_REQUEST, &page, shell)
}

/// `POST /login`: with a token.
pub(super) async fn with_token(
    State(api): State<Api>,
    _: OwnForm,
    extensions: Extensions,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let done = by_token(&api, &body, (&extensions, &headers)).await;
    done.unwrap_or_else(|refused| problem(&refused, &frame(&headers)))
}

async fn by_token(
    api: &Api,
    body: &[u8],
    (extensions, headers): (&Extensions, &HeaderMap),
) -> Result<Response, Problem> {
    let from = limit::address(api, extensions, headers);
    let to = field(body, "to").filter(|to| is_own_path(to));
    let shown = field(body, "token").unwrap_or_default();
    let shown = shown.trim();
    let row = match shown.starts_with(token::PREFIX) && shown.len() <= token::MAX_LENGTH {
        true => api.store().tokens().by_hash(&token::hash(shown)).await?,
        false => None,
    };
    let found = row.and_then(|row| Some((token::principal(&row, api.clock().now())?, row.id)));
    let Some((who, id)) = found else {
        api.limiter().failed(from)?;
        return Ok(form(to.as_deref(), StatusCode::FORBIDDEN, &frame(headers)));
    };
    api.limiter().used(&id)?;
    api.store().tokens().used(&id, api.clock().now()).await?;
    let who = who.at(from);
    let (secret, _) = routes::session::create_session(api, &who, id).await?;
    let mut response = see(to.as_deref().unwrap_or("/"), &frame(headers));
    session::set_cookie(&mut response, &secret);
    Ok(response)
}

/// `POST /logout`.
pub(super) async fn end(
    State(api): State<Api>,
    _: OwnForm,
    extensions: Extensions,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let done = async {
        if let Visitor::Known { who, secret } = visitor(&api, &extensions, &headers).await? {
            if field(&body, "csrf").as_deref() != Some(&session::csrf(&secret)) {
                return Err(foreign_form());
            }
            routes::session::ended(&api, &who, &secret).await?;
        }
        let page = sign_in::message("Signed out", "", Some(("/login", "Sign in")));
        let mut response = html::page(&page, &frame(&headers));
        session::forget_cookie(&mut response);
        Ok(response)
    };
    done.await.unwrap_or_else(|refused| problem(&refused, &frame(&headers)))
}

/// A form for a token.
pub(super) fn form(to: Option<&str>, status: StatusCode, shell: &Shell) -> Response {
    let is_refused = status == StatusCode::FORBIDDEN;
    let reason = "This token is not valid: unknown, removed or expired.";
    let model = SignIn { to: to.map(str::to_owned), refused: is_refused.then_some(reason) };
    let mut response = html::answer(status, &sign_in::page(&model), shell);
    if status == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer realm=\"plue\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    }
    response
}

/// Whether something is a path of this server, and to every browser: `//host`, `/\host` and what
/// browsers drop from addresses would lead elsewhere.
pub(crate) fn is_own_path(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>');
    path.len() <= MAX_PATH
        && path.starts_with('/')
        && !path.starts_with("//")
        && !path.starts_with("/login")
        && path.bytes().all(plain)
}

pub(super) fn foreign_form() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "this form was not sent from a page of this server")
}

fn hash(secret: &str) -> String {
    hex::encode(Sha256::digest(format!("login {secret}")))
}

#[cfg(test)]
mod tests {
    use super::is_own_path;

    #[test]
    fn redirects_stay_on_this_site() {
        for own in ["/", "/runs/01j", "/runs/01j?x=1#step", "/api/v1/runs"] {
            assert!(is_own_path(own), "{own}");
        }
        let long = format!("/{}", "a".repeat(600));
        for foreign in [
            "",
            "runs",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/\t/evil.example",
            "javascript:alert(1)",
            "/a\nb",
            "/a b",
            "/ä",
            "/login",
            "/login/callback?x",
            "\\\\evil",
            &long,
        ] {
            assert!(!is_own_path(foreign), "{foreign}");
        }
    }
}
