//! The browser's proof of a session, and the further proof that a change of state needs.
//!
//! Must not store or log what it shows.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, Method, header, request::Parts},
    response::Response,
};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{access::Refusal, problem::Problem, server::Api};

/// The name of the cookie (RFC 6265bis §4.1.3.2).
pub const COOKIE: &str = "__Host-plue";
/// The header with the session's own word.
pub const CSRF_HEADER: &str = "x-plue-csrf";
/// The name of the cookie that a login takes along, and finds again when the issuer sends it back.
pub const LOGIN_COOKIE: &str = "__Host-plue-login";
/// Lifetime of a session.
pub const LIFETIME: SignedDuration = SignedDuration::from_hours(12);
/// Most time that a login may take.
pub const LOGIN_LIFETIME: SignedDuration = SignedDuration::from_mins(10);
/// Characters of a cookie's value that are looked at.
const MAX_LENGTH: usize = 128;

/// The credential of a request.
#[derive(Debug, Clone)]
pub enum Shown {
    /// A token in the `Authorization` header.
    Token {
        /// Its public id, as in lists of tokens.
        id: String,
    },
    /// With the cookie of a session.
    Session {
        /// The value of the cookie.
        secret: String,
        /// Time at which it expires.
        expires_at: Timestamp,
    },
}

impl FromRequestParts<Api> for Shown {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        let shown = parts.extensions.get::<Self>().cloned();
        shown.ok_or_else(|| Refusal::Anonymous.into())
    }
}

/// The stored form of a session's secret.
#[must_use]
pub fn hash(secret: &str) -> String {
    hex::encode(Sha256::digest(format!("session {secret}")))
}

/// The CSRF token of a session; it is derived from the cookie's secret, which only the browser has.
#[must_use]
pub fn csrf(secret: &str) -> String {
    hex::encode(Sha256::digest(format!("csrf {secret}")))
}

/// Whether `shown` is the CSRF token of the session with this secret, compared in constant time.
#[must_use]
pub fn is_csrf(shown: &str, secret: &str) -> bool {
    shown.as_bytes().ct_eq(csrf(secret).as_bytes()).into()
}

/// The cookie of a session.
#[must_use]
pub fn cookie(headers: &HeaderMap) -> Option<String> {
    named(headers, COOKIE)
}

/// The cookie of a login that has started in this browser.
#[must_use]
pub fn login_cookie(headers: &HeaderMap) -> Option<String> {
    named(headers, LOGIN_COOKIE)
}

/// Gives the browser its session. `__Host-`: only over TLS (or on this machine), for this host alone, for
/// all of its paths.
pub fn set_cookie(response: &mut Response, secret: &str) {
    put(response, COOKIE, secret, ("Strict", LIFETIME));
}

/// Takes the session from the browser.
pub fn forget_cookie(response: &mut Response) {
    put(response, COOKIE, "", ("Strict", SignedDuration::ZERO));
}

/// Gives the browser what it has to show when the issuer sends it back. `Lax`: that is another site, and
/// what is `Strict` does not come along with it.
pub fn set_login_cookie(response: &mut Response, secret: &str) {
    put(response, LOGIN_COOKIE, secret, ("Lax", LOGIN_LIFETIME));
}

fn put(response: &mut Response, name: &str, value: &str, how: (&str, SignedDuration)) {
    let (site, age) = (how.0, how.1.as_secs());
    let text = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite={site}; Max-Age={age}");
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// A cookie of letters and digits.
pub(crate) fn named(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter();
    let mut pairs = all.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(';'));
    let value = pairs.find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))?;
    let fits = !value.is_empty()
        && value.len() <= MAX_LENGTH
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric());
    fits.then(|| value.to_owned())
}

/// Whether a request with a session's cookie was made by this site's own pages.
#[must_use]
pub fn is_own(method: &Method, headers: &HeaderMap, secret: &str) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    // Browsers with Fetch Metadata send the site; old ones do not.
    let site = text("sec-fetch-site").is_none_or(|site| matches!(site, "same-origin" | "none"));
    let only_looks = matches!(*method, Method::GET | Method::HEAD);
    // A comparison of two hashes; the first differing byte reveals nothing about the secret.
    site && (only_looks || text(CSRF_HEADER).is_some_and(|shown| is_csrf(shown, secret)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_session_cookie_is_found_among_others() {
        let found = |text: &str| cookie(&headers(&[("cookie", text)]));
        assert_eq!(found("a=b; __Host-plue=abc1; c=d").as_deref(), Some("abc1"));
        let long = format!("__Host-plue={}", "a".repeat(200));
        for none in
            ["", "__Host-plue=", "__Host-pluex=a", "x__Host-plue=a", "__Host-plue=a b", &long]
        {
            assert_eq!(found(none), None, "{none}");
        }
    }

    #[test]
    fn changes_need_the_csrf_token_and_this_site() {
        let word = csrf("s");
        assert!(is_own(&Method::GET, &headers(&[]), "s"));
        assert!(!is_own(&Method::GET, &headers(&[("sec-fetch-site", "cross-site")]), "s"));
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
            assert!(!is_own(&method, &headers(&[]), "s"));
            assert!(!is_own(&method, &headers(&[(CSRF_HEADER, &csrf("t"))]), "s"));
            assert!(is_own(&method, &headers(&[(CSRF_HEADER, &word)]), "s"));
            let foreign = [(CSRF_HEADER, &*word), ("sec-fetch-site", "same-site")];
            assert!(!is_own(&method, &headers(&foreign), "s"));
        }
    }
}
