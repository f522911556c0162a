//! Signatures and secrets of Standard Webhooks. Pure but for a fresh secret's random bits.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use plue_runtime::Ids;
use sha2::Sha256;
use zeroize::Zeroizing;

/// Prefix of every secret, as Standard Webhooks specifies.
pub const PREFIX: &str = "whsec_";
/// Bytes of a fresh secret; the specification allows 24 to 64.
const BYTES: usize = 32;

/// A secret that messages are signed with. Never shown.
pub struct Secret(Zeroizing<Vec<u8>>);

// === impl Secret ===

impl Secret {
    /// Reads `whsec_` and base64.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let key = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
        (!key.is_empty()).then(|| Self(Zeroizing::new(key)))
    }

    /// `v1,` and the signature of a message (HMAC-SHA256 of `id.timestamp.body`).
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        // A key of any length will do (RFC 2104 §3).
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A new secret as text.
#[must_use]
pub fn fresh(ids: &Ids) -> Zeroizing<String> {
    let digits = Zeroizing::new(format!("{}{}", ids.secret(), ids.secret()));
    let bytes = Zeroizing::new(hex::decode(digits.as_bytes()).unwrap_or_default());
    Zeroizing::new(format!("{PREFIX}{}", STANDARD.encode(bytes.get(..BYTES).unwrap_or(&bytes))))
}

/// The header `webhook-signature`: one for each secret that is good now.
#[must_use]
pub fn signatures(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    secrets.iter().map(|one| one.sign(id, timestamp, body)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use plue_forge::{Headers, Provider, Secret as Shared, verify};
    use proptest::prelude::*;

    use super::*;

    /// The example of the specification's libraries and of their documentation.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn the_published_example_has_the_published_signature() {
        let secret = Secret::read(SECRET).unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signed = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn fresh_secrets_are_long_and_distinct() {
        let (one, two) = (fresh(&Ids::counting()), fresh(&Ids::counting()));
        let key = STANDARD.decode(one.strip_prefix(PREFIX).unwrap()).unwrap();
        assert!((24..=64).contains(&key.len()), "{}", key.len());
        assert_ne!(*one, *two);
        assert!(Secret::read(&one).is_some());
        assert!(!format!("{:?}", Secret::read(SECRET)).contains("MfKQ"));
        for bad in ["", "whsec_", "whsec_%%%", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert!(Secret::read(bad).is_none(), "{bad}");
        }
    }

    proptest! {
        /// The side that verifies (deliveries of GitLab) was written apart and is held to the vectors of
        /// the reference library.
        #[test]
        fn only_holders_of_a_secret_can_verify(body: Vec<u8>, at in 0..4_000_000_000_i64) {
            let texts = [SECRET.to_owned(), fresh(&Ids::random()).to_string()];
            let secrets = texts.each_ref().map(|text| Secret::read(text).unwrap());
            let headers = [
                ("webhook-id".to_owned(), "msg_1".to_owned()),
                ("webhook-timestamp".to_owned(), at.to_string()),
                ("webhook-signature".to_owned(), signatures(&secrets, "msg_1", at, &body)),
            ];
            let headers: Headers = headers.into_iter().collect();
            let check = |text: &str, body: &[u8]| {
                verify(Provider::GitLab, &[Shared::new(text)], &headers, body, at).is_ok()
            };
            prop_assert!(texts.iter().all(|text| check(text, &body)));
            prop_assert!(!check(&fresh(&Ids::random()), &body));
            let mut other = body.clone();
            other.push(b' ');
            prop_assert!(!check(SECRET, &other));
        }
    }
}
