//! A GitHub App: its word is signed with its key, and gets a token for one repository.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use plue_forge::feedback::{AppKey, ClientOptions, FeedbackError, Grant, Rights};
use plue_runtime::Clock;
use ring::{
    rsa::KeyPair,
    signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey},
};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
use serde_json::{Value as Json, json};

use crate::fake::{Fake, Reply};

/// Made for this test, as GitHub makes them; it opens nothing.
const KEY: &str = include_str!("app-key.pem");

async fn granted(fake: &Fake, rights: Rights) -> Result<Grant, FeedbackError> {
    let options = ClientOptions {
        attempts: 2,
        backoff: Duration::from_millis(1),
        allow_http: true,
        ..ClientOptions::default()
    };
    let key = AppKey::new("12345", KEY).unwrap();
    key.grant(&fake.address("/api"), "acme/app", rights, Clock::real(), options).await
}

fn public() -> UnparsedPublicKey<Vec<u8>> {
    let PrivateKeyDer::Pkcs1(der) = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap() else {
        panic!("GitHub's keys are PKCS#1");
    };
    let pair = KeyPair::from_der(der.secret_pkcs1_der()).unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref().to_vec())
}

/// Head and claims of a word whose signature fits.
fn read(word: &str) -> (Json, Json) {
    let (signed, signature) = word.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    public().verify(signed.as_bytes(), &signature).unwrap();
    let (head, claims) = signed.split_once('.').unwrap();
    let part = |text| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
    (part(head), part(claims))
}

#[tokio::test]
async fn apps_exchange_short_jwts_for_repository_tokens() {
    let token = json!({"token": "ghs_1", "expires_at": "2026-11-21T19:00:00Z"});
    let fake = Fake::start([Reply::ok(json!({"id": 77})), Reply::ok(token)]).await;
    let grant = granted(&fake, Rights::Checks).await.unwrap();
    assert_eq!(grant.token, "ghs_1");
    assert_eq!(grant.expires_at, "2026-11-21T19:00:00Z".parse().unwrap());
    assert!(!format!("{grant:?}").contains("ghs_1"));
    let seen = fake.seen();
    assert_eq!(seen[0].line, "GET /api/repos/acme/app/installation");
    assert_eq!(seen[1].line, "POST /api/app/installations/77/access_tokens");
    let asked = json!({"repositories": ["app"], "permissions":
        {"contents": "read", "checks": "write", "pull_requests": "write"}});
    assert_eq!(seen[1].body, asked);
    let now = Clock::real().now().as_second();
    for request in &seen {
        let (head, claims) = read(request.header("authorization").strip_prefix("Bearer ").unwrap());
        assert_eq!(head, json!({"alg": "RS256", "typ": "JWT"}));
        assert_eq!(claims["iss"], "12345");
        let (issued, ends) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
        assert!(issued <= now - 60 && ends > now && ends - issued <= 600, "{claims} {now}");
    }
}

#[tokio::test]
async fn refusals_name_the_likely_cause() {
    let body = r#"{"message": "'Issued at' claim ('iat') must be in the past"}"#;
    for (status, hint) in [
        (401, "the clock of this machine right? Its time is 20"),
        (404, "is the App installed for this repository?"),
        (422, "docs/how-to/github-app.md"),
    ] {
        let fake = Fake::start([Reply::of(status, body)]).await;
        let error = granted(&fake, Rights::Read).await.unwrap_err().to_string();
        assert!(error.contains("'Issued at'") && error.contains(hint), "{error}");
    }
    let fake = Fake::start([Reply::ok(json!({"id": 1})), Reply::of(422, "not granted")]).await;
    let rights = Rights::Changes { commits: true, issues: true };
    let error = granted(&fake, rights).await.unwrap_err().to_string();
    for right in
        ["`contents: read and write`", "`issues: read and write`", "owner of the installation"]
    {
        assert!(error.contains(right), "{error}");
    }
    let asked = json!({"contents": "write", "pull_requests": "write", "issues": "write"});
    assert_eq!(fake.seen()[1].body["permissions"], asked);
    let fake = Fake::start([Reply::ok(json!({"id": 1})), Reply::ok(json!({"token": ""}))]).await;
    let error = granted(&fake, Rights::Read).await.unwrap_err();
    assert!(matches!(error, FeedbackError::BadAnswer { .. }), "{error}");
}

#[test]
fn malformed_keys_and_ids_are_refused_unquoted() {
    let middle = KEY.lines().nth(3).unwrap();
    for (id, key) in [
        ("", KEY),
        ("1 2", KEY),
        ("1", ""),
        ("1", "ssh-rsa AAAA"),
        ("1", &KEY.replace(middle, "")),
        ("1", &KEY.replace("RSA PRIVATE", "EC PRIVATE")),
    ] {
        let error = AppKey::new(id, key).unwrap_err().to_string();
        assert!(!error.contains(&middle[..20]), "{error}");
    }
    assert!(!format!("{:?}", AppKey::new("1", KEY).unwrap()).contains(middle));
}
