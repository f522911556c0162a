//! Validation of an ID token (OpenID Connect Core 1.0 §3.1.3.7). Pure.
//!
//! Must not trust a claim before the signature, or take an algorithm from the token that does not
//! fit the token's key.

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};
use serde_json::{Map, Value as Json};

use crate::{error::Error, signature};

/// Bytes of a token.
pub const MAX_BYTES: usize = 16 * 1024;
/// Seconds that the issuer's clock may differ from ours.
pub const LEEWAY: i64 = 60;
/// Seconds since it was issued: it comes straight from the issuer, for a code that it just gave.
pub const MAX_AGE: i64 = 600;
/// Characters of a subject (§2).
const MAX_SUBJECT: usize = 255;
/// Accepted signature algorithms. None has a shared secret, and `none` cannot be expressed.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

/// The claims of a token.
pub type Claims = Map<String, Json>;

/// Required values of a token.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The issuer that `iss` must equal.
    pub issuer: &'a str,
    /// The client that `aud` must name.
    pub client_id: &'a str,
    /// Nonce of the attempt.
    pub nonce: &'a str,
    /// Time for the checks of `exp` and `nbf`.
    pub now: Timestamp,
}

/// The head of a token, which names its key.
///
/// # Errors
/// [`Error::Token`]: it is malformed, or signed with a forbidden algorithm.
pub fn head(token: &str) -> Result<Header, Error> {
    if token.len() > MAX_BYTES {
        return Err(Error::Token("it is too long"));
    }
    let header = decode_header(token).map_err(|_| Error::Token("its head cannot be read"))?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(Error::Token("its algorithm is not allowed"));
    }
    // RFC 7515 §4.1.11: what has to be understood, and is not.
    if header.crit.is_some() {
        return Err(Error::Token("it asks for an extension"));
    }
    Ok(header)
}

/// The claims of a token, verified.
///
/// # Errors
/// [`Error::Token`].
pub fn claims(
    token: &str,
    header: &Header,
    key: &DecodingKey,
    expected: &Expected<'_>,
) -> Result<Claims, Error> {
    signature::install();
    let mut signed = Validation::new(header.alg);
    // Only the signature; claims are judged below, by our clock and without exceptions for absent ones.
    signed.required_spec_claims.clear();
    (signed.validate_exp, signed.validate_aud) = (false, false);
    let verified = decode::<Claims>(token, key, &signed);
    let claims = verified.map_err(|_| Error::Token("its signature is not good"))?.claims;
    judge(&claims, expected).map_err(Error::Token)?;
    Ok(claims)
}

/// Checks that claims are for this client, this attempt, and the current time.
fn judge(claims: &Claims, expected: &Expected<'_>) -> Result<(), &'static str> {
    let text = |name: &str| claims.get(name).and_then(Json::as_str);
    if text("iss") != Some(expected.issuer) {
        return Err("it is of another issuer");
    }
    audience(claims, expected.client_id)?;
    let now = expected.now.as_second();
    match time(claims, "exp")? {
        Some(exp) if exp > now.saturating_sub(LEEWAY) => {}
        Some(_) => return Err("it has expired"),
        None => return Err("it does not say when it expires"),
    }
    match time(claims, "iat")? {
        Some(iat) if iat > now.saturating_add(LEEWAY) => return Err("it is from the future"),
        Some(iat) if iat < now.saturating_sub(MAX_AGE) => return Err("it is too old"),
        Some(_) => {}
        None => return Err("it does not say when it was issued"),
    }
    if time(claims, "nbf")?.is_some_and(|nbf| nbf > now.saturating_add(LEEWAY)) {
        return Err("it is not good yet");
    }
    if text("nonce") != Some(expected.nonce) {
        return Err("it is of another login");
    }
    match text("sub") {
        Some(sub) if !sub.is_empty() && sub.chars().count() <= MAX_SUBJECT => Ok(()),
        Some(_) | None => Err("it does not say of whom it is"),
    }
}

/// §3.1.3.7, 3 to 5.
fn audience(claims: &Claims, client_id: &str) -> Result<(), &'static str> {
    let (ours, several) = match claims.get("aud") {
        Some(Json::String(one)) => (one == client_id, false),
        Some(Json::Array(all)) if all.iter().all(Json::is_string) => {
            (all.iter().any(|one| one == client_id), all.len() > 1)
        }
        Some(_) | None => return Err("it does not say for whom it is"),
    };
    if !ours {
        return Err("it is for somebody else");
    }
    match claims.get("azp") {
        Some(azp) if azp == client_id => Ok(()),
        Some(_) => Err("it was issued to somebody else"),
        None if several => Err("it does not say to whom it was issued"),
        None => Ok(()),
    }
}

/// A time in seconds; fractions are allowed (RFC 7519 §2) and cut.
fn time(claims: &Claims, name: &str) -> Result<Option<i64>, &'static str> {
    match claims.get(name) {
        None => Ok(None),
        Some(Json::Number(number)) => {
            let whole = number.as_i64();
            #[expect(
                clippy::cast_possible_truncation,
                reason = "`as` saturates, which is what is meant"
            )]
            let whole = whole.or_else(|| number.as_f64().map(|seconds| seconds as i64));
            whole.map(Some).ok_or("a time in it is none")
        }
        Some(_) => Err("a time in it is none"),
    }
}
