//! Requests that nobody sends by mistake.

use axum::{
    body::Body,
    http::{Method, Request},
};
use plue_api::{Limits, Role};
use serde_json::json;

use crate::support::{REPO, Server, create, request};

#[tokio::test]
async fn what_is_no_route_is_a_problem_and_tells_nothing() {
    let server = Server::start().await;
    let token = server.token(Role::Admin, None).await;
    for path in ["/", "/api/v1", "/api/v1/runs/", "/api/v1/../../etc/passwd", "/api/v1/runs/a/b/c"]
    {
        server.get(&token, path).await.is(404);
    }
    server.send(request(Method::PUT, "/api/v1/runs", Some(&token), None)).await.is(405);
}

#[tokio::test]
async fn a_body_that_is_too_long_or_no_json_is_refused() {
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
async fn ids_from_strangers_are_looked_up_and_never_believed() {
    let server = Server::start().await;
    create(&server.store, "r1", REPO).await;
    let token = server.token(Role::Reader, None).await;
    for id in ["%2e%2e%2fetc", "r1%00", "r1'%20OR%20'1'='1", "%F0%9F%92%A5", "r1%0d%0aX-Evil:%201"]
    {
        let answer = server.get(&token, &format!("/api/v1/runs/{id}")).await.is(404);
        assert!(!answer.headers.contains_key("x-evil"));
    }
    server.get(&token, "/api/v1/runs/%ff").await.is(400);
    server.get(&token, "/api/v1/runs?limit=-1").await.is(400);
    server.get(&token, "/api/v1/runs?limit=99999999").await.is(200);
}

#[tokio::test]
async fn a_body_that_never_comes_keeps_nobody_waiting() {
    let soon = std::time::Duration::from_millis(20);
    let limits = Limits { answer_within: soon, hook_within: soon, ..Limits::default() };
    let server = Server::with(limits).await;
    let token = server.token(Role::Writer, None).await;
    let never = || Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let request = Request::post("/api/v1/runs").header("content-type", "application/json");
    let request = request.header("authorization", format!("Bearer {token}"));
    let answer = server.send(request.body(never()).unwrap()).await;
    assert_eq!(answer.status.as_u16(), 504);
    let answer = server.send(Request::post("/callbacks/x").body(never()).unwrap()).await;
    assert_eq!(answer.status.as_u16(), 504);
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
