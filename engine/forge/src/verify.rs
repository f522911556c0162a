//! Who sent a delivery: signatures over the raw body, before anything in it is looked at.
//!
//! Must not parse the body, stop at the first secret that fits, or fall back from one scheme to
//! another. The provider comes from the route. Comparisons take the same time whatever they find.

use std::fmt;

use crate::{headers::Headers, provider::Provider, refusal::Refusal};

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
