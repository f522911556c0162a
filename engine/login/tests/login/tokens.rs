//! ID tokens: those that are believed, and those that are not, each for its own reason.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use plue_runtime::Clock;
use ring::{hmac, signature::KeyPair as _};
use serde_json::{Value as Json, json};

use crate::issuer::{FakeIssuer, new_key, unsigned};

/// Logs in with changed claims; the refusal has to contain `why`.
async fn refused(change: impl Fn(&mut Json), why: &str) {
    let issuer = FakeIssuer::start().await;
    let mut claims = issuer.claims();
    change(&mut claims);
    let error = issuer.log_in(&issuer.head(), &claims).await.unwrap_err();
    assert!(error.to_string().contains(why), "{claims}: {error}");
}

fn now() -> i64 {
    Clock::real().now().as_second()
}

#[tokio::test]
async fn valid_tokens_name_a_person() {
    let issuer = FakeIssuer::start().await;
    let person = issuer.log_in(&issuer.head(), &issuer.claims()).await.unwrap();
    assert_eq!((person.subject.as_str(), person.name.as_str()), ("1", "ada@example.org"));
    assert_eq!(person.groups, ["dev"]);
}

#[tokio::test]
async fn expired_tokens_are_rejected() {
    refused(|claims| claims["exp"] = json!(now() - 90), "it has expired").await;
    let without = |claims: &mut Json| drop(claims.as_object_mut().unwrap().remove("exp"));
    refused(without, "it does not say when it expires").await;
}

#[tokio::test]
async fn clocks_may_differ_by_the_leeway() {
    let issuer = FakeIssuer::start().await;
    let mut claims = issuer.claims();
    claims["exp"] = json!(now() - 30);
    issuer.log_in(&issuer.head(), &claims).await.unwrap();
}

#[tokio::test]
async fn tokens_of_other_times_are_rejected() {
    refused(|claims| claims["iat"] = json!(now() + 3_600), "it is from the future").await;
    refused(|claims| claims["iat"] = json!(now() - 3_600), "it is too old").await;
    refused(|claims| claims["nbf"] = json!(now() + 3_600), "it is not good yet").await;
}

#[tokio::test]
async fn tokens_for_other_audiences_are_rejected() {
    refused(|claims| claims["aud"] = json!("other"), "it is for somebody else").await;
    refused(|claims| claims["aud"] = json!(["other"]), "it is for somebody else").await;
    refused(|claims| claims["aud"] = json!(["plue", "other"]), "to whom it was issued").await;
    refused(|claims| claims["azp"] = json!("other"), "it was issued to somebody else").await;
}

#[tokio::test]
async fn tokens_with_wrong_nonces_are_rejected() {
    refused(|claims| claims["nonce"] = json!("other"), "it is of another login").await;
    refused(|claims| claims["nonce"] = Json::Null, "it is of another login").await;
}

#[tokio::test]
async fn tokens_of_other_issuers_are_rejected() {
    refused(|claims| claims["iss"] = json!("https://other.example"), "it is of another issuer")
        .await;
}

#[tokio::test]
async fn tokens_without_signatures_are_rejected() {
    let issuer = FakeIssuer::start().await;
    let message = unsigned(&json!({"alg": "none"}), &issuer.claims());
    issuer.log_in_with(&format!("{message}.")).await.unwrap_err();
    let message = unsigned(&issuer.head(), &issuer.claims());
    let error = issuer.log_in_with(&format!("{message}.")).await.unwrap_err();
    assert!(error.to_string().contains("its signature is not good"), "{error}");
}

#[tokio::test]
async fn public_keys_are_no_shared_secrets() {
    let issuer = FakeIssuer::start().await;
    let message = unsigned(&json!({"alg": "HS256", "kid": "first"}), &issuer.claims());
    let key = hmac::Key::new(hmac::HMAC_SHA256, issuer.state().key.public_key().as_ref());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()));
    let error = issuer.log_in_with(&format!("{message}.{signature}")).await.unwrap_err();
    assert!(error.to_string().contains("its algorithm is not allowed"), "{error}");
}

#[tokio::test]
async fn algorithms_must_fit_their_keys() {
    let issuer = FakeIssuer::start().await;
    for algorithm in ["ES256", "RS256"] {
        let head = json!({"alg": algorithm, "kid": "first"});
        let error = issuer.log_in(&head, &issuer.claims()).await.unwrap_err();
        assert!(error.to_string().contains("not one of the issuer's"), "{algorithm}: {error}");
    }
}

#[tokio::test]
async fn keys_within_tokens_are_not_believed() {
    let issuer = FakeIssuer::start().await;
    let own = new_key();
    let jwk = json!({
        "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(own.public_key()),
    });
    let head = json!({"alg": "EdDSA", "kid": "first", "jwk": jwk});
    let message = unsigned(&head, &issuer.claims());
    let signature = URL_SAFE_NO_PAD.encode(own.sign(message.as_bytes()));
    let error = issuer.log_in_with(&format!("{message}.{signature}")).await.unwrap_err();
    assert!(error.to_string().contains("its signature is not good"), "{error}");
}

#[tokio::test]
async fn changed_claims_break_the_signature() {
    let issuer = FakeIssuer::start().await;
    let (head, claims) = (issuer.head(), issuer.claims());
    let signature = issuer.state().key.sign(unsigned(&head, &claims).as_bytes());
    let mut changed = claims;
    changed["email"] = json!("eve@example.org");
    let token = format!("{}.{}", unsigned(&head, &changed), URL_SAFE_NO_PAD.encode(signature));
    let error = issuer.log_in_with(&token).await.unwrap_err();
    assert!(error.to_string().contains("its signature is not good"), "{error}");
}
