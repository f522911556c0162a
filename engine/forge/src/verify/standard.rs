//! Standard Webhooks, which is also the signing token of GitLab 19.0: `v1,<base64>` over
//! `{id}.{timestamp}.{body}`, several signatures separated by spaces, in a window of five minutes.

use base64::{
    Engine as _,
    alphabet::STANDARD as ALPHABET,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use subtle::ConstantTimeEq as _;

use crate::{
    headers::Headers,
    limits::{MAX_SIGNATURES, REPLAY_WINDOW_S},
    refusal::Refusal,
    verify::{Secret, hmac_hex::mac},
};

pub(super) const SIGNATURE: &str = "webhook-signature";
pub(super) const PREFIX: &str = "whsec_";
const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";

/// People copy keys with and without their padding.
const KEY: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(super) fn verify(
    secrets: &[&Secret],
    headers: &Headers,
    body: &[u8],
    now: i64,
) -> Result<(), Refusal> {
    let only = |name: &'static str| {
        let value = headers.only(name).filter(|value| !value.is_empty());
        value.ok_or(Refusal::NotSigned(name))
    };
    let (given, id, timestamp) = (only(SIGNATURE)?, only(ID)?, only(TIMESTAMP)?);
    let signed_at: i64 = timestamp.parse().map_err(|_| Refusal::BadSignature(TIMESTAMP))?;
    if now.abs_diff(signed_at) > REPLAY_WINDOW_S.unsigned_abs() {
        return Err(Refusal::Stale);
    }
    let mut fits = subtle::Choice::from(0);
    let mut keys = 0;
    for key in secrets.iter().filter_map(|secret| key(secret)) {
        keys += 1;
        let signed: [&[u8]; 5] = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
        let expected = format!("v1,{}", STANDARD.encode(mac(&key, &signed)));
        for one in given.split(' ').take(MAX_SIGNATURES) {
            fits |= expected.as_bytes().ct_eq(one.as_bytes());
        }
    }
    if keys == 0 {
        return Err(Refusal::NoSecret);
    }
    if bool::from(fits) { Ok(()) } else { Err(Refusal::BadSignature(SIGNATURE)) }
}

/// The key of a signing token; a secret without the prefix is none.
fn key(secret: &Secret) -> Option<Vec<u8>> {
    let text = secret.text().strip_prefix(PREFIX)?;
    KEY.decode(text.trim()).ok().filter(|key| !key.is_empty())
}
