//! Rate limits: only the client over its limit is refused.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode},
    routing::post,
};
use plue_api::{
    Limits, Role,
    client::Proxies,
    limit::{Peer, Rates, hooks},
    rate::Rate,
};
use tower::ServiceExt as _;

use crate::support::{Server, request};

const SLOW: Duration = Duration::from_secs(60);

fn limits(token: u32, failed: u32, hooks: u32) -> Limits {
    let rate = |burst| Rate { burst, every: SLOW };
    let logins = Rates::default().logins;
    let rates = Rates { token: rate(token), failed: rate(failed), hooks: rate(hooks), logins };
    Limits { rates, ..Limits::default() }
}

fn from(address: &str, mut request: Request<Body>) -> Request<Body> {
    let address: SocketAddr = format!("{address}:4000").parse().unwrap();
    request.extensions_mut().insert(Peer(address));
    request
}

#[tokio::test]
async fn rate_limits_apply_per_token() {
    let server = Server::with(limits(3, 9, 9)).await;
    let (one, two) =
        (server.token(Role::Reader, None).await, server.token(Role::Writer, None).await);
    for _ in 0..3 {
        server.get(&one, "/api/v1/whoami").await.is(200);
    }
    let refused = server.get(&one, "/api/v1/whoami").await.is(429);
    let after: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&after), "{after}");
    server.get(&two, "/api/v1/whoami").await.is(200);
    server.get("", "/healthz").await.is(200);
}

#[tokio::test]
async fn only_bad_tokens_are_limited_per_address() {
    let server = Server::with(limits(99, 2, 9)).await;
    let good = server.token(Role::Reader, None).await;
    let ask = |address: &'static str, token: &str| {
        let request = request(Method::GET, "/api/v1/whoami", Some(token), None);
        server.send(from(address, request))
    };
    for _ in 0..2 {
        ask("192.0.2.1", "plue_wrong").await.is(401);
    }
    ask("192.0.2.1", "plue_wrong").await.is(429);
    ask("192.0.2.1", "nonsense").await.is(429);
    ask("192.0.2.1", &good).await.is(200);
    ask("192.0.2.2", "plue_wrong").await.is(401);
    // A request without credentials is not a failed login.
    let bare = request(Method::GET, "/api/v1/whoami", None, None);
    server.send(from("192.0.2.1", bare)).await.is(401);
}

#[tokio::test]
async fn guessing_callbacks_is_slowed_down() {
    let server = Server::with(limits(9, 2, 9)).await;
    let guess = |n: u32| {
        let request = request(Method::POST, &format!("/callbacks/guess{n}"), None, None);
        server.send(from("[2001:db8::1]", request))
    };
    guess(1).await.is(404);
    guess(2).await.is(404);
    guess(3).await.is(429);
}

#[tokio::test]
async fn only_configured_proxies_name_the_client() {
    let proxies = Proxies::new(vec!["127.0.0.0/8".parse().unwrap()]);
    let server = Server::with(Limits { proxies, ..limits(9, 1, 9) }).await;
    let ask = |peer: &'static str, forwarded: &'static str| {
        let mut request = request(Method::GET, "/api/v1/whoami", Some("plue_wrong"), None);
        request.headers_mut().insert("x-forwarded-for", forwarded.parse().unwrap());
        server.send(from(peer, request))
    };
    ask("127.0.0.1", "10.9.9.9, 198.51.100.1").await.is(401);
    ask("127.0.0.1", "10.8.8.8, 198.51.100.1").await.is(429);
    ask("127.0.0.1", "198.51.100.2").await.is(401);
    ask("203.0.113.5", "198.51.100.3").await.is(401);
    ask("203.0.113.5", "198.51.100.4").await.is(429);
    let server = Server::with(limits(9, 1, 9)).await;
    let ask = |forwarded: &'static str| {
        let mut request = request(Method::GET, "/api/v1/whoami", Some("plue_wrong"), None);
        request.headers_mut().insert("x-forwarded-for", forwarded.parse().unwrap());
        server.send(from("127.0.0.1", request))
    };
    ask("198.51.100.1").await.is(401);
    ask("198.51.100.2").await.is(429);
}

#[tokio::test]
async fn the_audit_trail_names_the_client_address() {
    let server = Server::start().await;
    let token = server.token(Role::Admin, None).await;
    let request = request(Method::POST, "/api/v1/session", Some(&token), None);
    server.send(from("192.0.2.7", request)).await.is(201);
    let rows = server.store.audit().after(0, 10).await.unwrap();
    let last = rows.last().unwrap();
    assert_eq!(
        (last.action.as_str(), &last.detail["from"]),
        ("session.begin", &"192.0.2.7".into())
    );
}

#[tokio::test]
async fn webhooks_are_limited_per_address_invalid_ones_sooner() {
    let server = Server::with(limits(9, 1, 4)).await;
    let good = post(|| async { StatusCode::ACCEPTED });
    let bad = post(|| async { StatusCode::UNAUTHORIZED });
    let routes = Router::new().route("/hooks/good", good).route("/hooks/bad", bad);
    let routes = hooks(server.api.clone(), routes);
    let send = |path: &'static str, address: &'static str| {
        let request = from(address, request(Method::POST, path, None, None));
        let routes = routes.clone();
        async move { routes.oneshot(request).await.unwrap().status().as_u16() }
    };
    assert_eq!(send("/hooks/bad", "192.0.2.1").await, 401);
    assert_eq!(send("/hooks/bad", "192.0.2.1").await, 429);
    assert_eq!(send("/hooks/good", "192.0.2.1").await, 202, "bad ones do not keep good ones out");
    assert_eq!(send("/hooks/good", "192.0.2.1").await, 202);
    assert_eq!(send("/hooks/good", "192.0.2.1").await, 429);
    assert_eq!(send("/hooks/good", "192.0.2.9").await, 202);
}
