//! Sessions of browsers: started with a token, accepted only from this site's pages, ended.

use axum::{
    body::Body,
    http::{Method, Request},
};
use plue_api::{Need, Role, endpoint, routes};
use serde_json::{Value as Json, json};

use crate::support::{Answer, REPO, Server, create, request};

const PATH: &str = "/api/v1/session";

/// A browser with a session.
struct Browser {
    cookie: String,
    csrf: String,
}

impl Browser {
    async fn begin(server: &Server, token: &str) -> Self {
        let answer = server.send(request(Method::POST, PATH, Some(token), None)).await.is(201);
        let set = answer.headers["set-cookie"].to_str().unwrap().to_owned();
        for part in ["; Secure", "; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age=43200"] {
            assert!(set.contains(part), "{set}");
        }
        let cookie = set.split(';').next().unwrap().to_owned();
        let csrf = answer.json()["csrf"].as_str().unwrap().to_owned();
        let secret = cookie.split_once('=').unwrap().1;
        assert!(!answer.json().to_string().contains(secret), "no script sees it");
        Self { cookie, csrf }
    }

    fn request(&self, method: Method, path: &str, csrf: bool, body: Option<Json>) -> Request<Body> {
        let mut request = request(method, path, None, body);
        request.headers_mut().insert("cookie", self.cookie.parse().unwrap());
        if csrf {
            request.headers_mut().insert("x-plue-csrf", self.csrf.parse().unwrap());
        }
        request
    }

    async fn ask(&self, server: &Server, method: Method, path: &str, csrf: bool) -> Answer {
        server.send(self.request(method, path, csrf, None)).await
    }
}

#[tokio::test]
async fn sessions_have_the_rights_of_their_token() {
    let server = Server::start().await;
    create(&server.store, "r1", REPO).await;
    let token = server.token(Role::Reader, Some(REPO)).await;
    let browser = Browser::begin(&server, &token).await;
    let who = browser.ask(&server, Method::GET, "/api/v1/whoami", false).await.is(200).json();
    assert_eq!((&who["role"], &who["repository"]), (&json!("reader"), &json!(REPO)));
    let session = browser.ask(&server, Method::GET, PATH, false).await.is(200).json();
    assert_eq!(session["csrf"], browser.csrf, "a page that was loaded again asks for it");
    let cancel = "/api/v1/runs/r1/cancel";
    let body = Some(json!({}));
    server.send(browser.request(Method::POST, cancel, true, body)).await.is(403);
    let ended = browser.ask(&server, Method::DELETE, PATH, true).await.is(204);
    assert!(ended.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    browser.ask(&server, Method::GET, "/api/v1/whoami", false).await.is(401);
    server.get(&token, "/api/v1/whoami").await.is(200);
    server.get(&token, PATH).await.is(404);
}

#[tokio::test]
async fn no_change_is_made_for_a_cookie_alone() {
    let server = Server::start().await;
    create(&server.store, "r1", REPO).await;
    let token = server.token(Role::Admin, None).await;
    let browser = Browser::begin(&server, &token).await;
    let mut refused = 0;
    for endpoint in routes::all() {
        let method = match endpoint.method {
            endpoint::Method::Get => continue,
            endpoint::Method::Post => Method::POST,
            endpoint::Method::Put => Method::PUT,
            endpoint::Method::Delete => Method::DELETE,
        };
        if endpoint.need == Need::Nothing {
            continue;
        }
        let path = endpoint.path.replace("{run}", "r1");
        let body = endpoint.body.map(|_| json!({}));
        let answer = server.send(browser.request(method, &path, false, body)).await.is(403);
        assert!(answer.json()["detail"].as_str().unwrap().contains("X-Plue-CSRF"));
        refused += 1;
    }
    assert!(refused > 10, "{refused}");
    assert_eq!(server.store.audit().after(0, 99).await.unwrap().len(), 1, "the session alone");
    let cancel = "/api/v1/runs/r1/cancel";
    let mut foreign = browser.request(Method::POST, cancel, true, Some(json!({})));
    foreign.headers_mut().insert("sec-fetch-site", "cross-site".parse().unwrap());
    server.send(foreign).await.is(403);
    let own = browser.request(Method::POST, cancel, true, Some(json!({})));
    server.send(own).await.is(200);
}

#[tokio::test]
async fn sessions_start_and_end_with_a_token() {
    let server = Server::start().await;
    let token = server.token(Role::Reader, None).await;
    let browser = Browser::begin(&server, &token).await;
    let (one, two) = (&browser.cookie, Browser::begin(&server, &token).await.cookie);
    assert_ne!(*one, two);
    browser.ask(&server, Method::POST, PATH, true).await.is(400);
    let row = server.store.tokens().list().await.unwrap().pop().unwrap();
    server.store.tokens().remove(&row.id).await.unwrap();
    browser.ask(&server, Method::GET, PATH, false).await.is(401);
    let unknown = Browser { cookie: "__Host-plue=0123456789".to_owned(), csrf: String::new() };
    unknown.ask(&server, Method::GET, PATH, false).await.is(401);
}
