//! What all pages have in common: the frame, the style, and the headers that let nothing else in.
//!
//! Must not contain a text that is not escaped: `PreEscaped` is for the style alone.

use std::sync::LazyLock;

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use crate::problem::Problem;

const STYLE: &str = include_str!("style.css");

/// Nothing is loaded from anywhere, no script runs, forms go to us, and nobody frames us.
static POLICY: LazyLock<Option<HeaderValue>> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    let text = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'"
    );
    HeaderValue::from_str(&text).ok()
});

/// A page.
#[derive(Debug)]
pub(super) struct Page {
    title: String,
    status: StatusCode,
    /// Another page that the browser goes to by itself, after so many seconds.
    then: Option<(u32, String)>,
    /// Beside the name at the top.
    corner: Option<Markup>,
}

// === impl Page ===

impl Page {
    pub(super) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), status: StatusCode::OK, then: None, corner: None }
    }

    pub(super) fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Goes to a path of this server after so many seconds.
    pub(super) fn then(self, seconds: u32, path: impl Into<String>) -> Self {
        Self { then: Some((seconds, path.into())), ..self }
    }

    pub(super) fn corner(self, corner: Markup) -> Self {
        Self { corner: Some(corner), ..self }
    }

    /// The answer.
    pub(super) fn with(self, body: &Markup) -> Response {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    @if let Some((seconds, path)) = &self.then {
                        meta http-equiv="refresh" content=(format!("{seconds};url={path}"));
                    }
                    title { (self.title) " · plue" }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    header {
                        span.brand { "plue" }
                        @if let Some(corner) = &self.corner { (corner) }
                    }
                    main { (body) }
                }
            }
        };
        let mut response = (self.status, page.into_string()).into_response();
        let headers = response.headers_mut();
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, html);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // `no-referrer` would take the origin from our own forms as well.
        let own = HeaderValue::from_static("same-origin");
        headers.insert(header::REFERRER_POLICY, own);
        let alone = HeaderName::from_static("cross-origin-opener-policy");
        headers.insert(alone, HeaderValue::from_static("same-origin"));
        if let Some(policy) = &*POLICY {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy.clone());
        }
        response
    }
}

/// What went wrong, for people.
pub(super) fn sorry(status: StatusCode, title: &str, text: &str) -> Response {
    Page::new(title).status(status).with(&html! {
        h1 { (title) }
        p { (text) }
    })
}

/// A problem of the API, for people.
pub(super) fn problem(problem: &Problem) -> Response {
    let as_json = problem.clone().into_response();
    let mut page = sorry(as_json.status(), &problem.title, &problem.detail);
    for name in [header::RETRY_AFTER, header::WWW_AUTHENTICATE] {
        if let Some(value) = as_json.headers().get(&name) {
            page.headers_mut().insert(name, value.clone());
        }
    }
    page
}
