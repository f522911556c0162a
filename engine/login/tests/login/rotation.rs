//! Keys of an issuer: fetched when needed, and not for every token with an unknown one.

use serde_json::json;

use crate::issuer::{FakeIssuer, new_key};

#[tokio::test]
async fn known_keys_are_fetched_once() {
    let issuer = FakeIssuer::start().await;
    for _ in 0..2 {
        issuer.log_in(&issuer.head(), &issuer.claims()).await.unwrap();
    }
    assert_eq!(issuer.requests("/keys"), 1);
}

#[tokio::test]
async fn rotated_keys_are_fetched_again() {
    let issuer = FakeIssuer::start().await;
    issuer.log_in(&issuer.head(), &issuer.claims()).await.unwrap();
    issuer.state().key = new_key();
    issuer.state().key_id = "second".to_owned();
    issuer.log_in(&issuer.head(), &issuer.claims()).await.unwrap();
    assert_eq!(issuer.requests("/keys"), 2);
}

#[tokio::test]
async fn keys_under_known_names_are_not_fetched() {
    let issuer = FakeIssuer::start().await;
    issuer.log_in(&issuer.head(), &issuer.claims()).await.unwrap();
    issuer.state().key = new_key();
    let error = issuer.log_in(&issuer.head(), &issuer.claims()).await.unwrap_err();
    assert!(error.to_string().contains("its signature is not good"), "{error}");
    assert_eq!(issuer.requests("/keys"), 1);
}

#[tokio::test]
async fn unknown_keys_are_searched_once_at_first() {
    let issuer = FakeIssuer::start().await;
    let head = json!({"alg": "EdDSA", "kid": "unknown"});
    issuer.log_in(&issuer.head(), &issuer.claims()).await.unwrap();
    for _ in 0..3 {
        let error = issuer.log_in(&head, &issuer.claims()).await.unwrap_err();
        assert!(error.to_string().contains("not one of the issuer's"), "{error}");
    }
    assert_eq!(issuer.requests("/keys"), 2);
}
