//! The reader of a page: a person with a session, or the way to one.
//!
//! Must not answer differently for a page that exists and one that does not before the reader is known.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use plue_dashboard::{
    shell::{MAX_COUNT, Page, Shell, Viewer},
    sign_in,
};

use super::{OwnForm, Visitor, field, html, login, visitor};
use crate::{
    access::{Principal, Role},
    problem::Problem,
    server::Api,
    session,
};

/// A signed-in reader, with the frame of the page that is asked for.
pub(super) struct Reader {
    pub(super) who: Principal,
    /// The secret of the session.
    pub(super) secret: String,
    pub(super) shell: Shell,
    /// Number of the last event that the page knows of; its answer must not be older.
    pub(super) seen: u64,
}

/// A form that the reader posted from a page of this session. Any other is refused before its body is read.
pub(super) struct Form {
    pub(super) reader: Reader,
    pub(super) body: Bytes,
}

// === impl Reader ===

impl Reader {
    /// The page, or the page of the problem.
    pub(super) fn answer(&self, page: Result<Page, Problem>) -> Response {
        match page {
            Ok(page) => html::page(&page, &self.shell),
            Err(problem) => html::problem(&problem, &self.shell),
        }
    }

    /// To the path that follows an action, or the page of the problem.
    pub(super) fn redirect(&self, to: Result<String, Problem>) -> Response {
        match to {
            Ok(to) => html::see(&to, &self.shell),
            Err(problem) => html::problem(&problem, &self.shell),
        }
    }

    /// Whether the reader has a role in a repository.
    pub(super) fn may(&self, role: Role, repo: Option<&str>) -> bool {
        self.who.role_in(repo).is_some_and(|own| own >= role)
    }
}

impl FromRequestParts<Api> for Reader {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Response> {
        let mut shell = html::frame(&parts.headers);
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let to = Some(path.clone()).filter(|path| login::is_own_path(path));
        let visitor = visitor(api, &parts.extensions, &parts.headers).await;
        let visitor = visitor.map_err(|refused| html::problem(&refused, &shell))?;
        let (who, secret) = match visitor {
            Visitor::Known { who, secret } => (who, secret),
            Visitor::Anonymous if shell.fragment || api.login().is_none() => {
                return Err(login::form(to.as_deref(), StatusCode::UNAUTHORIZED, &shell));
            }
            Visitor::Anonymous => {
                let to = to.unwrap_or_default();
                let to: String = form_urlencoded::byte_serialize(to.as_bytes()).collect();
                return Err(html::see(&format!("/login?to={}", to.replace("%2F", "/")), &shell));
            }
            // The same request again, by this page itself: then the cookie comes along.
            Visitor::Sent => {
                let to = to.unwrap_or_else(|| "/".to_owned());
                let page = sign_in::message("plue", "", Some((&to, "Continue"))).refresh(0, to);
                return Err(html::page(&page, &shell));
            }
        };
        let repos = who.repos();
        let limit = u32::try_from(MAX_COUNT + 1).unwrap_or(u32::MAX);
        let waiting = api.store().usage().waiting_runs(repos.as_deref(), None, limit).await;
        let waiting = waiting.map_err(|error| html::problem(&error.into(), &shell))?;
        shell.approvals = waiting.len();
        shell.path = path;
        shell.viewer = Some(viewer(&who, &secret));
        Ok(Self { who, secret, shell, seen: html::seen(&parts.headers) })
    }
}

// === impl Form ===

impl FromRequest<Api> for Form {
    type Rejection = Response;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        OwnForm::from_request_parts(&mut parts, api).await?;
        let reader = Reader::from_request_parts(&mut parts, api).await?;
        let body = Bytes::from_request(Request::from_parts(parts, body), api).await;
        let body = body.map_err(IntoResponse::into_response)?;
        match field(&body, "csrf").is_some_and(|shown| session::is_csrf(&shown, &reader.secret)) {
            true => Ok(Self { reader, body }),
            false => Err(html::problem(&login::foreign_form(), &reader.shell)),
        }
    }
}

/// The reader as pages show one.
pub(super) fn viewer(who: &Principal, secret: &str) -> Viewer {
    let name = who.name.split_once(':').map_or(who.name.as_str(), |(_, name)| name);
    Viewer {
        name: name.to_owned(),
        role: who.role().as_str().to_owned(),
        csrf: session::csrf(secret),
    }
}
