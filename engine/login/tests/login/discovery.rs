//! The document of an issuer, and what is believed of it.

use plue_login::Error;
use serde_json::json;

use crate::issuer::FakeIssuer;

const DOCUMENT: &str = "/.well-known/openid-configuration";

#[tokio::test]
async fn browsers_go_to_the_discovered_address() {
    let issuer = FakeIssuer::start().await;
    let address = issuer.client.begin(&issuer.attempt).await.unwrap();
    assert!(address.starts_with(&format!("{}/authorize?", issuer.address)), "{address}");
    for part in ["response_type=code", "client_id=plue", "scope=openid+email", "state=state"] {
        assert!(address.contains(part), "{address} lacks {part}");
    }
    assert!(address.contains(&format!("nonce={}", issuer.attempt.nonce)), "{address}");
    assert!(address.contains("code_challenge_method=S256"), "{address}");
    issuer.client.begin(&issuer.attempt).await.unwrap();
    assert_eq!(issuer.requests(DOCUMENT), 1);
}

#[tokio::test]
async fn documents_of_other_issuers_are_refused() {
    let issuer = FakeIssuer::start().await;
    issuer.state().document["issuer"] = json!("https://other.example");
    let error = issuer.client.begin(&issuer.attempt).await.unwrap_err();
    assert!(matches!(error, Error::BadAnswer { .. }), "{error}");
    assert!(error.is_passing());
}

#[tokio::test]
async fn endpoints_without_tls_are_refused() {
    let issuer = FakeIssuer::start().await;
    issuer.state().document["token_endpoint"] = json!("http://id.example/token");
    let error = issuer.client.begin(&issuer.attempt).await.unwrap_err();
    assert!(matches!(error, Error::BadAnswer { .. }), "{error}");
}

#[tokio::test]
async fn failing_issuers_rest_before_the_next_request() {
    let issuer = FakeIssuer::start().await;
    issuer.state().document = json!({});
    issuer.client.begin(&issuer.attempt).await.unwrap_err();
    let error = issuer.client.begin(&issuer.attempt).await.unwrap_err();
    assert!(matches!(error, Error::Resting), "{error}");
    assert_eq!(issuer.requests(DOCUMENT), 1);
}

#[tokio::test]
async fn refused_codes_are_reported_by_error_code() {
    let issuer = FakeIssuer::start().await;
    let error = issuer.client.finish(&issuer.attempt, "code", None).await.unwrap_err();
    assert!(matches!(&error, Error::Refused(code) if code == "invalid_grant"), "{error}");
    assert!(!error.is_passing());
}

#[tokio::test]
async fn codes_of_other_issuers_are_not_exchanged() {
    let issuer = FakeIssuer::start().await;
    let other = Some("https://other.example");
    let error = issuer.client.finish(&issuer.attempt, "code", other).await.unwrap_err();
    assert!(matches!(error, Error::Token(_)), "{error}");
    assert_eq!(issuer.requests("/token"), 0);
}
