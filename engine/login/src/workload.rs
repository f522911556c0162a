//! Tokens of workloads: a pod proves which pod it is with a token that its cluster issued to it (a projected
//! service-account token). Verified here, against the keys of the issuer; nothing is asked of the cluster for
//! each pod.
//!
//! Must not decide what a workload may do, or trust a claim before the signature.

use std::{fmt::Debug, future::Future, path::PathBuf, pin::Pin};

use jiff::Timestamp;
use jsonwebtoken::{Validation, decode};
use plue_runtime::Clock;
use serde_json::Value as Json;
use tokio::{io::AsyncReadExt as _, sync::Mutex};

use crate::{
    error::Error,
    id_token::{self, Claims, LEEWAY},
    keys::Keys,
    signature,
};

/// Bytes of a set of keys.
const MAX_KEYS_BYTES: u64 = 256 * 1024;
/// Bytes of a name in a claim.
const MAX_NAME_BYTES: usize = 253;

/// A future set of keys (RFC 7517), as JSON.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, Error>> + Send + 'a>>;

/// The place of an issuer's keys.
pub trait KeySource: Debug + Send + Sync {
    /// Fetches the keys as they are now.
    fn fetch(&self) -> Fetching<'_>;
}

/// Keys in a file that others keep current.
#[derive(Debug, Clone)]
pub struct KeyFile(pub PathBuf);

/// A pod that has proved which one it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Namespace of the pod.
    pub namespace: String,
    /// Service account of the pod.
    pub service_account: String,
    /// Name of the pod.
    pub pod: String,
    /// Unique id of the pod.
    pub uid: String,
}

/// Verifies tokens of one issuer for one audience.
#[derive(Debug)]
pub struct WorkloadVerifier {
    issuer: String,
    audience: String,
    clock: Clock,
    source: Box<dyn KeySource>,
    keys: Mutex<Keys>,
}

impl KeySource for KeyFile {
    fn fetch(&self) -> Fetching<'_> {
        Box::pin(async move {
            let failed = |error: std::io::Error| Error::BadAnswer {
                what: "its keys",
                why: format!("{}: {error}", self.0.display()),
            };
            let mut bytes = Vec::new();
            let file = tokio::fs::File::open(&self.0).await.map_err(failed)?;
            file.take(MAX_KEYS_BYTES).read_to_end(&mut bytes).await.map_err(failed)?;
            Ok(bytes)
        })
    }
}

// === impl WorkloadVerifier ===

impl WorkloadVerifier {
    /// Tokens of `issuer` for `audience`.
    #[must_use]
    pub fn new(issuer: String, audience: String, source: Box<dyn KeySource>, clock: Clock) -> Self {
        Self { issuer, audience, clock, source, keys: Mutex::default() }
    }

    /// The pod of a token.
    ///
    /// # Errors
    /// [`Error::Token`] for a token that is not good; [`Error::BadAnswer`] if the keys cannot be read.
    pub async fn verify(&self, token: &str) -> Result<Workload, Error> {
        signature::install();
        let header = id_token::head(token)?;
        let key = {
            let mut keys = self.keys.lock().await;
            if keys.is_stale(self.clock) {
                self.refresh(&mut keys).await?;
            }
            match keys.find(&header) {
                Some(key) => Some(key),
                None if keys.may_search(self.clock) => {
                    self.refresh(&mut keys).await?;
                    keys.find(&header)
                }
                None => None,
            }
        };
        let key = key.ok_or(Error::Token("its key is unknown"))?;
        let mut signed = Validation::new(header.alg);
        // Only the signature; claims are judged below, by our clock and without exceptions for absent ones.
        signed.required_spec_claims.clear();
        (signed.validate_exp, signed.validate_aud) = (false, false);
        let verified = decode::<Claims>(token, &key, &signed);
        let claims = verified.map_err(|_| Error::Token("its signature is not good"))?.claims;
        judge(&claims, &self.issuer, &self.audience, self.clock.now()).map_err(Error::Token)
    }

    async fn refresh(&self, keys: &mut Keys) -> Result<(), Error> {
        let bytes = self.source.fetch().await?;
        keys.take(&bytes, self.clock)
    }
}

/// Checks that claims are of this issuer, for this audience and for now; returns the pod that they name.
fn judge(
    claims: &Claims,
    issuer: &str,
    audience: &str,
    now: Timestamp,
) -> Result<Workload, &'static str> {
    if claims.get("iss").and_then(Json::as_str) != Some(issuer) {
        return Err("it is of another issuer");
    }
    let is_ours = match claims.get("aud") {
        Some(Json::String(one)) => one == audience,
        // For this audience alone: a token for the API server as well would be worth stealing.
        Some(Json::Array(all)) => all.len() == 1 && all.iter().all(|one| one == audience),
        Some(_) | None => false,
    };
    if !is_ours {
        return Err("it is for another audience");
    }
    let now = now.as_second();
    let time = |name: &str| claims.get(name).and_then(Json::as_i64);
    match time("exp") {
        Some(exp) if exp > now.saturating_sub(LEEWAY) => {}
        Some(_) => return Err("it has expired"),
        None => return Err("it has no time of expiry"),
    }
    if time("nbf").is_some_and(|nbf| nbf > now.saturating_add(LEEWAY)) {
        return Err("it is not good yet");
    }
    let bound = claims.get("kubernetes.io").ok_or("it is bound to no pod")?;
    let name = |pointer: &str| {
        let found = bound.pointer(pointer).and_then(Json::as_str);
        found.filter(|text| (1..=MAX_NAME_BYTES).contains(&text.len())).map(str::to_owned)
    };
    let pod =
        (name("/namespace"), name("/serviceaccount/name"), name("/pod/name"), name("/pod/uid"));
    match pod {
        (Some(namespace), Some(service_account), Some(pod), Some(uid)) => {
            Ok(Workload { namespace, service_account, pod, uid })
        }
        _ => Err("it is bound to no pod"),
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use ring::{
        rand::SystemRandom,
        signature::{Ed25519KeyPair, KeyPair as _},
    };
    use serde_json::json;

    use super::*;

    fn pair() -> Ed25519KeyPair {
        let bytes = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Ed25519KeyPair::from_pkcs8(bytes.as_ref()).unwrap()
    }

    fn set(pairs: &[(&str, &Ed25519KeyPair)]) -> String {
        let keys = pairs.iter().map(|(kid, pair)| {
            let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
            json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x, "use": "sig"})
        });
        json!({"keys": keys.collect::<Vec<_>>()}).to_string()
    }

    fn signed(kid: &str, pair: &Ed25519KeyPair, claims: &Json) -> String {
        let part = |value: &Json| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&json!({"alg": "EdDSA", "kid": kid})), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(pair.sign(text.as_bytes()).as_ref());
        format!("{text}.{signature}")
    }

    fn claims() -> Json {
        json!({
            "iss": "https://cluster", "aud": ["plue-runner"], "exp": 1_000, "nbf": 100,
            "kubernetes.io": {
                "namespace": "ci", "serviceaccount": {"name": "runner", "uid": "s"},
                "pod": {"name": "plue-1", "uid": "u1"},
            },
        })
    }

    fn at(second: i64) -> Clock {
        Clock::simulated(Timestamp::from_second(second).unwrap())
    }

    fn verifier(folder: &tempfile::TempDir, clock: Clock) -> WorkloadVerifier {
        let source = Box::new(KeyFile(folder.path().join("jwks")));
        WorkloadVerifier::new("https://cluster".to_owned(), "plue-runner".to_owned(), source, clock)
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_of_the_issuer_name_their_pod() {
        let (folder, ours, other) = (tempfile::tempdir().unwrap(), pair(), pair());
        std::fs::write(folder.path().join("jwks"), set(&[("a", &ours)])).unwrap();
        let verifier = verifier(&folder, at(500));
        let workload = verifier.verify(&signed("a", &ours, &claims())).await.unwrap();
        assert_eq!((workload.namespace.as_str(), workload.uid.as_str()), ("ci", "u1"));
        let forged = verifier.verify(&signed("a", &other, &claims())).await.unwrap_err();
        assert!(forged.to_string().contains("signature"), "{forged}");
    }

    #[tokio::test(start_paused = true)]
    async fn rotated_keys_are_found() {
        let (folder, old, new) = (tempfile::tempdir().unwrap(), pair(), pair());
        let path = folder.path().join("jwks");
        std::fs::write(&path, set(&[("old", &old)])).unwrap();
        let verifier = verifier(&folder, at(500));
        verifier.verify(&signed("old", &old, &claims())).await.unwrap();
        std::fs::write(&path, set(&[("new", &new)])).unwrap();
        verifier.verify(&signed("new", &new, &claims())).await.unwrap();
        assert!(verifier.verify(&signed("old", &old, &claims())).await.is_err());
    }

    #[test]
    fn other_tokens_are_refused() {
        let cases: [(&str, Json, &str); 7] = [
            ("/iss", json!("https://other"), "another issuer"),
            ("/aud", json!(["plue-runner", "https://kubernetes"]), "another audience"),
            ("/aud", json!("https://kubernetes"), "another audience"),
            ("/exp", json!(100), "expired"),
            ("/nbf", json!(900), "not good yet"),
            ("/kubernetes.io/pod", json!({}), "no pod"),
            ("/kubernetes.io/namespace", json!("n".repeat(300)), "no pod"),
        ];
        for (pointer, value, expected) in cases {
            let mut claims = claims();
            *claims.pointer_mut(pointer).unwrap() = value;
            let claims = claims.as_object().unwrap();
            let now = Timestamp::from_second(500).unwrap();
            let refused = judge(claims, "https://cluster", "plue-runner", now).unwrap_err();
            assert!(refused.contains(expected), "{pointer}: {refused}");
        }
    }
}
