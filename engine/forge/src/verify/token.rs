//! GitLab's plain token. It is not a signature: an observer of one delivery can forge others.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{
    headers::Headers,
    refusal::Refusal,
    verify::{Secret, standard},
};

const TOKEN: &str = "x-gitlab-token";

pub(super) fn verify(secrets: &[&Secret], headers: &Headers) -> Result<(), Refusal> {
    let given = headers.only(TOKEN).filter(|token| !token.is_empty());
    let given = Sha256::digest(given.ok_or(Refusal::NotSigned(TOKEN))?);
    let mut fits = subtle::Choice::from(0);
    // A signing token is never sent; a delivery that shows one as its token is no delivery.
    for secret in secrets.iter().filter(|secret| !secret.text().starts_with(standard::PREFIX)) {
        // Digests have one length, so that the time does not reveal even the length of the secret.
        fits |= Sha256::digest(secret.text()).ct_eq(&given);
    }
    if bool::from(fits) { Ok(()) } else { Err(Refusal::BadSignature(TOKEN)) }
}
