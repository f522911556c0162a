//! Routes of the frame: assets and the theme.

use axum::{
    body::Bytes,
    extract::Path,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use plue_dashboard::{
    assets,
    shell::{THEME_COOKIE, Theme},
};

use super::{OwnForm, field, html, login};
use crate::problem::Problem;

/// Seconds that a theme is remembered.
const THEME_AGE: u32 = 31_536_000;

/// `GET /assets/HASH/NAME`
pub(super) async fn asset(Path((hash, name)): Path<(String, String)>) -> Response {
    let Some(asset) = assets::find(&hash, &name) else {
        return Problem::new(StatusCode::NOT_FOUND, "there is no such asset in this version")
            .into_response();
    };
    let mut response = asset.text.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(assets::CACHE));
    response
}

/// `POST /theme`
pub(super) async fn theme(_: OwnForm, headers: HeaderMap, body: Bytes) -> Response {
    let shell = html::frame(&headers);
    let to = field(&body, "to").filter(|to| login::is_own_path(to));
    let mut response = html::see(to.as_deref().unwrap_or("/"), &shell);
    let theme = field(&body, "theme").map(|theme| Theme::of(&theme));
    let (value, age) = match theme.unwrap_or_default().as_str() {
        Some(value) => (value, THEME_AGE),
        None => ("", 0),
    };
    let cookie = format!("{THEME_COOKIE}={value}; Path=/; Max-Age={age}; SameSite=Lax");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
