//! Authentication of deliveries: signatures over the raw body, verified before parsing.
//!
//! Must not parse the body (but for the form around it), stop at the first secret that fits, or
//! fall back from one scheme to another. The provider comes from the route. Comparisons take
//! constant time.

use std::{borrow::Cow, fmt};

use sha2::{Digest as _, Sha256};

use crate::{decode::body, headers::Headers, provider::Provider, refusal::Refusal};

mod bearer;
mod hmac_hex;
mod standard;
mod token;

/// A secret shared with a forge. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Verifies a delivery against the secrets of its hook. Several secrets let one be changed without a
/// gap: any of them may fit. `now` is in seconds since 1970.
///
/// # Errors
/// No secret is configured, the delivery is not signed, the signature fits no secret, or it was
/// signed too long ago.
pub fn verify(
    provider: Provider,
    secrets: &[Secret],
    headers: &Headers,
    body: &[u8],
    now: i64,
) -> Result<(), Refusal> {
    let usable: Vec<&Secret> = secrets.iter().filter(|secret| !secret.is_empty()).collect();
    if usable.is_empty() {
        return Err(Refusal::NoSecret);
    }
    match provider {
        Provider::GitHub => hmac_hex::verify(&[hmac_hex::GITHUB], &usable, headers, body),
        Provider::Gitea => whole_or_content(hmac_hex::GITEA, &usable, headers, body),
        Provider::Forgejo => whole_or_content(hmac_hex::FORGEJO, &usable, headers, body),
        Provider::GitLab if headers.has(standard::SIGNATURE) => {
            standard::verify(&usable, headers, body, now)
        }
        Provider::GitLab => token::verify(&usable, headers),
    }
}

/// Checks that the call of a named webhook shows anything that [`verify_call`] could believe.
///
/// # Errors
/// It has neither a signature nor an `Authorization` header.
pub fn check_call_shown(headers: &Headers) -> Result<(), Refusal> {
    match headers.has(standard::SIGNATURE) || headers.has(bearer::AUTHORIZATION) {
        true => Ok(()),
        false => Err(Refusal::NotSigned(bearer::AUTHORIZATION)),
    }
}

/// Verifies a body, or the JSON in a form: Gitea and Forgejo sign the latter, also in GitHub's header.
fn whole_or_content(
    schemes: &[hmac_hex::Scheme],
    secrets: &[&Secret],
    headers: &Headers,
    body: &[u8],
) -> Result<(), Refusal> {
    let whole = hmac_hex::verify(schemes, secrets, headers, body);
    if whole.is_ok() {
        return whole;
    }
    match content(headers, body) {
        // Without a form the body is the content, which was just compared.
        Cow::Borrowed(inner) if inner.len() == body.len() => whole,
        inner => hmac_hex::verify(schemes, secrets, headers, &inner),
    }
}

fn content<'b>(headers: &Headers, body: &'b [u8]) -> Cow<'b, [u8]> {
    body::content(headers.only("content-type"), body)
}

/// The SHA-256 of a delivery's content, in hex; the same for a form and for the JSON inside.
/// `None`: the forge does not sign bodies (GitLab signs its ids, or shows a token that fits any
/// body).
#[must_use]
pub fn content_digest(provider: Provider, headers: &Headers, body: &[u8]) -> Option<String> {
    match provider {
        Provider::GitHub | Provider::Gitea | Provider::Forgejo => {
            Some(hex::encode(Sha256::digest(content(headers, body))))
        }
        Provider::GitLab => None,
    }
}

/// Verifies the call of a named webhook of ours: a Standard Webhooks signature, or the secret itself as
/// a bearer token. If there is a signature, nothing else counts. `now` is in seconds since 1970.
///
/// # Errors
/// As [`verify`].
pub fn verify_call(
    secrets: &[Secret],
    headers: &Headers,
    body: &[u8],
    now: i64,
) -> Result<(), Refusal> {
    let usable: Vec<&Secret> = secrets.iter().filter(|secret| !secret.is_empty()).collect();
    if usable.is_empty() {
        return Err(Refusal::NoSecret);
    }
    if headers.has(standard::SIGNATURE) {
        standard::verify(&usable, headers, body, now)
    } else {
        bearer::verify(&usable, headers)
    }
}

// === impl Secret ===

impl Secret {
    /// A secret as both sides have it; for a GitLab signing token with its `whsec_`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    fn is_empty(&self) -> bool {
        let key = self.0.strip_prefix(standard::PREFIX).unwrap_or(&self.0);
        key.trim().is_empty()
    }

    fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn call(headers: &[(&str, &str)], now: i64) -> Result<(), Refusal> {
        let headers = headers.iter().copied().collect();
        verify_call(&[Secret::new(KEY)], &headers, br#"{"test": 2432232314}"#, now)
    }

    /// The published example of Standard Webhooks.
    #[test]
    fn standard_webhooks_signatures_are_valid_for_five_minutes() {
        let (id, at) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330");
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let signed =
            [("webhook-id", id), ("webhook-timestamp", at), ("webhook-signature", signature)];
        assert_eq!(call(&signed, 1_614_265_330), Ok(()));
        assert_eq!(call(&signed, 1_614_265_330 + 301), Err(Refusal::Stale));
        let other = [("webhook-id", "msg_x"), signed[1], signed[2]];
        assert!(matches!(call(&other, 1_614_265_330), Err(Refusal::BadSignature(_))));
        // A wrong signature is not helped by the right token.
        let bearer = format!("Bearer {KEY}");
        let both = [other[0], other[1], other[2], ("authorization", bearer.as_str())];
        assert!(matches!(call(&both, 1_614_265_330), Err(Refusal::BadSignature(_))));
    }

    #[test]
    fn forms_of_gitea_are_signed_by_their_json() {
        let json = br#"{"ref":"refs/heads/main"}"#;
        let form = b"payload=%7B%22ref%22%3A%22refs%2Fheads%2Fmain%22%7D";
        let sign = |text: &[u8]| hex::encode(hmac_hex::mac(KEY.as_bytes(), &[text]));
        let headers = |signature: String, kind: &str| -> Headers {
            [("x-gitea-signature", signature.as_str()), ("content-type", kind)]
                .into_iter()
                .collect()
        };
        let is_form = "application/x-www-form-urlencoded";
        let check =
            |headers: &Headers| verify(Provider::Gitea, &[Secret::new(KEY)], headers, form, 0);
        assert_eq!(check(&headers(sign(json), is_form)), Ok(()));
        assert_eq!(check(&headers(sign(form), is_form)), Ok(()));
        assert!(check(&headers(sign(b"{}"), is_form)).is_err());
        assert!(check(&headers(sign(json), "application/json")).is_err());
        let digest = |kind: &str, body: &[u8]| {
            content_digest(Provider::Gitea, &headers(String::new(), kind), body)
        };
        assert_eq!(digest(is_form, form), digest("application/json", json));
        assert_eq!(content_digest(Provider::GitLab, &Headers::default(), json), None);
    }

    #[test]
    fn calls_may_carry_the_plain_secret() {
        let show = |text: &str| call(&[("authorization", text)], 0);
        assert_eq!(show(&format!("Bearer {KEY}")), Ok(()));
        assert_eq!(show(&format!("bearer  {KEY} ")), Ok(()));
        for wrong in ["Bearer x", "Bearer ", "", KEY, &format!("Basic {KEY}")] {
            assert!(show(wrong).is_err(), "{wrong}");
        }
        assert!(matches!(call(&[], 0), Err(Refusal::NotSigned(_))));
        let none = verify_call(&[Secret::new(" ")], &Headers::default(), b"", 0);
        assert_eq!(none, Err(Refusal::NoSecret));
    }
}
