//! One attempt to log in: what goes with it to the issuer and must come back.
//!
//! All of it follows from what the browser keeps and the state that the issuer sends back, so that any
//! replica can finish what another began, and nothing at rest is worth stealing.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

/// One attempt to log in.
#[derive(Clone)]
pub struct Attempt {
    /// `state` (RFC 6749 §10.12).
    pub state: String,
    /// `nonce` (OpenID Connect Core 1.0 §15.5.2).
    pub nonce: String,
    /// `code_verifier` (RFC 7636 §4.1): 64 characters of hex.
    verifier: String,
}

// === impl Attempt ===

impl Attempt {
    /// The attempt of a browser, by the secret that only it keeps and a state that is used once.
    #[must_use]
    pub fn of(secret: &str, state: &str) -> Self {
        let derived = |what: &str| hex::encode(Sha256::digest(format!("{what} {secret} {state}")));
        Self {
            state: state.to_owned(),
            nonce: derived("nonce"),
            verifier: derived("code verifier"),
        }
    }

    pub(crate) fn verifier(&self) -> &str {
        &self.verifier
    }

    /// `code_challenge` by S256 (RFC 7636 §4.2).
    pub(crate) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier.as_bytes()))
    }
}

impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_requests_derive_from_secret_and_state() {
        let one = Attempt::of("secret", "state");
        assert_eq!(one.nonce, Attempt::of("secret", "state").nonce);
        for other in [Attempt::of("secret", "state2"), Attempt::of("secret2", "state")] {
            assert_ne!(one.nonce, other.nonce);
            assert_ne!(one.verifier, other.verifier);
        }
        assert!((43..=128).contains(&one.verifier.len()), "RFC 7636 §4.1");
        assert_ne!(one.verifier, one.nonce);
    }

    #[test]
    fn challenges_match_rfc_7636_appendix_b() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned();
        let attempt = Attempt { state: String::new(), nonce: String::new(), verifier };
        assert_eq!(attempt.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
