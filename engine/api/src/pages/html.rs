//! Answers with pages: status, headers, and the policy of what a page may load.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use plue_dashboard::{
    problem as error_page,
    shell::{POLICY, Page, Shell, THEME_COOKIE, Theme},
};

use crate::{problem::Problem, session};

/// Header by which `live.js` asks for the content alone.
const FRAGMENT: &str = "x-plue-fragment";

/// The frame of a page for a browser without a session.
pub(crate) fn frame(headers: &HeaderMap) -> Shell {
    let theme = session::named(headers, THEME_COOKIE);
    Shell {
        theme: theme.map_or(Theme::System, |theme| Theme::of(&theme)),
        fragment: headers.contains_key(FRAGMENT),
        ..Shell::default()
    }
}

/// Number of the last event that a page knows of, which asks for its content alone.
pub(crate) fn seen(headers: &HeaderMap) -> u64 {
    let value = headers.get(FRAGMENT).and_then(|value| value.to_str().ok());
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// A page with 200.
pub(super) fn page(page: &Page, shell: &Shell) -> Response {
    answer(StatusCode::OK, page, shell)
}

/// A page with its status and headers.
pub(super) fn answer(status: StatusCode, page: &Page, shell: &Shell) -> Response {
    let mut response = (status, page.render(shell)).into_response();
    let headers = response.headers_mut();
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, html);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // `no-referrer` would take the origin from our own forms as well.
    let own = HeaderValue::from_static("same-origin");
    headers.insert(header::REFERRER_POLICY, own);
    let alone = HeaderName::from_static("cross-origin-opener-policy");
    headers.insert(alone, HeaderValue::from_static("same-origin"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

/// The reason of a problem with all its errors, one a line.
pub(super) fn reason(problem: &Problem) -> String {
    let lines = std::iter::once(problem.detail.clone()).chain(errors(problem));
    lines.collect::<Vec<_>>().join("\n")
}

fn errors(problem: &Problem) -> impl Iterator<Item = String> {
    problem.errors.iter().map(|error| match &error.hint {
        Some(hint) => format!("{}: {hint}", error.message),
        None => error.message.clone(),
    })
}

/// A problem of the API, for people.
pub(crate) fn problem(problem: &Problem, shell: &Shell) -> Response {
    let as_json = problem.clone().into_response();
    let model = error_page::Problem {
        status: problem.status,
        title: problem.title.clone(),
        detail: problem.detail.clone(),
        code: problem.code.clone(),
        errors: errors(problem).collect(),
    };
    let mut page = answer(as_json.status(), &error_page::page(&model), shell);
    for name in [header::RETRY_AFTER, header::WWW_AUTHENTICATE] {
        if let Some(value) = as_json.headers().get(&name) {
            page.headers_mut().insert(name, value.clone());
        }
    }
    page
}

/// To another address, with GET.
pub(crate) fn see(address: &str, shell: &Shell) -> Response {
    match HeaderValue::from_str(address) {
        Ok(value) => (StatusCode::SEE_OTHER, [(header::LOCATION, value)]).into_response(),
        Err(_) => {
            let text = "the address to continue at is not valid";
            problem(&Problem::new(StatusCode::BAD_GATEWAY, text), shell)
        }
    }
}
