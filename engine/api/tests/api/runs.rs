//! Runs, their logs and plans, and asking for them.

use axum::{
    body::Body,
    http::{Method, Request},
};
use plue_api::Role;
use plue_store::CancelRequest;
use serde_json::{Value as Json, json};

use crate::support::{OTHER, REPO, Server, create, end, print, request, started};

fn ids(page: &Json) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn runs_are_paged_newest_first_per_token_access() {
    let server = Server::start().await;
    for n in 1..=5 {
        create(&server.store, &format!("r{n}"), REPO).await;
    }
    create(&server.store, "s1", OTHER).await;
    let token = server.token(Role::Reader, Some(REPO)).await;
    let first = server.get(&token, "/api/v1/runs?limit=2").await.is(200).json();
    assert_eq!((ids(&first), &first["next"]), (vec!["r5", "r4"], &json!("r4")));
    let second = server.get(&token, "/api/v1/runs?limit=2&cursor=r4").await.is(200).json();
    assert_eq!(ids(&second), ["r3", "r2"]);
    let last = server.get(&token, "/api/v1/runs?limit=2&cursor=r2").await.is(200).json();
    assert_eq!((ids(&last), &last["next"]), (vec!["r1"], &Json::Null));
    let none = server.get(&token, "/api/v1/runs?status=failed,success").await.is(200).json();
    assert!(ids(&none).is_empty());
    let all = server.token(Role::Reader, None).await;
    assert_eq!(ids(&server.get(&all, "/api/v1/runs").await.is(200).json()).len(), 6);
    server.get(&token, "/api/v1/runs?status=broken").await.is(400);
    server.get(&token, "/api/v1/runs?colour=red").await.is(400);
}

#[tokio::test]
async fn row_1_32_runs_are_reported_with_steps_attempts_and_output() {
    let server = Server::start().await;
    let run = create(&server.store, "r1", REPO).await;
    let claim = started(&server.store, &run).await;
    end(&server.store, &run, &claim, 2).await;
    let token = server.token(Role::Reader, None).await;
    let record = server.get(&token, "/api/v1/runs/r1").await.is(200).json();
    assert_eq!((&record["status"], &record["seq"]), (&json!("success"), &json!(4)));
    let steps = server.get(&token, "/api/v1/runs/r1/steps").await.is(200).json();
    assert_eq!((&steps[0]["step"], &steps[0]["output"]), (&json!("build"), &json!("done")));
    let attempts = server.get(&token, "/api/v1/runs/r1/attempts").await.is(200).json();
    assert_eq!((&attempts[0]["id"], &attempts[0]["status"]), (&json!("r1-a1"), &json!("done")));
    let facts = server.get(&token, "/api/v1/runs/r1/journal?after=1&limit=2").await.is(200).json();
    assert_eq!((&facts["items"][0]["seq"], &facts["next"]), (&json!(2), &json!("3")));
}

#[tokio::test]
async fn repeated_idempotency_keys_create_one_run() {
    let server = Server::start().await;
    let token = server.token(Role::Writer, Some(REPO)).await;
    let wanted = json!({"repository": REPO, "workflow": "ci", "inputs": {"n": 1}});
    let send = |key: &'static str, body: Json| {
        let request = request(Method::POST, "/api/v1/runs", Some(&token), Some(body));
        let (mut parts, body) = request.into_parts();
        parts.headers.insert("idempotency-key", key.parse().unwrap());
        server.send(Request::from_parts(parts, body))
    };
    let one = send("k1", wanted.clone()).await.is(201).json();
    let again = send("k1", wanted.clone()).await.is(201).json();
    let other = send("k2", wanted.clone()).await.is(201).json();
    assert_eq!(one["id"], again["id"]);
    assert_ne!(one["id"], other["id"]);
    send("k1", json!({"repository": REPO, "workflow": "cd"})).await.is(422);
    assert_eq!(server.store.runs().list(&plue_store::RunFilter::default()).await.unwrap().len(), 2);
    let submits = server.asked.submits.lock().unwrap();
    assert_eq!(submits[0].2, format!("token:writer-{REPO}"));
    assert_eq!(submits[0].1.inputs["n"], 1);
}

#[tokio::test]
async fn refused_runs_report_the_reason() {
    let server = Server::start().await;
    let token = server.token(Role::Writer, None).await;
    let missing = json!({"repository": REPO, "workflow": "missing"});
    let problem = server.post(&token, "/api/v1/runs", missing).await.is(404).json();
    assert_eq!(problem["detail"], "there is no workflow `missing`");
    let misspelt = json!({"repository": REPO, "workflow": "ci", "input": {}});
    let problem = server.post(&token, "/api/v1/runs", misspelt).await.is(400).json();
    assert!(problem["detail"].as_str().unwrap().contains("input"), "{problem}");
}

#[tokio::test]
async fn cancel_requests_count_once_before_the_end() {
    let server = Server::start().await;
    let run = create(&server.store, "r1", REPO).await;
    let claim = started(&server.store, &run).await;
    let token = server.token(Role::Writer, None).await;
    server.post(&token, "/api/v1/runs/r1/cancel", json!({"kill": true})).await.is(200);
    let asked = server.store.cancels().get(&run).await.unwrap();
    assert_eq!(asked, Some(CancelRequest { by: "token:writer-all".to_owned(), kill: true }));
    end(&server.store, &run, &claim, 2).await;
    server.post(&token, "/api/v1/runs/r1/cancel", json!({})).await.is(409);
    server.post(&token, "/api/v1/runs/r1/retry", json!({"from": "build"})).await.is(200);
    let retries = server.asked.retries.lock().unwrap();
    assert_eq!(*retries, [("r1".to_owned(), Some("build".to_owned()))]);
}

#[tokio::test]
async fn logs_are_read_by_ranges_and_searched() {
    let server = Server::start().await;
    let run = create(&server.store, "r1", REPO).await;
    let claim = started(&server.store, &run).await;
    print(&server.store, &claim, 2, b"one\ntwo\n").await;
    print(&server.store, &claim, 3, b"thr\xffee\n<b>four</b>").await;
    let token = server.token(Role::Reader, None).await;
    let log = "/api/v1/runs/r1/attempts/r1-a1/log";
    let stat = server.get(&token, log).await.is(200).json();
    assert_eq!(stat, json!({"bytes": 26, "lines": 4, "ended": false}));
    let raw = |query: &'static str| {
        let path = format!("{log}/raw{query}");
        let (server, token) = (&server, &token);
        async move { server.get(token, &path).await }
    };
    let whole = raw("").await.is(200);
    assert_eq!(whole.body, b"one\ntwo\nthr\xffee\n<b>four</b>");
    assert_eq!(whole.headers["content-type"], "application/octet-stream");
    assert_eq!(whole.headers["x-content-type-options"], "nosniff");
    let part = raw("?from=2&to=6").await.is(206);
    assert_eq!(
        (part.body.as_slice(), &part.headers["content-range"]),
        (&b"e\ntw"[..], &"bytes 2-5/26".parse().unwrap())
    );
    assert_eq!(raw("?from_line=2&to_line=3").await.is(206).body, b"two\nthr\xffee\n");
    assert_eq!(raw("?tail=1").await.is(206).body, b"<b>four</b>");
    raw("?from=1&tail=1").await.is(400);
    raw("?from_line=0").await.is(400);
    let hits = server.get(&token, &format!("{log}/search?text=four")).await.is(200).json();
    assert_eq!((&hits[0]["line"], &hits[0]["byte"]), (&json!(4), &json!(18)));
    server.get(&token, "/api/v1/runs/r1/attempts/other/log").await.is(404);
}

#[tokio::test]
async fn plans_are_served_as_hashed_bytes_and_cached() {
    let server = Server::start().await;
    create(&server.store, "r1", REPO).await;
    let token = server.token(Role::Reader, None).await;
    let plan = server.get(&token, "/api/v1/runs/r1/plan").await.is(200);
    assert_eq!(plan.json()["name"], "demo");
    let tag = plan.headers["etag"].clone();
    let mut again = request(Method::GET, "/api/v1/runs/r1/plan", Some(&token), None);
    again.headers_mut().insert("if-none-match", tag);
    let again: Request<Body> = again;
    assert!(server.send(again).await.is(304).body.is_empty());
}
