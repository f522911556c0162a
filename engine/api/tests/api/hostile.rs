//! Requests that only an attacker sends.

use axum::{
    body::Body,
    http::{Method, Request},
};
use plue_api::{Limits, Role};
use serde_json::json;

use crate::support::{REPO, Server, create, request, started, watched};

#[tokio::test]
async fn unknown_routes_answer_a_problem_without_details() {
    let server = Server::start().await;
    let token = server.token(Role::Admin, None).await;
    for path in
        ["/none", "/api/v1", "/api/v1/runs/", "/api/v1/../../etc/passwd", "/api/v1/runs/a/b/c"]
    {
        server.get(&token, path).await.is(404);
    }
    server.send(request(Method::PUT, "/api/v1/runs", Some(&token), None)).await.is(405);
}

#[tokio::test]
async fn long_bodies_and_invalid_json_are_refused() {
    let server = Server::with(Limits { body_bytes: 1024, ..Limits::default() }).await;
    let token = server.token(Role::Writer, None).await;
    let long = json!({"repository": "x".repeat(2000), "workflow": "ci"});
    server.post(&token, "/api/v1/runs", long).await.is(413);
    let post = |kind: &str, body: &'static str| {
        let request = Request::post("/api/v1/runs").header("content-type", kind);
        let request = request.header("authorization", format!("Bearer {token}"));
        server.send(request.body(Body::from(body)).unwrap())
    };
    post("application/json", "{").await.is(400);
    post("text/plain", "{}").await.is(415);
    post("application/json", "[1, 2]").await.is(400);
}

#[tokio::test]
async fn ids_in_requests_are_looked_up_never_trusted() {
    let server = Server::start().await;
    watched(&server.store, REPO, "github", "ada").await;
    create(&server.store, "r1", REPO).await;
    let token = server.token(Role::Reader, None).await;
    for id in ["%2e%2e%2fetc", "r1%00", "r1'%20OR%20'1'='1", "%F0%9F%92%A5", "r1%0d%0aX-Evil:%201"]
    {
        let answer = server.get(&token, &format!("/api/v1/runs/{id}")).await.is(404);
        assert!(!answer.headers.contains_key("x-evil"));
    }
    server.get(&token, "/api/v1/runs/%ff").await.is(400);
    server.get(&token, "/api/v1/runs?limit=-1").await.is(400);
    server.get(&token, "/api/v1/runs?limit=200").await.is(200);
    for garbage in ["limit=0", "limit=201", "limit=x", "cursor=garbage", "cursor=", "cursor=%00"] {
        for list in ["runs", "approvals", "repositories/acme%2Fapp/deliveries"] {
            server.get(&token, &format!("/api/v1/{list}?{garbage}")).await.is(400);
        }
    }
}

#[tokio::test]
async fn ranges_of_logs_that_are_empty_are_refused() {
    let server = Server::start().await;
    let run = create(&server.store, "r1", REPO).await;
    let attempt = started(&server.store, &run).await.attempt;
    let token = server.token(Role::Reader, None).await;
    let raw = format!("/api/v1/runs/r1/attempts/{attempt}/log/raw");
    for empty in ["from=10&to=5", "from=10&to=10", "to=0", "from_line=3&to_line=2"] {
        let answer = server.get(&token, &format!("{raw}?{empty}")).await;
        assert_eq!(answer.status.as_u16(), 416, "{empty}");
        assert!(answer.headers["content-range"].to_str().unwrap().starts_with("bytes */"));
    }
    server.get(&token, &format!("{raw}?from=x")).await.is(400);
}

#[tokio::test]
async fn usage_takes_dates() {
    let server = Server::start().await;
    let token = server.token(Role::Reader, None).await;
    let ask = |query: &'static str| server.get(&token, query);
    ask("/api/v1/usage?from=2026-01-23").await.is(200);
    ask("/api/v1/usage?from=2026-11-01&to=2026-11-23").await.is(200);
    ask("/api/v1/usage?from=2026-11-01T10:00:00Z&to=2026-11-23").await.is(200);
    for bad in ["2026-11-31", "2026-11-23T10:00:00", "yesterday", "2026"] {
        let answer = server.get(&token, &format!("/api/v1/usage?from={bad}")).await.is(400);
        assert!(answer.json()["detail"].as_str().unwrap().contains("or a date"));
    }
}

#[tokio::test]
async fn a_body_that_never_comes_blocks_no_request() {
    let soon = std::time::Duration::from_millis(20);
    let limits = Limits { answer_within: soon, hook_within: soon, ..Limits::default() };
    let server = Server::with(limits).await;
    let token = server.token(Role::Writer, None).await;
    let never = || Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let request = Request::post("/api/v1/runs").header("content-type", "application/json");
    let request = request.header("authorization", format!("Bearer {token}"));
    let answer = server.send(request.body(never()).unwrap()).await;
    assert_eq!(answer.status.as_u16(), 504);
    let answer = server.send(Request::post("/callbacks/late").body(never()).unwrap()).await;
    assert_eq!(answer.status.as_u16(), 504);
    // Forbidden requests are answered before their body is read.
    server.send(Request::post("/callbacks/x").body(never()).unwrap()).await.is(404);
    let foreign = server.send(Request::post("/login").body(never()).unwrap()).await;
    assert_eq!(foreign.status.as_u16(), 403);
    let read = axum::routing::post(|_: axum::body::Bytes| async {});
    let routes = plue_api::limit::hooks(server.api.clone(), axum::Router::new().route("/h", read));
    let request = Request::post("/h").body(never()).unwrap();
    assert_eq!(tower::ServiceExt::oneshot(routes, request).await.unwrap().status().as_u16(), 408);
}

#[tokio::test]
async fn no_answer_may_be_sniffed_framed_or_kept() {
    let server = Server::start().await;
    let token = server.token(Role::Reader, None).await;
    for path in ["/api/v1/runs", "/nowhere", "/healthz"] {
        let headers = server.get(&token, path).await.headers;
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["cache-control"], "no-store");
        assert!(headers["content-security-policy"].to_str().unwrap().contains("frame-ancestors"));
    }
}
