//! Logging in: sent to the issuer and back, or with a token; and logging out.
//!
//! Must not send a browser anywhere but to the issuer and to paths of this server, and must not tell more
//! about a refused login than its reason.

use std::net::IpAddr;

use axum::{
    body::Bytes,
    extract::{Query, State, rejection::QueryRejection},
    http::{Extensions, HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use maud::{Markup, html};
use plue_login::{Attempt, Person};
use plue_store::{LoginRow, PersonSession};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{
    OwnForm, Visitor,
    html::{Page, problem, sorry},
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

/// Characters of a path to come back to.
const MAX_PATH: usize = 512;
/// Characters of a state that are looked at.
const MAX_STATE: usize = 128;

/// Where to go afterwards.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Return {
    to: Option<String>,
}

/// What an issuer sends back with the browser (OpenID Connect Core 1.0 §3.1.2.5, RFC 9207).
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
    let Some(login) = api.login() else { return form(to.as_deref(), StatusCode::OK) };
    match sent(&api, login, to, (&extensions, &headers)).await {
        Ok(response) => response,
        Err(refused) => problem(&refused),
    }
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
        Err(error) => return Ok(unanswered(&error)),
    };
    let now = api.clock().now();
    let row = LoginRow {
        state_hash: hash(&attempt.state),
        browser_hash: hash(&secret),
        return_to,
        expires_at: now.checked_add(session::LOGIN_LIFETIME).unwrap_or(now),
    };
    api.store().sessions().begin_login(&row, now).await?;
    let mut response = see(&address);
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
    let Some(login) = api.login() else {
        return sorry(StatusCode::NOT_FOUND, "Not Found", "there is no login with an issuer here");
    };
    let Ok(Query(answer)) = query else { return over() };
    match back(&api, login, &answer, (&extensions, &headers)).await {
        Ok(response) => response,
        Err(refused) => problem(&refused),
    }
}

async fn back(
    api: &Api,
    login: &Login,
    answer: &Answer,
    (extensions, headers): (&Extensions, &HeaderMap),
) -> Result<Response, Problem> {
    let from = limit::address(api, extensions, headers);
    api.limiter().login(from)?;
    let state = answer.state.as_deref().filter(|state| state.len() <= MAX_STATE);
    let begun = match (state, session::login_cookie(headers)) {
        (Some(state), Some(secret)) => {
            let now = api.clock().now();
            let row = api.store().sessions().take_login(&hash(state), &hash(&secret), now).await?;
            row.map(|row| (row, Attempt::of(&secret, state)))
        }
        _ => None,
    };
    let Some((row, attempt)) = begun else {
        api.limiter().failed(from)?;
        return Ok(over());
    };
    if let Some(error) = &answer.error {
        let reason = format!("the issuer says {}", plue_login::issuer::word(error));
        return Ok(refusal(&reason));
    }
    let code = answer.code.as_deref().unwrap_or_default();
    match login.issuer().finish(&attempt, code, answer.iss.as_deref()).await {
        Ok(person) => enter(api, login, from, person, row.return_to).await,
        Err(error) if error.is_passing() => Ok(unanswered(&error)),
        Err(error) => Ok(refusal(&error.to_string())),
    }
}

/// Begins the session of somebody whom the issuer knows, if a rule lets him in.
async fn enter(
    api: &Api,
    login: &Login,
    from: Option<IpAddr>,
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
        return refused(api, &who, &row.subject, "no rule of this server names you").await;
    };
    api.store().sessions().create_for_person(&row).await?;
    let detail = json!({"issuer": row.issuer, "grants": who.grants()});
    api.trail(&who, "login", (&row.subject, who.only_repo()), detail).await?;
    // A page and not a redirect: what another site has begun goes on without the `Strict` cookie.
    let page = Page::new("Logged in");
    let page = match &to {
        Some(to) => page.then(0, to.as_str()),
        None => page.corner(corner(&who, &secret)),
    };
    let mut response = page.with(&html! {
        h1 { "Logged in" }
        p { "You are " strong { (row.name) } "." }
        @if let Some(to) = &to { p { a href=(to) { "Go on" } } }
    });
    session::set_cookie(&mut response, &secret);
    Ok(response)
}

async fn refused(
    api: &Api,
    who: &Principal,
    subject: &str,
    reason: &str,
) -> Result<Response, Problem> {
    tracing::info!(who = %who.name, "a login is refused");
    api.trail(who, "login.refused", (subject, None), json!({"reason": reason})).await?;
    Ok(refusal(reason))
}

/// Of somebody whom no issuer has named there is no row: anybody could write as many as he likes.
fn refusal(reason: &str) -> Response {
    tracing::info!(%reason, "a login is refused");
    let text = format!("The login is refused: {reason}.");
    sorry(StatusCode::FORBIDDEN, "Not logged in", &text)
}

fn unanswered(error: &plue_login::Error) -> Response {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    tracing::warn!(%error, cause, "a login cannot go on");
    let text =
        "The issuer that people log in with does not answer as it should. Try again in a moment.";
    sorry(StatusCode::BAD_GATEWAY, "Not logged in", text)
}

/// A state that nobody knows: used, too old, or of another browser.
fn over() -> Response {
    Page::new("Not logged in").status(StatusCode::BAD_REQUEST).with(&html! {
        h1 { "Not logged in" }
        p { "This login is over: it took too long, was used before, or began in another browser." }
        p { a href="/login" { "Log in again" } }
    })
}

/// `POST /login`: with a token.
pub(super) async fn with_token(
    State(api): State<Api>,
    _: OwnForm,
    extensions: Extensions,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match by_token(&api, &body, (&extensions, &headers)).await {
        Ok(response) => response,
        Err(refused) => problem(&refused),
    }
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
        return Ok(form(to.as_deref(), StatusCode::FORBIDDEN));
    };
    api.limiter().used(&id)?;
    api.store().tokens().used(&id, api.clock().now()).await?;
    let who = who.at(from);
    let (secret, _) = routes::session::begun(api, &who, id).await?;
    let mut response = match to {
        Some(to) => see(&to),
        None => Page::new("Logged in").corner(corner(&who, &secret)).with(&html! {
            h1 { "Logged in" }
            p { "You are " strong { (who.name) } "." }
        }),
    };
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
        let mut response = Page::new("Logged out").with(&html! {
            h1 { "Logged out" }
            p { a href="/login" { "Log in" } }
        });
        session::forget_cookie(&mut response);
        Ok(response)
    };
    done.await.unwrap_or_else(|refused| problem(&refused))
}

/// A form for a token.
pub(super) fn form(to: Option<&str>, status: StatusCode) -> Response {
    let again = status == StatusCode::FORBIDDEN;
    let mut response = Page::new("Log in").status(status).with(&html! {
        h1 { "Log in" }
        @if again { p.bad { "This token is not good: unknown, removed or expired." } }
        p { "With a token of this server, as " code { "plue token create" } " prints it." }
        form.login method="post" action="/login" {
            @if let Some(to) = to { input type="hidden" name="to" value=(to); }
            label for="token" { "Token" }
            input id="token" type="password" name="token" autocomplete="off" required;
            button { "Log in" }
        }
    });
    if status == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer realm=\"plue\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    }
    response
}

/// Who is logged in, and the way out.
pub(super) fn corner(who: &Principal, secret: &str) -> Markup {
    let name = who.name.split_once(':').map_or(who.name.as_str(), |(_, name)| name);
    html! {
        form method="post" action="/logout" {
            span.soft { (name) " " }
            input type="hidden" name="csrf" value=(session::csrf(secret));
            button { "Log out" }
        }
    }
}

/// To another address, with GET.
pub(super) fn see(address: &str) -> Response {
    match HeaderValue::from_str(address) {
        Ok(value) => (StatusCode::SEE_OTHER, [(header::LOCATION, value)]).into_response(),
        Err(_) => {
            sorry(StatusCode::BAD_GATEWAY, "Not logged in", "This address cannot be gone to.")
        }
    }
}

/// Whether something is a path of this server, and to every browser: `//host`, `/\host` and what
/// browsers drop from addresses would lead elsewhere.
fn is_own_path(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>');
    path.len() <= MAX_PATH
        && path.starts_with('/')
        && !path.starts_with("//")
        && !path.starts_with("/login")
        && path.bytes().all(plain)
}

fn field(body: &[u8], name: &str) -> Option<String> {
    form_urlencoded::parse(body).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
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
    fn nobody_is_sent_to_another_site() {
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
