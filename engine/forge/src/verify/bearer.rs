//! The secret itself in `Authorization: Bearer` (RFC 6750 §2.1), for senders that sign nothing.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{headers::Headers, refusal::Refusal, verify::Secret};

pub(super) const AUTHORIZATION: &str = "authorization";

pub(super) fn verify(secrets: &[&Secret], headers: &Headers) -> Result<(), Refusal> {
    let given = headers.only(AUTHORIZATION).and_then(|value| value.split_once(' '));
    let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let (_, given) = given.ok_or(Refusal::NotSigned(AUTHORIZATION))?;
    let given = Sha256::digest(given.trim());
    let mut fits = subtle::Choice::from(0);
    for secret in secrets {
        // Digests have one length, so that the time does not reveal even the length of the secret.
        fits |= Sha256::digest(secret.text().trim()).ct_eq(&given);
    }
    if bool::from(fits) { Ok(()) } else { Err(Refusal::BadSignature(AUTHORIZATION)) }
}
