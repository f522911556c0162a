//! Outgoing webhooks over HTTP: who may make them, what is shown of them, what is asked of them.

use axum::http::Method;
use plue_api::{Role, openapi, routes};
use plue_store::webhook::{DeliveryState, EVENTS};
use serde_json::json;

use crate::support::{OTHER, REPO, Server, create, create_webhook, request, watched};

const ALL: &str = "/api/v1/webhooks";

#[tokio::test]
async fn webhooks_are_created_rotated_and_removed() {
    let server = Server::start().await;
    watched(&server.store, REPO, "github", "test").await;
    let token = server.token(Role::Maintainer, Some(REPO)).await;
    let wanted =
        json!({"url": "https://hooks.example/plue", "events": ["run.ended"], "repository": REPO});
    let made = server.post(&token, ALL, wanted).await.is(201).json();
    assert_eq!((&made["secret"], &made["repository"]), (&json!("whsec_one"), &json!(REPO)));
    let one = format!("{ALL}/{}", made["id"].as_str().unwrap());
    for path in [ALL, &one] {
        let text = String::from_utf8(server.get(&token, path).await.is(200).body).unwrap();
        assert!(text.contains("hooks.example") && !text.contains("whsec"), "{text}");
    }
    let rotate = server.send(request(Method::POST, &format!("{one}/rotate"), Some(&token), None));
    assert_eq!(rotate.await.is(200).json()["secret"], "whsec_two");
    server.send(request(Method::DELETE, &one, Some(&token), None)).await.is(204);
    server.send(request(Method::DELETE, &one, Some(&token), None)).await.is(404);
    let admin = server.token(Role::Admin, None).await;
    let trail = server.get(&admin, "/api/v1/audit").await.is(200);
    let rows = trail.json();
    let actions: Vec<_> =
        rows["items"].as_array().unwrap().iter().map(|row| row["action"].clone()).collect();
    assert_eq!(actions, ["webhook.add", "webhook.rotate", "webhook.remove"]);
    assert!(!String::from_utf8(trail.body).unwrap().contains("whsec"));
}

#[tokio::test]
async fn a_webhook_of_all_repositories_is_an_admins() {
    let server = Server::start().await;
    watched(&server.store, REPO, "github", "test").await;
    watched(&server.store, OTHER, "github", "test").await;
    create_webhook(&server.store, "all", None, &["run.ended"]).await;
    let wanted = json!({"url": "https://hooks.example", "events": ["run.ended"]});
    for (role, repo) in [(Role::Maintainer, None), (Role::Admin, Some(REPO))] {
        let token = server.token(role, repo).await;
        server.post(&token, ALL, wanted.clone()).await.is(403);
    }
    let maintainer = server.token(Role::Maintainer, None).await;
    for what in ["rotate", "test", "enable", "deliveries/msg_1/replay"] {
        let path = format!("{ALL}/all/{what}");
        server.send(request(Method::POST, &path, Some(&maintainer), None)).await.is(403);
    }
    server
        .send(request(Method::DELETE, &format!("{ALL}/all"), Some(&maintainer), None))
        .await
        .is(403);
    let own = server.token(Role::Maintainer, Some(REPO)).await;
    server.get(&own, &format!("{ALL}/all")).await.is(404);
    assert_eq!(server.get(&own, ALL).await.is(200).json(), json!([]));
    let foreign =
        json!({"url": "https://hooks.example", "events": ["run.ended"], "repository": OTHER});
    server.post(&own, ALL, foreign).await.is(404);
    let admin = server.token(Role::Admin, None).await;
    server.post(&admin, ALL, wanted).await.is(201);
}

#[tokio::test]
async fn invalid_webhooks_are_refused_with_reasons() {
    let server = Server::start().await;
    let admin = server.token(Role::Admin, None).await;
    let fine = json!({"url": "https://hooks.example", "events": ["run.ended"]});
    for (field, value) in [
        ("events", json!([])),
        ("events", json!(["run.exploded"])),
        ("events", json!(["ping"])),
        ("events", json!(["run.ended step.ended"])),
        ("description", json!("a\r\nb")),
        ("description", json!("x".repeat(257))),
        ("secret", json!("whsec_mine")),
    ] {
        let mut wrong = fine.clone();
        wrong[field] = value;
        server.post(&admin, ALL, wrong).await.is(400);
    }
    let inner = json!({"url": "http://127.0.0.1/", "events": ["run.ended"]});
    let refused = server.post(&admin, ALL, inner).await.is(422).json();
    assert_eq!(refused["code"], "PLUE-R0002", "{refused}");
}

#[tokio::test]
async fn deliveries_are_listed_tried_and_sent_again() {
    let server = Server::start().await;
    let store = &server.store;
    create_webhook(store, "w", None, &EVENTS).await;
    for run in ["r1", "r2", "r3"] {
        create(store, run, REPO).await;
    }
    let admin = server.token(Role::Admin, None).await;
    let post = |path: String| {
        let request = request(Method::POST, &path, Some(&admin), None);
        server.send(request)
    };
    let ping = post(format!("{ALL}/w/test")).await.is(201).json();
    assert_eq!((&ping["event"], &ping["state"]), (&json!("ping"), &json!("open")));
    let base = format!("{ALL}/w/deliveries");
    let mut seen = Vec::new();
    let mut path = format!("{base}?limit=3");
    loop {
        let page = server.get(&admin, &path).await.is(200).json();
        seen.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        path = format!("{base}?limit=3&cursor={next}");
    }
    let runs: std::collections::BTreeSet<_> =
        seen.iter().filter_map(|one| one["run"].as_str()).collect();
    assert_eq!((seen.len(), runs.len()), (4, 3), "{seen:?}");
    server.get(&admin, &format!("{base}?cursor=nonsense")).await.is(400);
    server.get(&admin, &format!("{base}?state=lost")).await.is(400);
    let none = server.get(&admin, &format!("{base}?state=failed")).await.is(200).json();
    assert_eq!(none["items"], json!([]));
    let one = format!("{base}/msg_r1_1");
    assert_eq!(server.get(&admin, &one).await.is(200).json()["run"], "r1");
    post(format!("{one}/replay")).await.is(200);
    post(format!("{base}/msg_r9_1/replay")).await.is(404);
    // Disabled: nothing is sent, so nothing can be asked for.
    let (now, later) = (plue_runtime::Clock::real().now(), plue_runtime::Clock::real().now());
    let claimed = store.webhooks().claim("w", (now, later), 1).await.unwrap().remove(0);
    let gone = plue_store::webhook::Settled {
        state: DeliveryState::Failed,
        at: now,
        next_at: now,
        status: Some(410),
        note: None,
        disable: Some(plue_store::webhook::Disable {
            reason: "it answered 410 Gone".to_owned(),
            failing_since: None,
        }),
    };
    let outcome = store.webhooks().settle(&claimed, &gone).await.unwrap();
    assert_eq!(outcome, plue_store::webhook::SettleOutcome::Disabled);
    for path in [format!("{one}/replay"), format!("{ALL}/w/test")] {
        let problem = post(path).await.is(409).json();
        assert!(problem["detail"].as_str().unwrap().contains("410"), "{problem}");
    }
    let enabled = post(format!("{ALL}/w/enable")).await.is(200).json();
    assert_eq!(enabled["disabled_at"], json!(null));
    post(format!("{one}/replay")).await.is(200);
}

#[test]
fn the_document_describes_every_event_that_is_sent() {
    let document = openapi::document(&routes::all());
    for event in EVENTS.iter().chain(["ping"].iter()) {
        assert!(document["webhooks"][event]["post"]["requestBody"].is_object(), "{event}");
    }
    let message = &document["components"]["schemas"]["WebhookMessage"]["properties"];
    let means = message["type"]["description"].as_str().unwrap();
    assert!(EVENTS.iter().all(|event| means.contains(event)), "{means}");
}
