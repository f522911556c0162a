//! HMAC-SHA256 of the body as lower-case hex: GitHub's with a prefix, Gitea's and Forgejo's bare.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::{headers::Headers, refusal::Refusal, verify::Secret};

/// A header and what stands before its digits.
pub(super) type Scheme = (&'static str, &'static str);

/// The scheme of GitHub.
pub(super) const GITHUB: Scheme = ("x-hub-signature-256", "sha256=");
/// The headers of Gitea, its own first.
pub(super) const GITEA: &[Scheme] = &[("x-gitea-signature", ""), ("x-gogs-signature", ""), GITHUB];
/// The headers of Forgejo, its own first.
pub(super) const FORGEJO: &[Scheme] =
    &[("x-forgejo-signature", ""), ("x-gitea-signature", ""), ("x-gogs-signature", ""), GITHUB];

/// Verifies the first of the headers that is there. None rescues another.
pub(super) fn verify(
    schemes: &[Scheme],
    secrets: &[&Secret],
    headers: &Headers,
    body: &[u8],
) -> Result<(), Refusal> {
    let wanted = schemes.first().map_or("", |(header, _)| *header);
    let scheme = schemes.iter().find(|(header, _)| headers.has(header));
    let (header, prefix) = scheme.ok_or(Refusal::NotSigned(wanted))?;
    let given = headers.only(header).ok_or(Refusal::NotSigned(header))?;
    let mut fits = subtle::Choice::from(0);
    for secret in secrets {
        let expected = format!("{prefix}{}", hex::encode(mac(secret.text().as_bytes(), &[body])));
        fits |= expected.as_bytes().ct_eq(given.as_bytes());
    }
    if bool::from(fits) { Ok(()) } else { Err(Refusal::BadSignature(header)) }
}

/// HMAC-SHA256 over parts that follow each other.
pub(super) fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // A key of any length is fine for HMAC; the error is never made.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return [0; 32];
    };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
