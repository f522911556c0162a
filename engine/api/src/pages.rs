//! Pages for people: rights checked, rows read, view models of `plue-dashboard` filled, and the forms that
//! pages post.
//!
//! A page takes a [`reader::Reader`]; without a session its extractor answers with the way to one. An
//! action takes a [`reader::Form`], which has the session's word. Must not answer differently for a thing
//! that the reader may not see and one that does not exist.

use axum::{
    Router,
    extract::FromRequestParts,
    http::{Extensions, HeaderMap, StatusCode, header, request::Parts},
    response::Response,
    routing::{get, post},
};

use crate::{access::Principal, guard, limit, link, problem::Problem, server::Api, session};

mod agent;
mod approvals;
mod frame;
mod help;
pub(crate) mod html;
mod log;
pub(crate) mod login;
mod ops;
mod palette;
mod printed;
mod pulls;
mod reader;
pub(crate) mod run;
mod runs;
mod test_results;
mod workflows;

/// Bytes of a form.
const MAX_FORM_BYTES: usize = 64 * 1024;

/// The routes of all pages.
pub(crate) fn routes() -> Router<Api> {
    let routes = Router::new()
        .route("/login", get(login::begin).post(login::with_token))
        .route("/login/callback", get(login::callback))
        .route(link::PATH, get(link::follow))
        .route("/logout", post(login::end))
        .route("/theme", post(frame::theme))
        .route("/assets/{hash}/{name}", get(frame::asset))
        .route("/", get(runs::page))
        .route("/palette", get(palette::page))
        .route("/runs", get(runs::page))
        .route("/runs/bulk", post(runs::bulk))
        .route("/runs/views", post(runs::views::save))
        .route("/runs/views/remove", post(runs::views::remove))
        .route("/approvals", get(approvals::page))
        .route("/approvals/decide", post(approvals::decide))
        .route("/runs/{run}/attempts/{attempt}/log", get(log::page))
        .route("/runs/{run}/attempts/{attempt}/agent", get(agent::page))
        .route("/runs/{run}/cancel", post(run::acts::cancel))
        .route("/runs/{run}/retry", post(run::acts::retry))
        .route("/runs/{run}/rerun", post(run::acts::rerun))
        .route("/runs/{run}/plan", get(run::plan::page))
        .route("/runs/{run}", get(run::page));
    limit::bodies(routes.merge(operations()), MAX_FORM_BYTES)
}

/// The routes for those who look after a server, and those of workflows.
fn operations() -> Router<Api> {
    use ops::{audit, health, runners, schedules, secrets, tokens, usage, webhooks};
    Router::new()
        .route("/workflows", get(workflows::page))
        .route("/workflows/pause", post(workflows::pause_form))
        .route("/workflows/resume", post(workflows::resume_form))
        .route("/workflows/{repo}/{workflow}", get(workflows::one::page))
        .route("/workflows/{repo}/{workflow}/plan.svg", get(workflows::one::picture))
        .route("/workflows/{repo}/{workflow}/run", post(workflows::one::run))
        .route("/help", get(help::list))
        .route("/help/{name}", get(help::page))
        .route("/pulls", get(pulls::list))
        .route("/pulls/allow", post(pulls::allow))
        .route("/pulls/{repo}/{number}", get(pulls::page))
        .route("/operations", get(ops::first))
        .route("/runners", get(runners::page))
        .route("/usage", get(usage::page))
        .route("/schedules", get(schedules::page))
        .route("/webhooks", get(webhooks::page))
        .route("/webhooks/redeliver", post(webhooks::redeliver))
        .route("/webhooks/out/{webhook}", get(webhooks::messages))
        .route("/webhooks/out/{webhook}/{action}", post(webhooks::act))
        .route("/secrets", get(secrets::page))
        .route("/tokens", get(tokens::page))
        .route("/tokens/create", post(tokens::create))
        .route("/tokens/remove", post(tokens::remove))
        .route("/audit", get(audit::page))
        .route("/health", get(health::page))
}

/// The answer to an address without a page.
pub(crate) fn not_found(headers: &HeaderMap) -> Response {
    let problem = Problem::new(StatusCode::NOT_FOUND, "there is no page at this address");
    html::problem(&problem, &html::frame(headers))
}

/// The visitor of a page.
enum Visitor {
    /// A person with a session.
    Known {
        who: Principal,
        /// Secret of the session's cookie.
        secret: String,
    },
    /// No valid session.
    Anonymous,
    /// Another site sent him here, and his browser has left the session's cookie at home: it is
    /// `SameSite=Strict`.
    Sent,
}

/// Finds out who looks at a page.
async fn visitor(
    api: &Api,
    extensions: &Extensions,
    headers: &HeaderMap,
) -> Result<Visitor, Problem> {
    if matches!(text(headers, "sec-fetch-site"), Some("cross-site" | "same-site")) {
        return Ok(Visitor::Sent);
    }
    let Some(secret) = session::cookie(headers) else { return Ok(Visitor::Anonymous) };
    let from = limit::address(api, extensions, headers);
    let found = guard::of_session(api, secret.clone(), true, from).await?;
    Ok(found.map_or(Visitor::Anonymous, |(who, _, _)| Visitor::Known { who, secret }))
}

/// A form that was posted from one of our own pages; any other is refused before its body is read.
struct OwnForm;

impl FromRequestParts<Api> for OwnForm {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Response> {
        match is_own_form(&parts.headers) {
            true => Ok(Self),
            false => Err(html::problem(&login::foreign_form(), &html::frame(&parts.headers))),
        }
    }
}

/// Whether a form was sent from one of our own pages. Browsers mark every form that they post;
/// an unmarked one is foreign.
fn is_own_form(headers: &HeaderMap) -> bool {
    if let Some(site) = text(headers, "sec-fetch-site") {
        return site == "same-origin";
    }
    let origin = text(headers, header::ORIGIN.as_str());
    let authority = origin.and_then(|origin| Some(origin.split_once("://")?.1));
    authority.is_some() && authority == text(headers, header::HOST.as_str())
}

/// The first value of a field of a form or a query.
fn field(body: &[u8], name: &str) -> Option<String> {
    form_urlencoded::parse(body).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// All values of a field.
fn values(body: &[u8], name: &str) -> Vec<String> {
    let pairs = form_urlencoded::parse(body).filter(|(key, _)| key == name);
    pairs.map(|(_, value)| value.into_owned()).collect()
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_of_another_site_is_not_ours() {
        let own = |pairs: &[(&'static str, &'static str)]| {
            let all =
                pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            is_own_form(&all.collect())
        };
        assert!(own(&[("sec-fetch-site", "same-origin")]));
        assert!(own(&[("host", "ci.example"), ("origin", "https://ci.example")]));
        for foreign in [
            &[("sec-fetch-site", "cross-site"), ("host", "a"), ("origin", "https://a")][..],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none")],
            &[("host", "ci.example"), ("origin", "https://evil.example")],
            &[("host", "ci.example"), ("origin", "null")],
            &[("host", "ci.example")],
            &[],
        ] {
            assert!(!own(foreign), "{foreign:?}");
        }
    }
}
