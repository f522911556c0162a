//! Who sent a delivery: signatures over the raw body, before anything in it is looked at.
//!
//! Must not parse the body, stop at the first secret that fits, or fall back from one scheme to
//! another. The provider comes from the route. Comparisons take the same time whatever they find.

use std::fmt;

use crate::{headers::Headers, provider::Provider, refusal::Refusal};

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
        Provider::Gitea => hmac_hex::verify(hmac_hex::GITEA, &usable, headers, body),
        Provider::Forgejo => hmac_hex::verify(hmac_hex::FORGEJO, &usable, headers, body),
        Provider::GitLab if headers.has(standard::SIGNATURE) => {
            standard::verify(&usable, headers, body, now)
        }
        Provider::GitLab => token::verify(&usable, headers),
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
    fn a_call_is_signed_as_standard_webhooks_says_within_five_minutes() {
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
    fn a_call_may_show_the_secret_itself_and_nothing_else() {
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
