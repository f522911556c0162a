//! Messages for a repository, and the list of what came for it.

use axum::http::Method;
use plue_api::Role;
use plue_runtime::Clock;
use plue_store::{DeliveryRow, DeliveryState};
use serde_json::json;

use crate::support::{OTHER, REPO, Server, request, watched};

const EVENTS: &str = "/api/v1/repositories/acme%2Fapp/events";
const DELIVERIES: &str = "/api/v1/repositories/acme%2Fapp/deliveries";

#[tokio::test]
async fn messages_pass_key_and_sender_with_one_audit() {
    let server = Server::start().await;
    watched(&server.store, REPO, "github", "test").await;
    let writer = server.token(Role::Writer, Some(REPO)).await;
    let body = json!({"topic": "build.done", "payload": {"n": 1}});
    let send = async |key: &'static str| {
        let mut asked = request(Method::POST, EVENTS, Some(&writer), Some(body.clone()));
        asked.headers_mut().insert("idempotency-key", key.parse().unwrap());
        server.send(asked).await.is(201).json()
    };
    let id = format!("token:writer-{REPO}:k");
    assert_eq!(send("k").await, json!({"id": id, "new": true}));
    assert_eq!(send("k").await, json!({"id": id, "new": false}));
    let sent = server.asked.events.lock().unwrap().clone();
    let expected = format!(r#"{REPO} {id} build.done {{"n":1}} token:writer-{REPO}"#);
    assert_eq!(sent, [expected.clone(), expected]);
    let admin = server.token(Role::Admin, None).await;
    let trail = server.get(&admin, "/api/v1/audit").await.is(200).json();
    let trail = trail["items"].as_array().unwrap();
    assert_eq!((trail.len(), &trail[0]["action"]), (1, &json!("event.send")));
    assert_eq!(trail[0]["subject"], "build.done");
    server.post(&writer, EVENTS, json!({"topic": "t", "data": 1})).await.is(400);
    server.post(&writer, &EVENTS.replace("app", "none"), body).await.is(404);
}

#[tokio::test]
async fn deliveries_are_listed_by_pages_per_repository_access() {
    let server = Server::start().await;
    watched(&server.store, REPO, "github", "test").await;
    watched(&server.store, OTHER, "github", "test").await;
    for (n, hook) in ["hook-acme-app", "hook-acme-other", "hook-acme-app"].into_iter().enumerate() {
        let row = DeliveryRow {
            forge: "event".to_owned(),
            hook: hook.to_owned(),
            id: format!("d {n}"),
            headers: json!({}),
            body: b"secret body".to_vec(),
            received_at: Clock::real().now(),
            state: DeliveryState::Done,
            note: Some("CI: run 1".to_owned()),
        };
        server.store.deliveries().receive(row).await.unwrap();
    }
    let reader = server.token(Role::Reader, Some(REPO)).await;
    let first = server.get(&reader, &format!("{DELIVERIES}?limit=1")).await.is(200).json();
    let item = &first["items"][0];
    assert_eq!((&item["id"], &item["source"]), (&json!("d 2"), &json!("event")));
    assert_eq!((&item["state"], &item["note"]), (&json!("done"), &json!("CI: run 1")));
    let next = first["next"].as_str().unwrap().replace(' ', "%20");
    let rest = server.get(&reader, &format!("{DELIVERIES}?cursor={next}")).await.is(200).json();
    assert_eq!((&rest["items"][0]["id"], &rest["next"]), (&json!("d 0"), &json!(null)));
    assert!(!rest.to_string().contains("body"));
    server.get(&reader, &format!("{DELIVERIES}?cursor=x")).await.is(400);
    server.get(&reader, &DELIVERIES.replace("app", "other")).await.is(404);
}
